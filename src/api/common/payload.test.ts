import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { describe, test } from "node:test";
import fc from "fast-check";
import { createCRC32, createCRC64 } from "hash-wasm";
import { HttpBodyError } from "../../platform/http.ts";
import type { ChecksumAlgorithm } from "../../model/object-service.ts";
import { ApiError } from "./api-error.ts";
import { isChecksumValue, parseChecksumAlgorithm, parseChecksums } from "./checksum-headers.ts";
import { bodyErrorAnswer, openUpload, readSmallBody, storedContentEncoding } from "./payload.ts";
import type { PayloadMode } from "./payload-mode.ts";
import { startChecksum } from "./small-checksum.ts";
import { piecesOf, request } from "./testing/fake-request.ts";

const UNSIGNED: PayloadMode = { kind: "unsigned" };
const TRAILED: PayloadMode = { kind: "chunks", trailer: true, chain: undefined };
const code = (expected: string) => (error: unknown) => {
  ok(error instanceof ApiError, String(error));
  equal(error.code, expected, error.message);
  return true;
};
/** In two pieces, as bodies come. */
function smallChecksum(algorithm: ChecksumAlgorithm, data: Uint8Array | string): string {
  const bytes = Buffer.from(data as string);
  const checksum = startChecksum(algorithm);
  const half = bytes.byteLength >> 1;
  checksum.update(bytes.subarray(0, half));
  checksum.update(bytes.subarray(half));
  return checksum.digest();
}
const parse = (...headers: string[]) => parseChecksums(request({ headers }));

describe("announced checksums", () => {
  test("one of each kind, from header or trailer", () => {
    deepEqual(parse("Host", "h"), { algorithm: undefined, value: undefined, trailer: undefined, md5: undefined });
    equal(parse("X-Amz-Checksum-CRC32", "y/Q5Jg==").algorithm, "CRC32");
    equal(parse("x-amz-checksum-crc32c", "4waSgw==").value, "4waSgw==");
    equal(parse("x-amz-checksum-crc64nvme", "rosUhgpg3mY=", "x-amz-sdk-checksum-algorithm", "crc64nvme").algorithm, "CRC64NVME");
    deepEqual(parse("x-amz-trailer", "X-Amz-Checksum-SHA1").trailer, "x-amz-checksum-sha1");
    equal(
      Buffer.from(parse("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==").md5 ?? []).toString("hex"),
      "d41d8cd98f00b204e9800998ecf8427e",
    );
    // Belong to operations.
    equal(
      parse("x-amz-checksum-algorithm", "CRC32", "x-amz-checksum-type", "COMPOSITE", "x-amz-checksum-mode", "ENABLED").algorithm,
      undefined,
    );
  });

  test("contradictions and nonsense", () => {
    const invalid = code("InvalidRequest");
    throws(() => parse("x-amz-checksum-crc32", "y/Q5Jg==", "x-amz-checksum-sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="), invalid);
    throws(() => parse("x-amz-checksum-crc32", "y/Q5Jg==", "x-amz-checksum-crc32", "y/Q5Jg=="), invalid);
    throws(() => parse("x-amz-checksum-crc32", "y/Q5Jg==", "x-amz-trailer", "x-amz-checksum-crc32"), invalid);
    throws(() => parse("x-amz-trailer", "x-amz-checksum-crc32, x-amz-checksum-sha1"), invalid);
    throws(() => parse("x-amz-trailer", "x-amz-meta-a"), invalid);
    throws(() => parse("x-amz-checksum-md4", "y/Q5Jg=="), invalid);
    throws(() => parse("x-amz-checksum-crc32", "y/Q5Jg"), invalid);
    throws(() => parse("x-amz-checksum-crc32", "y/Q5J==="), invalid);
    throws(() => parse("x-amz-checksum-crc32", "y_Q5Jg=="), invalid);
    throws(() => parse("x-amz-checksum-crc32", "y/Q5Jh=="), invalid);
    throws(() => parse("x-amz-checksum-crc32", "rosUhgpg3mY="), invalid);
    throws(() => parse("x-amz-sdk-checksum-algorithm", "CRC32"), invalid);
    throws(() => parse("x-amz-sdk-checksum-algorithm", "MD4", "x-amz-checksum-crc32", "y/Q5Jg=="), invalid);
    throws(() => parse("x-amz-sdk-checksum-algorithm", "SHA1", "x-amz-checksum-crc32", "y/Q5Jg=="), invalid);
    throws(() => parse("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg"), code("InvalidDigest"));
    throws(() => parse("Content-MD5", ""), code("InvalidDigest"));
    equal(parseChecksumAlgorithm("toString"), undefined);
    ok(!isChecksumValue("CRC32", ""));
  });

  test("a trailer needs a body that has one", () => {
    const headers = ["x-amz-trailer", "x-amz-checksum-crc32"];
    throws(() => openUpload(request({ headers }), UNSIGNED), code("InvalidRequest"));
    throws(() => openUpload(request({ headers }), { ...TRAILED, trailer: false }), code("InvalidRequest"));
    equal(openUpload(request({ headers: [...headers, "x-amz-decoded-content-length", "7"] }), TRAILED).sizeBytes, 7);
    throws(() => openUpload(request({ headers: ["x-amz-decoded-content-length", "-1"] }), TRAILED), code("InvalidArgument"));
  });

  test("an upload carries what was announced, and no more", () => {
    const plain = openUpload(request({ headers: ["Content-Length", "5"], body: Buffer.from("hello") }), UNSIGNED);
    deepEqual(Object.keys(plain).sort(), ["signal", "sizeBytes", "source"]);
    const sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const full = openUpload(request({ headers: ["x-amz-checksum-crc32", "NhCmhg=="] }), { kind: "digest", sha256 });
    equal(full.sha256, sha256);
    equal(full.algorithm, "CRC32");
    equal(full.expectedChecksum?.(), "NhCmhg==");
  });
});

