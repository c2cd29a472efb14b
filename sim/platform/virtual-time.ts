// The time of a simulated world: it stands still while code runs and jumps from event to event.
import type { Timer } from "../../src/platform/clock.ts";
import { assert } from "../../src/util/assert.ts";
import { EventQueue } from "../engine/event-queue.ts";

export interface RunOptions {
  /** Run events up to this moment, then stand there. Without it: until nothing is scheduled. */
  readonly untilMs?: number;
  /** Asked before each event; true ends the run. */
  readonly done?: () => boolean;
  /** A run that needs more is taken to be a loop without end. */
  readonly maxEvents?: number;
}

/**
 * Only what is scheduled here may advance a simulation: between two events all promises that can settle do, so code under
 * simulation may await freely but must not wait for real time, real I/O or worker threads (they would make a run depend on the
 * machine).
 */
export class VirtualTime {
  readonly #queue = new EventQueue();
  #running = false;
  #acted = false;

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#queue.now;
  }

  schedule(delayMs: number, fn: () => void): Timer {
    assert(delayMs >= 0 && delayMs < Number.POSITIVE_INFINITY, "events lie in the future");
    let live = true;
    this.#queue.after(delayMs, () => {
      if (!live) return;
      this.#acted = true;
      fn();
    });
    return {
      cancel() {
        live = false;
      },
    };
  }

  /** Lets the world go on; settles when the run has ended, with the number of events that ran. A throw of an event ends it. */
  async run({ untilMs, done, maxEvents = 10_000_000 }: RunOptions = {}): Promise<number> {
    assert(!this.#running, "one run at a time");
    this.#running = true;
    let events = 0;
    // Time moves with events only: one that does nothing brings it to the end of the run.
    if (untilMs !== undefined && untilMs > this.nowMs) this.#queue.after(untilMs - this.nowMs, () => {});
    try {
      await settled();
      while (done === undefined || !done()) {
        this.#acted = false;
        if (!this.#queue.step(untilMs ?? Number.POSITIVE_INFINITY)) break;
        if (!this.#acted) continue; // cancelled
        assert(++events <= maxEvents, "a simulation ends within its limit of events");
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
}

/** Settles when every promise that can has: Node runs an immediate only after the queue of microtasks is empty. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
