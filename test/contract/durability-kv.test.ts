// With every fsync delayed by strace, no promise may settle and no read may show a write before the delay has passed:
// unlike a kill, this detects a missing fsync.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { suite, test } from "node:test";
import { freshDirectory } from "./kv-engines.ts";

const CHILD = join(import.meta.dirname, "kv-child.ts");
const CALLS = "fdatasync,fsync,msync";
const DELAY_MS = 300;
const strace = spawnSync("strace", [
  "-f",
  "-o",
  "/dev/null",
  "-e",
  `trace=${CALLS}`,
  "-e",
  `inject=${CALLS}:delay_enter=1`,
  "true",
]);
const skip = strace.status === 0 ? false : "needs strace and the right to trace";

function traced(output: string, delayMs: number, args: readonly string[]): string {
  const trace = ["-f", "-o", output, "-e", `trace=${CALLS}`, "-e", `inject=${CALLS}:delay_enter=${delayMs * 1000}`];
  const { stdout } = spawnSync("strace", [...trace, process.execPath, CHILD, ...args], { encoding: "utf8", timeout: 60_000 });
  return stdout;
}

suite("durability of the kv", { skip, concurrency: 2 }, () => {
  for (const engine of ["lmdb", "sqlite"] as const) {
    test(`${engine}: a write settles and shows only after its fsync`, (t) => {
      const directory = freshDirectory(t);
      const lines = traced("/dev/null", DELAY_MS, [engine, directory, "watch"]).trim().split("\n");
      assert.equal(lines.length, 2);
      for (const line of lines) {
        const { reads, settledAfterMs, seenAfterMs } = JSON.parse(line) as Record<string, number>;
        assert.ok(settledAfterMs! >= DELAY_MS, `settled after ${settledAfterMs} ms`);
        assert.ok(seenAfterMs! >= DELAY_MS, `seen after ${seenAfterMs} ms`);
        assert.ok(reads! > 10, `${reads} reads ran meanwhile`);
      }
    });

    test(`${engine}: one fsync a commit, counted as the kernel counts`, (t) => {
      const counts = [0, 20].map((commits) => {
        const directory = freshDirectory(t);
        const output = join(directory, "trace");
        const stats = JSON.parse(traced(output, 0, [engine, directory, String(commits)])) as { commits: number; fsyncs: number };
        assert.equal(stats.commits, commits);
        assert.equal(stats.fsyncs, commits);
        return readFileSync(output, "utf8").match(/(fdatasync|fsync|msync)\(/g)?.length ?? 0;
      });
      assert.equal(counts[1]! - counts[0]!, 20);
    });
  }

  test("sqlite: what its log held is on disk in the database before the log starts anew", (t) => {
    const directory = freshDirectory(t);
    const output = join(directory, "trace");
    const calls = "trace=pwrite64,pwritev,fdatasync,fsync";
    spawnSync("strace", ["-f", "-y", "-o", output, "-e", calls, process.execPath, CHILD, "sqlite", directory, "checkpoint"], {
      timeout: 60_000,
    });
    const ofDatabase = readFileSync(output, "utf8")
      .split("\n")
      .map((line) => /(pwrite\w*|f\w*sync)\(\d+<[^>]*\/([^/>]*)>/.exec(line))
      .filter((call) => call !== null)
      .map(([, name = "", file = ""]) => ({ writes: name.startsWith("pwrite"), isLog: file.endsWith("-wal") }));
    const firstCommit = ofDatabase.findIndex(({ writes, isLog }) => !writes && isLog);
    const copied = ofDatabase.findLastIndex(({ writes, isLog }) => writes && !isLog);
    assert.ok(firstCommit >= 0 && copied > firstCommit, "the log was copied into the database");
    assert.deepEqual(ofDatabase[copied + 1], { writes: false, isLog: false }, "nothing is written before that is synced");
    assert.ok(
      ofDatabase.slice(copied + 2).some(({ writes, isLog }) => writes && isLog),
      "the log goes on after it",
    );
  });
});
