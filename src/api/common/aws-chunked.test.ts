import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  chunkedBody,
  type SigningIdentity,
  signRequest,
  STREAMING_SIGNED,
  STREAMING_SIGNED_TRAILER,
  STREAMING_UNSIGNED_TRAILER,
} from "../../../test/support/sign.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { ApiError } from "./api-error.ts";
import { AwsChunkedSource, CHUNK_LIMITS } from "./aws-chunked.ts";
import { openUpload } from "./payload.ts";
import type { PayloadMode } from "./payload-mode.ts";
import { parseTarget } from "./request-target.ts";
import { accessKey, drain, piecesOf, request, verifierAt } from "./testing/fake-request.ts";

const NOW = Date.UTC(2026, 10, 22);
const KEY = accessKey("GK0123456789abcdef01234567", "0f".repeat(32));
const IDENTITY: SigningIdentity = { keyId: KEY.id, secret: KEY.secret, region: "garage" };
const CRC = "x-amz-checksum-sha256";
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("base64");

interface Sent {
  readonly payload: string;
  readonly chunks: readonly Uint8Array[];
  readonly trailers?: readonly (readonly [string, string])[];
  readonly headers?: readonly string[];
  readonly sizes?: readonly number[];
  /** Changes the bytes on their way. */
  readonly change?: (wire: Buffer) => Uint8Array;
}

/** Signs, sends and authenticates a chunked PUT. */
function received(sent: Sent): { request: HttpRequest; payload: PayloadMode } {
  const total = sent.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const headers = ["Host", "h", "x-amz-decoded-content-length", String(total), ...(sent.headers ?? [])];
  const signed = signRequest(IDENTITY, { method: "PUT", target: "/b/k", headers, payload: sent.payload, timeMs: NOW });
  const seed = sent.payload === STREAMING_UNSIGNED_TRAILER ? undefined : signed.signature;
  const wire = chunkedBody(IDENTITY, {
    chunks: sent.chunks,
    seed,
    timeMs: NOW,
    ...(sent.trailers && { trailers: sent.trailers }),
  });
  const body = piecesOf(sent.change?.(wire) ?? wire, sent.sizes ?? [wire.byteLength]);
  const built = request({ method: "PUT", target: "/b/k", headers: signed.headers, body });
  const outcome = verifierAt(NOW, [KEY]).verify(built, parseTarget(built.target));
  ok(outcome.ok);
  return outcome;
}

async function upload(sent: Sent): Promise<{ bytes: Buffer; checksum: string | undefined }> {
  const { request: authenticated, payload } = received(sent);
  const opened = openUpload(authenticated, payload);
  const bytes = await drain(opened.source);
  return { bytes, checksum: opened.expectedChecksum?.() };
}

/** The framing alone, unsigned. */
async function unframed(
  wire: string | Uint8Array,
  options: { announced?: string[]; trailer?: boolean; sizes?: number[]; decodedBytes?: number } = {},
) {
  const bytes = typeof wire === "string" ? Buffer.from(wire, "latin1") : wire;
  const source = new AwsChunkedSource(piecesOf(bytes, options.sizes ?? [bytes.byteLength]), {
    chain: undefined,
    trailer: options.trailer ?? true,
    announced: options.announced ?? [],
    acceptsTrailer: () => true,
    decodedBytes: options.decodedBytes,
  });
  return { bytes: (await drain(source)).toString("latin1"), trailer: (name: string) => source.trailer(name) };
}

const code = (expected: string) => (error: unknown) => {
  ok(error instanceof ApiError, String(error));
  equal(error.code, expected, error.message);
  return true;
};

