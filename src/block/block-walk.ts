import type { Disk } from "../platform/disk.ts";
import { type Hash, isHex } from "../util/ids.ts";
import { ASIDE_SUFFIX, COMPRESSED_SUFFIX, CORRUPTED_SUFFIX, type DataDirectories } from "./data-directories.ts";

/** A file found on a walk. `aside`: being written, or left by a process that died while writing. */
export interface FoundFile {
  readonly hash: Hash;
  readonly path: string;
  readonly kind: "block" | "corrupted" | "aside";
}

/** Number of lower directories, ROOT/ab/cd: positions of a walk are 0 ..= LEAVES. */
export const LEAVES = 65_536;

/** Walks the files of all data directories in the order of the hashes, one lower directory at a time; can begin anywhere. */
export class BlockWalk {
  readonly #directories: DataDirectories;
  readonly #disk: Disk;
  #upper: { readonly at: number; readonly lower: readonly number[] } | undefined;

  constructor(directories: DataDirectories, disk: Disk) {
    this.#directories = directories;
    this.#disk = disk;
  }

  /**
   * The files of the first lower directory at or behind `position` that exists, and the position behind it; no files and LEAVES
   * at the end.
   */
  async next(position: number): Promise<{ readonly files: readonly FoundFile[]; readonly next: number }> {
    for (let at = position; at < LEAVES; at = ((at >>> 8) + 1) << 8) {
      const lower = (await this.#lowerOf(at >>> 8)).find((each) => each >= (at & 0xff));
      if (lower === undefined) continue;
      const leaf = (at & ~0xff) | lower;
      return { files: await this.#filesIn(leaf), next: leaf + 1 };
    }
    this.#upper = undefined;
    return { files: [], next: LEAVES };
  }

  /** What an upper directory held when the walk came to it, over all roots. */
  async #lowerOf(upper: number): Promise<readonly number[]> {
    if (this.#upper?.at === upper) return this.#upper.lower;
    const found = new Set<number>();
    for (const { path } of this.#directories.all)
      for (const { name } of await this.#disk.list(`${path}/${hexByte(upper)}`))
        if (isHex(name, 1)) found.add(Number.parseInt(name, 16));
    const lower = [...found].sort((a, b) => a - b);
    this.#upper = { at: upper, lower };
    return lower;
  }

  async #filesIn(leaf: number): Promise<readonly FoundFile[]> {
    const files: FoundFile[] = [];
    for (const { path: root } of this.#directories.all) {
      const directory = `${root}/${hexByte(leaf >>> 8)}/${hexByte(leaf & 0xff)}`;
      for (const { name } of await this.#disk.list(directory)) {
        const hash = name.slice(0, 64);
        if (!isHex(hash, 32)) continue;
        const rest = name.slice(64);
        const kind = KINDS[rest] ?? (rest.endsWith(ASIDE_SUFFIX) ? "aside" : undefined);
        if (kind) files.push({ hash: hash as Hash, path: `${directory}/${name}`, kind });
      }
    }
    return files;
  }
}

const KINDS: Readonly<Record<string, FoundFile["kind"]>> = {
  "": "block",
  [COMPRESSED_SUFFIX]: "block",
  [CORRUPTED_SUFFIX]: "corrupted",
  [COMPRESSED_SUFFIX + CORRUPTED_SUFFIX]: "corrupted",
};

function hexByte(value: number): string {
  return value.toString(16).padStart(2, "0");
}
