import {
  type BlockRead,
  type BlockWritten,
  type Cpu,
  CpuError,
  type DigestAlgorithm,
  type ReadBlock,
  type WriteBlock,
} from "../platform/cpu.ts";
import type { Clock } from "../platform/clock.ts";
import { type Disk, DiskError } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Hash } from "../util/ids.ts";
import { BlockError, type BlockStore, type LentBlock, type StoredBlock } from "./block-store.ts";
import { COMPRESSED_SUFFIX, type DataDirectories, type DataDirectory, pathIn } from "./data-directories.ts";
import { type BlockDamage, DamageList } from "./damage-list.ts";
import { DirectoryWatch } from "./directory-watch.ts";
import { HashLocks } from "./hash-locks.ts";
import { Quarantine } from "./quarantine.ts";
import { TouchTimes } from "./touch-times.ts";

export interface FileBlockStoreOptions {
  /** How long an unneeded, untouched file stays (`block_gc_delay`). */
  readonly gcDelayMs: number;
  /** fsync before anything is acknowledged (`data_fsync`). */
  readonly sync: boolean;
  /** zstd level; undefined: never compress. */
  readonly compressionLevel: number | undefined;
  /** How long files stay in the quarantine (`block_quarantine_keep`). */
  readonly quarantineKeepMs: number;
}

export interface FileBlockStoreModules {
  readonly directories: DataDirectories;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly cpu: Cpu;
  readonly log: Log;
  /** Whether files may be removed for good now. Default: yes. */
  readonly mayRemove?: () => boolean;
  /** Whether certainly nobody needs a block that is to leave the quarantine for good: asked right before. Default: nobody. */
  readonly isWaste?: (hash: Hash) => Promise<boolean>;
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
  readonly quarantine: Quarantine;
  readonly watch: DirectoryWatch;
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

  static async open(options: FileBlockStoreOptions, modules: FileBlockStoreModules): Promise<FileBlockStore> {
    const { mayRemove = () => true, isWaste = () => Promise.resolve(true) } = modules;
    const putBack = (hash: Hash): Promise<boolean> => store.restore(hash);
    const quarantine = await Quarantine.open({ keepMs: options.quarantineKeepMs }, { ...modules, mayRemove, isWaste, putBack });
    const store = new FileBlockStore(options, quarantine, modules);
    return store;
  }

  private constructor(options: FileBlockStoreOptions, quarantine: Quarantine, modules: FileBlockStoreModules) {
    this.#options = options;
    this.directories = modules.directories;
    this.quarantine = quarantine;
    this.watch = new DirectoryWatch(modules);
    this.#clock = modules.clock;
    this.#disk = modules.disk;
    this.#cpu = modules.cpu;
    this.#log = modules.log;
    this.#touches = new TouchTimes(modules.clock.monotonicMs());
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
      // A copy in the quarantine is taken back into use (and compared with the bytes like every other): it would be found missing
      // otherwise, and kept twice.
      if (this.quarantine.mayHold(hash)) await this.#restoreSafely(hash);
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

  /** On the disk where it belongs; when that is full and nothing in quarantine can go, or it is not there, on the next one. */
  async #write(data: Uint8Array, hash: Hash, verify: boolean, digests: readonly DigestAlgorithm[]): Promise<BlockWritten> {
    const full: DataDirectory[] = [];
    for (let tries = 1; ; tries++) {
      const { writable, readOnly } = this.directories.placesOf(hash);
      const home = writable.find((each) => !full.includes(each));
      if (home === undefined) throw new BlockError("block.io", hash, this.directories.away().join("; "));
      const places = [home, ...writable.filter((each) => each !== home), ...readOnly];
      const job = {
        data,
        hash,
        paths: places.map(({ path }) => pathIn(path, hash)),
        roots: places.map(({ presence: { device, inode } }) => ({ device, inode })),
        verify,
        digests,
        compressionLevel: this.#options.compressionLevel,
        sync: this.#options.sync,
      };
      try {
        return await this.#writeIn(home, job);
      } catch (error) {
        if (!(error instanceof DiskError)) throw blockError(error, hash);
        if (error.code === "disk.full") full.push(home);
        if (error.code === "disk.away") await this.watch.look();
        const isElsewhere = this.directories.placesOf(hash).writable.some((each) => !full.includes(each));
        const mayHelp = error.code === "disk.full" || error.code === "disk.away";
        if (!mayHelp || !isElsewhere || tries > this.directories.all.length) throw blockError(error, hash);
        this.#log.warn({ path: error.path }, `a block is written once more, without this directory: ${error.message}`);
      }
    }
  }

