import type { IncomingMessage } from "node:http";
import type { ByteSource, StreamClient } from "../../util/byte-source.ts";
import { HttpBodyError, type HttpBodyFailure } from "../http.ts";
import { type HttpLimits, tooLong } from "./http-limits.ts";

/** Pieces kept ahead of the reader; beyond it the socket is not read (back pressure). */
const READ_AHEAD_BYTES = 128 * 1024;

/**
 * A request's body, pulled. Fed by "data" events: measured against a 4 KiB PUT they cost 4 µs, `read()` on "readable" 7,
 * `for await` 16. Nothing is listened to before the first read, so a request without a body costs nothing here.
 */
export class RequestBody implements ByteSource, StreamClient {
  readonly #message: IncomingMessage;
  readonly #limits: HttpLimits;
  /** Bytes announced by Content-Length; undefined = chunked. */
  readonly #length: number | undefined;
  readonly #beforeFirstRead: () => void;
  #started = false;
  #paused = false;
  #discarding = false;
  #onDiscardLimit: (() => void) | undefined;
  #discardLeft = 0;
  #receivedBytes = 0;
  #queue: Uint8Array[] = [];
  #lent: Uint8Array | undefined;
  #queuedBytes = 0;
  #ended = false;
  #failure: HttpBodyError | undefined;
  #resolve: ((piece: Uint8Array | null) => void) | undefined;
  #reject: ((error: HttpBodyError) => void) | undefined;
  /** Time spent waiting for the client since its last byte, and since the window of the minimum rate began. */
  #idleMs = 0;
  #windowMs = 0;
  #windowBytes = 0;
  #waitedMs = 0;
  /** How far the client is behind the rate below which it counts as stalled, and what it had sent at the last tick. */
  #behindMs = 0;
  #tickedBytes = 0;

  /** @param beforeFirstRead  called once, when the body is first asked for ("100 Continue"). */
  constructor(
    message: IncomingMessage,
    { length, limits, beforeFirstRead }: { length: number | undefined; limits: HttpLimits; beforeFirstRead: () => void },
  ) {
    this.#message = message;
    this.#length = length;
    this.#limits = limits;
    this.#beforeFirstRead = beforeFirstRead;
    if (length === 0) this.#ended = true;
  }

