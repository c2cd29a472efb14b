import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
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
  const file = join(metadataDir, "daemon.lock");
  const lock = await lockFile(file);
  if (lock !== undefined) return lock;
  const holder = lockHolder(file);
  throw new CommandError(
    `a daemon is running on ${metadataDir} already${holder === undefined ? "" : ` (process ${holder})`}: to stop it, press Ctrl-C in its terminal, or ${holder === undefined ? "stop its service" : `\`kill ${holder}\``}`,
  );
}

/**
 * The process that has the lock, where the system tells (Linux, of the same user); undefined when there is any doubt: somebody
 * may end it.
 */
function lockHolder(file: string): number | undefined {
  try {
    const { dev, ino } = statSync(file);
    // "1: POSIX  ADVISORY  WRITE 4711 08:01:1234567 …": the inode counts within a file system only.
    const pids = [...readFileSync("/proc/locks", "utf8").matchAll(/^\d+: POSIX +ADVISORY +WRITE (\d+) \S+:(\d+) /gm)]
      .filter(([, , inode]) => Number(inode) === ino)
      .map(([, pid]) => Number(pid));
    return [...new Set(pids)].find((pid) =>
      readdirSync(`/proc/${pid}/fd`).some((fd) => {
        const open = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
        return open?.dev === dev && open.ino === ino;
      }),
    );
  } catch {
    return undefined;
  }
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
