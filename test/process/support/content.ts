import { createHash, randomBytes } from "node:crypto";

/** Numbers from a seed (mulberry32): a run is repeated with HANGAR_SEED. */
export class Draws {
  #state: number;
  readonly seed: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  static fromEnvironment(): Draws {
    const given = process.env["HANGAR_SEED"];
    return new Draws(given === undefined ? randomBytes(4).readUInt32LE() : Number(given));
  }

  /** 0 ≤ x < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** 0 ≤ n < limit */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T;
  }
}

const POOL_BYTES = 16 * 2 ** 20;
const pool = randomBytes(POOL_BYTES);

/**
 * Bytes that can't be compressed and differ from one number to the next in each block; made without cost (one copy).
 * @param bytes  up to 8 MiB.
 */
export function content(number: number, bytes: number): Buffer {
  const from = (Math.imul(number, 0x9e3779b1) >>> 0) % (POOL_BYTES - 8 * 2 ** 20);
  const made = Buffer.from(pool.subarray(from, from + bytes));
  for (let at = 0; at + 4 <= bytes; at += 64 * 1024) made.writeUInt32LE(number, at);
  return made;
}

/** Lines that compress well. */
export function textContent(number: number, bytes: number): Buffer {
  const line = `line of object ${number}: the quick brown fox jumps over the lazy dog\n`;
  return Buffer.from(line.repeat(Math.ceil(bytes / line.length)).slice(0, bytes));
}

export function md5Hex(data: Uint8Array): string {
  return createHash("md5").update(data).digest("hex");
}

/** Names of the blocks that a body written in one piece consists of: SHA-256 of each `blockBytes`. */
export function blockNames(data: Uint8Array, blockBytes = 2 ** 20): string[] {
  const names: string[] = [];
  for (let at = 0; at < data.byteLength; at += blockBytes)
    names.push(
      createHash("sha256")
        .update(data.subarray(at, at + blockBytes))
        .digest("hex"),
    );
  return names;
}
