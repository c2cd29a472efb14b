/**
 * Paces background work by its own cost: after a unit that took d it rests for tranquility · d, so that tranquility 0 is full
 * speed and 4 uses a fifth of what the disk has. Measured over the last units, because single ones vary.
 */
export class Tranquilizer {
  readonly #costs: number[] = [];
  #sumMs = 0;

  /** @returns how long to rest before the next unit. */
  restMs(unitMs: number, tranquility: number): number {
    this.#costs.push(unitMs);
    this.#sumMs += unitMs;
    if (this.#costs.length > WINDOW) this.#sumMs -= this.#costs.shift() as number;
    return (tranquility * this.#sumMs) / this.#costs.length;
  }
}

const WINDOW = 30;
