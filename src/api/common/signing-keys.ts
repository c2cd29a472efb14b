import { createHmac, timingSafeEqual } from "node:crypto";
import type { ChunkSignatures } from "./payload-mode.ts";
import { ALGORITHM, type Credential, type SignatureClaim } from "./sigv4-credential.ts";

const CACHED_KEYS = 1024;
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/**
 * Signing keys per access key, day, region and service: four HMACs saved on every request. Bounded; the one not used for longest
 * goes.
 */
export class SigningKeys {
  readonly #cache = new Map<string, { secret: string; key: Buffer }>();

  /** `keep`: false while the signature is not verified yet, so that only holders of secrets can push others out. */
  get(secret: string, { keyId, scope, day, region, service }: Credential, { keep }: { keep: boolean }): Buffer {
    const name = `${keyId}/${scope}`;
    const cached = this.#cache.get(name);
    if (cached !== undefined && cached.secret === secret) {
      if (keep && this.#cache.size >= CACHED_KEYS) {
        this.#cache.delete(name);
        this.#cache.set(name, cached);
      }
      return cached.key;
    }
    const key = deriveKey(secret, { day, region, service });
    if (keep) {
      const oldest = this.#cache.size >= CACHED_KEYS ? this.#cache.keys().next().value : undefined;
      if (oldest !== undefined) this.#cache.delete(oldest);
      this.#cache.set(name, { secret, key });
    }
    return key;
  }
}

export function deriveKey(secret: string, { day, region, service }: Pick<Credential, "day" | "region" | "service">): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), service), "aws4_request");
}

/** Hex HMAC-SHA256 of a byte string (latin1). */
export function sign(key: Uint8Array, text: string): string {
  return createHmac("sha256", key).update(text, "latin1").digest("hex");
}

/** Constant time for equal lengths; the right length is public. */
export function equalSignatures(given: string, right: string): boolean {
  if (given.length !== right.length) return false;
  return timingSafeEqual(Buffer.from(given, "latin1"), Buffer.from(right, "latin1"));
}

/**
 * The chain of chunk signatures behind a verified request. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 */
export class ChunkChain implements ChunkSignatures {
  readonly #key: Buffer;
  readonly #place: string;
  #previous: string;

  constructor(key: Buffer, claim: Pick<SignatureClaim, "amzDate" | "signature" | "credential">) {
    this.#key = key;
    this.#place = `${claim.amzDate}\n${claim.credential.scope}\n`;
    this.#previous = claim.signature;
  }

  acceptChunk(sha256: string, signature: string): boolean {
    return this.#accept(`${ALGORITHM}-PAYLOAD\n${this.#place}${this.#previous}\n${EMPTY_SHA256}\n${sha256}`, signature);
  }

  acceptTrailer(sha256: string, signature: string): boolean {
    return this.#accept(`${ALGORITHM}-TRAILER\n${this.#place}${this.#previous}\n${sha256}`, signature);
  }

  #accept(text: string, signature: string): boolean {
    const right = sign(this.#key, text);
    this.#previous = right;
    return equalSignatures(signature, right);
  }
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "utf8").digest();
}
