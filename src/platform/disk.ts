/**
 * Files of the block store. All paths are absolute. The simulated disk loses what was not synced when its node crashes.
 */
export interface Disk {
  /**
   * Writes a file so that it exists whole or not at all: aside in the same directory, fsync, rename over `path`, fsync of the
   * directory (and of directories it had to create). Settles when that is done; with `sync: false` without the fsyncs.
   * @param pieces          written one after the other; owned by the disk until the promise settles.
   * @param options.device  the file system (FileStat.device) that the file must be on: another one rejects with disk.away.
   *             Absent: any.
   */
  writeDurable(path: string, pieces: readonly Uint8Array[], options: WriteOptions): Promise<void>;
  /** The whole file in one buffer owned by the caller; undefined when absent. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Bytes [start, end) of a file; undefined when absent; short when the file ends earlier. */
  readRange(path: string, start: number, end: number): Promise<Uint8Array | undefined>;
  /** Removes a file; false when it was absent. Not synced: a removed file may come back after a power cut. */
  remove(path: string): Promise<boolean>;
  rename(from: string, to: string): Promise<void>;
  /** Sets the modification time to `wallMs`. */
  touch(path: string, wallMs: number): Promise<boolean>;
  stat(path: string): Promise<FileStat | undefined>;
  /** Names in a directory, unordered; empty when the directory is absent. */
  list(directory: string): Promise<readonly DirectoryEntry[]>;
  makeDirectory(path: string): Promise<void>;
  /** Removes an empty directory; false when it was absent, or is not empty. */
  removeDirectory(path: string): Promise<boolean>;
  space(path: string): Promise<{ readonly availableBytes: number; readonly totalBytes: number }>;
  /**
   * Takes an exclusive lock on a file, which is made when it is absent. It holds against other processes, by whatever path they
   * reach the file, and is gone when this process ends, however it ends.
   * @returns undefined when another process has it.
   */
  lock(path: string): Promise<FileLock | undefined>;
}

export interface WriteOptions {
  readonly sync: boolean;
  readonly device?: number;
}

export interface FileLock {
  release(): void;
}

export interface FileStat extends FileIdentity {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly directory: boolean;
}

/** Which file system it is on, and which file of it: what a path names may change. */
export interface FileIdentity {
  readonly device: number;
  readonly inode: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly directory: boolean;
}

/** disk.away: another file system than the one that was opened lies at the path now. */
export type DiskErrorCode = "disk.full" | "disk.io" | "disk.denied" | "disk.away";

export class DiskError extends Error {
  readonly code: DiskErrorCode;
  readonly path: string;
  constructor(code: DiskErrorCode, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "DiskError";
    this.code = code;
    this.path = path;
  }
}
