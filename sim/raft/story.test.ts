import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { type AnyDefect, PLANTED } from "./planted.ts";
import { runSeed } from "./run.ts";
import { searchDefect } from "./search-defect.ts";
import { tellStory } from "./story.ts";

const recorded = JSON.parse(readFileSync(new URL("./defects.json", import.meta.url), "utf8")) as Record<string, { seed: number }>;

for (const defect of ["commit-old-term", "commit-one-half", "reads-by-place"] satisfies AnyDefect[]) {
  test(`the story of ${defect} tells who first applied the entry that the failure is about, however long before`, () => {
    const { focus, within } = PLANTED[defect];
    const from = recorded[defect]?.seed ?? 1;
    const found =
      searchDefect(defect, { from, seeds: 1, focus }) ?? searchDefect(defect, { from: 1, seeds: within, focus }) ?? assert.fail();
    const result = runSeed(found.seed, { defect, focus, story: true });
    const [index] = result.decisive.entries;
    assert.ok(index !== undefined, `the failure names an entry: ${result.failure}`);
    const story = tellStory(result).split("\n");
    const applied = story.findIndex((line) => line.includes(`is the first to apply ${index} (`));
    const appended = story.findIndex((line) => line.includes(` appends ${index} (`));
    const failed = story.findIndex((line) => line.includes("FAILURE"));
    assert.ok(appended > 0 && applied > appended && failed > applied, story.join("\n"));
    assert.ok(story.length < 160, "a story stays short");
  });
}

test("a history that contradicts itself: its calls are in the story", () => {
  const { focus, within } = PLANTED["no-ids"];
  const found = searchDefect("no-ids", { from: 1, seeds: within, focus }) ?? assert.fail();
  const result = runSeed(found.seed, { defect: "no-ids", focus, story: true });
  const story = tellStory(result);
  assert.ok(result.decisive.calls.length > 0 && result.contradiction !== null);
  for (const call of result.decisive.calls) assert.ok(story.includes(`client ${call} at node`), `${call} is told of`);
});

test("a seed that does not show a defect: the command says which recorded one does", () => {
  const main = new URL("./main.ts", import.meta.url).pathname;
  const run = spawnSync(process.execPath, [main, "--defect", "commit-old-term", "--seed", "5"], { encoding: "utf8" });
  assert.equal(run.status, 1);
  const known = recorded["commit-old-term"]?.seed;
  assert.match(
    run.stdout,
    new RegExp(`seed 5 does not show it; seed ${known} is recorded: npm run sim:raft -- .*--seed ${known}`),
  );
});
