import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseCopyRange, parseRange } from "./ranges.ts";

describe("ranges", () => {
  it("one range of each form", () => {
    assert.deepEqual(parseRange("bytes=0-0", 10), { start: 0, end: 1 });
    assert.deepEqual(parseRange("bytes=2-5", 10), { start: 2, end: 6 });
    assert.deepEqual(parseRange("bytes=2-", 10), { start: 2, end: 10 });
    assert.deepEqual(parseRange("bytes=-3", 10), { start: 7, end: 10 });
    assert.deepEqual(parseRange("bytes=-30", 10), { start: 0, end: 10 });
    assert.deepEqual(parseRange("bytes=5-99999999999999999999", 10), { start: 5, end: 10 });
    assert.deepEqual(parseRange("Bytes=1-2", 10), { start: 1, end: 3 });
  });

  it("what is ignored gives the whole object", () => {
    for (const text of [
      "bytes=0-1,3-4",
      "bytes=5-2",
      "bytes=",
      "bytes=-",
      "bytes",
      "items=0-1",
      "bytes=a-b",
      "",
      "bytes=0-1-2",
      "bytes=1.5-2",
    ])
      assert.equal(parseRange(text, 10), "whole", text);
  });

  it("what can't be satisfied", () => {
    for (const text of ["bytes=10-", "bytes=10-12", "bytes=99999999999999999999-", "bytes=-0"])
      assert.equal(parseRange(text, 10), "unsatisfiable", text);
    assert.equal(parseRange("bytes=-0", 0), "unsatisfiable");
    assert.equal(parseRange("bytes=0-", 0), "unsatisfiable");
  });

  it("the last bytes of an empty object are all of it", () => {
    assert.equal(parseRange("bytes=-1", 0), "whole");
    assert.equal(parseRange("bytes=-5", 0), "whole");
  });

  it("always lies within the object", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `bytes=${a}-${b}`),
        ),
        fc.nat(),
        (text, size) => {
          const range = parseRange(text, size);
          if (typeof range === "object") assert.ok(range.start >= 0 && range.start < range.end && range.end <= size);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("copy ranges are strict", () => {
    assert.deepEqual(parseCopyRange("bytes=0-9"), { start: 0, end: 10 });
    for (const text of ["bytes=0-", "bytes=-9", "0-9", "bytes=9-0", "bytes=0-1,2-3", ""])
      assert.equal(parseCopyRange(text), undefined, text);
  });
});
