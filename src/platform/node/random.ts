import { randomFillSync, randomInt } from "node:crypto";
import type { Random } from "../random.ts";

/** Bytes drawn from the system at a time: a call costs a microsecond, whether for 16 bytes or for hundreds. */
const POOL_BYTES = 4096;

/** Cryptographic randomness of the system. */
export function nodeRandom(): Random {
  const pool = new Uint8Array(POOL_BYTES);
  let used = POOL_BYTES;
  return {
    bytes(count) {
      const fresh = new Uint8Array(count);
      if (count > POOL_BYTES / 4) return randomFillSync(fresh);
      if (used + count > POOL_BYTES) {
        randomFillSync(pool);
        used = 0;
      }
      fresh.set(pool.subarray(used, used + count));
      pool.fill(0, used, used + count); // may become a key: no second copy stays behind
      used += count;
      return fresh;
    },
    below: (below) => randomInt(below),
  };
}
