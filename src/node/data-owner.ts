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
 * Refuses data directories of another node. A node removes every file that none of its rows names: on the directory of another store
 * (a metadata_dir begun anew, a copied configuration file) that would be every block of the other one.
 *
 * @throws StartError with what to do
 */
export async function refuseForeignDirectories(directories: readonly Directory[], own: NodeId, disk: Disk): Promise<void> {
  for (const { path } of directories) {
    const owner = await ownerOf(path, disk);
    if (owner === undefined || owner === own) continue;
    throw new StartError(
      `data_dir: ${path} holds the blocks of another node (${owner.slice(0, 16)}; this one is ${own.slice(0, 16)}), which would be removed as unneeded: give this node another folder, or the metadata_dir that belongs to these blocks. Only if that is lost for good, remove ${path}/${OWNER_FILE}`,
    );
  }
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
