import {
  closeSync,
  constants,
  fstatSync,
  futimesSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  write,
  writeSync,
} from "node:fs";
import { hash as hashOnce } from "node:crypto";
import { dirname } from "node:path";
import { constants as zlibConstants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { BlockRead } from "../cpu.ts";
import { checkDevice, wrongDevice } from "./device-check.ts";
import { DurableDirectories, syncFile } from "./durable-directories.ts";

/**
 * A block's file on disk. Short calls (open, write, rename, stat) are synchronous, because a hop through libuv's pool costs more
 * than they do and this runs in a worker; fsync is not, so that several of them overlap: it is where the time goes on a slow
 * disk.
 */
export class BlockFiles {
  /** Distinguishes files aside of several workers and processes. */
  readonly #asidePrefix: string;
  #asideCount = 0;
  /** Memory that is not aligned as the device wants it; learned by trying. */
  readonly #misaligned = new WeakSet<ArrayBufferLike>();
  #directRefusals = 0;
  readonly #directories = new DurableDirectories();
  #scratch: Buffer = Buffer.alloc(0);

  constructor(asidePrefix: string) {
    this.#asidePrefix = asidePrefix;
  }

  /** The block, if a good file of it is here already; touches it and makes it durable. Bad ones are set aside. */
  async findSame(
    { paths, devices, sync }: { readonly paths: readonly string[]; readonly devices: readonly number[]; readonly sync: boolean },
    data: Uint8Array,
  ): Promise<{ storedSize: number | undefined; at: number; corrupted: string[] }> {
    const corrupted: string[] = [];
    for (const [at, path] of paths.entries())
      for (const suffix of ["", COMPRESSED]) {
        const file = path + suffix;
        const size = statSync(file, { throwIfNoEntry: false })?.size;
        if (size === undefined) continue;
        const fd = openSync(file, constants.O_RDWR);
        try {
          const stored = this.#readAll(fd, size);
          checkDevice(fd, devices[at], file);
          if (isSame(stored, data, suffix === COMPRESSED)) {
            const now = Date.now() / 1000;
            futimesSync(fd, now, now);
            if (sync) {
              await syncFile(fd);
              await this.#directories.sync(file, devices[at]);
            }
            return { storedSize: size, at, corrupted };
          }
        } finally {
          closeSync(fd);
        }
        corrupted.push(moveAside(file));
      }
    return { storedSize: undefined, at: 0, corrupted };
  }

  /** Writes aside, fsyncs, renames, fsyncs the directories. */
  async write(path: string, bytes: Uint8Array, { sync, device }: Durability): Promise<void> {
    const written = this.#isForDirect(bytes) && (await this.#writeAside(path, bytes, { sync, device, direct: true }));
    if (!written) await this.#writeAside(path, bytes, { sync, device, direct: false });
    if (sync) await this.#directories.sync(path, device);
  }

  /** False when the bytes can't go past the page cache; nothing is left then. */
  async #writeAside(
    path: string,
    bytes: Uint8Array,
    { sync, device, direct }: Durability & { readonly direct: boolean },
  ): Promise<boolean> {
    const aside = `${path}.${this.#asidePrefix}${this.#asideCount++}${ASIDE}`;
    const fd = this.#create(aside, { direct, sync, device });
    if (fd === undefined) return false;
    let complete = false;
    try {
      try {
        checkDevice(fd, device, path);
        if (direct) {
          if (!(await this.#writeDirect(fd, bytes))) return false;
        } else {
          for (let done = 0; done < bytes.byteLength; ) done += writeSync(fd, bytes, done);
          if (sync) await syncFile(fd);
        }
      } finally {
        closeSync(fd);
      }
      renameSync(aside, path);
      complete = true;
      return true;
    } finally {
      if (!complete) removeIfThere(aside);
    }
  }

  /** Reads and verifies; the bytes land in `into`. */
  read(
    paths: readonly string[],
    hash: string,
    into: Uint8Array,
    { compressedFirst, setAside }: { readonly compressedFirst: boolean; readonly setAside: boolean },
  ): BlockRead {
    const corrupted: string[] = [];
    for (const path of paths)
      for (const compressed of [compressedFirst, !compressedFirst]) {
        const file = compressed ? path + COMPRESSED : path;
        let fd: number;
        try {
          fd = openSync(file, constants.O_RDONLY);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
          throw error;
        }
        let good: number | "too-small" | "damaged";
        try {
          good = compressed ? this.#readCompressed(fd, hash, into) : readPlain(fd, hash, into);
        } finally {
          closeSync(fd);
        }
        if (good === "too-small") return { outcome: "too-small" };
        if (good !== "damaged") return { outcome: "ok", sizeBytes: good, corrupted };
        if (!setAside) return { outcome: "damaged", path: file };
        corrupted.push(moveAside(file));
      }
    return { outcome: "absent", corrupted };
  }

  #readCompressed(fd: number, hash: string, into: Uint8Array): number | "too-small" | "damaged" {
    const stored = this.#readAll(fd, fstatSync(fd).size);
    let bytes: Buffer;
    try {
      bytes = zstdDecompressSync(stored, { maxOutputLength: into.byteLength });
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? "too-small" : "damaged";
    }
    if (hashOnce("sha256", bytes, "hex") !== hash) return "damaged";
    into.set(bytes);
    return bytes.byteLength;
  }

  /** The whole file in this worker's scratch memory; valid until the next call. */
  #readAll(fd: number, size: number): Buffer {
    if (this.#scratch.byteLength < size) this.#scratch = Buffer.allocUnsafeSlow(size);
    return this.#scratch.subarray(0, readFully(fd, this.#scratch, size));
  }

  /**
   * Whole blocks go past the page cache: copying them into it cost more CPU than all the rest of a write together (measured at 1
   * MiB: 600–3,000 µs of system time through the cache with its fsync, 200 past it), and what is uploaded is seldom read at once.
   */
  #isForDirect(bytes: Uint8Array): boolean {
    if (O_DIRECT === 0) return false;
    if (bytes.byteLength < DIRECT_FROM || bytes.byteLength % DIRECT_UNIT !== 0) return false;
    return this.#directRefusals < MAX_DIRECT_REFUSALS && !this.#misaligned.has(bytes.buffer);
  }

  /** False when this memory, or the device, can't do that. */
  async #writeDirect(fd: number, bytes: Uint8Array): Promise<boolean> {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        const count = await writeSome(fd, bytes, done);
        done += count;
        if (done < bytes.byteLength && count % DIRECT_UNIT !== 0) return false;
      }
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
      this.#misaligned.add(bytes.buffer);
      return false;
    }
  }

  /**
   * Opens a new file; undefined where the file system has no direct writes. Those of a durable file are on disk when they return:
   * no fsync follows.
   */
  #create(aside: string, { direct, ...durability }: Durability & { readonly direct: boolean }): number | undefined {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    if (!direct) return this.#open(aside, flags, durability);
    try {
      return this.#open(aside, flags | O_DIRECT | (durability.sync ? constants.O_DSYNC : 0), durability);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
      this.#directRefusals++;
      removeIfThere(aside); // Linux refuses the flag after it has made the file.
      return undefined;
    }
  }

  #open(aside: string, flags: number, { sync, device }: Durability): number {
    try {
      return openSync(aside, flags, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      // The root itself must exist, and be the one that was opened: creating anything here would fill the disk below a mount
      // point that is not mounted.
      const directory = dirname(aside);
      const root = dirname(dirname(directory));
      if (device !== undefined && statSync(root).dev !== device) throw wrongDevice(root);
      for (const each of [dirname(directory), directory])
        try {
          mkdirSync(each, 0o700);
        } catch (made) {
          if ((made as NodeJS.ErrnoException).code !== "EEXIST") throw made;
        }
      if (sync) this.#directories.made(directory);
      return openSync(aside, flags, 0o600);
    }
  }
}

