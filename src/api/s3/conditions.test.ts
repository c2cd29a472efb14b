import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiError } from "../common/api-error.ts";
import { ifMatchCondition, judgeRead, rangeHolds, writeConditionOf, type ReadConditions } from "./conditions.ts";

const OBJECT = { etag: "abc", stampMs: Date.parse("2026-01-02T03:04:05.678Z") };
const AT = "Fri, 02 Jan 2026 03:04:05 GMT";
const BEFORE = "Fri, 02 Jan 2026 03:04:04 GMT";
const NONE: ReadConditions = {
  ifMatch: undefined,
  ifUnmodifiedSince: undefined,
  ifNoneMatch: undefined,
  ifModifiedSince: undefined,
  nowMs: Date.parse("2026-01-03T00:00:00Z"),
};
const judge = (conditions: Partial<ReadConditions>): string => judgeRead(OBJECT, { ...NONE, ...conditions });

describe("preconditions of reads", () => {
  it("If-Match and If-Unmodified-Since", () => {
    assert.equal(judge({}), "go");
    assert.equal(judge({ ifMatch: '"abc"' }), "go");
    assert.equal(judge({ ifMatch: "abc" }), "go");
    assert.equal(judge({ ifMatch: "*" }), "go");
    assert.equal(judge({ ifMatch: '"x", "abc"' }), "go");
    assert.equal(judge({ ifMatch: '"x"' }), "If-Match");
    assert.equal(judge({ ifMatch: 'W/"abc"' }), "If-Match");
    assert.equal(judge({ ifUnmodifiedSince: AT }), "go");
    assert.equal(judge({ ifUnmodifiedSince: BEFORE }), "If-Unmodified-Since");
    assert.equal(judge({ ifMatch: '"abc"', ifUnmodifiedSince: BEFORE }), "go");
    assert.equal(judge({ ifUnmodifiedSince: "yesterday" }), "go");
  });

  it("If-None-Match and If-Modified-Since", () => {
    assert.equal(judge({ ifNoneMatch: '"abc"' }), "not-modified");
    assert.equal(judge({ ifNoneMatch: 'W/"abc"' }), "not-modified");
    assert.equal(judge({ ifNoneMatch: "*" }), "not-modified");
    assert.equal(judge({ ifNoneMatch: '"x"' }), "go");
    assert.equal(judge({ ifModifiedSince: AT }), "not-modified");
    assert.equal(judge({ ifModifiedSince: BEFORE }), "go");
    assert.equal(judge({ ifNoneMatch: '"x"', ifModifiedSince: AT }), "go");
    assert.equal(judge({ ifNoneMatch: '"abc"', ifModifiedSince: BEFORE }), "not-modified");
    assert.equal(judge({ ifMatch: '"x"', ifNoneMatch: '"abc"' }), "If-Match");
  });

  it("a date in the future is ignored, but for that of an object which is from there itself", () => {
    const future = "Sun, 04 Jan 2026 00:00:00 GMT";
    assert.equal(judge({ ifModifiedSince: future }), "go");
    assert.equal(judge({ ifUnmodifiedSince: future }), "go");
    assert.equal(judge({ ifModifiedSince: AT, nowMs: 0 }), "not-modified");
    assert.equal(judge({ ifModifiedSince: future, nowMs: 0 }), "go");
  });

  it("If-Range", () => {
    assert.equal(rangeHolds(undefined, OBJECT), true);
    assert.equal(rangeHolds('"abc"', OBJECT), true);
    assert.equal(rangeHolds('W/"abc"', OBJECT), false);
    assert.equal(rangeHolds('"x"', OBJECT), false);
    assert.equal(rangeHolds(AT, OBJECT), true);
    assert.equal(rangeHolds(BEFORE, OBJECT), false);
  });
});

describe("conditions of writes", () => {
  const request = (headers: Record<string, string>): { header(name: string): string | undefined } => ({
    header: (name) => headers[name],
  });
  const code = (headers: Record<string, string>): string => {
    try {
      writeConditionOf(request(headers));
    } catch (error) {
      if (error instanceof ApiError) return error.code;
    }
    return "none";
  };

  it("understands If-None-Match: * and If-Match", () => {
    assert.equal(writeConditionOf(request({})), undefined);
    assert.deepEqual(writeConditionOf(request({ "if-none-match": " * " })), { ifNoneMatch: "*" });
    assert.deepEqual(writeConditionOf(request({ "if-match": '"a", b' })), { ifMatch: ["a", "b"] });
    assert.deepEqual(writeConditionOf(request({ "if-match": "*" })), { ifMatch: "*" });
  });

  it("refuses the rest by name", () => {
    assert.equal(code({ "if-none-match": '"a"' }), "NotImplemented");
    assert.equal(code({ "if-none-match": "*", "if-match": '"a"' }), "NotImplemented");
    assert.equal(code({ "if-match": "" }), "InvalidArgument");
    assert.equal(code({ "if-match": " , " }), "InvalidArgument");
  });

  it("a weak ETag matches nothing", () => {
    assert.deepEqual(ifMatchCondition('W/"a"'), { ifMatch: [""] });
  });
});
