import type { Log } from "../log.ts";
import type { HttpServerFactory } from "../http.ts";

/** Limits of one server; every one has a default. */
export interface HttpLimits {
  /** A body from which nothing came for this long while it was being read fails with HttpBodyError "timeout". */
  readonly bodyIdleMs: number;
  /** A body that brings less than this per second of waiting, over each `bodyIdleMs` of it, fails the same way. */
  readonly bodyMinBytesPerSecond: number;
  /** An answer of which the client takes nothing for this long is cut off. */
  readonly answerIdleMs: number;
  /** Time for a request's whole head. */
  readonly headersMs: number;
  readonly maxHeaderBytes: number;
  /** How long an idle connection is kept for the next request. */
  readonly keepAliveMs: number;
  /** Connections beyond this get 503; far beyond, they are dropped at once. */
  readonly maxConnections: number;
  /** Requests a client may send ahead on one connection; they are handled one after the other. */
  readonly maxPipelined: number;
  /** An unread body of at most this is drained, so that the connection can be used again; behind a longer one it is closed. */
  readonly drainBytes: number;
  /** What is still taken in (and thrown away) after a final answer, so that the client gets to read it. */
  readonly lingerBytes: number;
  readonly lingerMs: number;
}

export function createHttpServerFactory(_options: { log: Log; limits?: Partial<HttpLimits> }): HttpServerFactory {
  throw new Error("in the making");
}