interface Durability {
  readonly sync: boolean;
  /** The file system that the file must be on; undefined: any. */
  readonly device: number | undefined;
}

export const COMPRESSED = ".zst";
export const CORRUPTED = ".corrupted";
export const ASIDE = ".tmp";

/** Sample and gain that decide on compression: synchronous zstd on random data would add 55 % CPU to a big upload. */
const SAMPLE_BYTES = 32 * 1024;
const KEEP_BELOW = 0.9;
const SMALLEST = 512;

/** The zstd form when it saves ≥ 10 %, else undefined. */
export function compressIfSmaller(data: Uint8Array, level: number): Uint8Array | undefined {
  if (data.byteLength < SMALLEST) return undefined;
  const options = { params: { [zlibConstants.ZSTD_c_compressionLevel]: level, [zlibConstants.ZSTD_c_checksumFlag]: 1 } };
  if (looksRandom(data)) return undefined;
  if (data.byteLength > SAMPLE_BYTES) {
    // From the middle: the head of a file is often a header that compresses better than the rest.
    const start = (data.byteLength - SAMPLE_BYTES) >>> 1;
    if (zstdCompressSync(data.subarray(start, start + SAMPLE_BYTES), options).byteLength > SAMPLE_BYTES * KEEP_BELOW)
      return undefined;
  }
  const packed = zstdCompressSync(data, options);
  return packed.byteLength <= data.byteLength * KEEP_BELOW ? packed : undefined;
}

