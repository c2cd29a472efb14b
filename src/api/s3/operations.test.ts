import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { ERRORS } from "./errors.ts";
import { OPERATIONS, type Operation } from "./operations.ts";

const ANSWERS = { done: "done", "not-set": "not set", absent: "501" } as const;

describe("docs/s3.md", () => {
  const text = readFileSync(new URL("../../../docs/s3.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| ([A-Z]\w+) \| ([a-z, ]+) \| ([a-z0-9 ]+) \| (.*) ?\|$/gm)].map(
    ([, name = "", right = "", answer = "", notes = ""]) => ({
      name,
      right: right.split(",")[0],
      answer,
      notes,
    }),
  );

  it("lists exactly the operations of the union", () => {
    assert.deepEqual(rows.map((row) => row.name).sort(), Object.keys(OPERATIONS).sort());
  });

  it("says of each what the table says", () => {
    for (const { name, right, answer } of rows) {
      const facts = OPERATIONS[name as Operation];
      assert.equal(right, facts.right, name);
      assert.equal(answer, ANSWERS[facts.support], name);
    }
  });

  it("names only error codes that exist", () => {
    for (const { name, notes } of rows)
      for (const [, code = ""] of notes.matchAll(/`([A-Z][A-Za-z]+(?:Error|Configuration|Request|Policy|TagSet|Denied))`/g))
        assert.ok(Object.hasOwn(ERRORS, code), `${name}: ${code}`);
  });
});
