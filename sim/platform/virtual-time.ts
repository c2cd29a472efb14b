// The time of a simulated world: it stands still while code runs and jumps from event to event.
import type { Timer } from "../../src/platform/clock.ts";
import { assert } from "../../src/util/assert.ts";

interface Event {
  readonly atMs: number;
  /** Events of the same moment run in the order in which they were scheduled. */
  readonly order: number;
  fn: (() => void) | undefined;
}

export interface RunOptions {
  /** Run events up to this moment, then stand there. Without it: until nothing is scheduled. */
  readonly untilMs?: number;
  /** Asked after each event; true ends the run. */
  readonly done?: () => boolean;
  /** A run that needs more is taken to be a loop without end. */
  readonly maxEvents?: number;
}

/**
 * Only what is scheduled here may advance a simulation: between two events all promises that can settle do, so code under simulation may await
 * freely but must not wait for real time, real I/O or worker threads (they would make a run depend on the machine).
 */
export class VirtualTime {
  #nowMs = 0;
  #order = 0;
  /** A binary heap: the next event first. */
  readonly #heap: Event[] = [];
  #running = false;

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  schedule(delayMs: number, fn: () => void): Timer {
    assert(delayMs >= 0 && delayMs < Number.POSITIVE_INFINITY, "events lie in the future");
    const event: Event = { atMs: this.#nowMs + delayMs, order: this.#order++, fn };
    this.#push(event);
    return {
      cancel() {
        event.fn = undefined; // dropped when its turn comes
      },
    };
  }

  /** Lets the world go on; settles when the run has ended, with the number of events that ran. A throw of an event ends it. */
  async run({ untilMs = Number.POSITIVE_INFINITY, done, maxEvents = 10_000_000 }: RunOptions = {}): Promise<number> {
    assert(!this.#running, "one run at a time");
    this.#running = true;
    let events = 0;
    try {
      await settled();
      while (done === undefined || !done()) {
        const event = this.#heap[0];
        if (event === undefined || event.atMs > untilMs) {
          if (untilMs !== Number.POSITIVE_INFINITY) this.#nowMs = Math.max(this.#nowMs, untilMs);
          break;
        }
        this.#pop();
        const { fn } = event;
        if (fn === undefined) continue;
        assert(++events <= maxEvents, "a simulation ends within its limit of events");
        this.#nowMs = event.atMs;
        fn();
        await settled();
      }
    } finally {
      this.#running = false;
    }
    return events;
  }

  /** Runs the world until the promise settles, and returns what it settled to. */
  async runUntil<T>(promise: Promise<T>, options: RunOptions = {}): Promise<T> {
    let over = false;
    const outcome = promise.finally(() => {
      over = true;
    });
    outcome.catch(() => {});
    await this.run({ ...options, done: () => over || options.done?.() === true });
    assert(over, "the world has ended, or its time is up, before the promise settled");
    return outcome;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Settles when every promise that can has: Node runs an immediate only after the queue of microtasks is empty. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
