/** Randomness; cryptographic in production, seeded in the simulator. */
export interface Random {
  /** `count` fresh bytes, owned by the caller. */
  bytes(count: number): Uint8Array;
  /** An integer in 0 ..= below − 1; `below` in 1 ..= 2^32. */
  below(below: number): number;
}
