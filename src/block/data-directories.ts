import { createHash } from "node:crypto";
import type { Disk } from "../platform/disk.ts";
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
  /** Drawn when the directory was first used; lies in its marker file. The disk keeps its blocks when it moves to another path. */
  readonly id: string;
  readonly capacityBytes: number;
  readonly readOnly: boolean;
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
 * weighted rendezvous hashing over (id of the root, slice): a change of capacities moves only the slices that must move, and no table is kept.
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

  /** Paths for a new file: writable roots in order of preference, and then those that are only read. */
  writablePathsOf(hash: string): { readonly writable: readonly string[]; readonly readOnly: readonly string[] } {
    const ranked = this.#rankedOf(hash);
    return {
      writable: ranked.filter(({ readOnly }) => !readOnly).map(({ path }) => pathIn(path, hash)),
      readOnly: ranked.filter(({ readOnly }) => readOnly).map(({ path }) => pathIn(path, hash)),
    };
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

export function pathIn(root: string, hash: string): string {
  return `${root}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`;
}

/**
 * Opens the data directories at start: makes and marks new ones, and refuses when one that was in use lacks its marker or has
 * another's: its disk is not mounted, and writing there would fill the wrong disk and miss every block.
 *
 * @param statePath  a small file in the metadata directory that remembers which directories were in use.
 * @throws DataDirectoryError
 */
export async function openDataDirectories(
  { directories, statePath }: { readonly directories: readonly DataDirectoryOptions[]; readonly statePath: string },
  { disk, random }: { readonly disk: Disk; readonly random: Random },
): Promise<DataDirectories> {
  if (!directories.some(({ readOnly }) => !readOnly))
    throw new DataDirectoryError(directories[0]?.path ?? "", "data_dir: at least one directory must be writable");
  const known = await readState(disk, statePath);
  const opened: DataDirectory[] = [];
  for (const { path, capacityBytes = 1, readOnly = false } of directories) {
    const id = await identify({ disk, random, path, readOnly, expected: known.get(path) });
    const twin = opened.find((other) => other.id === id);
    if (twin)
      throw new DataDirectoryError(path, `data_dir: ${path} and ${twin.path} are the same disk (both carry the marker ${id})`);
    opened.push({ path, id, capacityBytes, readOnly });
  }
  if (opened.length !== known.size || opened.some(({ path, id }) => known.get(path) !== id)) {
    const lines = opened.map(({ path, id }) => `  ${JSON.stringify({ path, id })}`); // One line each: that is what an operator is told to remove.
    const state = `{"directories": [\n${lines.join(",\n")}\n]}\n`;
    await disk.writeDurable(statePath, [new TextEncoder().encode(state)], { sync: true });
  }
  return new DataDirectories(opened);
}

async function identify(one: {
  readonly disk: Disk;
  readonly random: Random;
  readonly path: string;
  readonly readOnly: boolean;
  readonly expected: string | undefined;
}): Promise<string> {
  const { disk, random, path, readOnly, expected } = one;
  const marker = `${path}/${MARKER}`;
  const found = await disk.read(marker);
  const text = found && new TextDecoder().decode(found).trim();
  if (text !== undefined && !isHex(text, 16))
    throw new DataDirectoryError(path, `data_dir: ${marker} is damaged (32 hex digits expected); ${HOW_TO_REPLACE}`);
  if (expected !== undefined && text === undefined)
    throw new DataDirectoryError(
      path,
      `data_dir: ${path} was in use but ${MARKER} is not there: is its disk mounted? If its blocks are lost for good, ${HOW_TO_REPLACE}`,
    );
  if (expected !== undefined && text !== expected)
    throw new DataDirectoryError(
      path,
      `data_dir: ${path} carries the marker ${text}, but ${expected} was in use there: another disk is mounted; ${HOW_TO_REPLACE}`,
    );
  if (text !== undefined) return text;
  if (readOnly)
    throw new DataDirectoryError(path, `data_dir: ${path} is read_only and has no ${MARKER}: no blocks were ever kept there`);
  const id = Buffer.from(random.bytes(16)).toString("hex");
  await disk.writeDurable(marker, [new TextEncoder().encode(id + "\n")], { sync: true });
  return id;
}

export const MARKER = "hangar-marker";
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