describe("what the signer frames, the decoder takes apart", () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 6 });
  const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 });
  const payloads = fc.constantFrom(STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER);

  test("in any chunks, in any pieces, with and without signatures and trailers", async () => {
    await fc.assert(
      fc.asyncProperty(payloads, chunks, sizes, async (payload, parts, pieces) => {
        const whole = Buffer.concat(parts);
        const trailed = payload !== STREAMING_SIGNED;
        const { bytes, checksum } = await upload({
          payload,
          chunks: parts,
          sizes: pieces,
          ...(trailed && { trailers: [[CRC, sha256(whole)]], headers: ["x-amz-trailer", CRC] }),
        });
        ok(bytes.equals(whole));
        equal(checksum, trailed ? sha256(whole) : undefined);
      }),
      { numRuns: 150 },
    );
  });

  test("any changed byte of a signed body is noticed, and never gives other bytes as whole", async () => {
    const whole = Buffer.from("hello world, this is signed");
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), async (place, flip, trailed) => {
        const change = (wire: Buffer): Buffer => {
          const copy = Buffer.from(wire);
          const at = place % copy.byteLength;
          copy[at] = copy[at]! ^ flip;
          return copy;
        };
        const sent = upload({
          payload: trailed ? STREAMING_SIGNED_TRAILER : STREAMING_SIGNED,
          chunks: [whole.subarray(0, 10), whole.subarray(10)],
          sizes: [7, 30],
          change,
          ...(trailed && { trailers: [[CRC, sha256(whole)]], headers: ["x-amz-trailer", CRC] }),
        });
        const outcome = await sent.then(
          ({ bytes }) => bytes,
          (error: unknown) => {
            ok(error instanceof ApiError, String(error));
            return undefined;
          },
        );
        // Sizes and trailer names may change their case without changing their meaning.
        ok(outcome === undefined || outcome.equals(whole));
      }),
      { numRuns: 400 },
    );
  });

  test("any cut is noticed, but for the last CRLF", async () => {
    const whole = Buffer.from("some bytes");
    const sent = {
      payload: STREAMING_UNSIGNED_TRAILER,
      chunks: [whole],
      headers: ["x-amz-trailer", CRC],
      trailers: [[CRC, sha256(whole)]] as const,
    };
    const full = chunkedBody(IDENTITY, { chunks: [whole], seed: undefined, timeMs: NOW, trailers: sent.trailers });
    for (let cut = 1; cut < full.byteLength; cut++) {
      const attempt = upload({ ...sent, change: (wire) => wire.subarray(0, wire.byteLength - cut) });
      if (cut === 2) ok((await attempt).bytes.equals(whole));
      else
        await rejects(attempt, (error) => {
          ok(error instanceof ApiError && ["IncompleteBody", "MalformedTrailerError"].includes(error.code), String(error));
          return true;
        });
    }
  });
});