/**
 * Encrypted and compressed bytes are evenly spread: 4 KiB of them hold 7.95 bits of entropy a byte, text 4–6, programs 6–7.
 * This costs 6 µs, the zstd sample 60.
 */
function looksRandom(data: Uint8Array): boolean {
  if (data.byteLength < ENTROPY_SAMPLE) return false;
  const counts = new Uint16Array(256);
  const start = (data.byteLength - ENTROPY_SAMPLE) >>> 1;
  for (let at = start; at < start + ENTROPY_SAMPLE; at++) counts[data[at] as number]!++;
  let sum = 0;
  for (let value = 0; value < 256; value++) {
    const count = counts[value] as number;
    if (count > 0) sum += count * Math.log2(count);
  }
  return Math.log2(ENTROPY_SAMPLE) - sum / ENTROPY_SAMPLE > RANDOM_BITS;
}

const ENTROPY_SAMPLE = 4096;
const RANDOM_BITS = 7.9;

function readPlain(fd: number, hash: string, into: Uint8Array): number | "too-small" | "damaged" {
  const length = readFully(fd, into, into.byteLength);
  if (length === into.byteLength && fstatSync(fd).size > length) return "too-small";
  return hashOnce("sha256", into.subarray(0, length), "hex") === hash ? length : "damaged";
}

function readFully(fd: number, into: Uint8Array, size: number): number {
  let done = 0;
  while (done < size) {
    const count = readSync(fd, into, done, size - done, null);
    if (count === 0) break;
    done += count;
  }
  return done;
}

function isSame(stored: Buffer, data: Uint8Array, compressed: boolean): boolean {
  if (!compressed) return stored.equals(data);
  try {
    return zstdDecompressSync(stored, { maxOutputLength: data.byteLength }).equals(data);
  } catch {
    return false;
  }
}

/** What can't be removed here is the janitor's. */
function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone, or the disk is in trouble.
  }
}

/** A damaged file is kept for the operator, out of the way; an older one of the same name goes. */
function moveAside(file: string): string {
  renameSync(file, file + CORRUPTED);
  return file + CORRUPTED;
}

/** Linux has it; elsewhere writes go through the cache. */
const O_DIRECT: number = constants.O_DIRECT ?? 0;
/** Smallest and granular size of a write past the page cache. */
const DIRECT_FROM = 64 * 1024;
const DIRECT_UNIT = 4096;
/** After so many files that could not be opened for it this worker stops trying. */
const MAX_DIRECT_REFUSALS = 16;

/** Asynchronous: past the cache a write waits for the device. */
function writeSome(fd: number, bytes: Uint8Array, from: number): Promise<number> {
  return new Promise((resolve, reject) =>
    write(fd, bytes, from, bytes.byteLength - from, null, (error, count) => (error ? reject(error) : resolve(count))),
  );
}
