import type { Clock } from "../../platform/clock.ts";
import type { ByteBudget } from "../../util/byte-budget.ts";

/** An upload or a download that may be cut off. */
export interface CuttableStream {
  /** For how long its client has sent or taken nothing, or almost nothing, while everything waited for it. */
  readonly stalledMs: number;
  /** For how long it has held `heldBytes` for its client; 0 while it waits for something else. */
  readonly heldMs: number;
  /** What cutting it off gives back. */
  readonly heldBytes: number;
  /** Gives the memory back soon, not at once. */
  cutOff(): void;
}

/** Clients that did nothing for this long make room for others when there is none. */
const STALLED_MS = 2_000;
/** Memory has been short for this long: those who are only slow have to make room as well. */
const SHORT_MS = 2_000;
/** Whoever needs longer than this for the bytes that it holds, and a grace, is slow. */
const SLOW_BYTES_PER_SECOND = 16 * 1024;
const SLOW_GRACE_MS = 10_000;
/** How often it is looked again while somebody waits. */
const ROUND_MS = 200;
/** And when somebody was cut off: those who got the memory may have stalled as well, while they waited for it. */
const NEXT_ROUND_MS = 20;

/**
 * Makes room when the memory for uploads, or that for downloads, has run out: clients that have stopped in the middle hold theirs
 * until the transport gives them up, and as many of them as there are blocks of memory would keep everybody else out. Those that
 * have stalled longest are cut off first, and no more than are needed: whoever is only slow outlives whoever is gone. When nobody
 * has stalled and memory stays short, those go that have been slow for longest: as many clients that trickle would keep everybody
 * out just as well.
 */
export class StalledStreams {
  readonly #clock: Clock;
  readonly #budget: ByteBudget;
  readonly #streams = new Set<CuttableStream>();
  /** Cut off, and not gone yet. */
  readonly #going = new Set<CuttableStream>();
  #rounds = false;
  #shortSinceMs = 0;
  #cutOffs = 0;

  constructor({ clock, budget }: { clock: Clock; budget: ByteBudget }) {
    this.#clock = clock;
    this.#budget = budget;
  }

  add(stream: CuttableStream): void {
    this.#streams.add(stream);
  }

  delete(stream: CuttableStream): void {
    this.#streams.delete(stream);
    this.#going.delete(stream);
  }

  /** Cut off since the start. */
  get cutOffs(): number {
    return this.#cutOffs;
  }

  /** Somebody waits for memory: looks after it until nobody does. */
  makeRoom(): void {
    if (this.#rounds) return;
    this.#rounds = true;
    this.#shortSinceMs = this.#clock.monotonicMs();
    this.#round();
  }

  #round(): void {
    if (this.#budget.waiting === 0) {
      this.#rounds = false;
      return;
    }
    let missing = this.#budget.missingBytes;
    for (const stream of this.#going) missing -= stream.heldBytes;
    let delayMs = ROUND_MS;
    if (missing > 0) {
      for (const stream of this.#inTheWay()) {
        missing -= stream.heldBytes;
        this.#going.add(stream);
        this.#cutOffs++;
        delayMs = NEXT_ROUND_MS;
        stream.cutOff();
        if (missing <= 0) break;
      }
    }
    this.#clock.timer(delayMs, () => this.#round());
  }

  /** Those that have stalled, longest first, then those that are slow. */
  #inTheWay(): CuttableStream[] {
    const short = this.#clock.monotonicMs() - this.#shortSinceMs >= SHORT_MS;
    const stalled: Candidate[] = [];
    const slow: Candidate[] = [];
    for (const stream of this.#streams) {
      const { stalledMs, heldBytes } = stream;
      if (heldBytes === 0 || this.#going.has(stream)) continue;
      if (stalledMs >= STALLED_MS) stalled.push({ stream, forMs: stalledMs });
      else if (short) {
        const forMs = stream.heldMs - SLOW_GRACE_MS - (heldBytes * 1000) / SLOW_BYTES_PER_SECOND;
        if (forMs > 0) slow.push({ stream, forMs });
      }
    }
    return [...stalled.sort(longestFirst), ...slow.sort(longestFirst)].map(({ stream }) => stream);
  }
}

interface Candidate {
  readonly stream: CuttableStream;
  readonly forMs: number;
}

function longestFirst(a: Candidate, b: Candidate): number {
  return b.forMs - a.forMs;
}
