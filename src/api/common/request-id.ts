import type { Random } from "../../platform/random.ts";

const POOL_IDS = 256;
const ID_BYTES = 8;

/**
 * Request ids: 16 upper-case hex digits, unpredictable enough that logs of many nodes don't collide. One per server; randomness
 * is drawn in bulk.
 */
export class RequestIds {
  readonly #random: Random;
  #pool: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor({ random }: { random: Random }) {
    this.#random = random;
  }

  next(): string {
    if (this.#at >= this.#pool.length) {
      const fresh = this.#random.bytes(POOL_IDS * ID_BYTES);
      this.#pool = Buffer.from(fresh.buffer, fresh.byteOffset, fresh.byteLength);
      this.#at = 0;
    }
    const at = this.#at;
    this.#at = at + ID_BYTES;
    return this.#pool.toString("hex", at, at + ID_BYTES).toUpperCase();
  }
}
