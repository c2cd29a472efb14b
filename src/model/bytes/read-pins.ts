/**
 * Who is reading what: the release of a body's blocks waits while a GET streams it, because a slow stream may last longer than
 * the delay after which unneeded files go. A body is named by its claim, or by its upload when it has parts.
 *
 * One process: readers and release worker share this table. A stream that ends, fails or is cancelled lets go.
 */
export class ReadPins {
  readonly #readers = new Map<string, number>();

  pin(name: string): void {
    this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1);
  }

  unpin(name: string): void {
    const readers = this.#readers.get(name) ?? 0;
    if (readers > 1) this.#readers.set(name, readers - 1);
    else this.#readers.delete(name);
  }

  isPinned(name: string): boolean {
    return this.#readers.has(name);
  }

  get count(): number {
    return this.#readers.size;
  }
}
