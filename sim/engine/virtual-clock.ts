// One machine's three clocks over virtual time: an ordinary monotonic one that stands still while the machine sleeps, one that
// goes on, and the wall's, which may be set. Their rates differ from true time and from each other.

export interface ClockRates {
  /** Ticks per true millisecond. */
  readonly mono: number;
  readonly boot: number;
  readonly wall: number;
}

export class VirtualClock {
  readonly #rates: ClockRates;
  #monoOffset: number;
  #bootOffset: number;
  #wallOffset: number;
  #asleepMs = 0;

  constructor(rates: ClockRates, offsets: { readonly mono: number; readonly boot: number; readonly wall: number }) {
    this.#rates = rates;
    this.#monoOffset = offsets.mono;
    this.#bootOffset = offsets.boot;
    this.#wallOffset = offsets.wall;
  }
  mono(trueMs: number): number {
    return (trueMs - this.#asleepMs) * this.#rates.mono + this.#monoOffset;
  }
  boot(trueMs: number): number {
    return trueMs * this.#rates.boot + this.#bootOffset;
  }
  wall(trueMs: number): number {
    return trueMs * this.#rates.wall + this.#wallOffset;
  }
  /** True milliseconds until the monotonic clock shows `monoMs`. */
  untilMono(monoMs: number, trueMs: number): number {
    return (monoMs - this.mono(trueMs)) / this.#rates.mono;
  }
  /** The machine slept that long: the monotonic clock did not see it. */
  slept(trueMs: number): void {
    this.#asleepMs += trueMs;
  }
  /** The machine started anew: its monotonic clocks begin near 0. */
  restarted(trueMs: number): void {
    this.#asleepMs = 0;
    this.#monoOffset = -trueMs * this.#rates.mono;
    this.#bootOffset = -trueMs * this.#rates.boot;
  }
  /** Somebody set the wall clock: so far from true time. */
  setWall(offsetMs: number): void {
    this.#wallOffset = offsetMs;
  }
}
