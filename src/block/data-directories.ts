import { createHash } from "node:crypto";
import { type Disk, DiskError, type FileLock } from "../platform/disk.ts";
import type { Random } from "../platform/random.ts";
import { isHex } from "../util/ids.ts";

export interface DataDirectoryOptions {
  /** Absolute. */
  readonly path: string;
  /** Any unit, the same for all; irrelevant with one directory. */
  readonly capacityBytes?: number;
  /** Only read from: its blocks stay, no new ones come. */
  readonly readOnly?: boolean;
}

export interface DataDirectory {
  readonly path: string;
  /**
   * Drawn when the directory was first used; lies in its marker file. The disk keeps its blocks when it moves to another path.
   */
  readonly id: string;
  readonly capacityBytes: number;
  readonly readOnly: boolean;
  readonly presence: Presence;
}

/** What lies at a directory's path now; kept true by DirectoryWatch. */
export interface Presence {
  /** The file system, and the directory on it, that carry the marker. */
  device: number;
  inode: number;
  /** Why the directory can't be used now: a sentence. */
  away: string | undefined;
  /** Keeps other daemons off. Undefined: a directory that is only read from, where no file can be made. */
  lock: HeldLock | undefined;
}

export interface HeldLock extends FileLock {
  readonly device: number;
  readonly inode: number;
}

/** The data directories can't be used as they are; the message says which and what to do. */
export class DataDirectoryError extends Error {
  readonly path: string;
  constructor(path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DataDirectoryError";
    this.path = path;
  }
}

/**
 * Where blocks lie: ROOT/ab/cd/HASH over one or several roots. Each of 1,024 slices of the hash space prefers one root, chosen by
 * weighted rendezvous hashing over (id of the root, slice): a change of capacities moves only the slices that must move, and no
 * table is kept.
 */
export class DataDirectories {
  readonly all: readonly DataDirectory[];
  /** Per slice: the roots in order of preference, writable ones first. */
  readonly #ranked: readonly (readonly DataDirectory[])[];

  constructor(all: readonly DataDirectory[]) {
    this.all = all;
    this.#ranked = Array.from({ length: all.length === 1 ? 1 : SLICES }, (_, slice) => rank(all, slice));
  }

  /** Paths (without suffix) where a block may lie; the first is where it belongs. */
  pathsOf(hash: string): readonly string[] {
    return this.#rankedOf(hash).map((directory) => pathIn(directory.path, hash));
  }

  /** Directories for a new file: writable ones that are here, in order of preference, and then those that are only read. */
  placesOf(hash: string): { readonly writable: readonly DataDirectory[]; readonly readOnly: readonly DataDirectory[] } {
    const here = this.#rankedOf(hash).filter(({ presence }) => presence.away === undefined);
    return { writable: here.filter(({ readOnly }) => !readOnly), readOnly: here.filter(({ readOnly }) => readOnly) };
  }

  /** Why blocks can't be reached now: a sentence a directory; empty when all are here. */
  away(): readonly string[] {
    return this.all.flatMap(({ presence }) => presence.away ?? []);
  }

  /** Lets other daemons have the directories. */
  release(): void {
    for (const { presence } of this.all) presence.lock?.release();
  }

  /** The root where a block belongs. */
  homeOf(hash: string): DataDirectory {
    return this.#rankedOf(hash)[0] as DataDirectory;
  }

  #rankedOf(hash: string): readonly DataDirectory[] {
    const slice = this.all.length === 1 ? 0 : Number.parseInt(hash.slice(4, 8), 16) % SLICES;
    return this.#ranked[slice] as readonly DataDirectory[];
  }
}

export const SLICES = 1024;

export const COMPRESSED_SUFFIX = ".zst";
export const CORRUPTED_SUFFIX = ".corrupted";
export const ASIDE_SUFFIX = ".tmp";

export function pathIn(root: string, hash: string): string {
  return `${root}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`;
}

/**
 * Opens the data directories at start: makes and marks new ones, locks all, and refuses when one that was in use lacks its marker
 * or has another's (its disk is not mounted, and writing there would fill the wrong disk and miss every block), or when another
 * daemon has it.
 *
 * @param statePath  a small file in the metadata directory that remembers which directories were in use.
 * @param proven     paths of directories that are this store's for certain: a marker that was lost is made anew.
 * @throws DataDirectoryError
 */
export async function openDataDirectories(
  options: {
    readonly directories: readonly DataDirectoryOptions[];
    readonly statePath: string;
    readonly proven?: ReadonlySet<string>;
  },
  { disk, random }: { readonly disk: Disk; readonly random: Random },
): Promise<DataDirectories> {
  const { directories, statePath, proven = new Set() } = options;
  if (!directories.some(({ readOnly }) => !readOnly))
    throw new DataDirectoryError(directories[0]?.path ?? "", "data_dir: at least one directory must be writable");
  const known = await readState(disk, statePath);
  const opened: DataDirectory[] = [];
  try {
    for (const { path, capacityBytes = 1, readOnly = false } of directories) {
      const one = { disk, random, path, readOnly, expected: known.get(path), isProven: proven.has(path) };
      const before = await markerOf(one);
      const twin = before !== undefined && opened.find((other) => other.id === before);
      if (twin)
        throw new DataDirectoryError(
          path,
          `data_dir: ${path} and ${twin.path} are the same disk (both carry the marker ${before})`,
        );
      if (before === undefined && !readOnly) await disk.makeDirectory(path);
      const lock = await lockDirectory(disk, path, readOnly);
      try {
        const id = await identify(one);
        const { device, inode } = await statDirectory(disk, path);
        opened.push({ path, id, capacityBytes, readOnly, presence: { device, inode, away: undefined, lock } });
      } catch (error) {
        lock?.release();
        throw error;
      }
    }
    if (opened.length !== known.size || opened.some(({ path, id }) => known.get(path) !== id)) {
      const lines = opened.map(({ path, id }) => `  ${JSON.stringify({ path, id })}`); // One line each: that is what an operator is told to remove.
      const state = `{"directories": [\n${lines.join(",\n")}\n]}\n`;
      await disk.writeDurable(statePath, [new TextEncoder().encode(state)], { sync: true });
    }
  } catch (error) {
    for (const { presence } of opened) presence.lock?.release();
    throw error;
  }
  return new DataDirectories(opened);
}

