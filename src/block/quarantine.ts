import type { Clock } from "../platform/clock.ts";
import { type Disk, DiskError } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Worker, WorkerStatus, WorkStep } from "../task/worker.ts";
import { type Hash, isHex } from "../util/ids.ts";
import { COMPRESSED_SUFFIX, CORRUPTED_SUFFIX, type DataDirectories, type DataDirectory, pathIn } from "./data-directories.ts";

export interface QuarantineOptions {
  /** How long a file stays (`block_quarantine_keep`), unless its room is needed. */
  readonly keepMs: number;
}

export interface QuarantineModules {
  readonly directories: DataDirectories;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether files may be removed at all (see CollectionHold). */
  readonly mayRemove: () => boolean;
  /** Whether certainly nobody needs the block: rows that know it may have come back after its file was taken. */
  readonly isWaste: (hash: Hash) => Promise<boolean>;
  /** Has a block put back, under the lock of its hash. */
  readonly putBack: (hash: Hash) => Promise<unknown>;
}

export interface QuarantinedFile {
  readonly hash: Hash;
  readonly path: string;
  /** A copy whose bytes did not have its hash: not put back. */
  readonly isDamaged: boolean;
  readonly sizeBytes: number;
  /** Wall clock. */
  readonly sinceMs: number;
}

export interface QuarantineTotals {
  readonly files: number;
  readonly bytes: number;
}

/** Beside the block folders (ab/cd), on the same disk: moving a file there and back is one rename. */
export const QUARANTINE_FOLDER = "quarantine";

/** A day's folder of one data directory, and what is in it. */
interface Day {
  readonly directory: DataDirectory;
  /** YYYY-MM-DD, UTC: sorts by age. */
  readonly name: string;
  files: number;
  bytes: number;
}

/** Files looked at in one unit of work. */
const FILES_PER_UNIT = 256;
const LONGEST_REST_MS = 60_000;
const SHORTEST_REST_MS = 500;
/** Free space of a disk below which the oldest files go. */
const RESERVE_BYTES = 2 ** 30;
const RESERVE_SHARE = 0.03;
/** What is freed at once when a write finds the disk full, so that not every write has to. */
const ROOM_STEP_BYTES = 16 * 2 ** 20;
/** Of one day, so many are put in order of age before some are removed for their room. */
const SORTED_TOGETHER = 10_000;
const DAY_MS = 24 * 3600 * 1000;

/**
 * Where files go that no row accounts for: DATA_DIR/quarantine/DAY/NAME. Nobody may know such a block only because the metadata
 * was put back to an older copy, or was damaged; so it is kept for a while, found again when it is asked for, and can be put back
 * by hand. It counts as free room: the oldest files go when room is needed.
 */
export class Quarantine implements Worker {
  readonly name = "Block quarantine";
  readonly #options: QuarantineOptions;
  readonly #modules: QuarantineModules;
  /** Oldest first. */
  #days: Day[] = [];
  /** One bit per slot of the hash space: never says no wrongly, so that a miss, and every store, costs no look at the disk. */
  readonly #filter = new Uint8Array(FILTER_SLOTS / 8);
  /** Whether #days and #filter tell everything. */
  #isCounted = false;
  #mustCountAgain = false;
  #uncounted: { readonly day: Day; names?: string[] }[] = [];
  #expiring: { readonly day: Day; readonly names: string[] } | undefined;
  #expired: Day[] = [];
  /** Monotonic. */
  #nextRoundMs = Number.NEGATIVE_INFINITY;
  readonly #making = new Map<DataDirectory, Promise<void>>();
  #freedBytes = 0;
  #removed = 0;
  #restored = 0;

