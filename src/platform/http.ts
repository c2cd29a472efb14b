import type { ByteSource } from "../util/byte-source.ts";

/** HTTP/1.1 as the APIs see it: raw target, raw headers, bodies pulled, one write for small answers. */
export interface HttpListener {
  /** Where it listens, with the real port. */
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string };
  /** Stops accepting, lets requests under way end until `graceMs`, then cuts them off. */
  close(options: { graceMs: number }): Promise<void>;
}

export interface HttpServerFactory {
  /**
   * `bind`: "ip:port" ("127.0.0.1:0" for any free port, "[::1]:3900") or an absolute path of a unix socket (`socketMode`, octal).
   */
  listen(bind: string, handler: HttpHandler, options?: HttpListenOptions): Promise<HttpListener>;
}

export interface HttpListenOptions {
  readonly socketMode?: number;
  /**
   * Whom it is for: "clients" (the default) come by the thousand; for "operators" a few connections are kept, whatever clients
   * do.
   */
  readonly audience?: "clients" | "operators";
  readonly renderClientError?: RenderClientError;
}

/**
 * Renders an answer of the server's own: to bytes that are no HTTP request (400), too large headers (431), a timeout (408), too
 * many connections (503) … `reason`: a sentence for the client. `requestId`: 16 upper-case hex digits, another one each time.
 */
export type RenderClientError = (
  status: number,
  reason: string,
  requestId: string,
) => { readonly contentType: string; readonly body: string; readonly headers?: readonly string[] };

/** Handles one request. It must answer through `response` exactly once; a rejection is answered 500 without detail and logged. */
export type HttpHandler = (request: HttpRequest, response: HttpResponse) => Promise<void> | void;

export interface HttpRequest {
  readonly method: string;
  /** The request target as received: path and query, nothing decoded or normalized. */
  readonly target: string;
  /** Name, value, name, value … as received (latin1 strings, as HTTP has them). */
  readonly rawHeaders: readonly string[];
  /** Value of a header by lower-case name; repeated ones joined by ", "; undefined when absent. */
  header(name: string): string | undefined;
  /** The body without transfer coding. Reading it sends "100 Continue" when the client waits for that. */
  readonly body: ByteSource;
  /** Content-Length; undefined when absent (chunked or no body). */
  readonly contentLength: number | undefined;
  readonly remoteAddress: string;
  /** Aborts when the client vanished before the answer was complete. */
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  /**
   * Head and body in one write; sets Content-Length (unless `headers` has it, as HEAD answers do). `headers`: name, value, name,
   * value … (latin1).
   */
  send(status: number, headers: readonly string[], body?: Uint8Array | string): void;
  /**
   * Head, then the pieces of `body` with back pressure. A failing source cuts the connection off: a truncated answer must not
   * look whole. A source with `takenBy` is told who takes it, and may end the answer the same way.
   */
  stream(status: number, headers: readonly string[], body: ByteSource): Promise<void>;
  /** Whether the head has left. */
  readonly started: boolean;
}

/**
 * Why a request's body could not be read to its end. The API layer turns it into its own words (408/400 for "timeout" and
 * "malformed").
 */
export type HttpBodyFailure =
  /** The client vanished: nobody is there to read an answer. */
  | "client-gone"
  /** It sent nothing, or almost nothing, for longer than allowed. */
  | "timeout"
  /** Its chunked framing is broken. */
  | "malformed"
  /** The server was told to stop and its grace is over. */
  | "shutdown";

/** What `HttpRequest.body.read()` rejects with. After it the connection is closed behind the answer. */
export class HttpBodyError extends Error {
  readonly code: HttpBodyFailure;
  constructor(code: HttpBodyFailure, message: string) {
    super(message);
    this.name = "HttpBodyError";
    this.code = code;
  }
}
