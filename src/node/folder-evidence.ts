import { COMPRESSED_SUFFIX, pathIn } from "../block/data-directories.ts";
import { isDamage } from "../model/partition/damage.ts";
import { eachReference, isReferenced, zeroSince } from "../model/partition/reference-row.ts";
import { zeroKey } from "../model/partition/row-keys.ts";
import { Placement } from "../model/placement.ts";
import type { Disk } from "../platform/disk.ts";
import { type Kv, STOP } from "../platform/kv.ts";
import { type GroupId, type Hash, isHex } from "../util/ids.ts";

/** Of blocks that lie in a folder, and of blocks that rows name. */
export interface FolderEvidence {
  /** Block files of the folder that were looked at, and of how many a row knows. */
  readonly files: number;
  readonly knownFiles: number;
  /** Blocks named by rows that were looked for, and how many are in any of the data folders. */
  readonly named: number;
  readonly foundNamed: number;
}

/** Looked at on each side; spread over the hash space on both. */
const SAMPLE = 256;
const PER_FOLDER = 4;

/**
 * What speaks for a folder without markers being this store's. Both ways: that its files are known says that they are ours; that
 * the blocks which rows name are there says that it is the whole folder, and not what a disk that is not mounted has hidden.
 *
 * @param roots  all data folders; a block may be in any.
 */
export async function gatherEvidence(
  { path, roots, partitions }: { readonly path: string; readonly roots: readonly string[]; readonly partitions: number },
  { disk, kv }: { readonly disk: Disk; readonly kv: Kv },
): Promise<FolderEvidence> {
  const placement = new Placement(partitions);
  const files = await sampleFiles(path, disk);
  const known = await kv.read((rows) =>
    files.filter((hash) => {
      const group = placement.ofHash(hash);
      return unlessDamaged(() => isReferenced(rows, group, hash) || zeroSince(rows, zeroKey(group, hash)) !== undefined);
    }),
  );
  const named = await kv.read((rows) => {
    const found: Hash[] = [];
    for (let group = 0; group < partitions && found.length < SAMPLE; group++)
      unlessDamaged(() =>
        eachReference(rows, group as GroupId, ({ hash }) => {
          if (found.at(-1) !== hash) found.push(hash);
          return found.length % PER_FOLDER === 0 ? STOP : undefined;
        }),
      );
    return found;
  });
  let foundNamed = 0;
  for (const hash of named) if (await isInAny(hash, roots, disk)) foundNamed++;
  return { files: files.length, knownFiles: known.length, named: named.length, foundNamed };
}

/** Uploads that died leave files that nobody knows, and a scrub may have set some aside: most must fit, not all. */
export function isConvincing({ files, knownFiles, named, foundNamed }: FolderEvidence): boolean {
  return knownFiles > 0 && knownFiles >= files * 0.5 && foundNamed >= named * 0.9;
}

export function evidenceText({ files, knownFiles, named, foundNamed }: FolderEvidence): string {
  return `it has no marker, rows know ${knownFiles} of ${files} of its blocks, and ${foundNamed} of ${named} blocks that rows name are there`;
}

async function sampleFiles(path: string, disk: Disk): Promise<readonly Hash[]> {
  const uppers = (await disk.list(path)).filter(({ name, directory }) => directory && isHex(name, 1));
  const found: Hash[] = [];
  for (const upper of uppers)
    for (const lower of (await disk.list(`${path}/${upper.name}`)).slice(0, PER_FOLDER)) {
      const names = (await disk.list(`${path}/${upper.name}/${lower.name}`)).map(({ name }) => name);
      const hashes = names.map((name) => (name.endsWith(COMPRESSED_SUFFIX) ? name.slice(0, -COMPRESSED_SUFFIX.length) : name));
      found.push(...(hashes.filter((hash) => isHex(hash, 32)).slice(0, PER_FOLDER) as Hash[]));
      if (found.length >= SAMPLE) return found;
    }
  return found;
}

async function isInAny(hash: Hash, roots: readonly string[], disk: Disk): Promise<boolean> {
  for (const root of roots)
    for (const suffix of ["", COMPRESSED_SUFFIX]) if ((await disk.stat(pathIn(root, hash) + suffix)) !== undefined) return true;
  return false;
}

/** Before the groups are there nothing is repaired; what can't be read is no evidence. */
function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}
