import process from "node:process";
import type { Log } from "../log.ts";

/**
 * What `Platform.fatal` is in production: writes the reason to the log (synchronously, see log.ts) and aborts the process.
 * `process.exit` would not do: it runs exit handlers and waits for worker threads, of which one may be about to commit.
 */
export function nodeFatal(log: Log): (error: unknown) => never {
  return (error) => {
    try {
      log.error({ err: error }, "an invariant is broken; stopping at once so that nothing wrong is written");
    } finally {
      process.abort();
    }
  };
}

/**
 * Exit code of a process whose metadata store has failed: EX_IOERR of sysexits.h. Documented in docs/configuration.md; service
 * managers restart on it.
 */
export const EXIT_STORE_FAILED = 74;

/**
 * What a failed commit of the metadata means in production: nobody knows what is on disk, so the process ends at once, before it
 * answers anything more, and the next start finds out (crash-only). Nothing that could still commit runs in the exit: both
 * engines wait for this very batch.
 */
export function nodeFailStop(log: Log): (error: unknown) => never {
  return (error) => {
    try {
      log.error(
        { err: error, exitCode: EXIT_STORE_FAILED },
        "the metadata store failed: what was being written may be on disk or not, so this process stops at once and has to be started again; look after the disk of metadata_dir",
      );
      process.exit(EXIT_STORE_FAILED);
    } finally {
      process.abort();
    }
  };
}
