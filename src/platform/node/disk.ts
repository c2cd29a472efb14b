import { type Dirent, constants } from "node:fs";
import {
  access,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rmdir,
  stat,
  statfs,
  unlink,
  utimes,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import type { DirectoryEntry, Disk, FileLock, FileStat, WriteOptions } from "../disk.ts";
import { checkDevice } from "./device-check.ts";
import { diskError } from "./disk-errors.ts";
import { lockFile } from "./file-lock.ts";

/** Files through node:fs. Blocks don't come through here (see cpu.ts); markers, state files, directory walks and removals do. */
export class NodeDisk implements Disk {
  #asideCount = 0;

  writeDurable(path: string, pieces: readonly Uint8Array[], { sync, device }: WriteOptions): Promise<void> {
    return mapped(path, async () => {
      const aside = `${path}.${process.pid}-d${this.#asideCount++}.tmp`;
      const made = await makeMissing(dirname(path));
      try {
        const file = await open(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
        try {
          checkDevice(file.fd, device, path);
          for (const piece of pieces) for (let at = 0; at < piece.byteLength; ) at += (await file.write(piece, at)).bytesWritten;
          if (sync) await file.sync();
        } finally {
          await file.close();
        }
        await rename(aside, path);
      } catch (error) {
        await unlink(aside).catch(() => {});
        throw error;
      }
      if (!sync) return;
      await syncDirectory(dirname(path), device);
      for (const directory of made) await syncDirectory(dirname(directory));
    });
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return mapped(path, () => unlessAbsent(readFile(path)));
  }

  readRange(path: string, start: number, end: number): Promise<Uint8Array | undefined> {
    return mapped(path, async () => {
      const file = await unlessAbsent(open(path, constants.O_RDONLY));
      if (file === undefined) return undefined;
      try {
        return await readFully(file, start, end);
      } finally {
        await file.close();
      }
    });
  }

  remove(path: string): Promise<boolean> {
    return mapped(path, async () => (await unlessAbsent(unlink(path).then(() => true))) ?? false);
  }

  rename(from: string, to: string): Promise<void> {
    return mapped(from, () => rename(from, to));
  }

  touch(path: string, wallMs: number): Promise<boolean> {
    return mapped(path, async () => (await unlessAbsent(utimes(path, wallMs / 1000, wallMs / 1000).then(() => true))) ?? false);
  }

  stat(path: string): Promise<FileStat | undefined> {
    return mapped(path, async () => {
      const found = await unlessAbsent(stat(path));
      if (found === undefined) return undefined;
      const { size, mtimeMs, dev, ino } = found;
      return { sizeBytes: size, modifiedMs: mtimeMs, directory: found.isDirectory(), device: dev, inode: ino };
    });
  }

  list(directory: string): Promise<readonly DirectoryEntry[]> {
    return mapped(directory, async () => {
      const entries: Dirent[] = (await unlessAbsent(readdir(directory, { withFileTypes: true }))) ?? [];
      return entries.map((entry) => ({ name: entry.name, directory: entry.isDirectory() }));
    });
  }

  makeDirectory(path: string): Promise<void> {
    return mapped(path, async () => {
      for (const directory of await makeMissing(path)) await syncDirectory(dirname(directory));
    });
  }

  removeDirectory(path: string): Promise<boolean> {
    return mapped(path, async () => {
      try {
        await rmdir(path);
        return true;
      } catch (error) {
        if (["ENOENT", "ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
        throw error;
      }
    });
  }

  space(path: string): Promise<{ readonly availableBytes: number; readonly totalBytes: number }> {
    return mapped(path, async () => {
      const { bavail, blocks, bsize } = await statfs(path);
      return { availableBytes: bavail * bsize, totalBytes: blocks * bsize };
    });
  }

  lock(path: string): Promise<FileLock | undefined> {
    return mapped(path, async () => {
      // A plain look first: SQLite's own words for a folder that can't be used don't say why.
      await access(dirname(path), constants.R_OK | constants.W_OK | constants.X_OK);
      return lockFile(path);
    });
  }
}

async function mapped<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw diskError(error, path);
  }
}

async function unlessAbsent<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function readFully(file: FileHandle, start: number, end: number): Promise<Uint8Array> {
  const { size } = await file.stat();
  const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(end, size) - start));
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, done, bytes.byteLength - done, start + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** Makes a directory and what is missing above it; returns what was made, deepest first. */
async function makeMissing(path: string): Promise<readonly string[]> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return [];
  const made: string[] = [];
  for (let each = path; each.length >= first.length; each = join(each, "..")) made.push(each);
  return made;
}

async function syncDirectory(path: string, device?: number): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    checkDevice(directory.fd, device, path);
    await directory.sync();
  } finally {
    await directory.close();
  }
}
