import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { HttpBodyFailure } from "../http.ts";
import { type HttpLimits, tooLong } from "./http-limits.ts";
import type { Peer } from "./http-peers.ts";

/** What a connection needs of its server. */
export interface HttpConnectionOwner {
  readonly limits: HttpLimits;
  /** Requests that connections have begun and ended so far: which of them was used last. */
  uses: number;
  readonly closing: boolean;
  /** `headers`: all of the answer's but Content-Length and Connection. */
  rendered(status: number, reason: string): { readonly headers: readonly string[]; readonly body: string };
}

/** A request as its connection sees it. */
export interface QueuedExchange {
  /** Hands it to the handler. */
  run(): void;
  /** The answer's head has left. */
  readonly started: boolean;
  /** The connection is lost: whoever waits for the client learns it now. */
  vanished(): void;
  /** The rest of the body won't come, though an answer can still be given. */
  failBody(code: HttpBodyFailure, message: string): void;
  tick(intervalMs: number): void;
}

/** A raw answer when no request could be made out. */
const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  408: "Request Timeout",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  503: "Service Unavailable",
};
const LOST: readonly string[] = ["ECONNRESET", "EPIPE", "ETIMEDOUT", "ECONNABORTED"];

/**
 * One client connection: its requests one after the other (a pipelining client must not get more than one handler at work, nor
 * its PUT and GET out of order), and closing that lets the client read the last answer.
 */
export class HttpConnection {
  readonly #socket: Socket;
  readonly #owner: HttpConnectionOwner;
  /** Accepted above the limit: gets 503 and nothing else. */
  readonly surplus: boolean;
  /** Undefined for one that is surplus: it holds nobody's share. */
  readonly peer: Peer | undefined;
  #current: QueuedExchange | undefined;
  #waiting: QueuedExchange[] = [];
  /** What comes in can't be understood any more. */
  #broken = false;
  #lingering = false;
  #watching = false;
  /** Since when, in time and in bytes taken, the client's rate is measured. */
  #windowMs = 0;
  #windowStart = 0;
  #taken = 0;
  #stalledMs = 0;
  /** The answer that is watched, and for how long and since which byte its client has kept the server waiting. */
  #watched: QueuedExchange | undefined;
  #waitedMs = 0;
  #waitedStart = 0;
  #lastUse: number;
  #drainingMs = -1;
  #closeAnnounced = false;

  constructor(socket: Socket, owner: HttpConnectionOwner, peer: Peer | undefined) {
    this.#socket = socket;
    this.#owner = owner;
    this.surplus = peer === undefined;
    this.peer = peer;
    this.#lastUse = owner.uses++;
    socket.on("close", () => this.#closed());
  }

  get limits(): HttpLimits {
    return this.#owner.limits;
  }
  /** The value of the header of that name. */
  get keepAlive(): string {
    return `timeout=${Math.floor(this.limits.keepAliveMs / 1000)}`;
  }
  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? "";
  }
  get destroyed(): boolean {
    return this.#socket.destroyed;
  }
  get busy(): boolean {
    return this.#current !== undefined;
  }
  /**
   * Nothing is lost but the connection when it is closed now: no request is being answered, and no answer is on its way to the
   * kernel.
   */
  get idle(): boolean {
    return this.#current === undefined && this.#socket.writableLength === 0;
  }
  /** Grows over all connections of the server: the idle one with the least has been idle longest. */
  get lastUse(): number {
    return this.#lastUse;
  }
  /** No further request will be read: answers say so. */
  get lastRequest(): boolean {
    return this.#broken || this.#owner.closing || this.surplus;
  }

  /** For how long the client has taken less than the least rate of what waits for it; grows by the server's interval. */
  get stalledMs(): number {
    return this.#stalledMs;
  }

