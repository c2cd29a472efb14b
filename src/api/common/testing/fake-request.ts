import type { AccessKey } from "../../../model/control-service.ts";
import type { Clock, Timer } from "../../../platform/clock.ts";
import type { HttpRequest } from "../../../platform/http.ts";
import { assert } from "../../../util/assert.ts";
import { type ByteSource, sourceOf } from "../../../util/byte-source.ts";
import { SignatureVerifier, type VerifierOptions } from "../signature-verifier.ts";

/** A request as the HTTP seam would give it, from parts. Headers: name, value, …, as on the wire. */
export function request(parts: {
  method?: string;
  target?: string;
  headers?: readonly string[];
  body?: ByteSource | Uint8Array;
}): HttpRequest {
  const headers = parts.headers ?? [];
  const header = (name: string): string | undefined => {
    const values = headers.filter((_, i) => i % 2 === 1 && headers[i - 1]!.toLowerCase() === name);
    return values.length === 0 ? undefined : values.join(", ");
  };
  const body = parts.body ?? new Uint8Array(0);
  const length = header("content-length");
  return {
    method: parts.method ?? "GET",
    target: parts.target ?? "/",
    rawHeaders: headers,
    header,
    body: body instanceof Uint8Array ? sourceOf(body) : body,
    contentLength: length === undefined ? undefined : Number(length),
    remoteAddress: "192.0.2.1",
    signal: new AbortController().signal,
  };
}

/** A clock that stands still. */
export function clockAt(wallMs: number): Clock {
  return {
    wallMs: () => wallMs,
    monotonicMs: () => 0,
    timer: (): Timer => {
      assert(false, "nothing here waits");
    },
  };
}

export function accessKey(id: string, secret: string, more: Partial<AccessKey> = {}): AccessKey {
  return { id, secret, name: "test", createdMs: 0, expiresMs: undefined, mayCreateBucket: true, ...more };
}

export function verifierAt(
  wallMs: number,
  keys: readonly AccessKey[],
  options: Partial<VerifierOptions> = {},
): SignatureVerifier {
  return new SignatureVerifier(
    { service: "s3", region: "us-east-1", strictRegion: false, ...options },
    { clock: clockAt(wallMs), accessKey: (id) => keys.find((key) => key.id === id) },
  );
}

/**
 * Bytes cut into pieces of the given sizes (over and over), each in fresh memory that is overwritten once the next one is read.
 */
export function piecesOf(bytes: Uint8Array, sizes: readonly number[]): ByteSource {
  let at = 0;
  let turn = 0;
  let last: Uint8Array | undefined;
  return {
    read() {
      // Whoever keeps a piece beyond its time shall notice.
      last?.fill(0xee);
      if (at >= bytes.byteLength) return Promise.resolve(null);
      const size = Math.max(1, sizes[turn++ % sizes.length] ?? 1);
      last = Uint8Array.from(bytes.subarray(at, at + size));
      at += last.byteLength;
      return Promise.resolve(last);
    },
    cancel() {
      at = bytes.byteLength;
    },
  };
}

/** All bytes of a source, copied in time. */
export async function drain(source: ByteSource): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let piece = await source.read(); piece !== null; piece = await source.read()) {
    assert(piece.byteLength > 0, "a piece has at least one byte");
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}
