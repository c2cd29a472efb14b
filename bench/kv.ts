// What single reads of the kv engines cost, µs each, the least of many short rounds (they are synchronous, so a round that
// nothing interrupted shows the CPU time):
//   tools/run node bench/kv.ts [lmdb|sqlite] [--rows 100000] [--rounds 200]
// A miss is a read of a key that isn't there, as each PUT of a new key has one in its write transaction; a seek is a step of a
// scan to a later key, as a LIST with a delimiter has one per common prefix.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { KvRead } from "../src/platform/kv.ts";
import type { Log } from "../src/platform/log.ts";
import { openLmdbKv } from "../src/platform/node/kv-lmdb.ts";
import { openSqliteKv } from "../src/platform/node/kv-sqlite.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rows: { type: "string", default: "100000" }, rounds: { type: "string", default: "200" } },
});
const ROWS = Number(values.rows);
const ROUNDS = Number(values.rounds);
const CALLS = 400;
const SCANNED = 2000;

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, debugEnabled: false, child: () => silent };
const fatal = (error: unknown): never => {
  throw error;
};
const prefix = `${"ab".repeat(16)}/folder/`;
/** Rows have the odd numbers. */
const keyOf = (number: number): Buffer => Buffer.from(prefix + String(number).padStart(12, "0"));
/** Spread over the tree, the same in each round. */
const numbers = Array.from({ length: CALLS }, (_, at) => (at * 7919) % ROWS);
const hits = numbers.map((number) => keyOf(2 * number + 1));
const misses = numbers.map((number) => keyOf(2 * number));
const everything = { start: keyOf(0), end: keyOf(2 * ROWS) };
const some = { start: keyOf(0), end: keyOf(2 * SCANNED) };
const steps = Array.from({ length: CALLS }, (_, at) => keyOf(2 * Math.floor(((at + 1) * ROWS) / (CALLS + 1))));

for (const engine of positionals.length === 0 ? ["lmdb", "sqlite"] : positionals) {
  const directory = mkdtempSync(join(tmpdir(), "hangar-bench-kv-"));
  const common = { sync: false, log: silent, fatal, failed: fatal };
  const kv =
    engine === "lmdb"
      ? await openLmdbKv({ ...common, directory, mapSizeBytes: 2 ** 34 })
      : await openSqliteKv({ ...common, file: join(directory, "db.sqlite") });
  try {
    const value = Buffer.alloc(200, "some bytes of a row ");
    for (let at = 0; at < ROWS; at += 1000)
      await kv.transact((tx) => {
        for (let number = at; number < Math.min(ROWS, at + 1000); number++) tx.put("rows", keyOf(2 * number + 1), value);
      });
    const figures: Record<string, number> = {};
    /** In the read snapshot, and inside a write transaction. */
    const measure = async (name: string, count: number, run: (tx: KvRead) => void): Promise<void> => {
      for (const [where, within] of [
        ["", (fn) => kv.read(fn)],
        [" in a write transaction", (fn) => kv.transact(fn)],
      ] as [string, (fn: (tx: KvRead) => void) => Promise<void>][])
        for (let round = 0; round < ROUNDS; round++)
          await within((tx) => {
            const started = performance.now();
            run(tx);
            const micros = (1e3 * (performance.now() - started)) / count;
            figures[name + where] = Math.min(figures[name + where] ?? Number.POSITIVE_INFINITY, micros);
          });
    };
    const reads = (keys: readonly Buffer[]) => (tx: KvRead) => {
      for (const key of keys) tx.view("rows", key);
    };
    const seeks = (tx: KvRead): void => {
      let at = 0;
      tx.scan("rows", everything, () => steps[at++]);
    };
    const rows = (tx: KvRead): void => tx.scan("rows", some, () => undefined);
    await measure("hit", CALLS, reads(hits));
    await measure("miss", CALLS, reads(misses));
    await measure("seek", CALLS, seeks);
    await measure("row of a scan", SCANNED, rows);
    for (const [name, micros] of Object.entries(figures))
      console.log(`${engine.padEnd(8)}${micros.toFixed(2).padStart(8)}  ${name}`);
  } finally {
    await kv.close();
    rmSync(directory, { recursive: true });
  }
}
