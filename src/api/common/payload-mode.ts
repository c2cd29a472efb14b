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
