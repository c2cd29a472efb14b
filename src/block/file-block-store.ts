import { type BlockRead, type BlockWritten, type Cpu, CpuError, type DigestAlgorithm } from "../platform/cpu.ts";
import type { Clock } from "../platform/clock.ts";
import { type Disk, DiskError } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Hash } from "../util/ids.ts";
import { BlockError, type BlockStore, type LentBlock, type StoredBlock } from "./block-store.ts";
import type { DataDirectories } from "./data-directories.ts";
import { type BlockDamage, DamageList } from "./damage-list.ts";
import { HashLocks } from "./hash-locks.ts";
import { TouchTimes } from "./touch-times.ts";

export interface FileBlockStoreOptions {
  /** How long an unneeded, untouched file stays (`block_gc_delay`). */
  readonly gcDelayMs: number;
  /** fsync before anything is acknowledged (`data_fsync`). */
  readonly sync: boolean;
  /** zstd level; undefined: never compress. */
  readonly compressionLevel: number | undefined;
  /** Blocks are never longer than this; a file that claims more is damaged. */
  readonly maxBlockBytes: number;
}

export interface BlockStoreStats {
  readonly stored: number;
  readonly storedBytes: number;
  readonly deduplicated: number;
  readonly compressed: number;
  readonly fetched: number;
  readonly fetchedBytes: number;
  readonly removed: number;
  readonly damaged: number;
  readonly missing: number;
}

/** Blocks as files; see block-store.ts for the contract. Every change of a file happens under the lock of its hash. */
export class FileBlockStore implements BlockStore {
  readonly directories: DataDirectories;
  readonly #options: FileBlockStoreOptions;
  readonly #clock: Clock;
  readonly #disk: Disk;
  readonly #cpu: Cpu;
  readonly #log: Log;
  readonly #locks = new HashLocks();
  readonly #touches: TouchTimes;
  readonly #damage = new DamageList();
  #stored = 0;
  #storedBytes = 0;
  #deduplicated = 0;
  #compressed = 0;
  #fetched = 0;
  #fetchedBytes = 0;
  #removed = 0;

  constructor(
    options: FileBlockStoreOptions,
    parts: {
      readonly directories: DataDirectories;
      readonly clock: Clock;
      readonly disk: Disk;
      readonly cpu: Cpu;
      readonly log: Log;
    },
  ) {
    this.#options = options;
    this.directories = parts.directories;
    this.#clock = parts.clock;
    this.#disk = parts.disk;
    this.#cpu = parts.cpu;
    this.#log = parts.log;
    this.#touches = new TouchTimes(parts.clock.monotonicMs());
  }

  async store(
    data: Uint8Array,
    expected?: Hash,
    also: readonly DigestAlgorithm[] = [],
    onHash?: (hash: Hash) => void,
  ): Promise<StoredBlock> {
    if (expected !== undefined) {
      onHash?.(expected);
      return this.#storeAs(data, expected, true, also);
    }
    const all = await this.#cpu.digest(data, also.includes("SHA256") ? also : ["SHA256", ...also]);
    const hash = Buffer.from(all.SHA256 as Uint8Array).toString("hex") as Hash;
    onHash?.(hash);
    const { storedSize } = await this.#storeAs(data, hash, false, []);
    return { hash, storedSize, digests: all };
  }

