import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { ApiError } from "../common/api-error.ts";
import { Query } from "../common/request-target.ts";
import type { Operation } from "./operations.ts";
import { REFUSED_FAMILIES } from "./refused-families.ts";
import { screen } from "./screen.ts";

function refused(
  operation: Operation,
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

  it("refuses on writes what asks for a guarantee or a wider effect, unless its value asks for nothing", () => {
    const cases: readonly (readonly [Operation, string, string])[] = [
      ["PutObject", "x-amz-server-side-encryption", "AES256"],
      ["PutObject", "x-amz-server-side-encryption-customer-algorithm", "AES256"],
      ["CopyObject", "x-amz-copy-source-server-side-encryption-customer-key", "k"],
      ["PutObject", "x-amz-server-side-encryption-aws-kms-key-id", "k"],
      ["PutObject", "x-amz-grant-read", "id=1"],
      ["PutObject", "x-amz-tagging", "a=b"],
      ["PutObject", "x-amz-storage-class", "GLACIER"],
      ["PutObject", "x-amz-object-lock-mode", "COMPLIANCE"],
      ["PutObject", "x-amz-object-lock-legal-hold", "ON"],
      ["PutObject", "x-amz-write-offset-bytes", "5"],
      ["DeleteObject", "x-amz-if-match-size", "5"],
      ["DeleteObject", "x-amz-if-match-last-modified-time", "d"],
      ["PutObject", "x-amz-something-if-match", "e"],
      ["CreateBucket", "x-amz-bucket-object-lock-enabled", "true"],
      ["PutObject", "x-amz-copy-source-if-match", "e"],
      ["CopyObject", "x-amz-copy-source-range", "bytes=0-1"],
    ];
    for (const [operation, name, value] of cases)
      assert.equal(refused(operation, [name, value]), "NotImplemented", `${operation} ${name}`);
    for (const [name, value] of [
      ["x-amz-acl", "public-read"],
      ["x-amz-storage-class", "STANDARD"],
      ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
      ["x-amz-storage-class", "STANDARD_IA"],
      ["x-amz-object-lock-legal-hold", "OFF"],
      ["x-amz-server-side-encryption-bucket-key-enabled", "false"],
      ["x-amz-checksum-algorithm", "crc32"],
    ] as const)
      assert.equal(refused("PutObject", [name, value]), undefined, `${name}: ${value}`);
    for (const name of ["acl", "storage-class", "grant-read", "tagging", "expected-bucket-owner", "server-side-encryption"])
      for (const value of ["", "  "]) assert.equal(refused("PutObject", [`x-amz-${name}`, value]), undefined, name);
  });

  it("has one answer to checksum algorithms that aren't there, wherever they are named", () => {
    for (const algorithm of ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"]) {
      const lower = algorithm.toLowerCase();
      for (const [operation, name, value] of [
        ["PutObject", `x-amz-checksum-${lower}`, "AAAA"],
        ["UploadPart", `X-Amz-Checksum-${lower}`, "AAAA"],
        ["CompleteMultipartUpload", `x-amz-checksum-${lower}`, "AAAA"],
        ["PutObject", "x-amz-checksum-algorithm", algorithm],
        ["PutObject", "x-amz-sdk-checksum-algorithm", algorithm],
        ["CopyObject", "x-amz-checksum-algorithm", algorithm],
        ["CreateMultipartUpload", "x-amz-checksum-algorithm", algorithm],
        ["UploadPart", "x-amz-trailer", `x-amz-checksum-${lower}`],
      ] as const)
        assert.equal(refused(operation, [name, value]), "NotImplemented", `${operation} ${name}: ${value}`);
    }
    for (const known of ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"]) {
      assert.equal(refused("PutObject", [`x-amz-checksum-${known}`, "v"]), undefined);
      assert.equal(refused("PutObject", ["x-amz-trailer", `x-amz-checksum-${known}`]), undefined);
    }
  });

  it("ignores any other header, as AWS does", () => {
    const headers = ["x-amz-api-version", "2006-03-01", "x-amz-te", "append-md5", "x-amz-of-tomorrow", "1", "x-amz-mfa", "1 2"];
    for (const operation of ["PutObject", "CreateBucket", "DeleteObject", "UploadPart", "GetObject", "ListObjectsV2"] as const)
      assert.equal(refused(operation, headers), undefined, operation);
  });

  it("lets reads be answered whatever they carry; only a customer's key is never ignored", () => {
    for (const operation of ["GetObject", "HeadObject", "ListObjectsV2", "GetObjectTagging", "HeadBucket"] as const) {
      for (const header of [
        "If-Schedule-Tag-Match",
        "x-amz-if-match-size",
        "x-amz-checksum-sha512",
        "x-amz-tagging",
        "x-amz-grant-read",
      ])
        assert.equal(refused(operation, [header, "x"]), undefined, `${operation} ${header}`);
      for (const name of ["cachebuster", "newFeature", "versioning", "x-amz-acl", "partNumbers"])
        assert.equal(refused(operation, [], [[name, ""]]), undefined, `${operation} ?${name}`);
    }
    assert.equal(refused("GetObject", ["x-amz-server-side-encryption-customer-key", "k"]), "NotImplemented");
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

  it("refuses query parameters of writes that choose another operation, version or part, and ignores the rest", () => {
    for (const name of ["newFeature", "acl2", "versioning", "renameObject", "select-type"])
      assert.equal(refused("PutObject", [], [[name, ""]]), "NotImplemented", name);
    for (const name of ["versionId", "partNumber", "tagging", "x-amz-acl", "X-Amz-Acl"])
      for (const value of ["", "5"]) assert.equal(refused("PutObject", [], [[name, value]]), "NotImplemented", name);
    assert.equal(refused("CreateBucket", [], [["renameObject", ""]]), "NotImplemented");
    for (const [name, value] of [
      ["x-id", "PutObject"],
      ["x-mine", "1"],
      ["foo", "bar"],
      ["Content-Type", "text/plain"],
      ["Content-Type", ""],
      ["Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="],
      ["Cache-Control", "no-store"],
    ] as const)
      for (const operation of ["PutObject", "CreateMultipartUpload", "DeleteObject"] as const)
        assert.equal(refused(operation, [], [[name, value]]), undefined, `${operation} ?${name}=${value}`);
    const presigned = [
      ["X-Amz-Signature", "s"],
      ["X-Amz-Expires", "1"],
      ["x-amz-acl", "private"],
    ] as const;
    assert.equal(refused("PutObject", [], presigned), undefined);
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

  it("docs/s3.md lists exactly the refused families", () => {
    const text = readFileSync(new URL("../../../docs/s3.md", import.meta.url), "utf8");
    const table = /## Headers that are refused\n([\s\S]*?)\n## /.exec(text)?.[1] ?? "";
    const listed = [...table.matchAll(/^\| (`.*?`) \|/gm)].map(([, names = ""]) => names.replaceAll("`", ""));
    assert.deepEqual(
      listed,
      REFUSED_FAMILIES.map(({ name }) => name),
    );
  });
});
