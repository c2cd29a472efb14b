/** Entries of a chunk before it is split in two. */
const CHUNK = 256;

interface Chunk<V> {
  readonly keys: string[];
  readonly values: V[];
}

/** A map ordered by its string keys (by code unit: byte order for latin1 strings of bytes). A list of sorted chunks. */
export class SortedMap<V> {
  #chunks: Chunk<V>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    const chunk = this.#chunks[this.#chunkOf(key)];
    if (chunk === undefined) return undefined;
    const at = lowerBound(chunk.keys, key);
    return chunk.keys[at] === key ? chunk.values[at] : undefined;
  }

  set(key: string, value: V): void {
    const index = this.#chunkOf(key);
    let chunk = this.#chunks[index];
    if (chunk === undefined) {
      chunk = { keys: [], values: [] };
      this.#chunks.push(chunk);
    }
    const at = lowerBound(chunk.keys, key);
    if (chunk.keys[at] === key) {
      chunk.values[at] = value;
      return;
    }
    chunk.keys.splice(at, 0, key);
    chunk.values.splice(at, 0, value);
    this.#size += 1;
    if (chunk.keys.length > CHUNK)
      this.#chunks.splice(index + 1, 0, { keys: chunk.keys.splice(CHUNK / 2), values: chunk.values.splice(CHUNK / 2) });
  }

  delete(key: string): boolean {
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index];
    if (chunk === undefined) return false;
    const at = lowerBound(chunk.keys, key);
    if (chunk.keys[at] !== key) return false;
    chunk.keys.splice(at, 1);
    chunk.values.splice(at, 1);
    this.#size -= 1;
    if (chunk.keys.length === 0) this.#chunks.splice(index, 1);
    return true;
  }

  /** The first entry with a key ≥ `key`. */
  firstFrom(key: string): { readonly key: string; readonly value: V } | undefined {
    for (let index = this.#chunkOf(key); index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index]!;
      const at = lowerBound(chunk.keys, key);
      if (at < chunk.keys.length) return { key: chunk.keys[at]!, value: chunk.values[at]! };
    }
    return undefined;
  }

  /** The last entry with a key < `key`. */
  lastBelow(key: string): { readonly key: string; readonly value: V } | undefined {
    const index = this.#chunkOf(key);
    for (const chunk of [this.#chunks[index], this.#chunks[index - 1]]) {
      if (chunk === undefined) continue;
      const at = lowerBound(chunk.keys, key) - 1;
      if (at >= 0) return { key: chunk.keys[at]!, value: chunk.values[at]! };
    }
    return undefined;
  }

  /**
   * The entries from the place on where a search for `key` ends, or those before it, downwards: by their place, without comparing
   * keys.
   */
  walk(key: string, down: boolean): () => { readonly key: string; readonly value: V } | undefined {
    let index = this.#chunkOf(key);
    let at = lowerBound(this.#chunks[index]?.keys ?? [], key) - (down ? 1 : 0);
    return () => {
      for (let chunk = this.#chunks[index]; chunk !== undefined; chunk = this.#chunks[index]) {
        if (at >= 0 && at < chunk.keys.length) {
          const entry = { key: chunk.keys[at]!, value: chunk.values[at]! };
          at += down ? -1 : 1;
          return entry;
        }
        index += down ? -1 : 1;
        at = down ? (this.#chunks[index]?.keys.length ?? 0) - 1 : 0;
      }
      return undefined;
    };
  }

  /** Bit rot in a key: the entry keeps its place. */
  spoil(key: string, spoiled: string): void {
    const chunk = this.#chunks[this.#chunkOf(key)];
    const at = chunk === undefined ? -1 : chunk.keys.indexOf(key);
    if (chunk !== undefined && at >= 0) chunk.keys[at] = spoiled;
  }

  *entries(): IterableIterator<[string, V]> {
    for (const chunk of this.#chunks) for (let at = 0; at < chunk.keys.length; at++) yield [chunk.keys[at]!, chunk.values[at]!];
  }

  clone(): SortedMap<V> {
    const copy = new SortedMap<V>();
    copy.#chunks = this.#chunks.map(({ keys, values }) => ({ keys: [...keys], values: [...values] }));
    copy.#size = this.#size;
    return copy;
  }

  /** The chunk where `key` is or belongs: the last one that begins at or below it. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#chunks[middle]!.keys[0]! <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