  accept(exchange: QueuedExchange): void {
    this.#drainingMs = -1;
    if (this.#closeAnnounced) exchange.vanished();
    else if (this.#current === undefined) {
      this.#current = exchange;
      exchange.run();
    } else if (this.#waiting.length < this.limits.maxPipelined) this.#waiting.push(exchange);
    else this.cutOff();
  }

  exchangeFinished(exchange: QueuedExchange): void {
    if (this.#current !== exchange) return;
    if (this.#closeAnnounced) this.#dropWaiting();
    const next = this.#waiting.shift();
    this.#current = next;
    this.#lastUse = this.#owner.uses++;
    if (next !== undefined) next.run();
  }

  /** Bytes that are no HTTP, a head that is too long or too slow, or an end in the middle of a request. */
  clientError(error: NodeJS.ErrnoException): void {
    if (this.#broken) return;
    this.#broken = true;
    const early = error.code === "HPE_INVALID_EOF_STATE";
    if (this.#socket.destroyed || LOST.includes(error.code ?? "")) this.cutOff();
    else if (this.#current !== undefined) {
      // In the middle of its body, or in what was pipelined behind it (then its body is complete and this changes nothing for
      // it).
      this.#current.failBody(
        "malformed",
        early ? "the connection ended in the middle of the body" : "the body's framing is broken",
      );
      if (this.#current?.started === true) this.lingerWhenClosing();
    } else if (this.#closeAnnounced) this.lingerWhenClosing();
    else if (early || !this.#socket.writable) this.cutOff();
    else this.#refuseFor(error.code);
  }

  #refuseFor(code: string | undefined): void {
    // A connection opened ahead and never used is no fault.
    if (code === "ERR_HTTP_REQUEST_TIMEOUT" && this.#socket.bytesRead === 0) this.cutOff();
    else if (code === "ERR_HTTP_REQUEST_TIMEOUT")
      this.refuse(408, `The request's head was not complete within ${this.limits.headersMs} ms.`);
    else if (code === "HPE_HEADER_OVERFLOW")
      this.refuse(431, `The request's head is longer than ${this.limits.maxHeaderBytes} bytes.`);
    else if (code === "HPE_CHUNK_EXTENSIONS_OVERFLOW") this.refuse(413, "The chunk extensions of the body are too long.");
    else this.refuse(400, "The request is no valid HTTP/1.1.");
  }

  /** An answer of the connection's own, and the end of it. */
  refuse(status: number, reason: string): void {
    this.#broken = true;
    const { headers, body } = this.#owner.rendered(status, reason);
    let head = `HTTP/1.1 ${status} ${REASONS[status] ?? "Error"}\r\n`;
    for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
    this.#socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
    this.#linger();
  }

  /** @param reset  an answer whose end only the end of the connection marks must not look whole. */
  cutOff({ reset = false }: { reset?: boolean } = {}): void {
    if (reset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** A rest of a body is being thrown away behind an answer; bounded in time by `tick`. */
  draining(): void {
    this.#drainingMs = 0;
  }

  /**
   * Closing a socket that has unread input makes the kernel send a reset, which destroys the answer on its way: so the end of the
   * answer closes only our direction, and input is thrown away for a while.
   */
  lingerWhenClosing(): void {
    this.#socket.destroySoon = () => this.#linger();
  }

  /** The answer's head is gone without saying so, but nothing may follow it. */
  closeBehind(answer: ServerResponse): void {
    this.announceClose();
    answer.once("finish", () => this.#linger());
  }

  #linger(): void {
    if (this.#lingering || this.#socket.destroyed) return;
    this.#lingering = true;
    this.#socket.end();
    const { lingerBytes, lingerMs } = this.limits;
    const start = this.#socket.bytesRead;
    const step = Math.min(lingerMs, 100);
    let left = lingerMs;
    const timer = setInterval(() => {
      left -= step;
      if (left <= 0 || this.#socket.bytesRead - start > lingerBytes) this.cutOff();
    }, step);
    timer.unref();
    this.#socket.on("close", () => clearInterval(timer));
  }

  tick(intervalMs: number): void {
    this.#current?.tick(intervalMs);
    this.#watchProgress();
    if (this.#watching) this.#watchRate(intervalMs);
    if (this.#drainingMs < 0) return;
    this.#drainingMs += intervalMs;
    if (this.#drainingMs > this.limits.bodyIdleMs) this.cutOff();
  }

  /**
   * While bytes wait for the client, node:net's timer watches it: that one sees progress inside a single large write. A timer
   * that runs out destroys the socket (node:http's default). It must not run while the client waits for us.
   */
  #watchProgress(): void {
    const pending = this.#socket.writableLength > 0;
    if (pending === this.#watching) return;
    this.#watching = pending;
    this.#windowMs = 0;
    this.#stalledMs = 0;
    this.#windowStart = this.#taken = this.#takenBytes;
    this.#socket.setTimeout(pending ? this.limits.answerIdleMs : this.busy ? 0 : this.limits.keepAliveMs);
  }

  /** Whoever takes a few bytes a minute would hold the memory of its answer for ever. */
  #watchRate(intervalMs: number): void {
    this.#windowMs += intervalMs;
    const { answerIdleMs, answerMinBytesPerSecond } = this.limits;
    const taken = this.#takenBytes;
    this.#stalledMs = (taken - this.#taken) * 1000 < answerMinBytesPerSecond * intervalMs ? this.#stalledMs + intervalMs : 0;
    this.#taken = taken;
    this.#watchLength(taken, intervalMs);
    if (this.#windowMs < answerIdleMs) return;
    if ((taken - this.#windowStart) * 1000 < answerMinBytesPerSecond * this.#windowMs) this.cutOff();
    this.#windowMs = 0;
    this.#windowStart = taken;
  }

  /**
   * However steady, an answer has its time. Not reset when its source is slow for a moment: only what the client takes to itself
   * counts.
   */
  #watchLength(taken: number, intervalMs: number): void {
    if (this.#watched !== this.#current) {
      this.#watched = this.#current;
      this.#waitedMs = 0;
      this.#waitedStart = taken;
    }
    this.#waitedMs += intervalMs;
    if (tooLong(this.limits, { waitedMs: this.#waitedMs, bytes: taken - this.#waitedStart })) this.cutOff();
  }

  /**
   * Bytes that the kernel has taken. node:net shows a write only when it is done, which for a large one is too late: what it
   * reads itself to see progress within one (its timer) is on the handle.
   */
  get #takenBytes(): number {
    const { _handle: handle } = this.#socket as Socket & { _handle?: { bytesWritten: number; writeQueueSize: number } | null };
    return handle ? handle.bytesWritten - handle.writeQueueSize : 0;
  }

  /** The server's grace is over. */
  shutDown(): void {
    this.#current?.failBody("shutdown", "the server is shutting down");
    this.cutOff();
  }

  /** An answer says "Connection: close": what was sent ahead must not be carried out any more. */
  announceClose(): void {
    this.#closeAnnounced = true;
    if (this.#broken) this.lingerWhenClosing();
  }

  #closed(): void {
    this.#current?.vanished();
    this.#dropWaiting();
  }

  #dropWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const exchange of waiting) exchange.vanished();
  }
}