  read(): Promise<Uint8Array | null> {
    this.#giveBack();
    const piece = this.#queue.shift();
    if (piece !== undefined) {
      this.#lent = piece;
      this.#queuedBytes -= piece.byteLength;
      if (this.#paused && this.#queue.length === 0) this.#resume();
      return Promise.resolve(piece);
    }
    if (this.#ended) return Promise.resolve(null);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#discarding) return Promise.reject(new HttpBodyError("client-gone", "the body was given up"));
    if (!this.#started) this.#start();
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** What is left of it is dealt with when the answer goes out. */
  cancel(): void {
    for (const piece of this.#queue) free(piece);
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Bytes that have not come yet; Infinity when nobody knows; 0 at the end. */
  get missingBytes(): number {
    if (this.#ended || this.#message.complete) return 0;
    return this.#length === undefined ? Number.POSITIVE_INFINITY : this.#length - this.#receivedBytes;
  }

  /** Throws the rest away as it comes; `onLimit` is called when that is more than `limitBytes`. */
  discard(limitBytes: number, onLimit: () => void): void {
    this.cancel();
    this.#discarding = true;
    this.#discardLeft = limitBytes;
    this.#onDiscardLimit = onLimit;
    if (!this.#started) this.#listen();
    if (this.#paused) this.#resume();
  }

  /** The client won't send the rest. Bytes that came are still read first only where that costs nothing: they are dropped. */
  fail(code: HttpBodyFailure, message: string): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.cancel();
    this.#failure = new HttpBodyError(code, message);
    const reject = this.#reject;
    this.#resolve = this.#reject = undefined;
    reject?.(this.#failure);
  }

  get sender(): StreamClient {
    return this;
  }

  /** A body that waits for its reader has not stalled, whatever its client did meanwhile. */
  get stalledMs(): number {
    return this.#reject === undefined ? 0 : this.#behindMs;
  }

  cutOff(): void {
    this.fail("timeout", "too little was received, and the memory was needed for others");
  }

  /** Called every `intervalMs` while the request lives: time counts only while the reader waits for the client. */
  tick(intervalMs: number): void {
    this.#watchRate(intervalMs);
    if (this.#reject === undefined) return;
    this.#idleMs += intervalMs;
    this.#windowMs += intervalMs;
    this.#waitedMs += intervalMs;
    if (this.#idleMs >= this.#limits.bodyIdleMs) this.fail("timeout", `nothing was received for ${this.#idleMs} ms`);
    else if (tooLong(this.#limits, { waitedMs: this.#waitedMs, bytes: this.#receivedBytes }))
      this.fail("timeout", `only ${this.#receivedBytes} bytes were received in ${this.#waitedMs} ms`);
    else if (this.#windowMs >= this.#limits.bodyWindowMs) {
      if (this.#windowBytes * 1000 < this.#limits.bodyMinBytesPerSecond * this.#windowMs)
        this.fail("timeout", `only ${this.#windowBytes} bytes were received in ${this.#windowMs} ms`);
      this.#windowMs = 0;
      this.#windowBytes = 0;
    }
  }

  /**
   * Whoever has sent nothing for long is known as stalled at once when its reader, which had to wait for memory, comes back: as
   * long as the socket is read the client could send. What comes at once makes up for what did not come before; nothing is
   * credited for later.
   */
  #watchRate(intervalMs: number): void {
    const cameMs = ((this.#receivedBytes - this.#tickedBytes) * 1000) / this.#limits.bodyStalledBytesPerSecond;
    this.#tickedBytes = this.#receivedBytes;
    this.#behindMs = !this.#started || this.#paused ? 0 : Math.max(0, this.#behindMs + intervalMs - cameMs);
  }

  #start(): void {
    this.#started = true;
    this.#beforeFirstRead();
    this.#listen();
  }

  #listen(): void {
    this.#message.on("data", (piece: Uint8Array) => this.#onData(piece));
    if (this.#length === undefined) this.#message.on("end", () => this.#onEnd());
  }

  #onData(piece: Uint8Array): void {
    this.#receivedBytes += piece.byteLength;
    if (this.#discarding) {
      this.#discardLeft -= piece.byteLength;
      free(piece);
      if (this.#discardLeft < 0) this.#onDiscardLimit?.();
      return;
    }
    this.#idleMs = 0;
    this.#windowBytes += piece.byteLength;
    // The end is known from the length: no need to wait a turn for the event.
    if (this.#receivedBytes === this.#length) this.#ended = true;
    const resolve = this.#resolve;
    if (resolve !== undefined) {
      this.#resolve = this.#reject = undefined;
      this.#lent = piece;
      resolve(piece);
      return;
    }
    this.#queue.push(piece);
    this.#queuedBytes += piece.byteLength;
    if (this.#queuedBytes >= READ_AHEAD_BYTES && !this.#ended) {
      this.#paused = true;
      this.#message.pause();
    }
  }

  /** The reader is done with its piece. */
  #giveBack(): void {
    if (this.#lent !== undefined) free(this.#lent);
    this.#lent = undefined;
  }

  #onEnd(): void {
    this.#ended = true;
    const resolve = this.#resolve;
    this.#resolve = this.#reject = undefined;
    resolve?.(null);
  }

  #resume(): void {
    this.#paused = false;
    this.#message.resume();
  }
}

/** Smaller pieces are left to the collector: giving one back costs about a microsecond. */
const FREE_FROM_BYTES = 8 * 1024;

/**
 * Gives a piece's memory back at once. node:http allocates every piece anew, and V8 sees only the few small objects around that
 * memory: left to the collector, bodies at full speed cost a full collection per 64 MiB (a fifth of the CPU of a 1 MiB PUT).
 */
function free(piece: Uint8Array): void {
  const { buffer } = piece;
  if (piece.byteLength >= FREE_FROM_BYTES && piece.byteLength === buffer.byteLength && buffer instanceof ArrayBuffer)
    buffer.transfer(0);
}
