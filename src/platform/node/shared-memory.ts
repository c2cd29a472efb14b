/**
 * Shared memory for blocks, in slabs of powers of two, reused last in, first out: fresh memory costs a page fault per 4 KiB
 * (measured: 1 MiB fresh 250 µs, reused 60). What lies free is kept for the next burst; `trim`, called now and then, lets go what
 * nobody needed since the last time, beyond a bound.
 */
export class SharedMemory {
  readonly #keepBytes: number;
  readonly #onForget: (slab: number) => void;
  readonly #free = new Map<number, Slab[]>();
  readonly #byMemory = new WeakMap<ArrayBufferLike, Slab>();
  #count = 0;
  #bytesInUse = 0;
  #bytesKept = 0;
  /** Least that lay free since the last trim: so much was not needed. */
  #leastKept = 0;

  constructor({ keepBytes, onForget }: { readonly keepBytes: number; readonly onForget: (slab: number) => void }) {
    this.#keepBytes = keepBytes;
    this.#onForget = onForget;
  }

  get bytesInUse(): number {
    return this.#bytesInUse;
  }
  get bytesKept(): number {
    return this.#bytesKept;
  }

  allocate(sizeBytes: number): Buffer {
    const capacity = sizeBytes <= SMALLEST_SLAB ? SMALLEST_SLAB : 2 ** Math.ceil(Math.log2(sizeBytes));
    let slab = this.#free.get(capacity)?.pop();
    if (slab) {
      this.#bytesKept -= capacity;
      this.#leastKept = Math.min(this.#leastKept, this.#bytesKept);
    } else {
      slab = { id: this.#count++, capacity, memory: new SharedArrayBuffer(capacity + PAGE), used: false };
      this.#byMemory.set(slab.memory, slab);
    }
    slab.used = true;
    this.#bytesInUse += capacity;
    return Buffer.from(slab.memory, ALIGNING_OFFSET, sizeBytes);
  }

  free(bytes: Uint8Array): void {
    const slab = this.#byMemory.get(bytes.buffer);
    if (slab === undefined || !slab.used) return;
    const { capacity } = slab;
    slab.used = false;
    this.#bytesInUse -= capacity;
    this.#bytesKept += capacity;
    const list = this.#free.get(capacity);
    if (list) list.push(slab);
    else this.#free.set(capacity, [slab]);
  }

  /**
   * Forgets free slabs that were free all the time since the last trim, down to `keepBytes`; returns how many bytes that were.
   */
  trim(): number {
    let surplus = this.#leastKept - this.#keepBytes;
    let forgotten = 0;
    for (const [capacity, slabs] of this.#free) {
      while (surplus >= capacity && slabs.length > 0) {
        const slab = slabs.shift() as Slab;
        this.#byMemory.delete(slab.memory);
        this.#onForget(slab.id);
        this.#bytesKept -= capacity;
        surplus -= capacity;
        forgotten += capacity;
      }
    }
    this.#leastKept = this.#bytesKept;
    return forgotten;
  }

  /** The slab that `bytes` lie in; undefined for foreign memory. */
  slabOf(bytes: Uint8Array): Slab | undefined {
    return this.#byMemory.get(bytes.buffer);
  }
}

export interface Slab {
  readonly id: number;
  readonly capacity: number;
  readonly memory: SharedArrayBuffer;
  used: boolean;
}

/** Large enough that malloc maps it by itself (see below); pages are real only once used. */
const SMALLEST_SLAB = 256 * 1024;
const PAGE = 4096;
/**
 * Blocks are written past the page cache, which wants memory that begins at a page (or at least at 512 bytes). glibc gives large
 * allocations the form "page + 16 bytes of its own", so this much further is the next page. Where that fails the write goes
 * through the cache: slower, as right.
 */
const ALIGNING_OFFSET = PAGE - 16;
