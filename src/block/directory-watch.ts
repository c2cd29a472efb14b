import type { Clock, Timer } from "../platform/clock.ts";
import type { Disk } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import {
  type DataDirectories,
  DataDirectoryError,
  type DataDirectory,
  LOCK_FILE,
  lockDirectory,
  MARKER,
  readMarker,
} from "./data-directories.ts";

/**
 * Two stats of each directory so often: how soon the loss of a disk that nobody writes to is told, and how soon it is used again.
 */
const LOOK_EVERY_MS = 1000;

/**
 * Looks whether the data directories are still those that were opened: a disk may vanish while the daemon runs, with the empty
 * mount point or another disk at its path. Writes are safe from that by themselves (each file's device is compared before it is
 * acknowledged); this says so to everybody else, and takes a disk into use again as soon as its marker is back.
 */
export class DirectoryWatch {
  readonly #directories: DataDirectories;
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #log: Log;
  #looking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(parts: {
    readonly directories: DataDirectories;
    readonly disk: Disk;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#directories = parts.directories;
    this.#disk = parts.disk;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.timer(LOOK_EVERY_MS, () => void this.look().finally(() => this.start()));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  /** Looks at all directories now, not before; what it finds stands in their `presence`. */
  async look(): Promise<void> {
    await this.#looking;
    // Those who have waited share the next one.
    this.#looking ??= Promise.all(this.#directories.all.map((directory) => this.#lookAt(directory)))
      .then(() => undefined)
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #lookAt(directory: DataDirectory): Promise<void> {
    const { presence, path } = directory;
    const before = presence.away;
    try {
      presence.away = await this.#fault(directory);
    } catch (error) {
      presence.away = `data folder ${path} can't be used: ${(error as Error).message}`;
    }
    if (presence.away === before) return;
    if (presence.away === undefined) this.#log.warn({ path }, "a data folder is back: it is used again");
    else if (before === undefined)
      this.#log.error({ path }, `${presence.away}; requests that need it are answered 503 until it is back`);
  }

  async #fault({ path, id, presence, readOnly }: DataDirectory): Promise<string | undefined> {
    const found = await this.#disk.stat(path);
    if (found === undefined) return `data folder ${path} is not there`;
    const isSame = found.device === presence.device && found.inode === presence.inode;
    const lockFile = presence.lock && (await this.#disk.stat(`${path}/${LOCK_FILE}`));
    const isLocked = presence.lock?.device === lockFile?.device && presence.lock?.inode === lockFile?.inode;
    if (isSame && isLocked && presence.away === undefined) return undefined;
    const marker = await readMarker(this.#disk, path);
    if (marker === undefined) return `data folder ${path} carries no ${MARKER} any more: its disk is not mounted`;
    if (marker !== id) return `data folder ${path} carries another disk's ${MARKER}`;
    // A disk that was plugged in anew is another device to the system, and the lock was on the old one; somebody may have
    // removed the file, and then it keeps nobody off.
    if (presence.lock && !isLocked)
      try {
        const lock = await lockDirectory(this.#disk, path, readOnly);
        presence.lock.release();
        presence.lock = lock;
      } catch (error) {
        if (error instanceof DataDirectoryError) return error.message;
        throw error;
      }
    presence.device = found.device;
    presence.inode = found.inode;
    return undefined;
  }
}
