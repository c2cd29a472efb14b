// The kv of tests and of the simulator: trees in memory, group commit on the clock it is given, and crashes that lose what was not committed.
import type { Clock, Timer } from "../../src/platform/clock.ts";
import {
  KvError,
  MAX_KEY_BYTES,
  STOP,
  type Kv,
  type KvRange,
  type KvRead,
  type KvStats,
  type KvWrite,
  type RowView,
  type ScanStep,
  type Tree,
  wrongChecksum,
} from "../../src/platform/kv.ts";
import { type BatchWrite, CommitPipeline } from "../../src/platform/node/kv-pipeline.ts";
import { assert } from "../../src/util/assert.ts";
import { CHECKSUM_BYTES, rowChecksum } from "../../src/util/row-checksum.ts";
import { SortedMap } from "./sorted-map.ts";

const TREES: readonly Tree[] = ["rows", "bodies"];
type Trees<V> = Record<Tree, SortedMap<V>>;
/** A value with its checksum, or null for a removed row. Keys are latin1 strings: their order is the order of the bytes. */
type Change = Buffer | null;

/** What survives a crash: the disk under a memory kv. Open it again after a crash; `clone` is a backup that can be restored. */
export class MemoryKvDisk {
  readonly trees: Trees<Buffer> = { rows: new SortedMap(), bodies: new SortedMap() };
  sizeBytes = 0;
  /** Writes that would make the store larger fail with kv.full. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** The next commit fails with kv.io, and nothing of it is kept. */
  failNextCommit = false;
  /** One store at a time may have it open. */
  open = false;

  clone(): MemoryKvDisk {
    const copy = new MemoryKvDisk();
    for (const tree of TREES) copy.trees[tree] = this.trees[tree].clone();
    copy.sizeBytes = this.sizeBytes;
    copy.capacityBytes = this.capacityBytes;
    return copy;
  }

  /** Bit rot: flips one bit of the stored value. */
  damage(tree: Tree, key: Uint8Array, bit = 0): void {
    const name = latin1(key);
    const stored = this.trees[tree].get(name);
    assert(stored !== undefined, "only a stored row can be damaged");
    const rotten = Buffer.from(stored);
    rotten[bit >>> 3]! ^= 1 << (bit & 7);
    this.trees[tree].set(name, rotten);
  }

  write(tree: Tree, key: string, change: Change): void {
    const map = this.trees[tree];
    this.sizeBytes += growth(map.get(key), key, change);
    if (change === null) map.delete(key);
    else map.set(key, change);
  }
}

export interface MemoryKvOptions {
  /** Without a clock (unit tests), or where `syncMs` is 0, a commit takes one turn of the microtask queue. */
  readonly clock?: Clock;
  /** How long the fsync of a commit takes; asked for each. */
  readonly syncMs?: () => number;
  readonly disk?: MemoryKvDisk;
  /** A transaction threw after it had written. Must not return; the simulator crashes the node in it. By default it throws the error on. */
  readonly fatal?: (error: unknown) => never;
}

export interface MemoryKv extends Kv {
  readonly disk: MemoryKvDisk;
  /**
   * The node loses power: what was not committed is gone, no promise of this store ever settles again.
   * @param inFlight  whether the commit under way had just reached the disk; drawn by the simulator. Nobody has been told either way.
   */
  crash(options?: { readonly inFlight?: "lost" | "kept" }): void;
}

export function memoryKv(options: MemoryKvOptions = {}): MemoryKv {
  return new MemoryKvStore(options);
}

const NEVER = new Promise<never>(() => {});

