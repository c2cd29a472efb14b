/** Limits of one HTTP server; every one has a default. */
export interface HttpLimits {
  /** A body from which nothing came for this long while it was being read fails with HttpBodyError "timeout". */
  readonly bodyIdleMs: number;
  /** A body that brings less than this per second of waiting, over each `bodyWindowMs` of it, fails the same way. */
  readonly bodyMinBytesPerSecond: number;
  readonly bodyWindowMs: number;
  /**
   * A client that sends less than this per second, though it could, counts as stalled: whoever holds memory for its body may cut
   * it off.
   */
  readonly bodyStalledBytesPerSecond: number;
  /** An answer of which the client takes nothing for this long is cut off. */
  readonly answerIdleMs: number;
  /** So is one of which it takes less than this per second, over each `answerIdleMs` in which bytes wait for it all the time. */
  readonly answerMinBytesPerSecond: number;
  /**
   * A body or an answer may keep the server waiting for this long, and one second longer for every `transferBytesPerSecond` that
   * its client has sent or taken: so its length bounds its time. Whoever is slower than that is cut off, however steady.
   */
  readonly transferGraceMs: number;
  readonly transferBytesPerSecond: number;
  /** Time for a request's whole head. */
  readonly headersMs: number;
  /** A longer head is answered 431. */
  readonly maxHeaderBytes: number;
  /** How long an idle connection is kept for the next request. */
  readonly keepAliveMs: number;
  /**
   * Connections of one listener. When a newcomer finds no room, the address with the most connections loses its oldest idle one;
   * when none is idle, the newcomer gets 503 (`maxRefusals` at a time: beyond, the oldest of them is dropped).
   */
  readonly maxConnections: number;
  /** The same for listeners whose audience is the operators. */
  readonly maxOperatorConnections: number;
  /** Requests that a client may send ahead on one connection; they are handled one after the other. Beyond that it is cut off. */
  readonly maxPipelined: number;
  /**
   * An unread rest of a body of at most this is drained, so that the connection can be used again; behind a longer one it is
   * closed.
   */
  readonly drainBytes: number;
  /**
   * What is still taken in (and thrown away) behind a final answer, so that the client gets to read it before it sees a reset.
   */
  readonly lingerBytes: number;
  readonly lingerMs: number;
}

export const HTTP_LIMITS: HttpLimits = {
  bodyIdleMs: 60_000,
  // Sixteen uploads at a time over a line of 128 kbit/s get as much each; over minutes, so that a line that drops for a moment
  // doesn't matter.
  bodyMinBytesPerSecond: 1_024,
  bodyWindowMs: 300_000,
  bodyStalledBytesPerSecond: 1_024,
  // The kernel holds up to 4 MiB for a client and takes more only in steps of a third of that: a steady client shows nothing for
  // as long as it needs for such a step. In 5 minutes that is 4.6 KB/s. Clients that really stall lose their memory much sooner,
  // when others wait for it.
  answerIdleMs: 300_000,
  answerMinBytesPerSecond: 1_024,
  // A part of 16 MiB passes at 1 KiB/s; 5 GiB have 8 days, at half of what the slowest home lines bring.
  transferGraceMs: 6 * 3_600_000,
  transferBytesPerSecond: 8_192,
  headersMs: 30_000,
  maxHeaderBytes: 64 * 1024,
  keepAliveMs: 75_000,
  maxConnections: 4_096,
  maxOperatorConnections: 128,
  maxPipelined: 64,
  drainBytes: 64 * 1024,
  lingerBytes: 8 * 1024 * 1024,
  lingerMs: 5_000,
};

/** Whether a transfer of `bytes` so far has kept the server waiting longer than any of that length may. */
export function tooLong(limits: HttpLimits, { waitedMs, bytes }: { readonly waitedMs: number; readonly bytes: number }): boolean {
  return waitedMs > limits.transferGraceMs + (bytes * 1000) / limits.transferBytesPerSecond;
}

/**
 * Files that are kept for what is no connection: some 40 that a daemon has open at rest, and disk, metadata and logs while it
 * works.
 */
const RESERVED_FILES = 112;
/** Listeners of operators: the admin API and the command line's socket. */
const OPERATOR_LISTENERS = 2;
/** A listener with fewer connections would be of no use; a process that can't open as many files fails one way or another. */
const MIN_CONNECTIONS = 8;

/** The share of a listener's connections that are only told that there is no room. */
export function maxRefusals(maxConnections: number): number {
  return Math.ceil(maxConnections / 4);
}

/**
 * How many connections a process that may open `openFiles` files can take: every connection needs one, and so does every file.
 * Where connections took them all, no block could be read or written.
 *
 * @param openFiles  undefined: without bound, or unknown
 */
export function connectionLimits(openFiles: number | undefined): Pick<HttpLimits, "maxConnections" | "maxOperatorConnections"> {
  const { maxConnections: most, maxOperatorConnections: mostOfOperators } = HTTP_LIMITS;
  if (openFiles === undefined) return { maxConnections: most, maxOperatorConnections: mostOfOperators };
  const free = openFiles - RESERVED_FILES;
  const within = (files: number, max: number): number => Math.min(max, Math.max(MIN_CONNECTIONS, Math.floor(files / 1.25) - 1));
  const maxOperatorConnections = within(free / 12, mostOfOperators);
  const operators = OPERATOR_LISTENERS * (maxOperatorConnections + maxRefusals(maxOperatorConnections));
  return { maxConnections: within(free - operators, most), maxOperatorConnections };
}