describe("framing", () => {
  test("variants that clients send", async () => {
    deepEqual((await unframed("5\r\nhello\r\n0\r\n\r\n")).bytes, "hello");
    deepEqual((await unframed("0005\r\nhello\r\n6;a=b;c\r\n world\r\n0\r\n\r\n")).bytes, "hello world");
    deepEqual((await unframed("A\r\n0123456789\r\n0\r\n\r\n")).bytes, "0123456789");
    deepEqual((await unframed("5\r\nhello\r\n0\r\n")).bytes, "hello");
    deepEqual((await unframed("5\r\nhello\r\n0\r\n\r\n", { trailer: false })).bytes, "hello");
    for (const end of ["x-a: 1\r\n\r\n", "X-A:1\r\n", "x-a:1\n\r\n", "x-a:1\n\r\n\r\n".slice(0, 8)]) {
      const { bytes, trailer } = await unframed(`5\r\nhello\r\n0\r\n${end}`, { announced: ["x-a"] });
      equal(bytes, "hello");
      equal(trailer("x-a"), "1", JSON.stringify(end));
    }
  });

  test("AWS's LF CRLF before the trailer's signature", async () => {
    const whole = Buffer.from("hello");
    const { bytes } = await upload({
      payload: STREAMING_SIGNED_TRAILER,
      chunks: [whole],
      headers: ["x-amz-trailer", CRC],
      trailers: [[CRC, sha256(whole)]],
      change: (wire) =>
        Buffer.from(wire.toString("latin1").replace("=\r\nx-amz-trailer-signature", "=\n\r\nx-amz-trailer-signature"), "latin1"),
    });
    ok(bytes.equals(whole));
  });

  test("what is malformed has AWS's code", async () => {
    const cases: [wire: string, expected: string][] = [
      ["", "IncompleteBody"],
      ["5\r\nhel", "IncompleteBody"],
      ["5\r\nhello\r\n", "IncompleteBody"],
      ["5\r\nhello", "IncompleteBody"],
      ["5\r\nhelloXX0\r\n\r\n", "InvalidChunkSizeError"],
      ["5\r\nhelloXX\r\n0\r\n\r\n", "InvalidChunkSizeError"],
      ["5\nhello\r\n0\r\n\r\n", "InvalidChunkSizeError"],
      ["-5\r\nhello\r\n0\r\n\r\n", "InvalidChunkSizeError"],
      ["0x5\r\nhello\r\n0\r\n\r\n", "InvalidChunkSizeError"],
      ["\r\nhello\r\n0\r\n\r\n", "InvalidChunkSizeError"],
      ["fffffffffffffffff\r\n", "InvalidChunkSizeError"],
      ["ffffffffffff\r\n", "InvalidChunkSizeError"],
      [`5;${"x".repeat(CHUNK_LIMITS.headerLineBytes)}\r\nhello\r\n0\r\n\r\n`, "InvalidChunkSizeError"],
      ["5\r\nhello\r\n0\r\n\r\nmore", "InvalidChunkSizeError"],
      ["5\r\nhello\r\n0\r\nx-other:1\r\n\r\n", "MalformedTrailerError"],
      ["5\r\nhello\r\n0\r\nnothing\r\n\r\n", "MalformedTrailerError"],
      ["5\r\nhello\r\n0\r\n:1\r\n\r\n", "MalformedTrailerError"],
      ["5\r\nhello\r\n0\r\nx-a:1\r\nx-a:1\r\n\r\n", "MalformedTrailerError"],
    ];
    for (const [wire, expected] of cases) {
      const announced = wire.includes("x-a:") ? ["x-a"] : [];
      await rejects(unframed(wire, { announced }), code(expected), JSON.stringify(wire.slice(0, 60)));
      await rejects(unframed(wire, { announced, sizes: [1] }), code(expected), JSON.stringify(wire.slice(0, 60)));
    }
    await rejects(unframed("5\r\nhello\r\n0\r\n\r\n", { announced: ["x-a"] }), code("MalformedTrailerError"));
    await rejects(unframed("5\r\nhello\r\n0\r\nx-a:1\r\n\r\n", { trailer: false }), code("InvalidChunkSizeError"));
    for (const decodedBytes of [4, 6])
      await rejects(unframed("5\r\nhello\r\n0\r\n\r\n", { decodedBytes }), code("IncompleteBody"));
  });

  test("a missing, a wrong and an unsigned chunk signature", async () => {
    const sent = { payload: STREAMING_SIGNED, chunks: [Buffer.from("hello")] };
    const replaced = (from: RegExp, to: string) => (wire: Buffer) =>
      Buffer.from(wire.toString("latin1").replace(from, to), "latin1");
    await rejects(upload({ ...sent, change: replaced(/;chunk-signature=[0-9a-f]+/, "") }), code("InvalidChunkSizeError"));
    await rejects(upload({ ...sent, change: replaced(/=[0-9a-f]{64}/, `=${"0".repeat(64)}`) }), code("SignatureDoesNotMatch"));
    await rejects(upload({ ...sent, change: replaced(/(=[0-9a-f]{64})/, "$1;more=1") }), code("InvalidChunkSizeError"));
    const trailed = { payload: STREAMING_SIGNED_TRAILER, chunks: [Buffer.from("hello")], headers: ["x-amz-trailer", CRC] };
    const trailers = [[CRC, sha256(Buffer.from("hello"))]] as const;
    await rejects(
      upload({ ...trailed, trailers, change: replaced(/x-amz-trailer-signature:[^\r]*\r\n/, "") }),
      code("MalformedTrailerError"),
    );
    await rejects(
      upload({ ...trailed, trailers, change: replaced(/(trailer-signature:)[0-9a-f]{64}/, `$1${"0".repeat(64)}`) }),
      code("SignatureDoesNotMatch"),
    );
    await rejects(upload({ ...trailed, trailers: [[CRC, "short"]] }), code("MalformedTrailerError"));
  });

  test("any bytes at all: typed errors only, and an end", async () => {
    const alphabet = fc.constantFrom(
      "0",
      "5",
      "a",
      "\r\n",
      "\n",
      "\r",
      ";",
      "hello",
      "x-a:",
      "chunk-signature=",
      "ffff",
      "\u00ff",
      " ",
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(alphabet, { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        fc.boolean(),
        async (parts, sizes, trailer) => {
          await unframed(parts.join(""), { sizes, trailer, announced: trailer ? ["x-a"] : [] }).catch((error: unknown) =>
            ok(error instanceof ApiError, String(error)),
          );
        },
      ),
      { numRuns: 2000 },
    );
  });
});