/** @throws DataDirectoryError when another daemon has it */
export async function lockDirectory(disk: Disk, path: string, readOnly: boolean): Promise<HeldLock | undefined> {
  const file = `${path}/${LOCK_FILE}`;
  let lock: FileLock | undefined;
  try {
    lock = await disk.lock(file);
  } catch (error) {
    // Where no file can be made none can be removed either.
    if (readOnly && error instanceof DiskError && error.code === "disk.denied") return undefined;
    throw error;
  }
  if (lock === undefined)
    throw new DataDirectoryError(
      path,
      `data_dir: another daemon is running on ${path} (it holds ${file}); each would remove the other's blocks: stop it, or give this one a folder of its own`,
    );
  const { device, inode } = await statDirectory(disk, file);
  return { device, inode, release: () => lock.release() };
}

async function statDirectory(disk: Disk, path: string): Promise<{ readonly device: number; readonly inode: number }> {
  const found = await disk.stat(path);
  if (found === undefined) throw new DataDirectoryError(path, `data_dir: ${path} went away while it was being opened`);
  return found;
}

interface Candidate {
  readonly disk: Disk;
  readonly random: Random;
  readonly path: string;
  readonly readOnly: boolean;
  /** The marker that the directory had when it was last in use. */
  readonly expected: string | undefined;
  readonly isProven: boolean;
}

/** The marker that a directory carries; undefined when it may be given one. */
async function markerOf({ disk, path, readOnly, expected, isProven }: Candidate): Promise<string | undefined> {
  const text = await readMarker(disk, path);
  if (text !== undefined && !isHex(text, 16))
    throw new DataDirectoryError(path, `data_dir: ${path}/${MARKER} is damaged (32 hex digits expected); ${HOW_TO_REPLACE}`);
  if (expected !== undefined && text === undefined && !isProven)
    throw new DataDirectoryError(
      path,
      `data_dir: ${path} was in use but ${MARKER} is not there: is its disk mounted? If its blocks are lost for good, ${HOW_TO_REPLACE}`,
    );
  if (expected !== undefined && text !== undefined && text !== expected)
    throw new DataDirectoryError(
      path,
      `data_dir: ${path} carries the marker ${text}, but ${expected} was in use there: another disk is mounted; ${HOW_TO_REPLACE}`,
    );
  if (text === undefined && readOnly)
    throw new DataDirectoryError(path, `data_dir: ${path} is read_only and has no ${MARKER}: no blocks were ever kept there`);
  return text;
}

export async function readMarker(disk: Disk, path: string): Promise<string | undefined> {
  const found = await disk.read(`${path}/${MARKER}`);
  return found && new TextDecoder().decode(found).trim();
}

async function identify(one: Candidate): Promise<string> {
  const { disk, random, path, expected } = one;
  const found = await markerOf(one);
  if (found !== undefined) return found;
  const id = expected ?? Buffer.from(random.bytes(16)).toString("hex");
  await disk.writeDurable(`${path}/${MARKER}`, [new TextEncoder().encode(id + "\n")], { sync: true });
  return id;
}

export const MARKER = "hangar-marker";
/** Locked by the daemon that runs on the directory. */
export const LOCK_FILE = "hangar-lock";
const HOW_TO_REPLACE = "remove its line from `data_directories` in metadata_dir and start again";

async function readState(disk: Disk, path: string): Promise<Map<string, string>> {
  const bytes = await disk.read(path);
  if (bytes === undefined) return new Map();
  try {
    const state = JSON.parse(new TextDecoder().decode(bytes)) as { directories: { path: string; id: string }[] };
    return new Map(state.directories.map(({ path: each, id }) => [each, id]));
  } catch (error) {
    throw new DataDirectoryError(path, `${path} is damaged; with all data disks mounted, remove it and start again`, {
      cause: error,
    });
  }
}

/** Weighted rendezvous: the highest −capacity / ln(draw) first; ties can't happen in practice and go by id. */
function rank(all: readonly DataDirectory[], slice: number): readonly DataDirectory[] {
  const scored = all.map((directory) => {
    const digest = createHash("sha256").update(`${directory.id}/${slice}`).digest();
    const draw = (digest.readUIntBE(0, 6) + 1) / (2 ** 48 + 1);
    return { directory, score: -Math.max(directory.capacityBytes, 1) / Math.log(draw) };
  });
  scored.sort(
    (a, b) =>
      Number(a.directory.readOnly) - Number(b.directory.readOnly) ||
      b.score - a.score ||
      (a.directory.id < b.directory.id ? -1 : 1),
  );
  return scored.map(({ directory }) => directory);
}
