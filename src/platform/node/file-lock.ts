import type { FileLock } from "../disk.ts";

const SQLITE_BUSY = 5;

/**
 * The lock is SQLite's on an empty database of its own: exclusive on every platform and file system that SQLite supports, by
 * whatever path the file is reached (symbolic links, bind mounts), and gone with the process, however it ends. Held until it is
 * released or the process ends.
 *
 * @returns undefined when another process has it. @throws the system's or SQLite's error when the file can't be made or locked
 */
export async function lockFile(path: string): Promise<FileLock | undefined> {
  const { DatabaseSync } = await import("node:sqlite");
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    return { release: () => lock.close() };
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}