describe("checksums of small bodies", () => {
  test("the check values of each algorithm over 123456789", () => {
    const check = Buffer.from("123456789");
    equal(smallChecksum("CRC32", check), Buffer.from("cbf43926", "hex").toString("base64"));
    equal(smallChecksum("CRC32C", check), Buffer.from("e3069283", "hex").toString("base64"));
    equal(smallChecksum("CRC64NVME", check), Buffer.from("ae8b14860a799888", "hex").toString("base64"));
    equal(smallChecksum("SHA1", check), createHash("sha1").update(check).digest("base64"));
    equal(smallChecksum("SHA256", check), createHash("sha256").update(check).digest("base64"));
  });

  test("agree with other implementations on any bytes", async () => {
    const crc32c = await createCRC32(0x82f63b78);
    const crc64 = await createCRC64("9a6c9329ac4bc9b5");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const base64 = (hex: string): string => Buffer.from(hex, "hex").toString("base64");
        equal(smallChecksum("CRC32", bytes), base64(crc32(bytes).toString(16).padStart(8, "0")));
        equal(smallChecksum("CRC32C", bytes), base64(crc32c.init().update(bytes).digest("hex")));
        equal(smallChecksum("CRC64NVME", bytes), base64(crc64.init().update(bytes).digest("hex")));
      }),
      { numRuns: 200 },
    );
  });
});

describe("small bodies", () => {
  const XML = Buffer.from("<Delete/>");
  const read = (headers: string[], mode: PayloadMode = UNSIGNED, body: Uint8Array = XML, limitBytes = 1000) =>
    readSmallBody(request({ headers, body: piecesOf(body, [4]) }), mode, { limitBytes });
  const digest = (algorithm: string, encoding: "hex" | "base64"): string => createHash(algorithm).update(XML).digest(encoding);

  test("come whole, and say whether they were checked", async () => {
    const { bytes, checked } = await read([]);
    ok(Buffer.from(bytes).equals(XML));
    equal(checked, false);
    equal((await read(["Content-Length", "9"])).checked, false);
    equal((await read(["Content-MD5", digest("md5", "base64")])).checked, true);
    equal((await read(["x-amz-checksum-sha1", digest("sha1", "base64")])).checked, true);
    equal(
      (
        await read(["x-amz-checksum-crc64nvme", smallChecksum("CRC64NVME", XML)], {
          kind: "digest",
          sha256: digest("sha256", "hex"),
        })
      ).checked,
      true,
    );
    const chunked = Buffer.from(`9\r\n${XML}\r\n0\r\nx-amz-checksum-crc32:${smallChecksum("CRC32", XML)}\r\n\r\n`);
    equal((await read(["x-amz-trailer", "x-amz-checksum-crc32"], TRAILED, chunked)).checked, true);
  });

  test("wrong, too long, too short", async () => {
    const wrong = Buffer.from(XML).fill(0x20, 0, 1);
    await rejects(read(["Content-MD5", digest("md5", "base64")], UNSIGNED, wrong), code("BadDigest"));
    await rejects(read(["x-amz-checksum-sha1", digest("sha1", "base64")], UNSIGNED, wrong), code("BadDigest"));
    await rejects(read([], { kind: "digest", sha256: digest("sha256", "hex") }, wrong), code("XAmzContentSHA256Mismatch"));
    const chunked = Buffer.from(`9\r\n${wrong}\r\n0\r\nx-amz-checksum-crc32:${smallChecksum("CRC32", XML)}\r\n\r\n`);
    await rejects(read(["x-amz-trailer", "x-amz-checksum-crc32"], TRAILED, chunked), code("BadDigest"));
    await rejects(read(["Content-Length", "9"], UNSIGNED, XML, 8), code("MaxMessageLengthExceeded"));
    await rejects(read([], UNSIGNED, XML, 8), code("MaxMessageLengthExceeded"));
    await rejects(read(["Content-Length", "10"]), code("IncompleteBody"));
  });

  test("failures of the connection have an answer where somebody can read it", () => {
    equal(bodyErrorAnswer(new HttpBodyError("timeout", ""))?.code, "RequestTimeout");
    equal(bodyErrorAnswer(new HttpBodyError("malformed", ""))?.code, "IncompleteBody");
    equal(bodyErrorAnswer(new HttpBodyError("client-gone", "")), undefined);
  });
});

test("Content-Encoding loses its aws-chunked token, wherever it stands", () => {
  equal(storedContentEncoding(undefined), undefined);
  equal(storedContentEncoding("aws-chunked"), undefined);
  equal(storedContentEncoding("aws-chunked,gzip"), "gzip");
  equal(storedContentEncoding("gzip, AWS-Chunked, br"), "gzip,br");
  equal(storedContentEncoding("gzip, br"), "gzip, br");
  equal(storedContentEncoding("not-aws-chunked"), "not-aws-chunked");
});
