// A bit flips in a stored key, in its row or where it divides a tree's pages: what then is read is exact, or refused as damaged.
// Never is a row that exists told to be absent, never is a list short without a word. HANGAR_KV_ROT sets how many keys rot per
// engine (8), HANGAR_SEED repeats a run's choices.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { seededRandom } from "../../sim/engine/random.ts";
import type { KvRange, KvRead } from "../../src/platform/kv.ts";
import { ENGINES, type EngineUnderTest, engineUnderTest } from "./kv-engines.ts";

const ROT = Number(process.env["HANGAR_KV_ROT"] ?? 8);
const ROWS = 400;

/** Long enough for several levels of pages; every other number is absent. */
const keyOf = (number: number): Buffer => Buffer.from(`group/bucket/${"x".repeat(60)}/${String(number).padStart(5, "0")}`);
const textOf = (number: number): string => `value ${number} ${"v".repeat(number % 150)}`;
const stored = Array.from({ length: ROWS }, (_, at) => 2 * at + 1);
const EVERYTHING: KvRange = { start: keyOf(0), end: keyOf(99_999) };

/** The outcome of a read: what it returned, or that it was refused as damaged. */
function outcome<T>(read: () => T): { readonly value: T } | "damaged" {
  try {
    return { value: read() };
  } catch (error) {
    assert.equal((error as { code?: string }).code, "kv.damaged", String(error));
    return "damaged";
  }
}

function list(tx: KvRead, range: KvRange): string[] {
  const seen: string[] = [];
  tx.scan("rows", range, (row) => {
    const value = row.value.toString("latin1", row.valueStart, row.valueEnd);
    const key = row.key.toString("latin1", row.keyStart, row.keyEnd);
    const number = Number(key.slice(-5));
    assert.deepEqual([key, value], [keyOf(number).toString(), textOf(number)], "a row is shown as it was stored");
    seen.push(key);
    return undefined;
  });
  return seen;
}

function within({ start, end }: KvRange): string[] {
  return stored
    .map(keyOf)
    .filter((key) => Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0)
    .map(String);
}

async function filled(store: EngineUnderTest): Promise<void> {
  const kv = await store.open();
  await kv.transact((tx) => stored.forEach((number) => void tx.put("rows", keyOf(number), Buffer.from(textOf(number)))));
  await kv.close();
}

for (const engine of ENGINES) {
  suite(`rotten keys in ${engine}`, () => {
    test(`${ROT} keys, a bit of each copy: reads are exact or refused`, async (t) => {
      const store = engineUnderTest(engine, t);
      await filled(store);
      const seed = Number(process.env["HANGAR_SEED"] ?? Date.now() % 1e6);
      t.diagnostic(`HANGAR_SEED=${seed}`);
      const random = seededRandom(seed);
      const below = (count: number): number => Math.floor(random() * count);
      const counts = { spoiled: 0, refusedReads: 0, refusedAbsent: 0, refusedScans: 0 };
      // Keys that stand in a page of branches too.
      const dividing = stored.filter((number) => store.spoilKey("rows", keyOf(number), { copy: 1, bit: 0 }));
      if (engine === "lmdb") assert.ok(dividing.length > 0);
      for (let round = 0; round < ROT; round++) {
        const some = round % 3 === 2 && dividing.length > 0 ? dividing : stored;
        const number = round === 0 ? stored[0]! : round === 1 ? stored.at(-1)! : some[below(some.length)]!;
        const key = keyOf(number);
        for (let copy = 0; ; copy++) {
          // Its digits, mostly: they put it out of order.
          const bit = below(4) === 0 ? below(8 * key.length) : 8 * (key.length - 1 - below(5)) + below(8);
          if (!store.spoilKey("rows", key, { copy, bit })) break;
          counts.spoiled++;
          const kv = await store.open();
          const where = `key ${number}, copy ${copy}, bit ${bit}`;
          await kv.read((tx) => {
            for (const one of stored) {
              const found = outcome(() => tx.get("rows", keyOf(one))?.toString());
              if (found === "damaged") counts.refusedReads++;
              else assert.equal(found.value, textOf(one), `${where}: get ${one}`);
              const absent = outcome(() => tx.get("rows", keyOf(one - 1)));
              if (absent === "damaged") counts.refusedAbsent++;
              else assert.equal(absent.value, undefined, `${where}: get ${one - 1}`);
            }
            for (let range = 0; range < 60; range++) {
              const [from, to] = [below(2 * ROWS + 2), below(2 * ROWS + 2)].sort((a, b) => a - b) as [number, number];
              const bounds =
                range === 0
                  ? EVERYTHING
                  : { start: keyOf(range % 5 === 0 ? number : from), end: keyOf(range % 7 === 0 ? number + 1 : to) };
              const reverse = range % 2 === 1;
              const expected = within(bounds);
              if (reverse) expected.reverse();
              const plain = outcome(() => list(tx, { ...bounds, reverse }));
              if (plain === "damaged") counts.refusedScans++;
              else assert.deepEqual(plain.value, expected, `${where}: scan ${String(bounds.start)} to ${String(bounds.end)}`);
              const reported: string[] = [];
              const seen = list(tx, {
                ...bounds,
                reverse,
                onDamaged: (damaged) => void reported.push(damaged.toString("latin1")),
              });
              assert.deepEqual(
                seen,
                expected.filter((one) => one !== String(key) || seen.includes(one)),
                `${where}: scan over damage, all but the damaged row`,
              );
              if (expected.includes(String(key)) && !seen.includes(String(key)))
                assert.deepEqual(reported, [String(key)], `${where}: the row is named by its own key`);
              else assert.deepEqual(reported, [], `${where}: nothing else is reported`);
            }
          });
          await kv.close();
        }
      }
      t.diagnostic(JSON.stringify(counts));
      assert.ok(counts.spoiled >= ROT && counts.refusedReads > 0 && counts.refusedScans > 0, "the damage was met");
    });

    test("a write that would be led astray is refused, with its batch; it never makes a second row of one key", async (t) => {
      const store = engineUnderTest(engine, t);
      await filled(store);
      let refused = 0;
      for (let copy = 0; store.spoilKey("rows", keyOf(401), { copy, bit: 8 * keyOf(0).length - 34 }); copy++) {
        const kv = await store.open({ fatal: () => assert.fail("fatal") });
        // The damage is known from here on.
        await kv.read((tx) => stored.forEach((one) => void outcome(() => tx.get("rows", keyOf(one)))));
        for (const one of stored.slice(150, 250)) {
          await kv
            .transact((tx) => tx.put("rows", keyOf(one), Buffer.from("new")))
            .then(
              async () => {
                const value = await kv.read((tx) => tx.get("rows", keyOf(one)));
                assert.equal(value?.toString(), "new");
              },
              (error: { code?: string }) => {
                assert.equal(error.code, "kv.damaged");
                refused++;
              },
            );
        }
        const seen: string[] = [];
        await kv.read((tx) =>
          tx.scan("rows", { ...EVERYTHING, onDamaged: () => undefined }, (row) => {
            seen.push(row.key.toString("latin1", row.keyStart, row.keyEnd));
            return undefined;
          }),
        );
        assert.equal(new Set(seen).size, seen.length, "no key twice");
        await kv.close();
      }
      assert.ok(refused > 0);
    });
  });
}
