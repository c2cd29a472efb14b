import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, it } from "node:test";

const directory = mkdtempSync(join(tmpdir(), "hangar-mutants-test-"));
after(() => rmSync(directory, { recursive: true }));

const FILE = "src/util/byte-budget.ts";
const TEST = "node --test src/util/byte-budget.test.ts";
const source = readFileSync(FILE, "utf8");
const line = source.split("\n").find((text) => text.includes("return this.#heldBytes;")) as string;

/** A defect in one line of a small file; its hunk's numbers are wrong on purpose, as they are after a while. */
function plant(
  name: string,
  { noticedBy, replaced = line, by, shows }: Record<"noticedBy" | "by", string> & Partial<Record<"replaced" | "shows", string>>,
): void {
  const head = `defect: ${name}\nnoticed-by: ${noticedBy}\ncost: 1 s\n${shows === undefined ? "" : `shows: ${shows}\n`}`;
  const lines = source.split("\n");
  const at = lines.indexOf(line);
  const hunk = `@@ -20,3 +20,3 @@\n ${lines[at - 1]}\n-${replaced}\n+${by}\n ${lines[at + 1]}\n`;
  writeFileSync(join(directory, `${name}.patch`), `${head}\n--- a/${FILE}\n+++ b/${FILE}\n${hunk}`);
}

describe("planted defects", () => {
  it("are found by the tests that they name, and by these only; what is planted wrongly is told", () => {
    plant("found", { noticedBy: TEST, by: line.replace(";", " + 1;") });
    plant("harmless", { noticedBy: TEST, by: `${line} // nothing` });
    plant("elsewhere", { noticedBy: TEST, replaced: "a line that nobody wrote", by: line });
    plant("senseless", { noticedBy: TEST, by: `${line} ((` });
    plant("unnamed", {
      noticedBy: TEST.replace("--test", '--test --test-name-pattern="no test has this name"'),
      by: line.replace(";", " + 1;"),
    });
    const program = `node --input-type=module -e "import('./${FILE}').then(({ ByteBudget }) => { const { heldBytes } = new ByteBudget(1); if (heldBytes !== 0) { console.log('holds ' + heldBytes); process.exit(1); } })"`;
    plant("by-a-program", { noticedBy: program, by: line.replace(";", " + 1;"), shows: "^holds 1$" });
    plant("by-a-broken-program", { noticedBy: program, by: `throw new Error("broken");`, shows: "^holds 1$" });
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "tools/mutants.ts", `--from=${directory}`],
      { encoding: "utf8", timeout: 240_000 },
    );
    const said = (name: string): string => stdout.split("\n").find((text) => text.includes(` ${name} (`)) ?? `${stdout}${stderr}`;
    assert.match(said("found"), /^PASS /);
    assert.match(said("harmless"), /^FAIL .*NOT NOTICED/);
    assert.match(said("elsewhere"), /^FAIL .*does not apply/);
    assert.match(said("senseless"), /^FAIL .*without sense/);
    assert.match(said("unnamed"), /^FAIL .*no test has this name|^FAIL .*NOT NOTICED/);
    assert.match(said("by-a-program"), /^PASS .*holds 1/);
    assert.match(said("by-a-broken-program"), /^FAIL .*broke the program/);
    assert.match(stdout.trim(), /\n2 passed, 5 failed$/);
    assert.equal(status, 1);
  });

  it("can all be planted in the code as it is, and name tests that exist; ten are CI's", {
    skip: !existsSync(".git") && "no clone",
  }, () => {
    const patches = globSync("test/mutants/*.patch");
    for (const patch of patches) {
      execFileSync("git", ["apply", "--check", "-C1", "--recount", patch]);
      const [, command = ""] = /^noticed-by: (.*)$/m.exec(readFileSync(patch, "utf8")) ?? [];
      for (const [file] of command.matchAll(/\S+\.ts\b/g)) assert.ok(existsSync(file), `${patch} names ${file}`);
    }
    assert.equal(patches.filter((patch) => /^ci: yes$/m.test(readFileSync(patch, "utf8"))).length, 10);
  });
});
