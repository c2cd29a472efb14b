import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { linearizableByBruteForce } from "./brute-force.ts";
import { checkHistory, checkKey } from "./check.ts";
import type { Call, Condition, Operation, Outcome } from "./operation.ts";
import { randomHistory } from "./random-history.ts";
import { describeContradiction } from "./shrink.ts";
import { seededRandom } from "../engine/random.ts";

/** `at(1, 4, …)`: invoked at 1, returned at 4; without an outcome: unknown. */
const at = (invokedAt: number, returnedAt: number, call: Call, outcome: Outcome = "unknown", key = "k"): Operation => ({
  client: `c${invokedAt}`,
  key,
  call,
  invokedAt,
  returnedAt: outcome === "unknown" ? Number.POSITIVE_INFINITY : returnedAt,
  outcome,
});
const put = (value: number, condition?: Condition): Call => ({ kind: "put", value, if: condition });
const remove = (condition?: Condition): Call => ({ kind: "delete", if: condition });
const get: Call = { kind: "get" };
const saw = (value: number | null): Outcome => ({ value });

const good: Record<string, Operation[]> = {
  empty: [],
  "a read of nothing": [at(1, 2, get, saw(null))],
  "a read overlapping a write sees either": [at(1, 9, put(1), "done"), at(2, 3, get, saw(null)), at(4, 5, get, saw(1))],
  "two writers, seen in one order": [at(1, 9, put(1), "done"), at(1, 9, put(2), "done"), at(10, 11, get, saw(1))],
  "an unknown put happens much later": [
    at(1, 2, put(1), "done"),
    at(3, 4, put(2)),
    at(50, 51, get, saw(1)),
    at(60, 61, get, saw(2)),
  ],
  "an unknown put never happens": [at(1, 2, put(1)), at(3, 4, get, saw(null)), at(5, 6, get, saw(null))],
  "a condition that held": [at(1, 2, put(1), "done"), at(3, 4, put(2, { is: 1 }), "done"), at(5, 6, get, saw(2))],
  "a condition that did not": [at(1, 2, put(1), "done"), at(3, 4, put(2, "absent"), "refused"), at(5, 6, get, saw(1))],
  "a refusal explained by an unknown put": [at(1, 2, put(1), "done"), at(3, 4, put(9)), at(5, 6, put(2, { is: 1 }), "refused")],
  "a chain of unknown conditional puts": [
    at(1, 2, put(1), "done"),
    at(3, 4, put(3, { is: 2 })),
    at(5, 6, put(2, { is: 1 })),
    at(7, 8, get, saw(3)),
  ],
  "an unknown delete lets a creation succeed": [at(1, 2, put(1), "done"), at(3, 4, remove()), at(5, 6, put(2, "absent"), "done")],
  "touching moments overlap": [at(1, 2, put(1), "done"), at(2, 3, get, saw(null))],
  "each key apart": [at(1, 2, put(1), "done"), at(3, 4, get, saw(null), "other")],
  "one of two rival creations": [
    at(1, 5, put(1, "absent"), "done"),
    at(1, 5, put(2, "absent"), "refused"),
    at(6, 7, get, saw(1)),
  ],
};
const bad: Record<string, { history: Operation[]; culprits: number }> = {
  "a stale read": { history: [at(1, 2, put(1), "done"), at(3, 4, put(2), "done"), at(5, 6, get, saw(1))], culprits: 3 },
  "a lost write": { history: [at(1, 2, put(1), "done"), at(3, 4, get, saw(null))], culprits: 2 },
  "a value from nowhere": { history: [at(1, 2, put(1), "done"), at(3, 4, get, saw(7))], culprits: 1 },
  "a read before its write": { history: [at(1, 2, get, saw(1)), at(3, 4, put(1), "done")], culprits: 2 },
  "a new value, then the old": {
    history: [at(1, 9, put(1), "done"), at(2, 3, get, saw(1)), at(4, 5, get, saw(null))],
    culprits: 3,
  },
  "two rival creations both succeed": {
    history: [at(1, 5, put(1, "absent"), "done"), at(1, 5, put(2, "absent"), "done")],
    culprits: 2,
  },
  "two rival updates both succeed": {
    history: [at(1, 2, put(1), "done"), at(3, 5, put(2, { is: 1 }), "done"), at(3, 5, put(3, { is: 1 }), "done")],
    culprits: 3,
  },
  "a refused condition that held": { history: [at(1, 2, put(1), "done"), at(3, 4, put(2, { is: 1 }), "refused")], culprits: 2 },
  "a refused put took effect": {
    history: [at(1, 2, put(1), "done"), at(3, 4, put(2, "absent"), "refused"), at(5, 6, get, saw(2))],
    culprits: 2,
  },
  "an unknown put happens twice": {
    history: [
      at(1, 2, put(1)),
      at(3, 4, get, saw(1)),
      at(5, 6, remove(), "done"),
      at(7, 8, get, saw(null)),
      at(9, 10, get, saw(1)),
    ],
    culprits: 4,
  },
  "an unknown put seen before it was sent": { history: [at(1, 2, get, saw(1)), at(3, 4, put(1))], culprits: 2 },
  "a deleted value comes back": {
    history: [at(1, 2, put(1), "done"), at(3, 4, remove(), "done"), at(5, 6, get, saw(1))],
    culprits: 3,
  },
};

