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
