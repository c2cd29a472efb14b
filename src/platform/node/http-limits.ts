/** Limits of one HTTP server; every one has a default. */
export interface HttpLimits {
  /** A body from which nothing came for this long while it was being read fails with HttpBodyError "timeout". */
  readonly bodyIdleMs: number;
  /** A body that brings less than this per second of waiting, over each `bodyIdleMs` of it, fails the same way. */
  readonly bodyMinBytesPerSecond: number;
  /** A client that sends less than this per second, though it could, counts as stalled: whoever holds memory for its body may cut it off. */
  readonly bodyStalledBytesPerSecond: number;
  /** An answer of which the client takes nothing for this long is cut off. */
  readonly answerIdleMs: number;
  /** So is one of which it takes less than this per second, over each `answerIdleMs` in which bytes wait for it all the time. */
  readonly answerMinBytesPerSecond: number;
  /** Time for a request's whole head. */
  readonly headersMs: number;
  /** A longer head is answered 431. */
  readonly maxHeaderBytes: number;
  /** How long an idle connection is kept for the next request. */
  readonly keepAliveMs: number;
  /** Connections beyond this get 503; beyond 5/4 of it, they are dropped at once. */
  readonly maxConnections: number;
  /** Requests that a client may send ahead on one connection; they are handled one after the other. Beyond that it is cut off. */
  readonly maxPipelined: number;
  /** An unread rest of a body of at most this is drained, so that the connection can be used again; behind a longer one it is closed. */
  readonly drainBytes: number;
  /** What is still taken in (and thrown away) behind a final answer, so that the client gets to read it before it sees a reset. */
  readonly lingerBytes: number;
  readonly lingerMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  bodyIdleMs: 60_000,
  bodyMinBytesPerSecond: 256,
  bodyStalledBytesPerSecond: 1_024,
  // The kernel holds up to 4 MiB for a client and takes more only in steps of a third of that: a steady client shows nothing for as long as it needs
  // for such a step. In 5 minutes that is 4.6 KB/s. Clients that really stall lose their memory much sooner, when others wait for it.
  answerIdleMs: 300_000,
  answerMinBytesPerSecond: 1_024,
  headersMs: 30_000,
  maxHeaderBytes: 64 * 1024,
  keepAliveMs: 75_000,
  maxConnections: 4_096,
  maxPipelined: 64,
  drainBytes: 64 * 1024,
  lingerBytes: 8 * 1024 * 1024,
  lingerMs: 5_000,
};
