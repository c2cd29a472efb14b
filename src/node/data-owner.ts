import { MARKER } from "../block/data-directories.ts";
import type { Disk } from "../platform/disk.ts";
import type { NodeId } from "../util/ids.ts";
import { StartError } from "./node-options.ts";

/** The file in a data directory that says whose blocks lie there: the node's id, in hex. */
export const OWNER_FILE = "hangar-node";

interface Directory {
  readonly path: string;
  readonly readOnly: boolean;
}

/**
 * A node removes every file of a data directory that none of its rows names. So before it writes anything it refuses directories whose
 * blocks its rows can't know: another node's (a copied configuration file), another program's (Garage lays out blocks the same way), or
 * its own from before its metadata was lost or left out.
 *
 * @param node.newborn  its metadata is empty: there is no row at all.
 * @throws StartError with what to do
 */
export async function refuseForeignDirectories(
  directories: readonly Directory[],
  node: { readonly id: NodeId; readonly newborn: boolean },
  disk: Disk,
): Promise<void> {
  for (const { path } of directories) {
    const owner = await ownerOf(path, disk);
    if (owner !== undefined && !/^[0-9a-f]{64}$/.test(owner))
      throw new StartError(
        `data_dir: ${path}/${OWNER_FILE} is damaged (it holds the id of the node whose blocks these are): if they are this node's, write its id into it: ${node.id}`,
      );
    if (owner !== undefined && owner !== node.id)
      throw new StartError(
        `data_dir: ${path} belongs to another node (${owner.slice(0, 16)}, says its file ${OWNER_FILE}; this one is ${node.id.slice(0, 16)}): give this node a folder of its own, or the metadata_dir (with its node_key) that belongs to these blocks`,
      );
    const unknown = node.newborn || (owner === undefined && (await disk.stat(`${path}/${MARKER}`)) === undefined);
    if (unknown && (await hasBlocks(path, disk)))
      throw new StartError(
        `data_dir: ${path} holds blocks that this store knows nothing of, and would be removed: ${node.newborn ? "metadata_dir is new or empty. Restore the metadata that belongs to them" : "they were put there by something else. Restore the right folder"}, or give an empty folder`,
      );
  }
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

/** Takes possession of directories that nobody has; after their markers were checked, so that a disk which is not mounted gets no file. */
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
