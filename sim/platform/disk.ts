// The disk of tests and of the simulator: files in memory, with what a power cut does to what was not synced, full disks, I/O
// errors, bit rot.
import type { Clock } from "../../src/platform/clock.ts";
import {
  type DirectoryEntry,
  type Disk,
  DiskError,
  type DiskErrorCode,
  type FileLock,
  type FileStat,
  type WriteOptions,
} from "../../src/platform/disk.ts";
import { assert } from "../../src/util/assert.ts";

interface Inode {
  content: Uint8Array;
  /** What a power cut leaves for certain; undefined: never synced. */
  durable: Uint8Array | undefined;
  modifiedMs: number;
}

type Node = Inode | "directory";

/** What survives a crash. Open a SimDisk over it; after a crash another one. */
export class SimDiskImage {
  readonly names = new Map<string, Node>();
  readonly #durableNames = new Map<string, Node>();
  /** Per directory: names that changed since it was synced, each with the change it was: a rename is one change of two names. */
  readonly #dirty = new Map<string, Map<string, object>>();
  /** Files that a living process has locked: "DEVICE:PATH". */
  readonly locked = new Set<string>();
  /** Where another file system begins, and its number; everything else is on file system 1. */
  readonly devices = new Map<string, number>();
  capacityBytes = Number.POSITIVE_INFINITY;
  usedBytes = 0;

  link(path: string, node: Node, change: object = {}): void {
    this.names.set(path, node);
    this.#touched(path, change);
  }

  deviceOf(path: string): number {
    for (let each = path; each !== "/" && each !== ""; each = parentOf(each)) {
      const device = this.devices.get(each);
      if (device !== undefined) return device;
    }
    return 1;
  }

  unlink(path: string, change: object = {}): void {
    this.names.delete(path);
    this.#touched(path, change);
  }

  rename(from: string, to: string, node: Node): void {
    const change = {};
    this.unlink(from, change);
    this.link(to, node, change);
  }

