import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiError } from "../common/api-error.ts";
import { encodeWords } from "./encoded-words.ts";
import { keptHeaders, pushKeptHeaders } from "./object-headers.ts";

function request(...rawHeaders: string[]): { rawHeaders: string[]; header(name: string): string | undefined } {
  return {
    rawHeaders,
    header(name) {
      const values = rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
      return values.length === 0 ? undefined : values.join(", ");
    },
  };
}
const latin1 = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
const code = (...rawHeaders: string[]): string => {
  try {
    keptHeaders(request(...rawHeaders));
    return "";
  } catch (error) {
    return error instanceof ApiError ? error.code : String(error);
  }
};

describe("kept headers", () => {
  it("are refused when there are more of them than can fit, before each is looked for among all", () => {
    const many = Array.from({ length: 6_000 }, (_, n) => [`x-amz-meta-${n.toString(36)}`, "a, b"]).flat();
    let asked = 0;
    const { rawHeaders } = request(...many);
    const counted = { rawHeaders, header: () => String(asked++) };
    assert.throws(
      () => keptHeaders(counted),
      (error) => error instanceof ApiError && error.code === "MetadataTooLarge",
    );
    assert.equal(asked, 0);
  });

  it("picks what is kept and nothing else", () => {
    assert.deepEqual(
      keptHeaders(
        request(
          "Host",
          "h",
          "Content-Type",
          "a/b",
          "Content-Length",
          "5",
          "Content-MD5",
          "m",
          "Expect",
          "100-continue",
          "Expires",
          "e",
          "X-Amz-Date",
          "d",
          "X-Amz-Meta-Color",
          "red",
          "ETag",
          "t",
        ),
      ),
      {
        system: [
          ["content-type", "a/b"],
          ["expires", "e"],
        ],
        user: [["color", "red"]],
      },
    );
  });

  it("repeated headers become one", () => {
    const { system, user } = keptHeaders(
      request("Cache-Control", "a", "cache-control", "b", "x-amz-meta-m", "1", "X-Amz-Meta-M", "2"),
    );
    assert.deepEqual(system, [["cache-control", "a, b"]]);
    assert.deepEqual(user, [["m", "1,2"]]);
    assert.deepEqual(keptHeaders(request("x-amz-meta-m", "1, 2")).user, [["m", "1, 2"]]);
  });

  it("aws-chunked is not kept", () => {
    assert.deepEqual(keptHeaders(request("Content-Encoding", "aws-chunked")).system, []);
    assert.deepEqual(keptHeaders(request("Content-Encoding", "aws-chunked, gzip")).system, [["content-encoding", "gzip"]]);
  });

  it("user metadata: UTF-8 or encoded words in, encoded words out; system headers: the bytes that came in", () => {
    for (const [text, word] of [
      ["äöü", "=?UTF-8?B?w6TDtsO8?="],
      ["😀", "=?UTF-8?B?8J+YgA==?="],
      ["plain", "plain"],
      ["\ufffd", "=?UTF-8?B?77+9?="],
    ] as const) {
      for (const spelled of [latin1(text), word]) {
        const headers = keptHeaders(request("x-amz-meta-t", spelled));
        assert.deepEqual(headers.user, [["t", text]]);
        const out: string[] = [];
        pushKeptHeaders(out, headers);
        assert.deepEqual(out, ["content-type", "binary/octet-stream", "x-amz-meta-t", word]);
      }
      const system = keptHeaders(request("Content-Disposition", latin1(text)));
      const out: string[] = [];
      pushKeptHeaders(out, system);
      assert.deepEqual(out.slice(0, 2), ["content-disposition", latin1(text)]);
    }
    // Its size is that of the text, whichever way it came.
    assert.equal(code("x-amz-meta-t", encodeWords("ü".repeat(1000))), "");
    assert.equal(code("x-amz-meta-t", encodeWords("ü".repeat(1024))), "MetadataTooLarge");
    assert.equal(code("x-amz-meta-t", "\u00ff"), "InvalidArgument");
  });

  it("limits and forms", () => {
    assert.equal(code("x-amz-meta-a", "v".repeat(2047)), "");
    assert.equal(code("x-amz-meta-a", "v".repeat(2048)), "MetadataTooLarge");
    assert.equal(code("Content-Type", "v".repeat(8193)), "MetadataTooLarge");
    assert.equal(code("x-amz-website-redirect-location", "x"), "InvalidRedirectLocation");
    assert.equal(code("x-amz-meta-a", "b\u0001"), "InvalidArgument");
  });

  it("overrides take the place of what is kept", () => {
    const out: string[] = [];
    pushKeptHeaders(
      out,
      {
        system: [
          ["content-type", "a/b"],
          ["expires", "e"],
        ],
        user: [],
      },
      new Map([["content-type", "c/d"]]),
    );
    assert.deepEqual(out, ["expires", "e", "content-type", "c/d"]);
  });
});
