import { protocolError } from "./api-error.ts";

/** How a body is framed and protected: x-amz-content-sha256 after authentication. */
export type PayloadMode =
  /** Lower-case hex; the body's digest must be this. */
  | { readonly kind: "digest"; readonly sha256: string }
  | { readonly kind: "unsigned" }
  /** aws-chunked framing; `chain` undefined: chunks are not signed. */
  | { readonly kind: "chunks"; readonly trailer: boolean; readonly chain: ChunkSignatures | undefined };

/** The chain of chunk signatures that begins with a request's own signature (one request's, stateful). */
export interface ChunkSignatures {
  /** Whether `signature` (hex) is the next one of the chain over a chunk with this digest (hex); goes one link on. */
  acceptChunk(sha256: string, signature: string): boolean;
  /** The same for the trailer; `sha256` is over its canonical lines. */
  acceptTrailer(sha256: string, signature: string): boolean;
}

const UNSIGNED: PayloadMode = { kind: "unsigned" };
const UNSIGNED_CHUNKS: PayloadMode = { kind: "chunks", trailer: true, chain: undefined };
const DIGEST = /^[0-9a-fA-F]{64}$/;

/**
 * @param chain  makes the chain of chunk signatures; undefined where there is no signature to begin with (anonymous, presigned).
 * @throws ApiError InvalidArgument for values that are not understood.
 */
export function parsePayloadMode(value: string, chain: (() => ChunkSignatures) | undefined): PayloadMode {
  switch (value) {
    case "UNSIGNED-PAYLOAD":
      return UNSIGNED;
    case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
      return UNSIGNED_CHUNKS;
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
    case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
      if (chain === undefined) break;
      return { kind: "chunks", trailer: value.endsWith("-TRAILER"), chain: chain() };
    default:
      if (DIGEST.test(value)) return { kind: "digest", sha256: value.toLowerCase() };
  }
  throw protocolError(
    "InvalidArgument",
    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, " +
      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER (the last two only with an Authorization header), or a valid sha256 value.",
    {
      elements: [
        ["ArgumentName", "x-amz-content-sha256"],
        ["ArgumentValue", value],
      ],
    },
  );
}