class MemoryKvStore implements MemoryKv {
  readonly disk: MemoryKvDisk;
  readonly #clock: Clock | undefined;
  readonly #syncMs: () => number;
  readonly #pipeline: CommitPipeline;
  readonly #reader: MemoryTransaction;
  #underWay: MemoryTransaction | undefined;
  #timer: Timer | undefined;
  #crashed = false;
  #commits = 0;
  #damagedRows = 0;
  readonly #onDamage = (): void => {
    this.#damagedRows += 1;
  };

  constructor({ clock, syncMs = () => 0, disk = new MemoryKvDisk(), fatal }: MemoryKvOptions) {
    assert(!disk.open, "a store is open in one place only");
    disk.open = true;
    this.disk = disk;
    this.#clock = clock;
    this.#syncMs = syncMs;
    this.#reader = new MemoryTransaction(disk, this.#onDamage);
    this.#pipeline = new CommitPipeline({ commit: (run) => this.#commit(run) }, { fatal: fatal ?? rethrow, nowMs: () => 0 });
  }

  transact<T>(fn: (tx: KvWrite) => T): Promise<T> {
    return this.#crashed ? NEVER : this.#pipeline.transact(fn);
  }

  read<T>(fn: (tx: KvRead) => T): Promise<T> {
    if (this.#crashed) return NEVER;
    return this.#pipeline.read(fn, this.#reader);
  }

  stats(): KvStats {
    const { trees, sizeBytes } = this.disk;
    return {
      engine: "memory",
      rows: { rows: trees.rows.size, bodies: trees.bodies.size },
      sizeBytes,
      usedBytes: sizeBytes,
      commits: this.#commits,
      fsyncs: this.#commits,
      damagedRows: this.#damagedRows,
    };
  }

  async close(): Promise<void> {
    if (this.#crashed) return NEVER;
    await this.#pipeline.close();
    if (this.#crashed) return NEVER;
    this.disk.open = false;
  }

  crash({ inFlight = "lost" }: { readonly inFlight?: "lost" | "kept" } = {}): void {
    if (this.#crashed) return;
    this.#crashed = true;
    this.#timer?.cancel();
    if (inFlight === "kept") this.#underWay?.flush();
    this.#underWay = undefined;
    this.disk.open = false;
  }

  async #commit(run: (tx: BatchWrite) => void): Promise<void> {
    await undefined;
    if (this.#crashed) return NEVER;
    const tx = new MemoryTransaction(this.disk, this.#onDamage);
    try {
      run(tx);
    } catch (error) {
      if (this.#crashed) return NEVER;
      throw error;
    }
    if (this.#crashed) return NEVER;
    this.#underWay = tx;
    const delayMs = tx.empty ? 0 : this.#syncMs();
    await (this.#clock === undefined || delayMs === 0 ? undefined : this.#wait(this.#clock, delayMs));
    if (this.#crashed) return NEVER;
    this.#underWay = undefined;
    if (tx.failure !== undefined) throw tx.failure;
    if (tx.empty) return;
    if (this.disk.failNextCommit) {
      this.disk.failNextCommit = false;
      throw new KvError("kv.io", "the disk failed");
    }
    tx.flush();
    this.#commits += 1;
  }

  #wait(clock: Clock, delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#timer = clock.timer(delayMs, resolve);
    });
  }
}

function rethrow(error: unknown): never {
  throw error;
}

/** The rows of a disk under the changes of one batch; without changes, a reader. */
class MemoryTransaction implements BatchWrite {
  wrote = false;
  failure: KvError | undefined;
  readonly #disk: MemoryKvDisk;
  readonly #onDamage: () => void;
  readonly #changes: Trees<Change> = { rows: new SortedMap(), bodies: new SortedMap() };
  #grownBytes = 0;
  readonly #lentKey = Buffer.alloc(MAX_KEY_BYTES);
  #lent = Buffer.alloc(1024);

  constructor(disk: MemoryKvDisk, onDamage: () => void) {
    this.#disk = disk;
    this.#onDamage = onDamage;
  }

  get empty(): boolean {
    return TREES.every((tree) => this.#changes[tree].size === 0);
  }

  get(tree: Tree, key: Uint8Array): Buffer | undefined {
    const view = this.view(tree, key);
    return view === undefined ? undefined : Buffer.from(view);
  }

  view(tree: Tree, key: Uint8Array): Buffer | undefined {
    const name = latin1(key);
    const stored = this.#stored(tree, name);
    if (stored === undefined) return undefined;
    const value = this.#lend(stored);
    this.#verify(tree, Buffer.from(key), value);
    return value.subarray(0, value.length - CHECKSUM_BYTES);
  }

  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void {
    const [start, end] = [latin1(range.start), latin1(range.end)];
    let at = range.reverse ? end : start;
    for (;;) {
      const row = range.reverse ? this.#lastBelow(tree, at) : this.#firstFrom(tree, at);
      if (row === undefined || (range.reverse ? row.key < start : row.key >= end)) return;
      const step = visit(this.#show(tree, row));
      if (step === STOP) return;
      if (step === undefined) at = range.reverse ? row.key : row.key + "\0";
      else {
        at = latin1(step);
        assert(!range.reverse && at > row.key, "a seek lies ahead, in a forward scan");
      }
    }
  }

  put(tree: Tree, key: Uint8Array, value: Uint8Array): void {
    assert(key.length >= 1 && key.length <= MAX_KEY_BYTES, "keys have 1 to 4,000 bytes");
    const stored = Buffer.allocUnsafe(value.length + CHECKSUM_BYTES);
    stored.set(value);
    stored.writeUInt32LE(rowChecksum(key, 0, key.length, value, 0, value.length), value.length);
    this.#change(tree, latin1(key), stored);
  }

  remove(tree: Tree, key: Uint8Array): void {
    this.wrote = true;
    const name = latin1(key);
    if (this.#stored(tree, name) !== undefined) this.#change(tree, name, null);
  }

  /** Puts the changes on the disk, all at once. */
  flush(): void {
    for (const tree of TREES) for (const [key, change] of this.#changes[tree].entries()) this.#disk.write(tree, key, change);
  }

  #change(tree: Tree, key: string, change: Change): void {
    this.#grownBytes += growth(this.#stored(tree, key), key, change);
    if (this.#grownBytes > 0 && this.#disk.sizeBytes + this.#grownBytes > this.#disk.capacityBytes) {
      this.failure = new KvError("kv.full", "the disk is full");
      throw this.failure;
    }
    this.wrote = true;
    this.#changes[tree].set(key, change);
  }

  #stored(tree: Tree, key: string): Buffer | undefined {
    const change = this.#changes[tree].get(key);
    return change === undefined ? this.#disk.trees[tree].get(key) : (change ?? undefined);
  }

  #firstFrom(tree: Tree, from: string): { key: string; value: Buffer } | undefined {
    for (;;) {
      const stored = this.#disk.trees[tree].firstFrom(from);
      const changed = this.#changes[tree].firstFrom(from);
      if (changed === undefined || (stored !== undefined && stored.key < changed.key)) return stored;
      if (changed.value !== null) return { key: changed.key, value: changed.value };
      from = changed.key + "\0";
    }
  }

  #lastBelow(tree: Tree, below: string): { key: string; value: Buffer } | undefined {
    for (;;) {
      const stored = this.#disk.trees[tree].lastBelow(below);
      const changed = this.#changes[tree].lastBelow(below);
      if (changed === undefined || (stored !== undefined && stored.key > changed.key)) return stored;
      if (changed.value !== null) return { key: changed.key, value: changed.value };
      below = changed.key;
    }
  }

  #show(tree: Tree, { key, value }: { key: string; value: Buffer }): RowView {
    const lent = this.#lend(value);
    const name = this.#lentKey.subarray(0, this.#lentKey.write(key, "latin1"));
    this.#verify(tree, name, lent);
    return { key: name, keyStart: 0, keyEnd: key.length, value: lent, valueStart: 0, valueEnd: value.length - CHECKSUM_BYTES };
  }

  /** As a real engine, lends one buffer for all reads: what is kept for longer than allowed is overwritten, and the mistake shows. */
  #lend(stored: Buffer): Buffer {
    if (stored.length > this.#lent.length) this.#lent = Buffer.alloc(2 * stored.length);
    this.#lent.set(stored);
    return this.#lent.subarray(0, stored.length);
  }

  #verify(tree: Tree, key: Buffer, stored: Buffer): void {
    const size = stored.length - CHECKSUM_BYTES;
    if (size >= 0 && stored.readUInt32LE(size) === rowChecksum(key, 0, key.length, stored, 0, size)) return;
    this.#onDamage();
    throw wrongChecksum(tree, key);
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function growth(before: Buffer | undefined, key: string, change: Change): number {
  const had = before === undefined ? 0 : key.length + before.length;
  return (change === null ? 0 : key.length + change.length) - had;
}
