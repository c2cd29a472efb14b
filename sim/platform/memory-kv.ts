// The kv of tests and of the simulator: trees in memory, group commit on the clock it is given, and crashes that lose what was
// not committed.
import type { Clock, Timer } from "../../src/platform/clock.ts";
import {
  KvError,
  MAX_KEY_BYTES,
  damagedRow,
  type Kv,
  type KvRange,
  type KvRead,
  type KvStats,
  type KvWrite,
  type RowView,
  type ScanStep,
  type StoredBytes,
  type Tree,
} from "../../src/platform/kv.ts";
import { type BatchWrite, CommitPipeline } from "../../src/platform/node/kv-pipeline.ts";
import {
  type PlacedRows,
  type RowCursor,
  scanTree,
  storedRow,
  verifyAbsent,
  verifyPlace,
} from "../../src/platform/node/kv-search.ts";
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
  /** The next commit fails with kv.io; nothing of it is kept, and the store stops for good. */
  failNextCommit = false;
  /** The next commit finds no room (kv.full), and nothing of it is kept. */
  fillNextCommit = false;
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

  /**
   * Bit rot: flips one bit of the stored key. The row keeps its place, so that searches beside it are led astray as in a real
   * tree.
   */
  damageKey(tree: Tree, key: Uint8Array, bit = 0): void {
    const name = latin1(key);
    assert(this.trees[tree].get(name) !== undefined, "only a stored row can be damaged");
    const rotten = Buffer.from(key);
    rotten[bit >>> 3]! ^= 1 << (bit & 7);
    this.trees[tree].spoil(name, latin1(rotten));
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
  /**
   * A transaction threw after it had written. Must not return; the simulator crashes the node in it. By default it throws the
   * error on.
   */
  readonly fatal?: (error: unknown) => never;
  /** A commit failed with kv.io. The simulator crashes the node in it. */
  readonly failed?: (error: KvError) => void;
}

