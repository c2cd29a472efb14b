import type { IncomingMessage, ServerResponse } from "node:http";
import { assert } from "../../util/assert.ts";
import type { ByteSource, StreamClient } from "../../util/byte-source.ts";
import type { HttpBodyFailure, HttpRequest, HttpResponse } from "../http.ts";
import { RequestBody } from "./http-body.ts";
import type { HttpConnection, QueuedExchange } from "./http-connection.ts";

/** Calls the handler and sees to it that there is an answer. */
export interface ExchangeRunner {
  runExchange(exchange: HttpExchange): void;
}

/**
 * One request and its answer over node:http's objects. One class for both sides, and everything that most requests don't need
 * (body, abort signal) is made when it is first asked for: measured, the seam costs 2–4 CPU-µs over bare node:http.
 */
export class HttpExchange implements HttpRequest, HttpResponse, QueuedExchange, StreamClient {
  readonly #message: IncomingMessage;
  readonly #answer: ServerResponse;
  readonly #connection: HttpConnection;
  readonly #runner: ExchangeRunner;
  /** The client waits for "100 Continue" before it sends the body. */
  #continueDue: boolean;
  #body: RequestBody | undefined;
  #abort: AbortController | undefined;
  #answered = false;
  /** The answer has been handed to the socket whole. */
  #finished = false;
  #gone = false;
  #flushed: (() => void) | undefined;

  constructor(
    [message, answer]: readonly [IncomingMessage, ServerResponse],
    { connection, runner, expectsContinue }: { connection: HttpConnection; runner: ExchangeRunner; expectsContinue: boolean },
  ) {
    this.#message = message;
    this.#answer = answer;
    this.#connection = connection;
    this.#runner = runner;
    this.#continueDue = expectsContinue;
  }

  run(): void {
    this.#runner.runExchange(this);
  }

  get method(): string {
    return this.#message.method ?? "";
  }
  get target(): string {
    return this.#message.url ?? "";
  }
  get rawHeaders(): readonly string[] {
    return this.#message.rawHeaders;
  }

  header(name: string): string | undefined {
    // typeof: names come from clients too (SignedHeaders=constructor), and the object is an ordinary one.
    const value: unknown = this.#message.headers[name];
    if (typeof value === "string") return value;
    return Array.isArray(value) ? value.join(", ") : undefined;
  }

  get contentLength(): number | undefined {
    const text = this.#message.headers["content-length"];
    return text === undefined ? undefined : Number(text);
  }

  get body(): ByteSource {
    return this.#ownBody();
  }

