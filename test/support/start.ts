import { startMemoryServer } from "./memory-server.ts";
import type { S3TestServer } from "./server.ts";

/** The server that the wire tests talk to. */
export function startServer(): Promise<S3TestServer> {
  return startMemoryServer();
}
