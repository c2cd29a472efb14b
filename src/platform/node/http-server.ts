import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { connect } from "node:net";
import { randomBytes } from "node:crypto";
import { chmod, lstat, unlink } from "node:fs/promises";
import type { HttpHandler, HttpListener, HttpListenOptions, HttpServerFactory } from "../http.ts";
import type { Log } from "../log.ts";
import { HttpConnection, type HttpConnectionOwner } from "./http-connection.ts";
import { type ExchangeRunner, HttpExchange } from "./http-exchange.ts";
import { connectionLimits, HTTP_LIMITS, type HttpLimits, maxRefusals } from "./http-limits.ts";
import { type Peer, Peers } from "./http-peers.ts";

/**
 * HTTP/1.1 servers over node:http. What node:http's defaults do wrong for an object store is named where it is set.
 *
 * @param openFiles  how many files the process may open: bounds the connections. Undefined: as many as it likes.
 */
export function createHttpServerFactory({
  log,
  limits,
  openFiles,
}: {
  readonly log: Log;
  readonly limits?: Partial<HttpLimits>;
  readonly openFiles?: number | undefined;
}): HttpServerFactory {
  const all: HttpLimits = { ...HTTP_LIMITS, ...connectionLimits(openFiles), ...limits };
  if (openFiles !== undefined) logConnections(log, openFiles, all);
  return {
    listen: async (bind, handler, options = {}) => {
      const maxConnections = options.audience === "operators" ? all.maxOperatorConnections : all.maxConnections;
      const server = new NodeHttpServer(handler, { limits: { ...all, maxConnections }, log, options });
      await server.listen(bind);
      return server;
    },
  };
}

function logConnections(log: Log, openFiles: number, { maxConnections, maxOperatorConnections }: HttpLimits): void {
  const fields = { openFiles, maxConnections, maxOperatorConnections };
  const most = `at most ${maxConnections} connections of S3 clients at a time, ${maxOperatorConnections} of the admin API`;
  if (maxConnections >= FEW_CONNECTIONS) log.info(fields, most);
  else
    log.warn(fields, `${most}: this process may open only ${openFiles} files. Raise the limit (ulimit -n, LimitNOFILE=) to 8192`);
}

/** A machine's usual 1,024 files are not enough for this. */
const FEW_CONNECTIONS = 1_000;

/** How often at most it is logged that connections are short. */
const FULL_LOG_MS = 60_000;

class NodeHttpServer implements HttpListener, HttpConnectionOwner, ExchangeRunner {
  readonly limits: HttpLimits;
  readonly #handler: HttpHandler;
  readonly #log: Log;
  readonly #options: HttpListenOptions;
  readonly #server: Server;
  readonly #connections = new Map<Socket, HttpConnection>();
  readonly #peers: Peers;
  /** Those that get 503, oldest first. */
  readonly #refused = new Set<Socket>();
  uses = 0;
  #fullLoggedMs = Number.NEGATIVE_INFINITY;
  #sweep: NodeJS.Timeout | undefined;
  #address: HttpListener["address"] | undefined;
  closing = false;

