// Checksums of all algorithms: header, trailer, composite, full object, and what answers and listings tell of them.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import {
  type ChecksumAlgorithm,
  ChecksumType,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { full } from "../support/checksums.ts";
import { ask, type Reply } from "../support/request.ts";
import { sdkClient, sdkError } from "../support/sdk.ts";
import type { S3TestServer } from "../support/server.ts";
import {
  chunkedBody,
  signRequest,
  STREAMING_SIGNED,
  STREAMING_SIGNED_TRAILER,
  STREAMING_UNSIGNED_TRAILER,
} from "../support/sign.ts";
import { startServer } from "../support/start.ts";
import { exchange } from "../support/request.ts";

const ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as const;
type Algorithm = (typeof ALGORITHMS)[number];
const MIB = 1024 * 1024;
const BODY = Buffer.from("The quick brown fox jumps over the lazy dog");
const headerOf = (algorithm: Algorithm): string => `x-amz-checksum-${algorithm.toLowerCase()}`;
const fieldOf = (algorithm: Algorithm): `Checksum${Algorithm}` => `Checksum${algorithm}`;

describe("checksums", () => {
  let server: S3TestServer;
  let s3: S3Client;
  before(async () => {
    server = await startServer();
    s3 = sdkClient(server);
    await ask(server, { method: "PUT", target: "/sums" });
  });
  after(async () => {
    s3.destroy();
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  const put = (key: string, headers: Record<string, string>, body: Uint8Array = BODY): Promise<Reply> =>
    ask(server, { method: "PUT", target: `/sums/${key}`, headers, body });

  /** A PUT whose body is aws-chunked; the trailer carries the checksum. */
  function putChunked(
    key: string,
    options: { payload: string; trailers?: [string, string][]; announce?: string; chunks?: Buffer[] },
  ): Promise<Reply> {
    const { payload, trailers, announce = trailers?.[0]?.[0], chunks = [BODY.subarray(0, 20), BODY.subarray(20)] } = options;
    const timeMs = Date.now();
    const target = `/sums/${key}`;
    const unsignedLength = chunkedBody(server.identity, {
      chunks,
      seed: payload === STREAMING_UNSIGNED_TRAILER ? undefined : "0".repeat(64),
      timeMs,
      ...(trailers && { trailers }),
    }).byteLength;
    const signed = signRequest(server.identity, {
      method: "PUT",
      target,
      headers: [
        "Host",
        `${server.host}:${server.port}`,
        "Content-Encoding",
        "aws-chunked",
        "Content-Length",
        String(unsignedLength),
        "x-amz-decoded-content-length",
        String(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)),
        ...(announce === undefined ? [] : ["x-amz-trailer", announce]),
      ],
      payload,
      timeMs,
    });
    const body = chunkedBody(server.identity, {
      chunks,
      seed: payload === STREAMING_UNSIGNED_TRAILER ? undefined : signed.signature,
      timeMs,
      ...(trailers && { trailers }),
    });
    return exchange(server, { method: "PUT", target, headers: signed.headers, body });
  }

  for (const algorithm of ALGORITHMS) {
    const value = full(algorithm, BODY).value;

    it(`${algorithm} in a header`, async () => {
      const reply = await put(algorithm, { [headerOf(algorithm)]: value });
      assert.equal(reply.status, 200, reply.text);
      assert.equal(reply.headers[headerOf(algorithm)], value);
      assert.equal(reply.headers["x-amz-checksum-type"], "FULL_OBJECT");
      const read = await ask(server, { target: `/sums/${algorithm}`, headers: { "x-amz-checksum-mode": "ENABLED" } });
      assert.deepEqual([read.headers[headerOf(algorithm)], read.headers["x-amz-checksum-type"]], [value, "FULL_OBJECT"]);
      const unasked = await ask(server, { method: "HEAD", target: `/sums/${algorithm}` });
      assert.equal(unasked.headers[headerOf(algorithm)], undefined);
      const ranged = await ask(server, {
        target: `/sums/${algorithm}`,
        headers: { "x-amz-checksum-mode": "ENABLED", Range: "bytes=0-1" },
      });
      assert.equal(ranged.headers[headerOf(algorithm)], undefined);
      const attributes = await s3.send(
        new GetObjectAttributesCommand({ Bucket: "sums", Key: algorithm, ObjectAttributes: ["Checksum"] }),
      );
      assert.equal(attributes.Checksum?.[fieldOf(algorithm)], value);
      assert.equal(attributes.Checksum?.ChecksumType, "FULL_OBJECT");
      assert.match(
        (await ask(server, { target: `/sums?list-type=2&prefix=${algorithm}` })).text,
        new RegExp(`<ChecksumAlgorithm>${algorithm}</ChecksumAlgorithm>`),
      );
    });

    it(`${algorithm} that does not match`, async () => {
      const wrong = full(algorithm, Buffer.from("other")).value;
      const reply = await put(`wrong-${algorithm}`, { [headerOf(algorithm)]: wrong });
      assert.deepEqual([reply.status, reply.code], [400, "BadDigest"]);
      assert.equal((await put(`wrong-${algorithm}`, { [headerOf(algorithm)]: "no base64!" })).code, "InvalidRequest");
      assert.equal((await put(`wrong-${algorithm}`, { [headerOf(algorithm)]: "AAA=" })).code, "InvalidRequest");
      const trailed = await putChunked(`wrong-${algorithm}`, {
        payload: STREAMING_UNSIGNED_TRAILER,
        trailers: [[headerOf(algorithm), wrong]],
      });
      assert.deepEqual([trailed.status, trailed.code], [400, "BadDigest"]);
      assert.equal((await ask(server, { target: `/sums/wrong-${algorithm}` })).status, 404);
    });

    it(`${algorithm} in a trailer, with signed and unsigned chunks`, async () => {
      for (const payload of [STREAMING_UNSIGNED_TRAILER, STREAMING_SIGNED_TRAILER]) {
        const reply = await putChunked(`trailer-${algorithm}`, { payload, trailers: [[headerOf(algorithm), value]] });
        assert.equal(reply.status, 200, reply.text);
        assert.equal(reply.headers[headerOf(algorithm)], value);
        const read = await ask(server, { target: `/sums/trailer-${algorithm}` });
        assert.equal(read.text, BODY.toString());
        assert.equal(read.headers["content-encoding"], undefined);
      }
    });

    it(`${algorithm} by the SDK`, async () => {
      const body = Buffer.alloc(3 * MIB, "sdk ");
      const sent = await s3.send(
        new PutObjectCommand({
          Bucket: "sums",
          Key: `sdk-${algorithm}`,
          Body: body,
          ChecksumAlgorithm: algorithm as ChecksumAlgorithm,
        }),
      );
      assert.equal(sent[fieldOf(algorithm)], full(algorithm, body).value);
      const got = await s3.send(new GetObjectCommand({ Bucket: "sums", Key: `sdk-${algorithm}`, ChecksumMode: "ENABLED" }));
      // Reading it to the end makes the SDK verify it.
      assert.ok(body.equals(Buffer.from((await got.Body?.transformToByteArray()) ?? [])));
    });
  }

  for (const [algorithm, type] of [
    ["CRC32", "COMPOSITE"],
    ["CRC32C", "COMPOSITE"],
    ["SHA1", "COMPOSITE"],
    ["SHA256", "COMPOSITE"],
    ["CRC32", "FULL_OBJECT"],
    ["CRC32C", "FULL_OBJECT"],
    ["CRC64NVME", "FULL_OBJECT"],
  ] as const) {
    it(`multipart ${algorithm} ${type}`, async () => {
      const target = { Bucket: "sums", Key: `multi-${algorithm}-${type}` };
      const created = await s3.send(
        new CreateMultipartUploadCommand({ ...target, ChecksumAlgorithm: algorithm, ChecksumType: type }),
      );
      assert.deepEqual([created.ChecksumAlgorithm, created.ChecksumType], [algorithm, type]);
      const upload = { ...target, UploadId: created.UploadId as string };
      const bodies = [Buffer.alloc(5 * MIB, "one "), Buffer.from("two")];
      const parts: CompletedPart[] = [];
      for (const [at, Body] of bodies.entries()) {
        const sent = await s3.send(new UploadPartCommand({ ...upload, PartNumber: at + 1, Body, ChecksumAlgorithm: algorithm }));
        assert.equal(sent[fieldOf(algorithm)], full(algorithm, Body).value);
        parts.push({ PartNumber: at + 1, ETag: sent.ETag as string, [fieldOf(algorithm)]: sent[fieldOf(algorithm)] });
      }
      const listed = await s3.send(new ListPartsCommand(upload));
      assert.deepEqual([listed.ChecksumAlgorithm, listed.ChecksumType], [algorithm, type]);
      assert.deepEqual(
        listed.Parts?.map((part) => part[fieldOf(algorithm)]),
        bodies.map((body) => full(algorithm, body).value),
      );
      const uploads = await s3.send(new ListMultipartUploadsCommand({ Bucket: "sums", Prefix: target.Key }));
      assert.deepEqual(
        uploads.Uploads?.map((one) => [one.ChecksumAlgorithm, one.ChecksumType]),
        [[algorithm, type]],
      );

      const bad = parts.map((part, at) =>
        at === 0 ? { ...part, [fieldOf(algorithm)]: full(algorithm, Buffer.from("x")).value } : part,
      );
      assert.equal(
        (await sdkError(s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: bad } })))).name,
        "InvalidPart",
      );
      const other = type === "COMPOSITE" ? ChecksumType.FULL_OBJECT : ChecksumType.COMPOSITE;
      assert.equal(
        (
          await sdkError(
            s3.send(new CompleteMultipartUploadCommand({ ...upload, ChecksumType: other, MultipartUpload: { Parts: parts } })),
          )
        ).name,
        "InvalidRequest",
      );
      if (type === "FULL_OBJECT") {
        const wrong = { [fieldOf(algorithm)]: full(algorithm, Buffer.from("x")).value };
        assert.equal(
          (
            await sdkError(
              s3.send(new CompleteMultipartUploadCommand({ ...upload, ...wrong, MultipartUpload: { Parts: parts } })),
            )
          ).name,
          "BadDigest",
        );
      }
      assert.equal(
        (
          await sdkError(
            s3.send(new CompleteMultipartUploadCommand({ ...upload, MpuObjectSize: 5, MultipartUpload: { Parts: parts } })),
          )
        ).name,
        "InvalidRequest",
      );

      const want =
        type === "FULL_OBJECT"
          ? full(algorithm, Buffer.concat(bodies)).value
          : `${full(algorithm, Buffer.concat(bodies.map((body) => Buffer.from(full(algorithm, body).value, "base64")))).value}-2`;
      const done = await s3.send(
        new CompleteMultipartUploadCommand({
          ...upload,
          ChecksumType: type,
          MpuObjectSize: 5 * MIB + 3,
          ...(type === "FULL_OBJECT" && { [fieldOf(algorithm)]: want }),
          MultipartUpload: { Parts: parts },
        }),
      );
      assert.deepEqual([done[fieldOf(algorithm)], done.ChecksumType], [want, type]);
      const head = await s3.send(new HeadObjectCommand({ ...target, ChecksumMode: "ENABLED" }));
      assert.deepEqual([head[fieldOf(algorithm)], head.ChecksumType], [want, type]);
      const second = await s3.send(new GetObjectCommand({ ...target, PartNumber: 2, ChecksumMode: "ENABLED" }));
      assert.equal(await second.Body?.transformToString(), "two");
      // The value is the part's, the type says how parts make up the whole.
      assert.deepEqual([second[fieldOf(algorithm)], second.ChecksumType], [full(algorithm, Buffer.from("two")).value, type]);
      const attributes = await s3.send(
        new GetObjectAttributesCommand({ ...target, ObjectAttributes: ["Checksum", "ObjectParts"], MaxParts: 1 }),
      );
      assert.equal(attributes.Checksum?.[fieldOf(algorithm)], want);
      assert.equal(attributes.ObjectParts?.TotalPartsCount, 2);
      assert.equal(attributes.ObjectParts?.IsTruncated, true);
      assert.deepEqual(
        attributes.ObjectParts?.Parts?.map((part) => [part.PartNumber, part.Size, part[fieldOf(algorithm)]]),
        [[1, 5 * MIB, full(algorithm, bodies[0] as Buffer).value]],
      );
      const got = await s3.send(new GetObjectCommand({ ...target, ChecksumMode: "ENABLED" }));
      assert.ok(Buffer.concat(bodies).equals(Buffer.from((await got.Body?.transformToByteArray()) ?? [])));
    });
  }

  it("rules of CreateMultipartUpload", async () => {
    const create = (headers: Record<string, string>): Promise<Reply> =>
      ask(server, { method: "POST", target: "/sums/rules?uploads", headers });
    for (const headers of [
      { "x-amz-checksum-type": "COMPOSITE" },
      { "x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE" },
      { "x-amz-checksum-algorithm": "SHA1", "x-amz-checksum-type": "FULL_OBJECT" },
      { "x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT" },
      { "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "HALF" },
      { "x-amz-checksum-algorithm": "CRC16" },
    ])
      assert.deepEqual(
        (await create(headers as unknown as Record<string, string>)).code,
        "InvalidRequest",
        JSON.stringify(headers),
      );
    for (const [algorithm, type] of [
      ["CRC32", "COMPOSITE"],
      ["CRC64NVME", "FULL_OBJECT"],
    ])
      assert.equal((await create({ "x-amz-checksum-algorithm": algorithm as string })).headers["x-amz-checksum-type"], type);
  });

  it("a part of another algorithm than the upload's", async () => {
    const created = await ask(server, {
      method: "POST",
      target: "/sums/mixed?uploads",
      headers: { "x-amz-checksum-algorithm": "SHA256" },
    });
    const id = /<UploadId>(\w+)</.exec(created.text)?.[1];
    const reply = await put(`mixed?partNumber=1&uploadId=${id}`, { "x-amz-checksum-crc32": full("CRC32", BODY).value });
    assert.equal(reply.code, "InvalidRequest");
    assert.match(reply.text, /Checksum Type mismatch/);
  });

  it("a completion that announces a checksum the upload does not keep", async () => {
    for (const [made, announced] of [
      [undefined, "x-amz-checksum-crc32"],
      ["CRC32C", "x-amz-checksum-crc32"],
    ] as const) {
      const created = await ask(server, {
        method: "POST",
        target: "/sums/announced?uploads",
        headers: made === undefined ? {} : { "x-amz-checksum-algorithm": made },
      });
      const id = /<UploadId>(\w+)</.exec(created.text)?.[1];
      const part = await put(`announced?partNumber=1&uploadId=${id}`, {});
      const document = (etag: string): string =>
        `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
      const target = `/sums/announced?uploadId=${id}`;
      const body = document(part.headers["etag"] ?? "");
      const refused = await ask(server, { method: "POST", target, body, headers: { [announced]: full("CRC32", BODY).value } });
      assert.deepEqual([refused.status, refused.code], [400, "InvalidRequest"], refused.text);
      const done = await ask(server, { method: "POST", target, body });
      assert.equal(done.status, 200, done.text);
      // The same request again, as of a client that did not hear of its success, changes nothing and is answered the same.
      const again = await ask(server, { method: "POST", target, body });
      assert.ok(again.status === 200 ? again.text === done.text : again.code === "NoSuchUpload", again.text);
    }
  });

  it("Content-MD5 and x-amz-content-sha256", async () => {
    const md5 = createHash("md5").update(BODY).digest("base64");
    assert.equal((await put("md5", { "Content-MD5": md5 })).status, 200);
    assert.equal((await put("md5", { "Content-MD5": createHash("md5").update("x").digest("base64") })).code, "BadDigest");
    assert.equal((await put("md5", { "Content-MD5": "x" })).code, "InvalidDigest");
    const wrong = await ask(server, { method: "PUT", target: "/sums/sha", body: BODY, payload: "0".repeat(64) });
    assert.deepEqual([wrong.status, wrong.code], [400, "XAmzContentSHA256Mismatch"]);
    assert.equal(
      (await ask(server, { method: "PUT", target: "/sums/sha", body: BODY, payload: "UNSIGNED-PAYLOAD" })).status,
      200,
    );
    assert.equal((await ask(server, { target: "/sums/sha" })).text, BODY.toString());
  });

  it("signed chunks without a trailer; a forged chunk; no checksum is invented", async () => {
    const good = await putChunked("chunks", { payload: STREAMING_SIGNED });
    assert.equal(good.status, 200, good.text);
    assert.deepEqual(
      Object.keys(good.headers).filter((name) => name.startsWith("x-amz-checksum")),
      [],
    );
    assert.equal((await ask(server, { target: "/sums/chunks" })).text, BODY.toString());
  });

  it("contradictions are refused", async () => {
    const crc = full("CRC32", BODY).value;
    assert.equal(
      (await put("two", { "x-amz-checksum-crc32": crc, "x-amz-checksum-sha1": full("SHA1", BODY).value })).code,
      "InvalidRequest",
    );
    assert.equal(
      (await put("two", { "x-amz-checksum-crc32": crc, "x-amz-sdk-checksum-algorithm": "SHA1" })).code,
      "InvalidRequest",
    );
    assert.equal((await put("two", { "x-amz-checksum-sha512": "AAAA" })).code, "NotImplemented");
    const missing = await putChunked("two", {
      payload: STREAMING_UNSIGNED_TRAILER,
      trailers: [],
      announce: "x-amz-checksum-crc32",
    });
    assert.equal(missing.status, 400, missing.text);
    assert.equal((await ask(server, { target: "/sums/two" })).status, 404);
  });
});
