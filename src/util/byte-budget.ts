/**
 * A bound on bytes held in memory at once, shared by all requests. First come, first served: a big wish is not overtaken by small
 * ones. A wish above the whole limit is granted when nothing else is held.
 */
export class ByteBudget {
  readonly limitBytes: number;
  #heldBytes = 0;
  readonly #waiting: Wish[] = [];

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }
  get waiting(): number {
    return this.#waiting.length;
  }
  /** What must be given back before everyone who waits is served. */
  get missingBytes(): number {
    const wanted = this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0);
    return wanted === 0 ? 0 : Math.max(0, this.#heldBytes + wanted - this.limitBytes);
  }

  /** Takes the bytes when they are free now and nobody waits. */
  tryTake(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /** Waits for the bytes; resolves to false when `patience` settles first (a deadline, an abort). */
  async take(bytes: number, patience: Promise<unknown>): Promise<boolean> {
    if (this.tryTake(bytes)) return true;
    return new Promise<boolean>((resolve) => {
      const wish: Wish = { bytes, resolve };
      this.#waiting.push(wish);
      const giveUp = (): void => {
        const at = this.#waiting.indexOf(wish);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        resolve(false);
        this.#serve();
      };
      patience.then(giveUp, giveUp);
    });
  }

  give(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#serve();
  }

  #fits(bytes: number): boolean {
    return this.#heldBytes === 0 || this.#heldBytes + bytes <= this.limitBytes;
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first && this.#fits(first.bytes); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#heldBytes += first.bytes;
      first.resolve(true);
    }
  }
}

interface Wish {
  readonly bytes: number;
  readonly resolve: (granted: boolean) => void;
}
