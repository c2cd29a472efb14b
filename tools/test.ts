// Runs the tests: unit tests beside the code, contract, wire and process tests under test/. One process per file, in order of
// cost.
//   npm test                      everything that must hold
//   npm test -- raft layout       only files whose path contains one of the words
//   npm test -- --list            prints the files
//   npm run test:unit             what lies beside the code (src, sim), in one process: the inner loop
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";

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
  const isolation = unit ? ["--test-isolation=none"] : [`--test-concurrency=${Math.min(2, availableParallelism())}`];
  const reporter = `--test-reporter=${unit ? "dot" : "spec"}`;
  const child = spawn(process.execPath, ["--test", ...isolation, "--test-timeout=600000", reporter, ...files], {
    stdio: "inherit",
  });
  child.on("exit", (code) => {
    process.exitCode = code ?? 1;
  });
}
