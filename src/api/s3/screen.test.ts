import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiError } from "../common/api-error.ts";
import { Query } from "../common/request-target.ts";
import type { LiveOperation } from "./operations.ts";
import { screen } from "./screen.ts";

function refused(
  operation: LiveOperation,
  rawHeaders: readonly string[],
  parameters: readonly (readonly [string, string])[] = [],
): string | undefined {
  try {
    screen(operation, { rawHeaders }, new Query(parameters.map(([name, value]) => ({ name, value }))));
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ApiError);
    return error.code;
  }
}

describe("screen", () => {
  it("lets through what an operation understands, and what every client sends", () => {
    const usual = [
      "Host",
      "h",
      "X-Amz-Date",
      "d",
      "X-AMZ-CONTENT-SHA256",
      "e",
      "x-amz-meta-color",
      "red",
      "User-Agent",
      "u",
      "X-Forwarded-For",
      "f",
    ];
    for (const operation of ["GetObject", "PutObject", "DeleteObject", "ListObjectsV2", "CreateBucket"] as const)
      assert.equal(refused(operation, usual), undefined, operation);
    assert.equal(refused("PutObject", ["If-None-Match", "*", "x-amz-checksum-crc32", "AAAAAA=="]), undefined);
    assert.equal(refused("GetObject", ["If-Range", '"e"', "If-Modified-Since", "d"]), undefined);
  });

  it("refuses headers that ask for what is not there, unless their value asks for nothing", () => {
    const cases: readonly (readonly [LiveOperation, string, string])[] = [
      ["PutObject", "x-amz-server-side-encryption", "AES256"],
      ["PutObject", "x-amz-server-side-encryption-customer-algorithm", "AES256"],
      ["GetObject", "x-amz-server-side-encryption-customer-key", "k"],
      ["PutObject", "x-amz-acl", "public-read"],
      ["PutObject", "x-amz-grant-read", "id=1"],
      ["PutObject", "x-amz-tagging", "a=b"],
      ["PutObject", "x-amz-storage-class", "GLACIER"],
      ["PutObject", "x-amz-object-lock-mode", "COMPLIANCE"],
      ["PutObject", "x-amz-write-offset-bytes", "5"],
      ["PutObject", "x-amz-checksum-sha512", "AAAA"],
      ["PutObject", "x-amz-expected-bucket-owner", "1"],
      ["GetObject", "x-amz-expected-bucket-owner", "1"],
      ["ListObjectsV2", "X-Amz-Expected-Bucket-Owner", "1"],
      ["DeleteObject", "x-amz-mfa", "serial 1"],
      ["DeleteObject", "x-amz-if-match-size", "5"],
      ["DeleteObject", "x-amz-if-match-last-modified-time", "d"],
      ["CreateBucket", "x-amz-bucket-object-lock-enabled", "true"],
      ["CreateBucket", "x-amz-object-ownership", "ObjectWriter"],
      ["CopyObject", "x-amz-source-expected-bucket-owner", "1"],
      ["PutObject", "x-amz-copy-source-if-match", "e"],
      ["PutObject", "x-amz-something-of-tomorrow", "1"],
    ];
    for (const [operation, name, value] of cases)
      assert.equal(refused(operation, [name, value]), "NotImplemented", `${operation} ${name}`);
    for (const [name, value] of [
      ["x-amz-acl", "private"],
      ["x-amz-acl", "bucket-owner-full-control"],
      ["x-amz-storage-class", "STANDARD"],
      ["x-amz-tagging", ""],
      ["x-amz-object-lock-legal-hold", "OFF"],
    ] as const)
      assert.equal(refused("PutObject", [name, value]), undefined, `${name}: ${value}`);
  });

  it("never ignores a precondition of a write", () => {
    for (const name of ["If-Modified-Since", "If-Unmodified-Since", "If-Range", "if-schedule-tag-match"])
      for (const operation of [
        "PutObject",
        "CopyObject",
        "CompleteMultipartUpload",
        "DeleteObject",
        "UploadPart",
        "DeleteBucket",
        "DeleteObjects",
      ] as const)
        assert.equal(refused(operation, [name, "x"]), "NotImplemented", `${operation} ${name}`);
    assert.equal(refused("DeleteObject", ["If-None-Match", "*"]), "NotImplemented");
    assert.equal(refused("UploadPart", ["If-Match", "e"]), "NotImplemented");
    assert.equal(refused("ListObjectsV2", ["If-None-Match", "e"]), undefined);
  });

  it("refuses unknown query parameters of writes and lets those of reads pass", () => {
    assert.equal(refused("PutObject", [], [["x-id", "PutObject"]]), undefined);
    assert.equal(refused("PutObject", [], [["x-mine", "1"]]), undefined);
    for (const name of ["newFeature", "acl2", "versionId", "versioning", "partNumber", "x-amz-acl", "X-Amz-Acl"])
      assert.equal(refused("PutObject", [], [[name, ""]]), "NotImplemented", name);
    assert.equal(refused("CreateBucket", [], [["renameObject", ""]]), "NotImplemented");
    assert.equal(refused("GetObject", [], [["cachebuster", "1"]]), undefined);
    assert.equal(refused("GetObject", [], [["versioning", ""]]), "NotImplemented");
    assert.equal(
      refused(
        "PutObject",
        [],
        [
          ["X-Amz-Signature", "s"],
          ["X-Amz-Expires", "1"],
        ],
      ),
      undefined,
    );
  });

  it("refuses a parameter given twice", () => {
    assert.equal(
      refused(
        "ListObjectsV2",
        [],
        [
          ["prefix", "a"],
          ["prefix", "b"],
        ],
      ),
      "InvalidArgument",
    );
  });
});