  #touched(path: string, change: object): void {
    const directory = parentOf(path);
    const names = this.#dirty.get(directory) ?? new Map<string, object>();
    this.#dirty.set(directory, names.set(path, change));
  }

  syncDirectory(directory: string): void {
    for (const path of this.#dirty.get(directory)?.keys() ?? []) copyEntry(this.names, this.#durableNames, path);
    this.#dirty.delete(directory);
  }

  /** A power cut: of every change that was not synced, `random` decides how much of it reached the disk (files may be torn). */
  crash(random: () => number): void {
    const isLost = new Map<object, boolean>();
    for (const names of this.#dirty.values())
      for (const [path, change] of names) {
        if (!isLost.has(change)) isLost.set(change, random() < 0.5);
        if (isLost.get(change)) copyEntry(this.#durableNames, this.names, path);
      }
    this.#dirty.clear();
    // A name below a directory that was lost is lost with it.
    for (const path of [...this.names.keys()].sort()) {
      const parent = parentOf(path);
      if (parent !== "/" && parent !== "" && !this.names.has(parent)) this.names.delete(path);
    }
    this.#durableNames.clear();
    this.usedBytes = 0;
    for (const [path, node] of this.names) {
      this.#durableNames.set(path, node);
      if (node === "directory") continue;
      if (node.durable !== node.content) {
        const torn = node.content.slice(0, Math.floor(random() * (node.content.byteLength + 1)));
        node.content = random() < 0.3 ? node.content : random() < 0.5 && node.durable ? node.durable : torn;
        node.durable = node.content;
      }
      this.usedBytes += node.content.byteLength;
    }
  }

  /** Bit rot. */
  flip(path: string, bit: number): void {
    const node = this.names.get(path);
    assert(node !== undefined && node !== "directory" && node.content.byteLength > 0, "only a file with bytes can rot");
    const rotten = node.content.slice();
    const at = (bit >>> 3) % rotten.byteLength;
    rotten[at] = (rotten[at] as number) ^ (1 << (bit & 7));
    node.content = rotten;
    node.durable = rotten;
  }
}

export interface SimDiskOptions {
  readonly image?: SimDiskImage;
  readonly clock?: Clock;
  /** How long an operation takes; asked for each. Without a clock, or 0: one turn of the microtask queue. */
  readonly delayMs?: () => number;
  /** Asked before each step that could fail; a code makes it fail. */
  readonly fault?: (operation: string, path: string) => DiskErrorCode | undefined;
}

/** One process's view of a disk. After `crash` none of its promises settles. */
export class SimDisk implements Disk {
  readonly image: SimDiskImage;
  readonly #clock: Clock | undefined;
  readonly #delayMs: () => number;
  readonly #fault: (operation: string, path: string) => DiskErrorCode | undefined;
  readonly #locks = new Set<string>();
  #crashed = false;
  #asideCount = 0;

  constructor({ image = new SimDiskImage(), clock, delayMs = () => 0, fault = () => undefined }: SimDiskOptions = {}) {
    this.image = image;
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.#fault = fault;
  }

  /** The process is gone, and with it the power: see SimDiskImage.crash. */
  crash(random: () => number): void {
    this.#crashed = true;
    for (const name of this.#locks) this.image.locked.delete(name);
    this.image.crash(random);
  }

  writeDurable(path: string, pieces: readonly Uint8Array[], options: WriteOptions): Promise<void> {
    if (options.device !== undefined && this.image.deviceOf(path) !== options.device)
      return Promise.reject(new DiskError("disk.away", path, "another file system is mounted there"));
    return this.writeAside({ path, aside: `${path}.sim-d${this.#asideCount++}.tmp`, bytes: Buffer.concat(pieces), ...options });
  }

  /** As `writeDurable`, with the name that the file has until it is complete. */
  async writeAside(file: {
    readonly path: string;
    readonly aside: string;
    readonly bytes: Uint8Array;
    readonly sync: boolean;
  }): Promise<void> {
    const { path, aside, bytes, sync } = file;
    const { image } = this;
    const directory = parentOf(path);
    const inode: Inode = { content: new Uint8Array(), durable: undefined, modifiedMs: 0 };
    const made = await this.#step("write", path, () => {
      const directories = this.#makeMissing(directory);
      // Half of it first, so that a crash finds files in the making.
      inode.content = bytes.slice(0, bytes.byteLength >>> 1);
      inode.modifiedMs = this.#wallMs();
      image.link(aside, inode);
      return directories;
    });
    try {
      await this.#step("write", path, () => {
        if (image.usedBytes + bytes.byteLength > image.capacityBytes)
          throw new DiskError("disk.full", path, "no space left on the disk");
        inode.content = bytes.slice();
        image.usedBytes += bytes.byteLength;
      });
      if (sync)
        await this.#step("sync", path, () => {
          inode.durable = inode.content;
        });
      await this.#step("rename", path, () => this.#rename(aside, path));
    } catch (error) {
      image.unlink(aside);
      throw error;
    }
    if (!sync) return;
    for (const each of [directory, ...made.map(parentOf)]) await this.#step("sync", each, () => image.syncDirectory(each));
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return this.#step("read", path, () => this.#file(path)?.content.slice());
  }

  readRange(path: string, start: number, end: number): Promise<Uint8Array | undefined> {
    return this.#step("read", path, () => this.#file(path)?.content.slice(start, end));
  }

  remove(path: string): Promise<boolean> {
    return this.#step("remove", path, () => {
      const inode = this.#file(path);
      if (inode === undefined) return false;
      this.image.usedBytes -= inode.content.byteLength;
      this.image.unlink(path);
      return true;
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step("rename", from, () => {
      if (this.#file(from) === undefined) throw new DiskError("disk.io", from, "no such file");
      this.#rename(from, to);
    });
  }

  touch(path: string, wallMs: number): Promise<boolean> {
    return this.#step("touch", path, () => {
      const inode = this.#file(path);
      if (inode) inode.modifiedMs = wallMs;
      return inode !== undefined;
    });
  }

  stat(path: string): Promise<FileStat | undefined> {
    return this.#step("stat", path, () => {
      const node = this.image.names.get(path);
      if (node === undefined) return undefined;
      const device = this.image.deviceOf(path);
      if (node === "directory") return { sizeBytes: 0, modifiedMs: 0, directory: true, device, inode: 0 };
      return { sizeBytes: node.content.byteLength, modifiedMs: node.modifiedMs, directory: false, device, inode: 0 };
    });
  }

  list(directory: string): Promise<readonly DirectoryEntry[]> {
    return this.#step("list", directory, () => {
      if (this.#file(directory)) throw new DiskError("disk.io", directory, "not a directory");
      const entries: DirectoryEntry[] = [];
      const prefix = directory === "/" ? directory : `${directory}/`;
      for (const [path, node] of this.image.names)
        if (path.startsWith(prefix) && path.length > prefix.length && !path.includes("/", prefix.length))
          entries.push({ name: path.slice(prefix.length), directory: node === "directory" });
      return entries;
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#step("write", path, () => {
      for (const each of this.#makeMissing(path)) this.image.syncDirectory(parentOf(each));
    });
  }

  removeDirectory(path: string): Promise<boolean> {
    return this.#step("remove", path, () => {
      const { names } = this.image;
      if (names.get(path) !== "directory" || [...names.keys()].some((each) => parentOf(each) === path)) return false;
      this.image.unlink(path);
      return true;
    });
  }

  space(path: string): Promise<{ readonly availableBytes: number; readonly totalBytes: number }> {
    return this.#step("stat", path, () => {
      const { capacityBytes, usedBytes } = this.image;
      return { availableBytes: capacityBytes - usedBytes, totalBytes: capacityBytes };
    });
  }

  lock(path: string): Promise<FileLock | undefined> {
    return this.#step("lock", path, () => {
      const { locked } = this.image;
      const name = `${this.image.deviceOf(path)}:${path}`;
      if (locked.has(name)) return undefined;
      const empty = new Uint8Array();
      if (!this.image.names.has(path)) this.image.link(path, { content: empty, durable: empty, modifiedMs: this.#wallMs() });
      locked.add(name);
      this.#locks.add(name);
      return { release: () => void (this.#locks.delete(name) && locked.delete(name)) };
    });
  }

  #file(path: string): Inode | undefined {
    const node = this.image.names.get(path);
    return node === "directory" ? undefined : node;
  }

  #rename(from: string, to: string): void {
    const inode = this.#file(from) as Inode;
    this.image.usedBytes -= this.#file(to)?.content.byteLength ?? 0;
    this.image.rename(from, to, inode);
  }

  /** Deepest first. */
  #makeMissing(path: string): readonly string[] {
    const made: string[] = [];
    for (let each = path; each !== "/" && each !== "" && !this.image.names.has(each); each = parentOf(each)) {
      this.image.link(each, "directory");
      made.push(each);
    }
    return made;
  }

  /** Check and effect without a turn between them: after a crash nothing of a dead process may happen. */
  async #step<T>(operation: string, path: string, effect: () => T): Promise<T> {
    const delayMs = this.#delayMs();
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#clock && delayMs > 0) this.#clock.timer(delayMs, resolve);
    else resolve();
    await promise;
    if (this.#crashed) await new Promise<never>(() => {});
    const code = this.#fault(operation, path);
    if (code !== undefined) throw new DiskError(code, path, `simulated ${code}`);
    return effect();
  }

  #wallMs(): number {
    return this.#clock?.wallMs() ?? 0;
  }
}

function copyEntry(from: ReadonlyMap<string, Node>, to: Map<string, Node>, path: string): void {
  const node = from.get(path);
  if (node === undefined) to.delete(path);
  else to.set(path, node);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0)) || "/";
}
