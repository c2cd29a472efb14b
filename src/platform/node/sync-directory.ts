import { open } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes the names in a directory durable, and its own name in its parent: a new file's fsync alone promises neither. */
export async function syncDirectory(directory: string): Promise<void> {
  for (const path of [directory, dirname(directory)]) {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
