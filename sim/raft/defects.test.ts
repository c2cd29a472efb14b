import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { type AnyDefect, PLANTED } from "./planted.ts";
import { searchDefect } from "./search-defect.ts";
import { runSeed } from "./run.ts";

interface Recorded {
  readonly seed: number;
  readonly focus: string;
  readonly failure: string;
}
const recorded = JSON.parse(readFileSync(new URL("./defects.json", import.meta.url), "utf8")) as Partial<
  Record<AnyDefect, Recorded>
>;

for (const [name, { focus, within }] of Object.entries(PLANTED)) {
  if (within === 0) continue; // not needed for safety: nothing to find
  const defect = name as AnyDefect;
  test(`planted ${defect}: the recorded seed shows it, and holds without it`, (context) => {
    const record = recorded[defect];
    assert.ok(record !== undefined, "run: main.ts --defect all --save");
    assert.ok(record.seed <= within, `found only at seed ${record.seed}, not within ${within}`);
    assert.equal(record.focus, focus);
    const failure = runSeed(record.seed, { defect, focus }).failure;
    if (failure !== null && runSeed(record.seed, { focus }).failure === null) {
      assert.equal(kindOf(failure), kindOf(record.failure));
      return;
    }
    // Any change of the code changes what a seed does. It must then be found anew within the stated number.
    const found = searchDefect(defect, { from: 1, seeds: within, focus });
    assert.ok(found !== null, `${defect} is not found within ${within} seeds any more`);
    context.diagnostic(
      `the record is older than the code: now seed ${found.seed} shows ${defect}; renew it with main.ts --defect all --save`,
    );
  });
}

test("the record names no defect that is not planted", () => {
  assert.deepEqual(
    Object.keys(recorded).filter((name) => !(name in PLANTED)),
    [],
  );
});

test("docs/consensus.md: every rule has its row, with its planted defects, and scripts and tests that exist", () => {
  const root = new URL("../../", import.meta.url);
  const text = readFileSync(new URL("docs/consensus.md", root), "utf8");
  const rows = [...text.matchAll(/^\| (\d+) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$/gm)];
  assert.deepEqual(
    rows.map(([, rule]) => Number(rule)),
    Array.from({ length: 30 }, (_, k) => k + 1),
  );
  const names = (cell: string | undefined): string[] => [...(cell ?? "").matchAll(/`([^`]+)`/g)].map(([, name]) => name!).sort();
  const expected = (rule: number, spare: boolean): string[] =>
    Object.entries(PLANTED)
      .filter(([, defect]) => defect.rule === rule && (defect.within === 0) === spare)
      .map(([name]) => name)
      .sort();
  for (const [, rule, , planted, spare, held] of rows) {
    assert.deepEqual(names(planted), expected(Number(rule), false), `rule ${rule}: planted`);
    assert.deepEqual(names(spare), expected(Number(rule), true), `rule ${rule}: spare`);
    assert.ok((held ?? "").trim() !== "", `rule ${rule}: held by something, or a reason`);
    for (const script of names(held)) assert.ok(existsSync(new URL(`src/raft/testdata/${script}.txt`, root)), script);
    for (const [, file] of (held ?? "").matchAll(/\b(\w+\.test)\b/g))
      assert.ok(existsSync(new URL(`src/raft/${file}.ts`, root)), `${file}`);
  }
  for (const [where, list] of text.matchAll(/planted ([a-z•, -]+?) ?\|/g))
    for (const defect of (list ?? "").replaceAll("•", "").split(",")) assert.ok(defect.trim() in PLANTED, `${where}: ${defect}`);
});

function kindOf(failure: string): string {
  return failure.split(":")[0]!;
}
