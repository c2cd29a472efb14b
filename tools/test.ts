// Runs the tests: unit tests beside the code, contract, wire and process tests under test/. One process per file, in order of cost.
//   npm test                      everything that must hold
//   npm test -- raft layout       only files whose path contains one of the words
//   npm test -- --list            prints the files
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const files = globSync(["src/**/*.test.ts", "sim/**/*.test.ts", "test/**/*.test.ts", "tools/**/*.test.ts", "bench/**/*.test.ts"])
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();

if (process.argv.includes("--list")) {
  for (const file of files) console.log(file);
} else if (files.length === 0) {
  console.error(`no test file matches ${words.join(" ")}`);
  process.exitCode = 1;
} else {
  const concurrency = String(Math.min(2, availableParallelism()));
  const child = spawn(
    process.execPath,
    ["--test", `--test-concurrency=${concurrency}`, "--test-timeout=600000", "--test-reporter=spec", ...files],
    { stdio: "inherit" },
  );
  child.on("exit", (code) => {
    process.exitCode = code ?? 1;
  });
}
