// Random transactions on every engine against plain maps. HANGAR_KV_RUNS sets the number of runs (25 by default).
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { STOP, type KvRead, type KvWrite, type ScanStep, type Tree } from "../../src/platform/kv.ts";
import { ENGINES, engineUnderTest } from "./kv-engines.ts";

type Step =
  | { readonly op: "put"; readonly tree: Tree; readonly key: Buffer; readonly size: number }
  | { readonly op: "remove" | "get" | "view"; readonly tree: Tree; readonly key: Buffer }
  | {
      readonly op: "scan";
      readonly tree: Tree;
      readonly start: Buffer;
      readonly end: Buffer;
      readonly reverse: boolean;
      readonly most: number;
      readonly seek: Buffer | undefined;
    };
interface Call {
  readonly refuse: boolean;
  readonly steps: readonly Step[];
}
type Model = Record<Tree, Map<string, Buffer>>;

const tree = fc.constantFrom<Tree>("rows", "bodies");
// Few distinct keys, so that steps meet: short ones over a small alphabet with NUL and 0xff, now and then a long one.
const shortKey = fc
  .array(fc.constantFrom(0, 1, 0x61, 0x62, 0xff), { minLength: 1, maxLength: 4 })
  .map((bytes) => Buffer.from(bytes));
const longKey = fc
  .tuple(fc.constantFrom(0x61, 0xff), fc.constantFrom(1999, 3999, 4000))
  .map(([byte, size]) => Buffer.alloc(size, byte));
const key = fc.oneof({ weight: 12, arbitrary: shortKey }, { weight: 1, arbitrary: longKey });
const bound = fc.oneof({ weight: 6, arbitrary: key }, { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("put" as const),
      tree,
      key,
      size: fc.constantFrom(0, 1, 30, 300, 1021, 5000, 20_000),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constantFrom("remove" as const, "get" as const, "view" as const), tree, key }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("scan" as const),
      tree,
      start: bound,
      end: bound,
      reverse: fc.boolean(),
      most: fc.integer({ min: 1, max: 12 }),
      seek: fc.option(key, { nil: undefined }),
    }),
  },
);
const call: fc.Arbitrary<Call> = fc.record({
  refuse: fc.integer({ min: 0, max: 9 }).map((draw) => draw === 0),
  steps: fc.array(step, { maxLength: 12 }),
});
/** Rounds of calls that are made together, so that they share commits; after some the store is reopened. */
const rounds = fc.array(fc.record({ calls: fc.array(call, { minLength: 1, maxLength: 6 }), reopen: fc.boolean() }), {
  maxLength: 6,
});

for (const engine of ENGINES) {
  test(`random transactions on ${engine} do what plain maps do`, async (t) => {
    const run = fc.asyncProperty(rounds, async (script) => {
      const store = engineUnderTest(engine, t);
      let kv = await store.open();
      const model: Model = { rows: new Map(), bodies: new Map() };
      for (const { calls, reopen } of script) {
        const outcomes = await Promise.allSettled(calls.map((each) => kv.transact((tx) => runCall(tx, each))));
        for (const [at, each] of calls.entries()) {
          const outcome = outcomes[at]!;
          if (each.refuse) assert.equal(outcome.status, "rejected");
          else assert.deepEqual(outcome.status === "fulfilled" ? outcome.value : outcome.reason, modelCall(model, each));
        }
        if (reopen) {
          await kv.close();
          kv = await store.open();
        }
        for (const name of ["rows", "bodies"] as const) {
          const whole: Step = { op: "scan", tree: name, ...EVERYTHING, reverse: false, most: 1e9, seek: undefined };
          assert.deepEqual(await kv.read((tx) => runStep(tx, whole)), modelStep(model, whole));
          assert.equal(kv.stats().rows[name], model[name].size);
        }
      }
      await kv.close();
    });
    await fc.assert(run, { numRuns: Number(process.env["HANGAR_KV_RUNS"] ?? 25) });
  });
}

const EVERYTHING = { start: Buffer.alloc(0), end: Buffer.alloc(4001, 0xff) };

function runCall(tx: KvWrite, { refuse, steps }: Call): unknown[] {
  if (refuse) throw new Error("refused");
  return steps.map((each) => runStep(tx, each));
}

function runStep(tx: KvRead | KvWrite, each: Step): unknown {
  switch (each.op) {
    case "put":
      return (tx as KvWrite).put(each.tree, each.key, valueFor(each.key, each.size));
    case "remove":
      return (tx as KvWrite).remove(each.tree, each.key);
    case "get":
      return describe(tx.get(each.tree, each.key));
    case "view":
      return describe(tx.view(each.tree, each.key));
    case "scan": {
      const seen: string[] = [];
      tx.scan(each.tree, each, (row): ScanStep => {
        const name = row.key.toString("latin1", row.keyStart, row.keyEnd);
        seen.push(name, describe(row.value.subarray(row.valueStart, row.valueEnd))!);
        if (seen.length >= 2 * each.most) return STOP;
        return seeks(each, name) ? each.seek : undefined;
      });
      return seen;
    }
  }
}

function modelCall(model: Model, { steps }: Call): unknown[] {
  return steps.map((each) => modelStep(model, each));
}

function modelStep(model: Model, each: Step): unknown {
  const map = model[each.tree];
  if (each.op === "scan") {
    const [start, end] = [each.start.toString("latin1"), each.end.toString("latin1")];
    const names = [...map.keys()].filter((name) => name >= start && name < end).sort();
    if (each.reverse) names.reverse();
    const seen: string[] = [];
    let from = "";
    for (const name of names) {
      if (name < from) continue;
      seen.push(name, describe(map.get(name))!);
      if (seen.length >= 2 * each.most) break;
      if (seeks(each, name)) from = each.seek!.toString("latin1");
    }
    return seen;
  }
  const name = each.key.toString("latin1");
  if (each.op === "put") map.set(name, valueFor(each.key, each.size));
  else if (each.op === "remove") map.delete(name);
  else return describe(map.get(name));
  return undefined;
}

function seeks(each: Step, name: string): boolean {
  return each.op === "scan" && !each.reverse && each.seek !== undefined && each.seek.toString("latin1") > name;
}

function valueFor(key: Buffer, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, at) => (at * 13 + key.length + key[0]! + size) & 0xff));
}

function describe(value: Buffer | undefined): string | undefined {
  return value?.toString("latin1");
}
