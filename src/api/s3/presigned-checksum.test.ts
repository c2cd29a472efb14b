import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { full } from "../../../test/support/checksums.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { sourceOf } from "../../util/byte-source.ts";
import { checksumHeader } from "../common/checksum-headers.ts";
import { CHECKSUM_ALGORITHMS } from "./checksum-answer.ts";
import { withoutChecksumOfNothing } from "./presigned-checksum.ts";

function request(headers: Record<string, string>): HttpRequest {
  return {
    method: "PUT",
    target: "/b/k",
    rawHeaders: Object.entries(headers).flat(),
    header: (name) => headers[name],
    body: sourceOf(new Uint8Array()),
    contentLength: 0,
    remoteAddress: "",
    signal: new AbortController().signal,
  };
}

describe("checksums in the query of presigned URLs", () => {
  it("that of an empty body is dropped, for every algorithm", () => {
    for (const algorithm of CHECKSUM_ALGORITHMS) {
      const header = checksumHeader(algorithm);
      const made = request({
        [header]: full(algorithm, new Uint8Array()).value,
        "x-amz-sdk-checksum-algorithm": algorithm,
        host: "h",
      });
      const cleaned = withoutChecksumOfNothing(made, request({ host: "h" }));
      assert.deepEqual(cleaned.rawHeaders, ["host", "h"], algorithm);
      assert.equal(cleaned.header(header), undefined);
      assert.equal(cleaned.header("x-amz-sdk-checksum-algorithm"), undefined);
      assert.equal(cleaned.header("host"), "h");
    }
  });

  it("others, and those sent as headers, stay", () => {
    const header = checksumHeader("CRC32");
    const other = request({ [header]: "AAAAAQ==" });
    assert.equal(withoutChecksumOfNothing(other, request({})), other);
    const sent = request({ [header]: "AAAAAA==" });
    assert.equal(withoutChecksumOfNothing(sent, sent), sent);
  });
});