export interface MemoryKv extends Kv {
  readonly disk: MemoryKvDisk;
  /**
   * The node loses power: what was not committed is gone, no promise of this store ever settles again.
   * @param inFlight  whether the commit under way had just reached the disk; drawn by the simulator. Nobody has been told either
   *             way.
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
  readonly #onFailure: ((error: KvError) => void) | undefined;
  readonly #reader: MemoryTransaction;
  #underWay: MemoryTransaction | undefined;
  #timer: Timer | undefined;
  #crashed = false;
  #commits = 0;
  #damagedRows = 0;
  readonly #damage = {
    hasDamage: (): boolean => this.#damagedRows > 0,
    onDamage: (): void => {
      this.#damagedRows += 1;
    },
  };

  constructor({ clock, syncMs = () => 0, disk = new MemoryKvDisk(), fatal, failed }: MemoryKvOptions) {
    assert(!disk.open, "a store is open in one place only");
    disk.open = true;
    this.disk = disk;
    this.#clock = clock;
    this.#syncMs = syncMs;
    this.#onFailure = failed;
    this.#reader = new MemoryTransaction(disk, this.#damage);
    this.#pipeline = new CommitPipeline({ commit: (run) => this.#commit(run) }, { fatal: fatal ?? rethrow, nowMs: () => 0 });
  }

  transact<T>(fn: (tx: KvWrite) => T): Promise<T> {
    return this.#crashed ? NEVER : this.#pipeline.transact(fn);
  }

  read<T>(fn: (tx: KvRead) => T): Promise<T> {
    if (this.#crashed) return NEVER;
    return this.#pipeline.read(fn, this.#reader);
  }

  get failure(): KvError | undefined {
    return this.#pipeline.failure;
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
    const tx = new MemoryTransaction(this.disk, this.#damage);
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
      const error = new KvError("kv.io", "the disk failed");
      this.#onFailure?.(error);
      if (this.#crashed) return NEVER;
      throw error;
    }
    if (this.disk.fillNextCommit) {
      this.disk.fillNextCommit = false;
      throw new KvError("kv.full", "the disk is full");
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
class MemoryTransaction implements BatchWrite, PlacedRows {
  wrote = false;
  failure: KvError | undefined;
  readonly #disk: MemoryKvDisk;
  readonly #onDamage: () => void;
  readonly #changes: Trees<Change> = { rows: new SortedMap(), bodies: new SortedMap() };
  #grownBytes = 0;
  readonly #hasDamage: () => boolean;
  readonly #lentKey = Buffer.alloc(MAX_KEY_BYTES);
  #lent = Buffer.alloc(1024);

  constructor(disk: MemoryKvDisk, { hasDamage, onDamage }: { readonly hasDamage: () => boolean; readonly onDamage: () => void }) {
    this.#disk = disk;
    this.#hasDamage = hasDamage;
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
    if (stored === undefined) {
      verifyAbsent(this, tree, key);
      return undefined;
    }
    const value = this.#lend(stored);
    const size = stored.length - CHECKSUM_BYTES;
    if (size >= 0 && value.readUInt32LE(size) === rowChecksum(key, 0, key.length, value, 0, size)) return value.subarray(0, size);
    const error = damagedRow(tree, key);
    this.onDamage();
    throw error;
  }

  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void {
    scanTree(this, tree, range, visit);
  }

  stored(tree: Tree, key: Uint8Array): StoredBytes | undefined {
    return storedRow(this, tree, key);
  }

  onDamage(): void {
    this.#onDamage();
  }

  cursor(tree: Tree, from: Uint8Array, down: boolean): RowCursor {
    const name = latin1(from);
    const stored = this.#disk.trees[tree].walk(name, down);
    const changes = this.#changes[tree];
    let waiting = stored();
    let at = name;
    const row: RowCursor = {
      key: this.#lentKey,
      keyStart: 0,
      keyEnd: 0,
      value: this.#lent,
      valueStart: 0,
      valueEnd: 0,
      close: () => undefined,
      next: () => {
        // Rows of the disk come by their place, those of this batch by their keys.
        let change = down ? changes.lastBelow(at) : changes.firstFrom(at);
        for (;;) {
          if (change !== undefined && (waiting === undefined || (down ? change.key > waiting.key : change.key < waiting.key))) {
            at = down ? change.key : change.key + "\0";
            if (change.value !== null) return this.#show(row, change.key, change.value);
            change = down ? changes.lastBelow(at) : changes.firstFrom(at);
            continue;
          }
          if (waiting === undefined) return false;
          const { key, value } = waiting;
          waiting = stored();
          if (changes.get(key) === undefined) return this.#show(row, key, value);
        }
      },
    };
    return row;
  }

  beside(tree: Tree, key: Uint8Array, down: boolean): RowView | undefined {
    const cursor = this.cursor(tree, key, down);
    return cursor.next() ? cursor : undefined;
  }

  put(tree: Tree, key: Uint8Array, value: Uint8Array): void {
    assert(key.length >= 1 && key.length <= MAX_KEY_BYTES, "keys have 1 to 4,000 bytes");
    if (this.#hasDamage()) this.#verifyPlace(tree, key);
    const stored = Buffer.allocUnsafe(value.length + CHECKSUM_BYTES);
    stored.set(value);
    stored.writeUInt32LE(rowChecksum(key, 0, key.length, value, 0, value.length), value.length);
    this.#change(tree, latin1(key), stored);
  }

  remove(tree: Tree, key: Uint8Array): void {
    this.wrote = true;
    if (this.#hasDamage()) this.#verifyPlace(tree, key);
    const name = latin1(key);
    if (this.#stored(tree, name) !== undefined) this.#change(tree, name, null);
  }

  #verifyPlace(tree: Tree, key: Uint8Array): void {
    try {
      verifyPlace(this, tree, key);
    } catch (error) {
      this.failure = error as KvError;
      throw error;
    }
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

  #show(row: RowCursor, key: string, value: Buffer): true {
    row.value = this.#lend(value);
    row.valueEnd = value.length;
    row.keyEnd = this.#lentKey.write(key, "latin1");
    return true;
  }

  /**
   * As a real engine, lends one buffer for all reads: what is kept for longer than allowed is overwritten, and the mistake shows.
   */
  #lend(stored: Buffer): Buffer {
    if (stored.length > this.#lent.length) this.#lent = Buffer.alloc(2 * stored.length);
    this.#lent.set(stored);
    return this.#lent.subarray(0, stored.length);
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function growth(before: Buffer | undefined, key: string, change: Change): number {
  const had = before === undefined ? 0 : key.length + before.length;
  return (change === null ? 0 : key.length + change.length) - had;
}
