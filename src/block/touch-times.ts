/**
 * When each block was last stored or asked for, in bounded memory: a table of 2^20 times, indexed by 20 bits of the hash.
 * Blocks that share a slot share the younger time, which can only delay a removal. What was touched before this process
 * began counts as touched at its beginning (so a restart never makes a file look old).
 */
export class TouchTimes {
  readonly #startMs: number;
  readonly #times = new Float64Array(SLOTS);

  constructor(nowMs: number) {
    this.#startMs = nowMs;
  }

  touch(hash: string, nowMs: number): void {
    this.#times[slotOf(hash)] = nowMs;
  }

  /** Milliseconds since the last touch, by the monotonic clock that the caller passes in. */
  untouchedMs(hash: string, nowMs: number): number {
    return nowMs - Math.max(this.#times[slotOf(hash)] as number, this.#startMs);
  }
}

/** 8 MB of address space; pages are real only once touched. */
const SLOTS = 1 << 20;

function slotOf(hash: string): number {
  return Number.parseInt(hash.slice(8, 13), 16);
}
