import type { Random } from "../../src/platform/random.ts";
import { seededRandom } from "../engine/random.ts";

/** Randomness that follows from a seed. */
export function simulatedRandom(seed: number): Random {
  const next = seededRandom(seed);
  return {
    bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256)),
    below: (below) => Math.floor(next() * below),
  };
}