  /**
   * A write that finds the disk full has the quarantine give way, or goes into the room that another one has had made meanwhile.
   */
  async #writeIn(home: DataDirectory, job: WriteBlock): Promise<BlockWritten> {
    for (let tries = 1; ; tries++) {
      const before = this.quarantine.freedBytes;
      try {
        return await this.#cpu.writeBlock(job);
      } catch (error) {
        if (!(error instanceof DiskError && error.code === "disk.full")) throw error;
        if (this.quarantine.freedBytes === before) await this.quarantine.makeRoom(home);
        if (this.quarantine.freedBytes === before || tries === MOST_TRIES) throw error;
      }
    }
  }

  async fetch(hash: Hash): Promise<Uint8Array> {
    const job = { hash, paths: this.directories.pathsOf(hash), compressedFirst: false };
    return this.#withWhole(
      job,
      (each) => this.#readAnywhere(each),
      async (read, into) => into.slice(0, await this.#judge(hash, read)),
    );
  }

  /** As #readSafely; before a block is called missing the quarantine is looked into, and whether all disks are there. */
  async #readAnywhere(job: Omit<ReadBlock, "setAside">): Promise<BlockRead> {
    const { hash } = job;
    let read = await this.#readSafely(job, false);
    if (read.outcome !== "absent") return read;
    if (this.quarantine.mayHold(hash) && (await this.#locks.run(hash, () => this.#restoreSafely(hash))))
      read = await this.#readSafely(job, false);
    if (read.outcome === "absent" && read.corrupted.length === 0) await this.#expectAll(hash);
    return read;
  }

  /** @throws BlockError block.io when a directory is away: what is not found may be there. */
  async #expectAll(hash: Hash): Promise<void> {
    await this.watch.look();
    const away = this.directories.away();
    if (away.length > 0) throw new BlockError("block.io", hash, away.join("; "));
  }

  /** Under the lock of the hash. A quarantine that can't be looked into holds nothing. */
  async #restoreSafely(hash: Hash): Promise<boolean> {
    try {
      if (!(await this.quarantine.restore(hash))) return false;
      this.#touches.touch(hash, this.#clock.monotonicMs());
      return true;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#log.warn({ err: error, hash }, "the quarantine can't be looked into");
      return false;
    }
  }

  /** Puts a block back from the quarantine, on an operator's word. @returns whether it was there. */
  restore(hash: Hash): Promise<boolean> {
    return this.#locks.run(hash, () => this.#restoreSafely(hash));
  }

  /**
   * Reads a block whose size is not known, damage set aside under its lock, and runs `fn` over it; the memory is free after that.
   */
  async #withWhole<T>(
    job: Pick<ReadBlock, "hash" | "paths" | "compressedFirst">,
    readBlock: (job: Omit<ReadBlock, "setAside">) => Promise<BlockRead>,
    fn: (read: BlockRead, into: Uint8Array) => Promise<T>,
  ): Promise<T> {
    for (let size = FIRST_GUESS; ; size *= 4) {
      const into = this.#cpu.allocate(size);
      try {
        const read = await readBlock({ ...job, into });
        if (read.outcome !== "too-small" || size >= LARGEST_BLOCK) return await fn(read, into);
      } finally {
        this.#cpu.free(into);
      }
    }
  }

  async #readSafely(job: Omit<ReadBlock, "setAside">, isLocked: boolean): Promise<BlockRead> {
    try {
      const read = await this.#cpu.readBlock({ ...job, setAside: isLocked });
      if (read.outcome !== "damaged") return read;
      // Once more under the lock: the file may have been replaced by a good one meanwhile, and only a damaged one may be set
      // aside.
      return await this.#locks.run(job.hash, () => this.#cpu.readBlock({ ...job, setAside: true }));
    } catch (error) {
      throw blockError(error, job.hash);
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
    try {
      const job = { hash, paths: this.directories.pathsOf(hash), into, compressedFirst: storedSize < size };
      const length = await this.#judge(hash, await this.#readAnywhere(job));
      if (length !== size)
        throw new BlockError("block.damaged", hash, `block ${hash} has ${length} bytes, its object says ${size}`);
    } catch (error) {
      this.#cpu.free(into);
      throw error;
    }
    return { bytes: into, release: () => this.#cpu.free(into) };
  }

  /** Counts what was found; the size of a good block, else a BlockError. */
  async #judge(hash: Hash, read: BlockRead): Promise<number> {
    this.#countDamage(hash, read);
    if (read.outcome === "ok") {
      this.#fetched++;
      this.#fetchedBytes += read.sizeBytes;
      return read.sizeBytes;
    }
    if (read.outcome === "too-small")
      throw new BlockError("block.damaged", hash, `the file of block ${hash} is longer than the block`);
    if (read.outcome === "damaged" || read.corrupted.length > 0)
      throw new BlockError("block.damaged", hash, `block ${hash} does not have its hash; its file was set aside`);
    const known = this.#damage.get(hash);
    this.#damage.add(hash, "missing", "", this.#clock.wallMs());
    throw known?.kind === "damaged"
      ? new BlockError("block.damaged", hash, `block ${hash} was damaged and is set aside as ${known.path}`)
      : new BlockError("block.absent", hash, `block ${hash} is not here`);
  }

  async holds(hash: Hash): Promise<boolean> {
    return this.#locks.run(hash, async () => {
      this.#touches.touch(hash, this.#clock.monotonicMs());
      if ((await this.filesOf(hash)).length > 0) return true;
      if (this.quarantine.mayHold(hash) && (await this.#restoreSafely(hash))) return true;
      await this.#expectAll(hash);
      return false;
    });
  }

  removeUnneeded(hash: Hash, unneeded: () => Promise<boolean>): Promise<"removed" | "absent" | "touched" | "needed"> {
    return this.#letGo(hash, unneeded, (file) => this.#disk.remove(file));
  }

  /** As `removeUnneeded`, for a block that no row knows of: its files go into the quarantine. */
  quarantineUnneeded(hash: Hash, unneeded: () => Promise<boolean>): Promise<"removed" | "absent" | "touched" | "needed"> {
    return this.#letGo(hash, unneeded, (file) => this.quarantine.take(hash, file));
  }

  #letGo(
    hash: Hash,
    unneeded: () => Promise<boolean>,
    remove: (file: string) => Promise<unknown>,
  ): Promise<"removed" | "absent" | "touched" | "needed"> {
    return this.#locks.run(hash, async () => {
      if (!this.untouched(hash)) return "touched";
      if (!(await unneeded())) return "needed";
      // A store of this hash waits for the lock, so nothing can have touched it but `holds` before us; checked all the same (rule
      // 33).
      if (!this.untouched(hash)) return "touched";
      const files = await this.filesOf(hash);
      if (files.length === 0) await this.#expectAll(hash);
      for (const file of files) await remove(file);
      this.#damage.resolve(hash);
      if (files.length === 0) return "absent";
      this.#removed++;
      return "removed";
    });
  }

  /** Puts a damaged copy that no row knows of into the quarantine. */
  quarantineDamaged(hash: Hash, path: string): Promise<boolean> {
    return this.#locks.run(hash, () => this.quarantine.take(hash, path));
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

  /** Reads and verifies one file of a block (scrub); damage is set aside, counted and listed. */
  verifyFile(hash: Hash, path: string): Promise<{ readonly outcome: "good" | "gone" | "damaged"; readonly sizeBytes: number }> {
    const { stem, compressed } = withoutSuffix(path);
    const job = { hash, paths: [stem], compressedFirst: compressed };
    return this.#withWhole(
      job,
      (each) => this.#readSafely(each, false),
      async (read) => {
        this.#countDamage(hash, read);
        if (read.outcome === "ok") return { outcome: "good", sizeBytes: read.sizeBytes };
        const gone = read.outcome === "absent" && read.corrupted.length === 0;
        return { outcome: gone ? "gone" : "damaged", sizeBytes: 0 };
      },
    );
  }

  /** Takes a block's file to the directory where it belongs; returns whether it moved. */
  async moveHome(hash: Hash, path: string): Promise<boolean> {
    const { path: root, presence } = this.directories.homeOf(hash);
    const home = pathIn(root, hash);
    const { stem, compressed } = withoutSuffix(path);
    if (stem === home || presence.away !== undefined) return false;
    const job = { hash, paths: [stem], compressedFirst: compressed };
    const readLocked = (each: Omit<ReadBlock, "setAside">): Promise<BlockRead> => this.#readSafely(each, true);
    return this.#locks.run(hash, () =>
      this.#withWhole(job, readLocked, async (read, into) => {
        this.#countDamage(hash, read);
        if (read.outcome !== "ok") return false;
        const { compressionLevel, sync } = this.#options;
        const data = into.subarray(0, read.sizeBytes);
        try {
          const roots = [{ device: presence.device, inode: presence.inode }];
          await this.#cpu.writeBlock({ data, hash, paths: [home], roots, verify: false, compressionLevel, sync });
        } catch (error) {
          throw blockError(error, hash);
        }
        for (const file of [stem, stem + COMPRESSED_SUFFIX]) await this.#disk.remove(file);
        return true;
      }),
    );
  }

  /** Damage known to this process; for `block list-errors`. */
  errors(): readonly BlockDamage[] {
    return this.#damage.list();
  }

  /** A damaged file found elsewhere (a walk over the directories). */
  noteDamage(hash: Hash, path: string): void {
    if (this.#damage.get(hash)?.path !== path) this.#damage.add(hash, "damaged", path, this.#clock.wallMs());
  }

  /** Grows with every block that is written, found again or removed. */
  get changes(): number {
    return this.#stored + this.#deduplicated + this.#removed;
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

  #countDamage(hash: Hash, read: BlockRead): void {
    if (read.outcome === "ok" || read.outcome === "absent") for (const path of read.corrupted) this.#damaged(hash, path);
  }

  #damaged(hash: Hash, path: string): void {
    this.#damage.add(hash, "damaged", path, this.#clock.wallMs());
    this.#log.error({ hash, path }, "a block's file does not have its hash; it was set aside and is never served");
  }
}

/** Writes of one block into room that was made for it: others may have taken it. */
const MOST_TRIES = 4;
/** Where a block's size is not known; this serves the default block size. */
const FIRST_GUESS = 1024 * 1024;
/** No block is longer, whatever block_size was when it was written. */
const LARGEST_BLOCK = 1024 * 1024 * 1024;

function withoutSuffix(path: string): { readonly stem: string; readonly compressed: boolean } {
  const compressed = path.endsWith(COMPRESSED_SUFFIX);
  return { stem: compressed ? path.slice(0, -COMPRESSED_SUFFIX.length) : path, compressed };
}

function blockError(error: unknown, hash: Hash): unknown {
  if (error instanceof DiskError)
    return new BlockError(error.code === "disk.full" ? "block.no-space" : "block.io", hash, `${error.path}: ${error.message}`, {
      cause: error,
    });
  if (error instanceof CpuError) return new BlockError("block.io", hash, error.message, { cause: error });
  return error;
}