  #storeAs(data: Uint8Array, hash: Hash, verify: boolean, digests: readonly DigestAlgorithm[]): Promise<StoredBlock> {
    return this.#locks.run(hash, async () => {
      // Touched before and after: the file must not go while we rely on finding it, nor right after.
      this.#touches.touch(hash, this.#clock.monotonicMs());
      const written = await this.#write(data, hash, verify, digests);
      if (written.outcome === "wrong-hash")
        throw new BlockError("block.wrong-hash", written.actual, `the bytes have SHA-256 ${written.actual}, not ${hash}`);
      this.#touches.touch(hash, this.#clock.monotonicMs());
      for (const path of written.corrupted) this.#damaged(hash, path);
      this.#damage.resolve(hash);
      if (written.outcome === "existed") this.#deduplicated++;
      else {
        this.#stored++;
        this.#storedBytes += written.storedSize;
        if (written.storedSize < data.byteLength) this.#compressed++;
      }
      return { hash, storedSize: written.storedSize, digests: written.digests };
    });
  }

  /** On the disk where it belongs; when that is full, on the next one. */
  async #write(data: Uint8Array, hash: Hash, verify: boolean, digests: readonly DigestAlgorithm[]): Promise<BlockWritten> {
    const { writable, readOnly } = this.directories.writablePathsOf(hash);
    for (let first = 0; ; first++)
      try {
        return await this.#cpu.writeBlock({
          data,
          hash,
          paths: [...writable.slice(first), ...writable.slice(0, first), ...readOnly],
          verify,
          digests,
          compressionLevel: this.#options.compressionLevel,
          sync: this.#options.sync,
        });
      } catch (error) {
        const full = error instanceof DiskError && error.code === "disk.full";
        if (!full || first + 1 >= writable.length) throw blockError(error, hash);
        this.#log.warn({ path: error.path }, "a data directory is full; the block goes to another one");
      }
  }

  async fetch(hash: Hash): Promise<Uint8Array> {
    let size = Math.min(FIRST_GUESS, this.#options.maxBlockBytes);
    for (;;) {
      const into = this.#cpu.allocate(size);
      try {
        const read = await this.#read(hash, into, false);
        if (read !== "too-small") return into.slice(0, read);
      } finally {
        this.#cpu.free(into);
      }
      if (size >= this.#options.maxBlockBytes)
        throw new BlockError("block.damaged", hash, `the file of block ${hash} is longer than a block can be`);
      size = Math.min(size * 4, this.#options.maxBlockBytes);
    }
  }

  async lend({
    hash,
    size,
    storedSize,
  }: {
    readonly hash: Hash;
    readonly size: number;
    readonly storedSize: number;
  }): Promise<LentBlock> {
    const into = this.#cpu.allocate(size);
    let read: number | "too-small";
    try {
      read = await this.#read(hash, into, storedSize < size);
    } catch (error) {
      this.#cpu.free(into);
      throw error;
    }
    if (read !== size) {
      this.#cpu.free(into);
      throw new BlockError("block.damaged", hash, `block ${hash} has ${read} bytes, its object says ${size}`);
    }
    return { bytes: into, release: () => this.#cpu.free(into) };
  }

  async #read(hash: Hash, into: Uint8Array, compressedFirst: boolean): Promise<number | "too-small"> {
    let read: BlockRead;
    try {
      read = await this.#cpu.readBlock({ hash, paths: this.directories.pathsOf(hash), into, compressedFirst });
    } catch (error) {
      throw blockError(error, hash);
    }
    if (read.outcome === "too-small") return "too-small";
    for (const path of read.corrupted) this.#damaged(hash, path);
    if (read.outcome === "ok") {
      this.#fetched++;
      this.#fetchedBytes += read.sizeBytes;
      return read.sizeBytes;
    }
    if (read.corrupted.length > 0) throw new BlockError("block.damaged", hash, `block ${hash} does not have its hash; set aside`);
    const known = this.#damage.list().find((entry) => entry.hash === hash && entry.kind === "damaged");
    this.#damage.add(hash, "missing", "", this.#clock.wallMs());
    throw known
      ? new BlockError("block.damaged", hash, `block ${hash} was damaged and is set aside as ${known.path}`)
      : new BlockError("block.absent", hash, `block ${hash} is not here`);
  }

  async holds(hash: Hash): Promise<boolean> {
    return this.#locks.run(hash, async () => {
      this.#touches.touch(hash, this.#clock.monotonicMs());
      return (await this.filesOf(hash)).length > 0;
    });
  }

  removeUnneeded(hash: Hash, unneeded: () => Promise<boolean>): Promise<"removed" | "absent" | "touched" | "needed"> {
    return this.#locks.run(hash, async () => {
      if (!this.untouched(hash)) return "touched";
      if (!(await unneeded())) return "needed";
      // A store of this hash waits for the lock, so nothing can have touched it but `holds` before us; checked all the same (rule 33).
      if (!this.untouched(hash)) return "touched";
      const files = await this.filesOf(hash);
      for (const file of files) await this.#disk.remove(file);
      this.#damage.resolve(hash);
      if (files.length === 0) return "absent";
      this.#removed++;
      return "removed";
    });
  }

  /** Whether the block was not touched for the whole delay. */
  untouched(hash: string): boolean {
    return this.#touches.untouchedMs(hash, this.#clock.monotonicMs()) >= this.#options.gcDelayMs;
  }

  /** The files of a block, plain or compressed, in any directory. */
  async filesOf(hash: Hash): Promise<readonly string[]> {
    const found: string[] = [];
    for (const path of this.directories.pathsOf(hash))
      for (const file of [path, path + COMPRESSED_SUFFIX]) if ((await this.#disk.stat(file)) !== undefined) found.push(file);
    return found;
  }

  /** Runs `fn` while no one else changes the block's files (scrub, rebalance). */
  locked<T>(hash: Hash, fn: () => Promise<T>): Promise<T> {
    return this.#locks.run(hash, fn);
  }

  /** Damage known to this process; for `block list-errors`. */
  errors(): readonly BlockDamage[] {
    return this.#damage.list();
  }

  /** A damaged file found elsewhere (a walk over the directories). */
  noteDamage(hash: Hash, path: string): void {
    if (!this.#damage.list().some((entry) => entry.path === path)) this.#damage.add(hash, "damaged", path, this.#clock.wallMs());
  }

  stats(): BlockStoreStats {
    return {
      stored: this.#stored,
      storedBytes: this.#storedBytes,
      deduplicated: this.#deduplicated,
      compressed: this.#compressed,
      fetched: this.#fetched,
      fetchedBytes: this.#fetchedBytes,
      removed: this.#removed,
      damaged: this.#damage.damagedCount,
      missing: this.#damage.missingCount,
    };
  }

  #damaged(hash: Hash, path: string): void {
    this.#damage.add(hash, "damaged", path, this.#clock.wallMs());
    this.#log.error({ hash, path }, "a block's file does not have its hash; it was set aside and is never served");
  }
}

export const COMPRESSED_SUFFIX = ".zst";
export const CORRUPTED_SUFFIX = ".corrupted";
export const ASIDE_SUFFIX = ".tmp";

/** `fetch` does not know the size; this serves the default block size. */
const FIRST_GUESS = 1024 * 1024;

function blockError(error: unknown, hash: Hash): unknown {
  if (error instanceof DiskError)
    return new BlockError(error.code === "disk.full" ? "block.no-space" : "block.io", hash, `${error.path}: ${error.message}`, {
      cause: error,
    });
  if (error instanceof CpuError) return new BlockError("block.io", hash, error.message, { cause: error });
  return error;
}
