// The clocks of one simulated node: skewed, too fast or too slow, jumping, paused, asleep.
import type { Clock, Timer } from "../../src/platform/clock.ts";
import { assert } from "../../src/util/assert.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** When the simulated world begins, for wall clocks: 2026-01-01. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

export interface ClockFaults {
  /** How far the wall clock is ahead of true time. */
  readonly skewMs?: number;
  /** Milliseconds of these clocks in a true one; 1 ± some 10⁻⁴ for a bad quartz. */
  readonly rate?: number;
}

interface SimulatedTimer extends Timer {
  readonly dueMs: number;
  readonly fn: () => void;
  armed: Timer | undefined;
}

export class SimulatedClock implements Clock {
  readonly #time: VirtualTime;
  readonly #timers = new Set<SimulatedTimer>();
  /** Timers that fell due while the process was paused, in order. */
  #late: SimulatedTimer[] = [];
  #skewMs: number;
  #rate: number;
  /** The monotonic clock showed #shownMs at the true time #atMs; it goes on from there. */
  #shownMs: number;
  #atMs: number;
  #sleptMs = 0;
  #paused = false;
  #asleep = false;
  #stopped = false;

  constructor(time: VirtualTime, { skewMs = 0, rate = 1 }: ClockFaults = {}) {
    assert(rate > 0, "clocks go forward");
    this.#time = time;
    this.#skewMs = skewMs;
    this.#rate = rate;
    this.#atMs = time.nowMs;
    this.#shownMs = time.nowMs * rate;
  }

  wallMs(): number {
    return Math.floor(
      EPOCH_MS + this.#skewMs + this.#sleptMs + this.monotonicMs() + (this.#asleep ? this.#time.nowMs - this.#atMs : 0),
    );
  }

  monotonicMs(): number {
    return this.#asleep ? this.#shownMs : this.#shownMs + (this.#time.nowMs - this.#atMs) * this.#rate;
  }

  timer(delayMs: number, fn: () => void): Timer {
    const timer: SimulatedTimer = {
      dueMs: this.monotonicMs() + Math.max(0, delayMs),
      fn,
      armed: undefined,
      cancel: () => {
        timer.armed?.cancel();
        this.#timers.delete(timer);
      },
    };
    if (this.#stopped) return timer;
    this.#timers.add(timer);
    this.#arm(timer);
    return timer;
  }

  /** The wall clock is set, forward or back. */
  jumpWall(byMs: number): void {
    this.#skewMs += byMs;
  }

  setRate(rate: number): void {
    assert(rate > 0, "clocks go forward");
    this.#rebase();
    this.#rate = rate;
    this.#rearm();
  }

  /** The process is stopped (SIGSTOP, a long garbage collection): clocks go on, timers fire late. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const late = this.#late;
    this.#late = [];
    for (const timer of late) if (this.#timers.has(timer)) this.#arm(timer);
  }

  /** The machine sleeps: the monotonic clock stands still and timers wait; the wall clock goes on. */
  sleep(): void {
    assert(!this.#asleep, "awake machines fall asleep");
    this.#rebase();
    this.#asleep = true;
    this.#rearm();
  }

  wake(): void {
    assert(this.#asleep, "sleeping machines wake");
    this.#sleptMs += this.#time.nowMs - this.#atMs;
    this.#atMs = this.#time.nowMs;
    this.#asleep = false;
    this.#rearm();
  }

  /** The node is gone: none of its timers fires any more. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.armed?.cancel();
    this.#timers.clear();
  }

  #rebase(): void {
    this.#shownMs = this.monotonicMs();
    this.#atMs = this.#time.nowMs;
  }

  #rearm(): void {
    for (const timer of this.#timers) {
      timer.armed?.cancel();
      timer.armed = undefined;
      if (!this.#asleep) this.#arm(timer);
    }
  }

  #arm(timer: SimulatedTimer): void {
    if (this.#asleep) return;
    const delayMs = Math.max(0, timer.dueMs - this.monotonicMs()) / this.#rate;
    timer.armed = this.#time.schedule(delayMs, () => this.#due(timer));
  }

  #due(timer: SimulatedTimer): void {
    timer.armed = undefined;
    if (this.#paused) {
      this.#late.push(timer);
      return;
    }
    // Rounding may have come out a hair early; the clock must not show less than the timer promised.
    if (this.monotonicMs() < timer.dueMs) {
      this.#rebase();
      this.#shownMs = timer.dueMs;
    }
    this.#timers.delete(timer);
    timer.fn();
  }
}