for (const [name, history] of Object.entries(good)) {
  test(`good: ${name}`, () => {
    assert.equal(checkHistory(history), null);
    const keys = new Set(history.map((o) => o.key));
    for (const key of keys) assert.ok(linearizableByBruteForce(history.filter((o) => o.key === key)));
  });
}
for (const [name, { history, culprits }] of Object.entries(bad)) {
  test(`bad: ${name}`, () => {
    assert.equal(linearizableByBruteForce(history), false);
    const found = checkHistory(history);
    assert.equal(found?.verdict, "not linearizable");
    assert.equal(found.operations.length, culprits, describeContradiction(found.operations));
  });
}

test("agrees with brute force on small random histories", () => {
  const value = fc.integer({ min: 1, max: 3 });
  const condition = fc.option(
    fc.oneof(
      fc.constant<Condition>("absent"),
      value.map((is): Condition => ({ is })),
    ),
    { nil: undefined },
  );
  const operation = fc
    .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 3 }))
    .chain(([invokedAt, length, unknown]): fc.Arbitrary<Operation> => {
      const known = (call: Call, outcome: Outcome): Operation =>
        at(invokedAt, invokedAt + length, call, unknown === 0 ? "unknown" : outcome);
      const outcome = (c: Condition | undefined, refused: boolean): Outcome => (c !== undefined && refused ? "refused" : "done");
      return fc.oneof(
        fc.option(value).map((v) => known(get, { value: v })),
        fc.tuple(value, condition, fc.boolean()).map(([v, c, refused]) => known(put(v, c), outcome(c, refused))),
        fc.tuple(condition, fc.boolean()).map(([c, refused]) => known(remove(c), outcome(c, refused))),
      );
    });
  const counts = { good: 0, bad: 0 };
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 6 }), (history) => {
      const expected = linearizableByBruteForce(history);
      counts[expected ? "good" : "bad"]++;
      assert.equal(checkKey(history), expected ? "linearizable" : "not linearizable");
      if (expected) return;
      const few = checkHistory(history)!.operations;
      assert.ok(few.length > 0 && few.length <= history.length);
    }),
    { numRuns: Number(process.env["LINEARIZABILITY_RUNS"] ?? 3000), seed: 1 },
  );
  assert.ok(counts.good > 200 && counts.bad > 200, `both kinds must occur: ${JSON.stringify(counts)}`);
});

test("long histories of a real register pass, the same with one wrong read don't", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = seededRandom(seed);
    const values = [undefined, 3, 12][seed % 3];
    const history = randomHistory({
      operations: 400,
      clients: 8,
      unknown: 0.05,
      ...(values === undefined ? {} : { values }),
      random,
    });
    assert.equal(checkKey(history), "linearizable", `seed ${seed}`);
    const index = history.findIndex((o, i) => i > 200 && o.call.kind === "get" && typeof o.outcome === "object");
    const broken = history.map((o, i) => (i === index ? { ...o, outcome: { value: 777_777 } } : o));
    const found = checkHistory(broken)!;
    assert.equal(found.verdict, "not linearizable");
    assert.equal(found.operations.length, 1);
  }
});

test("2,000 operations on one key by 16 clients, one in twenty unknown, are decided within 200,000 positions", () => {
  for (const values of [undefined, 4]) {
    const random = seededRandom(values ?? 99);
    const history = randomHistory({
      operations: 2000,
      clients: 16,
      unknown: 0.05,
      ...(values === undefined ? {} : { values }),
      random,
    });
    assert.ok(history.filter((o) => o.outcome === "unknown").length > 60);
    assert.equal(checkKey(history, 200_000), "linearizable");
  }
});

test("a stale read among 2,000 operations shrinks to the read, what it saw, and what had overwritten that", () => {
  const history = randomHistory({ operations: 2000, clients: 16, unknown: 0.05, random: seededRandom(99) });
  const reads = history.filter((o) => o.call.kind === "get" && typeof o.outcome === "object");
  const middle = reads.length >> 1;
  const stale = reads[middle]!;
  const broken = history.map((o) => (o === stale ? { ...o, outcome: reads[middle - 30]!.outcome } : o));
  const found = checkHistory(broken)!;
  assert.equal(found.verdict, "not linearizable");
  assert.ok(found.operations.length <= 5, describeContradiction(found.operations));
  assert.ok(found.operations.some((o) => o.invokedAt === stale.invokedAt && o.client === stale.client));
});
