import { closeSync, constants, fsync, openSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { checkDevice } from "./device-check.ts";

/**
 * Makes the names of block files durable. A file's own directory (ROOT/ab/cd) is synced for every file; the entries of that
 * directory and of the one above it once per process, because what is there at a start may have been made by a process that was
 * killed before its fsync.
 */
export class DurableDirectories {
  /** By upper directory (ROOT/ab). */
  readonly #uppers = new Map<string, Upper>();
  /** By root: the file system that #uppers tells of. */
  readonly #devices = new Map<string, number>();

  /**
   * Call when `directory` was just made: its entry is not on disk, whatever was known. It is synced beside the first file's name,
   * not at once: that would force a commit of the file system's journal of its own.
   */
  made(directory: string): void {
    this.#uppers.get(dirname(directory))?.lower.delete(directory);
  }

  /**
   * Settles when the name of `file` is on disk, and every name above it up to the root's entries.
   * @param device  the file system that they must be on; another one rejects.
   */
  async sync(file: string, device: number | undefined): Promise<void> {
    const directory = dirname(file);
    const root = dirname(dirname(directory));
    // A disk that was plugged in anew is another device, and may have lost what was not written yet.
    if (device !== undefined && this.#devices.get(root) !== device) {
      this.#devices.set(root, device);
      for (const upper of this.#uppers.keys()) if (dirname(upper) === root) this.#uppers.delete(upper);
    }
    const above = this.#uppers.get(dirname(directory))?.lower.get(directory) ?? this.#syncAbove(directory, device);
    if (above === true) await syncPath(directory, device);
    else await Promise.all([syncPath(directory, device), above]);
  }

  #syncAbove(directory: string, device: number | undefined): Promise<void> {
    const path = dirname(directory);
    const upper = this.#uppers.get(path);
    if (upper !== undefined) return learn(upper, directory, syncPath(path, device));
    const own = syncPath(dirname(path), device);
    const started: Upper = { own, lower: new Map() };
    this.#uppers.set(path, started);
    own.catch(() => this.#uppers.delete(path)); // The next file tries again.
    const names = readdirSync(path);
    const entries = syncPath(path, device);
    for (const name of names) learn(started, `${path}/${name}`, entries);
    return learn(started, directory, entries);
  }
}

interface Upper {
  /** The upper directory's own entry in the root. */
  readonly own: Promise<void>;
  /** Lower directories whose entries are on disk, or on their way. */
  readonly lower: Map<string, Promise<void> | true>;
}

function learn({ own, lower }: Upper, directory: string, entry: Promise<void>): Promise<void> {
  const done: Promise<void> = Promise.all([own, entry]).then(
    () => {
      if (lower.get(directory) === done) lower.set(directory, true);
    },
    (error: unknown) => {
      if (lower.get(directory) === done) lower.delete(directory);
      throw error;
    },
  );
  done.catch(() => {}); // Whoever waits for it sees the error.
  lower.set(directory, done);
  return done;
}

/** fsync through libuv's pool, so that several overlap: it is where the time goes on a slow disk. */
export function syncFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())));
}

async function syncPath(path: string, device: number | undefined): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    checkDevice(fd, device, path);
    await syncFile(fd);
  } finally {
    closeSync(fd);
  }
}
