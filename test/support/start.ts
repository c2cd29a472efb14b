import { startNodeServer } from "./node-server.ts";
import type { S3TestServer } from "./server.ts";

/** The server that the wire tests talk to: a whole node. */
export function startServer(): Promise<S3TestServer> {
  return startNodeServer();
}