  get remoteAddress(): string {
    return this.#connection.remoteAddress;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#gone) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  /**
   * The body is coded otherwise than by chunks alone (RFC 9112 §6.1): node:http takes only the chunks off, and what is left would
   * pass for the body. Together with a Content-Length, or twice, node:http itself refuses Transfer-Encoding.
   */
  /** RFC 9112 §3.2: every request of HTTP/1.1 names its host; those of HTTP/1.0 need not. */
  get withoutHost(): boolean {
    return this.#message.headers.host === undefined && this.#message.httpVersionMinor === 1;
  }

  get unknownCoding(): boolean {
    const coding = this.#message.headers["transfer-encoding"];
    return coding !== undefined && coding.toLowerCase() !== "chunked";
  }

  get started(): boolean {
    return this.#answered;
  }

  get gone(): boolean {
    return this.#gone;
  }

  send(status: number, headers: readonly string[], body?: Uint8Array | string): void {
    assert(!this.#answered, "a request is answered once");
    if (this.#lost()) this.#answered = true;
    else {
      // As bytes: node:http would write a string together with the head in one encoding, UTF-8, and so spoil latin1 header
      // values.
      const bytes = typeof body === "string" ? Buffer.from(body, "utf8") : body;
      const bodiless = status === 204 || status === 304;
      const unknownLength = bodiless || (bytes === undefined && this.method === "HEAD");
      const lengthBytes = unknownLength ? undefined : (bytes?.byteLength ?? 0);
      this.#writeHead(status, headers, { lengthBytes, closing: this.#dealWithRest() });
      // One gathered write with the head, under node:http's own cork.
      if (bytes === undefined || bodiless || bytes.byteLength === 0) this.#answer.end();
      else this.#answer.end(bytes);
    }
    this.#finish();
  }

  async stream(status: number, headers: readonly string[], body: ByteSource): Promise<void> {
    assert(!this.#answered, "a request is answered once");
    if (this.method === "HEAD" || status === 204 || status === 304) {
      body.cancel();
      this.send(status, headers);
      return;
    }
    // The head waits for the first piece: they leave together, and a source that fails at once can still be answered with an
    // error.
    let piece = await body.read();
    assert(!this.#answered, "a request is answered once");
    if (this.#lost()) {
      this.#answered = true;
      body.cancel();
      this.#finish();
      return;
    }
    // The request's body may still be on its way through the handler: what is left of it is dealt with at the end.
    const closing = this.#connection.lastRequest || (this.#continueDue && this.#missingBytes > 0);
    const announced = this.#writeHead(status, headers, { lengthBytes: undefined, closing });
    let sent = 0;
    body.takenBy?.(this);
    try {
      while (piece !== null) {
        sent += piece.byteLength;
        if (announced !== undefined && sent > announced)
          throw new Error(`the body is longer than the announced ${announced} bytes`);
        // The piece is the source's again at the next read(): wait until the kernel has it.
        await this.#write(piece);
        if (this.#lost()) {
          body.cancel();
          return;
        }
        piece = await body.read();
        if (this.#lost()) {
          body.cancel();
          return;
        }
      }
      if (announced !== undefined && sent < announced) throw new Error(`the body ended after ${sent} of ${announced} bytes`);
      if (this.#dealWithRest()) this.#connection.closeBehind(this.#answer);
      this.#answer.end();
    } catch (error) {
      body.cancel();
      // Without length and chunks only the end of the connection marks the end of the body.
      this.#connection.cutOff({ reset: announced === undefined && !this.#answer.chunkedEncoding });
      throw error;
    } finally {
      this.#finish();
    }
  }

  get stalledMs(): number {
    return this.#finished ? 0 : this.#connection.stalledMs;
  }

  cutOff(): void {
    if (!this.#finished) this.#connection.cutOff();
  }

  vanished(): void {
    if (this.#finished) return;
    this.#gone = true;
    this.#body?.fail("client-gone", "the client closed the connection");
    this.#flushed?.();
    this.#abort?.abort();
  }

  failBody(code: HttpBodyFailure, message: string): void {
    if (!this.#finished) this.#ownBody().fail(code, message);
  }

  tick(intervalMs: number): void {
    this.#body?.tick(intervalMs);
  }

  /** Nobody is there any more: writing now would be an error of ours. */
  #lost(): boolean {
    return this.#gone || this.#answer.destroyed || this.#connection.destroyed;
  }

  #ownBody(): RequestBody {
    if (this.#body === undefined) {
      const chunked = this.#message.headers["transfer-encoding"] !== undefined;
      this.#body = new RequestBody(this.#message, {
        length: chunked ? undefined : (this.contentLength ?? 0),
        limits: this.#connection.limits,
        beforeFirstRead: () => this.#sendContinue(),
      });
    }
    return this.#body;
  }

  /** Bytes of the body that have not come yet. */
  get #missingBytes(): number {
    return this.#body === undefined && !hasBody(this.#message) ? 0 : this.#ownBody().missingBytes;
  }

  #sendContinue(): void {
    if (!this.#continueDue || this.#gone || this.#answered) return;
    this.#continueDue = false;
    this.#answer.writeContinue();
  }

  /** @returns the Content-Length that goes out, undefined when none does. */
  #writeHead(
    status: number,
    headers: readonly string[],
    { lengthBytes, closing }: { lengthBytes: number | undefined; closing: boolean },
  ): number | undefined {
    const head = headers.slice();
    let announced = announcedLength(headers);
    if (announced === undefined && lengthBytes !== undefined) head.push("Content-Length", String((announced = lengthBytes)));
    if (closing) {
      head.push("Connection", "close");
      this.#connection.announceClose();
    } else if (this.#continueDue && this.#answer.shouldKeepAlive) {
      // No byte of the body is on its way any more. Clients that were never told to go on get out of step with a connection that
      // stays (botocore 1.29), and node:http would close it. Who sends requests ahead does not wait; and of an answer that has no
      // socket yet, node:http would put the head before the "100 Continue".
      if (this.#answer.socket !== null) this.#sendContinue();
      else head.push("Connection", "keep-alive", "Keep-Alive", this.#connection.keepAlive);
    }
    this.#answer.writeHead(status, head);
    this.#answered = true;
    return announced;
  }

  /**
   * Decides what happens to a body that was not read to its end. @returns whether the connection must be closed behind the
   * answer.
   */
  #dealWithRest(): boolean {
    const close = this.#connection.lastRequest || this.unknownCoding;
    const missing = this.#missingBytes;
    if (missing === 0) return close;
    const body = this.#ownBody();
    // Whether a client that never got its "100 Continue" sends the body now is up to the client: only closing is safe.
    if (!this.#continueDue && !body.failed && missing <= this.#connection.limits.drainBytes && !close) {
      body.discard(missing, () => this.#connection.cutOff());
      this.#connection.draining();
      return false;
    }
    body.discard(this.#connection.limits.lingerBytes, () => this.#connection.cutOff());
    this.#connection.lingerWhenClosing();
    return true;
  }

  #write(piece: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#flushed = resolve;
      this.#answer.write(piece, () => resolve());
    });
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#connection.exchangeFinished(this);
  }
}

function hasBody(message: IncomingMessage): boolean {
  const length = message.headers["content-length"];
  return (length !== undefined && length !== "0") || message.headers["transfer-encoding"] !== undefined;
}

const CONTENT_LENGTH = "content-length";
function announcedLength(headers: readonly string[]): number | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    if (name.length === CONTENT_LENGTH.length && name.toLowerCase() === CONTENT_LENGTH) return Number(headers[i + 1]);
  }
  return undefined;
}
