import { closeSync, openSync, statfsSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** A disk with less room is taken to be the reason of a failed write. */
const FULL_DISK_BYTES = 16 << 20;
const PROBE_BYTES = 1 << 16;

/**
 * Whether a write failed for want of room, though the engine calls it an I/O error: lmdb does so when a write is cut short,
 * SQLite when a quota is used up or a file may not get longer. Free space is not all that bounds a file, so the disk itself is
 * asked, by zeros behind the end of `file`.
 *
 * @param file  one in which zeros behind the end mean nothing to the engine.
 */
export function isOutOfRoom(file: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(file));
    if (bavail * bsize < FULL_DISK_BYTES) return true;
    const descriptor = openSync(file, "a");
    try {
      return writeSync(descriptor, Buffer.alloc(PROBE_BYTES)) < PROBE_BYTES;
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
  }
}