  constructor(handler: HttpHandler, { limits, log, options }: { limits: HttpLimits; log: Log; options: HttpListenOptions }) {
    this.#handler = handler;
    this.limits = limits;
    this.#peers = new Peers(limits.maxConnections);
    this.#log = log;
    this.#options = options;
    this.#server = createServer({
      // 300 s by default: would cut off a 5 GiB PUT over a slow line. Bodies have their own limits (http-body.ts).
      requestTimeout: 0,
      headersTimeout: limits.headersMs,
      connectionsCheckingInterval: Math.min(5_000, Math.max(50, limits.headersMs / 4)),
      maxHeaderSize: limits.maxHeaderBytes,
      // 5 s by default: clients that reuse a connection just then see a reset.
      keepAliveTimeout: limits.keepAliveMs,
      noDelay: true,
      // Otherwise repeated headers are dropped silently, before anybody can refuse them.
      joinDuplicateHeaders: true,
      // A missing Host is answered in the API's own words.
      requireHostHeader: false,
    });
    // Headers beyond the count would be dropped silently; their bytes are limited instead.
    this.#server.maxHeadersCount = 0;
    this.#server.maxConnections = limits.maxConnections + maxRefusals(limits.maxConnections) + 1;
    // A client that shuts down its sending side still gets its answer (`httpAllowHalfOpen` is not in the typings).
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    this.#server.on("connection", (socket) => this.#connected(socket));
    this.#server.on("request", (message, answer) => this.#requested(message, answer, false));
    this.#server.on("checkContinue", (message, answer) => this.#requested(message, answer, true));
    // Another expectation, or an empty one, may be refused (RFC 9110 §10.1.1) or ignored: clients send some, and other servers
    // ignore them.
    this.#server.on("checkExpectation", (message, answer) => this.#requested(message, answer, false));
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      const connection = this.#connections.get(socket as Socket);
      if (connection === undefined) socket.destroy();
      else connection.clientError(error);
    });
  }

  get address(): HttpListener["address"] {
    if (this.#address === undefined) throw new Error("not listening yet");
    return this.#address;
  }

  async listen(bind: string): Promise<void> {
    if (bind.startsWith("/")) await removeStaleSocket(bind);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(parseBind(bind), () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
    this.#server.on("error", (err) => this.#log.error({ err, bind }, "HTTP listener failed"));
    if (bind.startsWith("/")) {
      if (this.#options.socketMode !== undefined) await chmod(bind, this.#options.socketMode);
      this.#address = { path: bind };
    } else {
      const { address, port } = this.#server.address() as AddressInfo;
      this.#address = { host: address, port };
    }
    const intervalMs = Math.min(500, Math.max(10, Math.min(this.limits.bodyIdleMs, this.limits.answerIdleMs) / 10));
    this.#sweep = setInterval(() => {
      for (const connection of this.#connections.values()) connection.tick(intervalMs);
    }, intervalMs);
    this.#sweep.unref();
  }

  async close({ graceMs }: { graceMs: number }): Promise<void> {
    this.closing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const [socket, connection] of this.#connections) if (!connection.busy) socket.destroy();
    const timer = setTimeout(() => {
      for (const connection of this.#connections.values()) connection.shutDown();
      this.#server.closeAllConnections();
    }, graceMs);
    await closed;
    clearTimeout(timer);
    clearInterval(this.#sweep);
  }

  rendered(status: number, reason: string): { readonly headers: readonly string[]; readonly body: string } {
    const { renderClientError } = this.#options;
    if (renderClientError === undefined) return { headers: ["Content-Type", "text/plain; charset=utf-8"], body: `${reason}\n` };
    const { contentType, body, headers = [] } = renderClientError(status, reason, randomBytes(8).toString("hex").toUpperCase());
    return { headers: ["Content-Type", contentType, ...headers], body };
  }

  async runExchange(exchange: HttpExchange): Promise<void> {
    if (exchange.withoutHost) return this.#answerItself(exchange, 400, "A request of HTTP/1.1 needs a Host header.");
    if (exchange.unknownCoding) return this.#answerItself(exchange, 501, "The only transfer coding understood is chunked.");
    try {
      await this.#handler(exchange, exchange);
      if (exchange.started || exchange.gone) return;
      this.#log.error({ method: exchange.method, target: exchange.target }, "a request was left without an answer");
    } catch (err) {
      const fields = { err, method: exchange.method, target: exchange.target };
      if (exchange.gone) this.#log.debug(fields, "the client vanished");
      else if (exchange.started) this.#log.warn(fields, "a request failed after its answer began");
      else this.#log.error(fields, "a request failed");
    }
    if (exchange.gone || exchange.started) return;
    this.#answerItself(exchange, 500, "Internal error.");
  }

  #answerItself(exchange: HttpExchange, status: number, reason: string): void {
    const { headers, body } = this.rendered(status, reason);
    exchange.send(status, headers, body);
  }

  #connected(socket: Socket): void {
    const peer = this.#peers.of(socket.remoteAddress ?? "");
    const admitted = this.#peers.hasRoomFor(peer) || this.#makeRoomFor(peer);
    const connection = new HttpConnection(socket, this, admitted ? peer : undefined);
    this.#connections.set(socket, connection);
    if (admitted) this.#peers.add(peer);
    else this.#refused.add(socket);
    socket.on("close", () => this.#forget(socket));
    // Whoever keeps knocking must not keep others from knocking.
    if (this.#refused.size > maxRefusals(this.limits.maxConnections)) this.#drop(this.#refused.values().next().value!);
  }

  /**
   * Takes an idle connection from the address that has the most; one with a large share can take only its own. @returns whether
   * there was one.
   */
  #makeRoomFor(peer: Peer): boolean {
    const greedy = this.#peers.isGreedy(peer);
    let longest: { readonly socket: Socket; readonly owner: Peer; readonly lastUse: number } | undefined;
    for (const [socket, connection] of this.#connections) {
      const { peer: owner, lastUse } = connection;
      if (owner === undefined || (greedy && owner !== peer)) continue;
      const more = owner.connections - (longest?.owner.connections ?? 0);
      if ((more > 0 || (more === 0 && lastUse < longest!.lastUse)) && connection.idle) longest = { socket, owner, lastUse };
    }
    this.#logFull(longest?.owner ?? peer, longest === undefined ? "newcomers are refused" : "its idle ones are closed");
    if (longest !== undefined) this.#drop(longest.socket);
    return longest !== undefined;
  }

  #drop(socket: Socket): void {
    socket.destroy();
    this.#forget(socket);
  }

  /** Harmless when repeated: a socket that was dropped is closed a moment later. */
  #forget(socket: Socket): void {
    const peer = this.#connections.get(socket)?.peer;
    if (this.#connections.delete(socket) && peer !== undefined) this.#peers.remove(peer);
    this.#refused.delete(socket);
  }

  #logFull({ name, connections }: Peer, consequence: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#fullLoggedMs < FULL_LOG_MS) return;
    this.#fullLoggedMs = nowMs;
    const fields = { address: name, connections, limit: this.limits.maxConnections };
    this.#log.warn(
      fields,
      `connections are short: an address has ${connections} of ${this.limits.maxConnections}; ${consequence}`,
    );
  }

  #requested(message: IncomingMessage, answer: ServerResponse, expectsContinue: boolean): void {
    const connection = this.#connections.get(message.socket);
    if (connection === undefined) message.socket.destroy();
    else if (connection.surplus) connection.refuse(503, "Too many connections. Reduce your request rate.");
    else connection.accept(new HttpExchange([message, answer], { connection, runner: this, expectsContinue }));
  }
}

/** "ip:port", "[ip6]:port" or an absolute path. @throws Error naming what is wrong. */
function parseBind(bind: string): { host: string; port: number; ipv6Only?: boolean } | { path: string } {
  if (bind.startsWith("/")) return { path: bind };
  const match = /^(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(bind);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new Error(`"${bind}" is no address to listen on: ip:port, [ip6]:port or an absolute path`);
  return { host: (match[1] ?? match[2])!, port };
}

/** A socket file that a killed process left behind would make listening fail; one that somebody still serves must stay. */
async function removeStaleSocket(path: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined);
  if (info === undefined || !info.isSocket()) return;
  const served = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (!served) await unlink(path);
}
