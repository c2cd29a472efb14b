// Runs the tests: unit tests beside the code, contract, wire and process tests under test/. One process per file, in order of
// cost.
//   npm test                      everything that must hold
//   npm test -- raft layout       only files whose path contains one of the words
//   npm test -- --list            prints the files
//   npm run test:unit             what lies beside the code (src, sim), in one process: the inner loop
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { pipeline } from "node:stream/promises";
import { run } from "node:test";
import { spec } from "node:test/reporters";

/** No test takes a tenth of this: it only ends what hangs. */
const TEST_MS = 600_000;
const FEWER_RUNS = {
  CHAOS_RUNS: "20",
  HANGAR_CRASH_SEEDS: "2",
  HANGAR_NODE_SEEDS: "1",
  HANGAR_PROPERTY_RUNS: "10",
  HANGAR_RUNS: "100",
  LINEARIZABILITY_RUNS: "4000",
};

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const unit = process.argv.includes("--unit");
const everywhere = ["test/**/*.test.ts", "tools/**/*.test.ts", "bench/**/*.test.ts"];
const files = globSync(["src/**/*.test.ts", "sim/**/*.test.ts", ...(unit ? [] : everywhere)])
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();

if (process.argv.includes("--list")) {
  for (const file of files) console.log(file);
} else if (files.length === 0) {
  console.error(`no test file matches ${words.join(" ")}`);
  process.exitCode = 1;
} else {
  await (unit ? runTogether() : runApart());
}

/** A process per file. No file has a deadline, each test has one: a slow machine fails nothing. */
async function runApart(): Promise<void> {
  const concurrency = Math.min(2, availableParallelism());
  const events = run({ files, concurrency, execArgv: [`--test-timeout=${TEST_MS}`] });
  events.on("test:fail", () => {
    process.exitCode = 1;
  });
  await pipeline(events, new spec(), process.stdout, { end: false });
}

/** One process, and the shorter forms of the tests that draw at random; `npm test` and CI run them in full. */
async function runTogether(): Promise<void> {
  const flags = ["--test", "--test-isolation=none", `--test-timeout=${TEST_MS}`, "--test-reporter=dot"];
  const child = spawn(process.execPath, [...flags, ...files], { stdio: "inherit", env: { ...FEWER_RUNS, ...process.env } });
  const [code] = (await once(child, "exit")) as [number | null];
  process.exitCode = code ?? 1;
}
