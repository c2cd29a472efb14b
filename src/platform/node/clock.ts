import type { Clock, Timer } from "../clock.ts";

/** Longest delay that setTimeout keeps; a longer one would fire at once. */
const LONGEST_TIMEOUT_MS = 0x7fff_ffff;

/** The machine's clocks. Timers never fire early (setTimeout alone may, by a millisecond) and never hold the process open. */
export function nodeClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    timer: (delayMs, fn) => new NodeTimer(delayMs, fn),
  };
}

class NodeTimer implements Timer {
  readonly #dueMs: number;
  readonly #fn: () => void;
  #handle: NodeJS.Timeout | undefined;

  constructor(delayMs: number, fn: () => void) {
    this.#dueMs = performance.now() + Math.max(0, delayMs);
    this.#fn = fn;
    this.#arm(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#handle);
    this.#handle = undefined;
  }

  #arm(delayMs: number): void {
    this.#handle = setTimeout(NodeTimer.#expired, Math.min(Math.ceil(delayMs), LONGEST_TIMEOUT_MS), this);
    this.#handle.unref();
  }

  static #expired(this: void, timer: NodeTimer): void {
    const leftMs = timer.#dueMs - performance.now();
    if (leftMs > 0) {
      timer.#arm(leftMs);
    } else {
      timer.#handle = undefined;
      timer.#fn();
    }
  }
}
