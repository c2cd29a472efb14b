import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { FileLock } from "../platform/disk.ts";
import { lockFile } from "../platform/node/file-lock.ts";
import { CommandError } from "./fail.ts";

/** Where each engine keeps the rows, in metadata_dir. */
export const DATABASES = { lmdb: "db.lmdb", sqlite: "db.sqlite" } as const;

/**
 * Two daemons on one metadata_dir would each believe to be the store. The lock is held until the process ends.
 *
 * @throws CommandError when another daemon has it · the system's error when the folder can't be used
 */
export async function lockMetadata(metadataDir: string): Promise<FileLock> {
  mkdirSync(metadataDir, { recursive: true, mode: 0o700 });
  // A plain look first: SQLite's own words for a folder that can't be used don't say why.
  accessSync(metadataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  const lock = await lockFile(join(metadataDir, "daemon.lock"));
  if (lock === undefined) throw new CommandError(`a daemon is running on ${metadataDir} already`);
  return lock;
}

/**
 * Before anything is written: a folder of Garage's is not ours to open (file names are the same, what is in them is not), and a
 * store made with the other engine would seem to be empty.
 *
 * @throws CommandError
 */
export function refuseOtherStore(metadataDir: string, engine: "lmdb" | "sqlite"): void {
  const has = (name: string): boolean => existsSync(join(metadataDir, name));
  if (has("cluster_layout"))
    throw new CommandError(
      `metadata_dir: ${metadataDir} is Garage's (it holds cluster_layout): give Hangar folders of its own, and copy the objects over S3`,
    );
  const other = engine === "lmdb" ? "sqlite" : "lmdb";
  if (has(DATABASES[other]) && !has(DATABASES[engine]))
    throw new CommandError(
      `db_engine = "${engine}", but the store in ${metadataDir} was made with ${other} (it holds ${DATABASES[other]}): set db_engine = "${other}"`,
    );
}