  private constructor(options: QuarantineOptions, modules: QuarantineModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** Finds the folders of the days; what is in them is counted by the first units of work. */
  static async open(options: QuarantineOptions, modules: QuarantineModules): Promise<Quarantine> {
    const quarantine = new Quarantine(options, modules);
    for (const directory of modules.directories.all)
      for (const { name } of await modules.disk.list(folderOf(directory)))
        if (DAY_NAME.test(name)) quarantine.#days.push({ directory, name, files: 0, bytes: 0 });
    quarantine.#sortDays();
    quarantine.#beginCount();
    return quarantine;
  }

  /** False: certainly not. */
  mayHold(hash: string): boolean {
    if (this.#days.length === 0) return false;
    if (!this.#isCounted) return true;
    const slot = slotOf(hash);
    return ((this.#filter[slot >>> 3] as number) & (1 << (slot & 7))) !== 0;
  }

  totals(): QuarantineTotals {
    let files = 0;
    let bytes = 0;
    for (const day of this.#days) {
      files += day.files;
      bytes += day.bytes;
    }
    return { files, bytes };
  }

  /** Room that new blocks would get: what lies in directories that take them. */
  freeableBytes(): number {
    return this.#days.reduce((sum, { directory, bytes }) => sum + (directory.readOnly ? 0 : bytes), 0);
  }

  /**
   * Moves a file here; the caller holds the lock of its hash.
   * @returns false when the disk has no room for as much as a folder: the file was removed, as everything here would be.
   */
  async take(hash: Hash, path: string): Promise<boolean> {
    const { directories, disk, clock } = this.#modules;
    const directory = directories.all.find((each) => path.startsWith(`${each.path}/`)) as DataDirectory;
    const found = await disk.stat(path);
    if (found === undefined) return false;
    // By a clock that was wrong when the file was last used it would be old at once.
    const sinceMs = Math.max(clock.wallMs(), found.modifiedMs);
    const name = new Date(sinceMs).toISOString().slice(0, 10);
    const folder = `${folderOf(directory)}/${name}`;
    let day = this.#days.find((each) => each.directory === directory && each.name === name);
    if (day === undefined) {
      try {
        await disk.makeDirectory(folder);
      } catch (error) {
        if (!(error instanceof DiskError && error.code === "disk.full")) throw error;
        await disk.remove(path);
        this.#modules.log.warn({ path }, "the disk is full: a block that no row knows of was removed");
        return false;
      }
      day = { directory, name, files: 0, bytes: 0 };
      this.#days.push(day);
      this.#sortDays();
    }
    const to = `${folder}/${path.slice(path.lastIndexOf("/") + 1)}`;
    const replaced = await disk.stat(to);
    await disk.touch(path, sinceMs);
    await disk.rename(path, to);
    this.#mark(hash);
    if (!this.#isCounted) this.#mustCountAgain = true;
    if (replaced === undefined) day.files++;
    day.bytes += found.sizeBytes - (replaced?.sizeBytes ?? 0);
    return true;
  }

  /** Puts a block's files back where blocks lie; the caller holds the lock of the hash. @returns whether there was one. */
  async restore(hash: Hash): Promise<boolean> {
    const { disk, log } = this.#modules;
    let isRestored = false;
    // The newest first: it is the one that was used last.
    for (const day of [...this.#days].reverse()) {
      if (day.directory.presence.away !== undefined) continue;
      for (const suffix of ["", COMPRESSED_SUFFIX]) {
        const from = `${folderOf(day.directory)}/${day.name}/${hash}${suffix}`;
        const found = await disk.stat(from);
        if (found === undefined) continue;
        const to = pathIn(day.directory.path, hash) + suffix;
        if ((await disk.stat(to)) !== undefined) continue;
        await disk.makeDirectory(to.slice(0, to.lastIndexOf("/")));
        await disk.rename(from, to);
        this.#forget(day, found.sizeBytes);
        this.#restored++;
        isRestored = true;
        log.warn({ path: to }, "a block that no row knew of is needed: it was put back from the quarantine");
      }
    }
    return isRestored;
  }

  /** All files, those of the oldest days first. */
  async *files(): AsyncGenerator<QuarantinedFile> {
    const { disk } = this.#modules;
    for (const day of [...this.#days]) {
      const folder = `${folderOf(day.directory)}/${day.name}`;
      for (const { name } of await disk.list(folder)) {
        const hash = hashIn(name);
        const found = hash && (await disk.stat(`${folder}/${name}`));
        if (!found) continue;
        const isDamaged = name.endsWith(CORRUPTED_SUFFIX);
        yield { hash, path: `${folder}/${name}`, isDamaged, sizeBytes: found.sizeBytes, sinceMs: found.modifiedMs };
      }
    }
  }

  /**
   * Removes the oldest files of one directory until `bytes` are free, or none is left. Those who ask meanwhile wait for the same.
   */
  makeRoom(directory: DataDirectory, bytes = ROOM_STEP_BYTES): Promise<void> {
    const under = this.#making.get(directory);
    if (under) return under;
    const making = this.#makeRoom(directory, bytes).finally(() => this.#making.delete(directory));
    this.#making.set(directory, making);
    return making;
  }

  /** Grows with the room that was made. */
  get freedBytes(): number {
    return this.#freedBytes;
  }

  async #makeRoom(directory: DataDirectory, bytes: number): Promise<void> {
    const { disk, log, mayRemove } = this.#modules;
    let freed = 0;
    for (const day of this.#days.filter((each) => each.directory === directory)) {
      if (freed >= bytes || !mayRemove() || directory.presence.away !== undefined) break;
      const folder = `${folderOf(directory)}/${day.name}`;
      const files: { path: string; sizeBytes: number; modifiedMs: number }[] = [];
      for (const { name } of (await disk.list(folder)).slice(0, SORTED_TOGETHER)) {
        const found = await disk.stat(`${folder}/${name}`);
        if (found) files.push({ path: `${folder}/${name}`, sizeBytes: found.sizeBytes, modifiedMs: found.modifiedMs });
      }
      files.sort((a, b) => a.modifiedMs - b.modifiedMs);
      for (const { path, sizeBytes } of files) {
        if (freed >= bytes) break;
        if (await this.#remove(day, path, sizeBytes)) freed += sizeBytes;
      }
    }
    this.#freedBytes += freed;
    if (freed > 0) log.warn({ path: directory.path, bytes: freed }, "room is needed: the oldest quarantined files were removed");
  }

  async work(): Promise<WorkStep> {
    if (!this.#isCounted) return this.#count();
    if (!this.#modules.mayRemove()) return { state: "idle", delayMs: this.#restMs() };
    if (this.#expiring === undefined && this.#expired.length === 0) {
      const restMs = this.#nextRoundMs - this.#modules.clock.monotonicMs();
      if (restMs > 0) return { state: "idle", delayMs: restMs };
      await this.#beginRound();
    }
    await this.#expire();
    return { state: "busy" };
  }

  status(): WorkerStatus {
    const { files, bytes } = this.totals();
    return {
      queueLength: files,
      freeform: [
        `${files} files, ${bytes} bytes${this.#isCounted ? "" : " (being counted)"}`,
        `${this.#removed} removed, ${this.#restored} put back`,
      ],
    };
  }

  #beginCount(): void {
    for (const day of this.#days) Object.assign(day, { files: 0, bytes: 0 });
    this.#uncounted = this.#days.map((day) => ({ day }));
    this.#mustCountAgain = false;
    this.#isCounted = this.#days.length === 0;
  }

  async #count(): Promise<WorkStep> {
    const { disk } = this.#modules;
    const next = this.#uncounted.at(-1);
    if (next === undefined) {
      this.#isCounted = true;
      // What came or went meanwhile may have been counted twice, or not at all.
      if (this.#mustCountAgain) this.#beginCount();
      return { state: "busy" };
    }
    const folder = `${folderOf(next.day.directory)}/${next.day.name}`;
    next.names ??= (await disk.list(folder)).map(({ name }) => name);
    for (const name of next.names.splice(-FILES_PER_UNIT)) {
      const hash = hashIn(name);
      const found = hash && (await disk.stat(`${folder}/${name}`));
      if (!found) continue;
      this.#mark(hash);
      next.day.files++;
      next.day.bytes += found.sizeBytes;
    }
    if (next.names.length === 0) this.#uncounted.pop();
    return { state: "busy" };
  }

  async #beginRound(): Promise<void> {
    const { clock, disk } = this.#modules;
    this.#nextRoundMs = clock.monotonicMs() + this.#restMs();
    await this.#keepRoom();
    for (const day of this.#days) {
      if (day.files > 0 || day.directory.presence.away !== undefined || clock.wallMs() - Date.parse(day.name) < 2 * DAY_MS)
        continue;
      this.#days = this.#days.filter((each) => each !== day);
      await disk.removeDirectory(`${folderOf(day.directory)}/${day.name}`);
    }
    this.#expired = this.#days.filter(
      ({ name, files }) => files > 0 && Date.parse(name) + this.#options.keepMs <= clock.wallMs(),
    );
  }

  /** Other things fill the disk too; blocks must not be the ones to find it full. */
  async #keepRoom(): Promise<void> {
    for (const directory of new Set(this.#days.map((day) => day.directory))) {
      if (directory.presence.away !== undefined) continue;
      const { availableBytes, totalBytes } = await this.#modules.disk.space(directory.path);
      const missing = Math.min(RESERVE_BYTES, totalBytes * RESERVE_SHARE) - availableBytes;
      if (missing > 0) await this.makeRoom(directory, missing);
    }
  }

  async #expire(): Promise<void> {
    const { clock, disk } = this.#modules;
    if (this.#expiring === undefined) {
      const day = this.#expired.pop();
      if (day === undefined || day.directory.presence.away !== undefined) return;
      const names = (await disk.list(`${folderOf(day.directory)}/${day.name}`)).map(({ name }) => name);
      this.#expiring = { day, names };
    }
    const { day, names } = this.#expiring;
    for (const name of names.splice(-FILES_PER_UNIT)) {
      const path = `${folderOf(day.directory)}/${day.name}/${name}`;
      const found = await disk.stat(path);
      if (found === undefined || found.modifiedMs + this.#options.keepMs > clock.wallMs()) continue;
      if (await this.#remove(day, path, found.sizeBytes)) continue;
      const hash = hashIn(name);
      if (hash && !(await this.#modules.isWaste(hash))) await this.#modules.putBack(hash);
    }
    if (names.length === 0) this.#expiring = undefined;
  }

  /**
   * Removes a file that nobody needs. No lock is needed: a store or a read of the hash at the same moment has the file out of
   * here by a rename, which the removal then doesn't find, or finds no file, and a store writes its bytes anew.
   */
  async #remove(day: Day, path: string, sizeBytes: number): Promise<boolean> {
    const hash = hashIn(path.slice(path.lastIndexOf("/") + 1));
    if (hash && !(await this.#modules.isWaste(hash))) return false;
    if (!(await this.#modules.disk.remove(path))) return false;
    this.#forget(day, sizeBytes);
    this.#removed++;
    return true;
  }

  #restMs(): number {
    return Math.max(SHORTEST_REST_MS, Math.min(LONGEST_REST_MS, this.#options.keepMs / 4));
  }

  #forget(day: Day, sizeBytes: number): void {
    if (!this.#isCounted) this.#mustCountAgain = true;
    day.files = Math.max(0, day.files - 1);
    day.bytes = Math.max(0, day.bytes - sizeBytes);
  }

  #mark(hash: string): void {
    const slot = slotOf(hash);
    this.#filter[slot >>> 3] = (this.#filter[slot >>> 3] as number) | (1 << (slot & 7));
  }

  #sortDays(): void {
    this.#days.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
}

const DAY_NAME = /^\d{4}-\d{2}-\d{2}$/;
const FILTER_SLOTS = 1 << 20;

function folderOf({ path }: DataDirectory): string {
  return `${path}/${QUARANTINE_FOLDER}`;
}

function hashIn(name: string): Hash | undefined {
  const hash = name.slice(0, 64);
  return isHex(hash, 32) ? (hash as Hash) : undefined;
}

function slotOf(hash: string): number {
  return Number.parseInt(hash.slice(8, 13), 16);
}
