// The one source of chance in a simulation: everything a run does follows from its seed.

/** A generator (sfc32) of numbers 0 ≤ x < 1; equal seeds give equal sequences on every machine. */
export function seededRandom(seed: number): () => number {
  let a = seed | 0;
  let b = Math.floor(seed / 0x1_0000_0000) | 0;
  let c = 0x9e3779b9 | 0;
  let d = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 0x1_0000_0000;
  };
  for (let i = 0; i < 15; i++) next();
  return next;
}

/** The usual ways to use chance. */
export class Dice {
  readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }
  chance(probability: number): boolean {
    return this.random() < probability;
  }
  /** An integer, 0 ≤ x < n. */
  below(n: number): number {
    return Math.floor(this.random() * n);
  }
  between(low: number, high: number): number {
    return low + this.random() * (high - low);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  /** `count` different members of the list, in random order (all of them if it has no more). */
  some<T>(list: readonly T[], count: number): T[] {
    const rest = [...list];
    const chosen: T[] = [];
    while (chosen.length < count && rest.length > 0) chosen.push(...rest.splice(this.below(rest.length), 1));
    return chosen;
  }
}
