// Each testdata/*.txt is a script: what happens, and below it what the members did. SCRIPT_REWRITE=1 writes what they do now:
// review the diff.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { runScript } from "./testing/script.ts";

const folder = new URL("testdata/", import.meta.url);
const scripts = readdirSync(folder).filter((name) => name.endsWith(".txt") && name !== "README.txt");

test("there are scripts", () => assert.ok(scripts.length >= 15));
for (const name of scripts) {
  test(name, () => {
    const file = new URL(name, folder);
    const text = readFileSync(file, "utf8");
    const { steps, rewritten } = runScript(text);
    if (process.env["SCRIPT_REWRITE"] === "1") writeFileSync(file, rewritten);
    else for (const step of steps) assert.deepEqual(step.actual, step.expected, `${name}:${step.line} ${step.command}`);
    assert.ok(steps.some((step) => step.actual.length > 0));
  });
}
