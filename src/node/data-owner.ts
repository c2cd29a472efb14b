import { MARKER } from "../block/data-directories.ts";
import type { SettingsRow } from "../model/control/rows.ts";
import type { Disk } from "../platform/disk.ts";
import type { Kv } from "../platform/kv.ts";
import type { Log } from "../platform/log.ts";
import type { NodeId } from "../util/ids.ts";
import { GENERATION_FILE, readFolderGeneration } from "./data-generation.ts";
import { evidenceText, gatherEvidence, isConvincing } from "./folder-evidence.ts";
import { StartError } from "./node-options.ts";

/** The file in a data directory that says whose blocks lie there: the node's id, in hex. */
export const OWNER_FILE = "hangar-node";

interface Directory {
  readonly path: string;
  readonly readOnly: boolean;
}

/**
 * A node takes every block of a data directory that none of its rows names for waste. So before it writes anything it refuses
 * directories whose blocks its rows can't know: another node's or another store's (a copied configuration file), another
 * program's (Garage lays out blocks the same way), or its own from before its metadata was lost or left out.
 *
 * @param node.newborn  its metadata is empty: there is no row at all.
 * @param known         the directories that were in use.
 * @returns the paths of directories that are this store's for certain, although a marker may be lost.
 * @throws StartError with what to do
 */
export async function refuseForeignDirectories(
  directories: readonly Directory[],
  node: { readonly id: NodeId; readonly settings: SettingsRow | undefined },
  {
    disk,
    kv,
    log,
    known,
  }: { readonly disk: Disk; readonly kv: Kv; readonly log: Log; readonly known: readonly KnownDirectory[] },
): Promise<ReadonlySet<string>> {
  const { id, settings } = node;
  const proven = new Set<string>();
  for (const { path } of directories) {
    const owner = await ownerOf(path, disk);
    if (owner !== undefined && !/^[0-9a-f]{64}$/.test(owner))
      throw new StartError(
        `data_dir: ${path}/${OWNER_FILE} is damaged (it holds the id of the node whose blocks these are): if they are this node's, write its id into it: ${id}`,
      );
    if (owner !== undefined && owner !== id)
      throw new StartError(
        `data_dir: ${path} belongs to another node (${owner.slice(0, 16)}, says its file ${OWNER_FILE}; this one is ${id.slice(0, 16)}): give this node a folder of its own, or the metadata_dir (with its node_key) that belongs to these blocks`,
      );
    // Its own disk is there: the file lies on it.
    if (owner !== undefined) proven.add(path);
    if (!(await hasBlocks(path, disk))) continue;
    if (settings === undefined)
      throw new StartError(
        `data_dir: ${path} holds blocks that this store knows nothing of, and would be removed: metadata_dir is new or empty. Restore the metadata that belongs to them, or give an empty folder`,
      );
    const cluster = (await readFolderGeneration(disk, path))?.cluster;
    if (cluster !== undefined && cluster !== settings.clusterId)
      throw new StartError(
        `data_dir: ${path} belongs to another store (${cluster.slice(0, 16)}, says its file ${GENERATION_FILE}; this one is ${settings.clusterId.slice(0, 16)}): give this store a folder of its own, or the metadata_dir that belongs to these blocks`,
      );
    if (owner !== undefined || (await disk.stat(`${path}/${MARKER}`)) !== undefined) continue;
    const roots = directories.map((one) => one.path);
    const evidence = await gatherEvidence({ path, roots, partitions: settings.partitions }, { disk, kv });
    if (isConvincing(evidence)) {
      log.warn(
        { path, ...evidence },
        `a data folder has lost its files ${MARKER} and ${OWNER_FILE}; its blocks are those that this store's rows name, so they are made anew`,
      );
      proven.add(path);
      continue;
    }
    const wasInUse = known.some((one) => one.path === path);
    throw new StartError(
      `data_dir: ${path} holds blocks that this store knows nothing of, and would be removed: ${evidenceText(evidence)}. ${wasInUse ? "Is its disk mounted? Restore" : "They were put there by something else. Restore"} the right folder, or give an empty one; if it is this store's all the same, write this node's id into ${path}/${OWNER_FILE}: ${id}`,
    );
  }
  return proven;
}

/** The directories that this store had in use when it last ran, from the file in which `openDataDirectories` remembers them. */
export async function directoriesInUse(statePath: string, disk: Disk): Promise<readonly KnownDirectory[]> {
  const bytes = await disk.read(statePath);
  if (bytes === undefined) return [];
  try {
    return (JSON.parse(new TextDecoder().decode(bytes)) as { directories: KnownDirectory[] }).directories;
  } catch {
    // Whoever opens the directories says what is wrong with the file.
    return [];
  }
}

export interface KnownDirectory {
  readonly path: string;
  readonly id: string;
}

/**
 * Takes possession of directories that nobody has; after their markers were checked, so that a disk which is not mounted gets no
 * file.
 */
export async function ownDirectories(directories: readonly Directory[], own: NodeId, disk: Disk): Promise<void> {
  for (const { path, readOnly } of directories)
    if (!readOnly && (await ownerOf(path, disk)) === undefined)
      await disk.writeDurable(`${path}/${OWNER_FILE}`, [new TextEncoder().encode(`${own}\n`)], { sync: true });
}

async function ownerOf(path: string, disk: Disk): Promise<string | undefined> {
  const bytes = await disk.read(`${path}/${OWNER_FILE}`);
  return bytes && new TextDecoder().decode(bytes).trim();
}

/** Folders of blocks are called by the first two digits of their hashes. */
async function hasBlocks(path: string, disk: Disk): Promise<boolean> {
  return (await disk.list(path)).some(({ name, directory }) => directory && /^[0-9a-f]{2}$/.test(name));
}
