/** One lock per hash: whoever stores, sets aside or removes a block's file holds it. Fair, in the order of the calls. */
export class HashLocks {
  readonly #tails = new Map<string, Promise<void>>();

  async run<T>(hash: string, fn: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(hash);
    let release = (): void => {};
    const mine = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#tails.set(hash, mine);
    try {
      if (before) await before;
      return await fn();
    } finally {
      if (this.#tails.get(hash) === mine) this.#tails.delete(hash);
      release();
    }
  }

  get held(): number {
    return this.#tails.size;
  }
}
