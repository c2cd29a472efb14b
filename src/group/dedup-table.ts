import type { CommandId, Stamp } from "../util/ids.ts";

/**
 * Results of commands by their ids, until their expiries have passed in log time (rules 28–30). In memory: with one member no
 * retry survives the process. Bounded: at most `limit` per group; a full memory refuses new commands rather than forgetting an
 * old result early.
 */
export class DedupTable {
  readonly #limit: number;
  readonly #results = new Map<CommandId, Remembered>();
  /** Log time of the next sweep: no entry expires before it, or it is a second after the last one. */
  #nextSweepMs = Number.POSITIVE_INFINITY;

  constructor(limit: number) {
    this.#limit = limit;
  }

  find(id: CommandId): Remembered | undefined {
    return this.#results.get(id);
  }

  get hasRoom(): boolean {
    return this.#results.size < this.#limit;
  }

  add(id: CommandId, result: unknown, expiryMs: number): Remembered {
    const remembered = { result, expiryMs };
    this.#results.set(id, remembered);
    if (expiryMs < this.#nextSweepMs) this.#nextSweepMs = expiryMs;
    return remembered;
  }

  /** Takes back what a batch that failed had added. */
  forget(id: CommandId): void {
    this.#results.delete(id);
  }

  /** Forgets what has expired, at most once a second of log time. */
  expire(now: Stamp): void {
    if (now > this.#nextSweepMs) this.#sweep(now);
  }

  #sweep(now: Stamp): void {
    let next = Number.POSITIVE_INFINITY;
    for (const [id, { expiryMs }] of this.#results) {
      if (expiryMs < now) this.#results.delete(id);
      else if (expiryMs < next) next = expiryMs;
    }
    this.#nextSweepMs = Math.max(next, now + SWEEP_MS);
  }

  get size(): number {
    return this.#results.size;
  }
}

const SWEEP_MS = 1_000;

export interface Remembered {
  readonly result: unknown;
  readonly expiryMs: number;
}
