import { type IncomingMessage, request as httpRequest } from "node:http";
import { createConnection } from "node:net";
import type { S3TestServer } from "./server.ts";
import { sha256Hex, signRequest, type SigningIdentity } from "./sign.ts";

export interface Ask {
  readonly method?: string;
  /** As on the wire. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Default: the server's own key. null: unsigned. */
  readonly as?: SigningIdentity | null;
  /** x-amz-content-sha256; default: the body's digest. */
  readonly payload?: string;
  readonly timeMs?: number;
}

export interface Reply {
  readonly status: number;
  /** Lower-case names; latin1 values as received. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly text: string;
  /** Code of an S3 error document; "" otherwise. */
  readonly code: string;
}

/** One hand-made, signed request over its own connection. */
export function ask(
  server: S3TestServer,
  { method = "GET", target, headers = {}, body = "", as, payload, timeMs }: Ask,
): Promise<Reply> {
  const bytes = Buffer.from(body as string);
  const raw = ["Host", `${server.host}:${server.port}`];
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() === "host") raw[1] = value;
    else raw.push(name, value);
  }
  if (bytes.byteLength > 0 || (method !== "GET" && method !== "HEAD" && method !== "DELETE")) {
    if (!raw.some((name) => name.toLowerCase() === "content-length" || name.toLowerCase() === "transfer-encoding"))
      raw.push("Content-Length", String(bytes.byteLength));
  }
  const identity = as === undefined ? server.identity : as;
  const signed =
    identity === null
      ? raw
      : signRequest(identity, {
          method,
          target,
          headers: raw,
          payload: payload ?? sha256Hex(bytes),
          timeMs: timeMs ?? Date.now(),
        }).headers;
  return exchange(server, { method, target, headers: signed, body: bytes });
}

/** Sends exactly these headers (name, value, …). */
export function exchange(
  server: Pick<S3TestServer, "host" | "port">,
  message: { readonly method: string; readonly target: string; readonly headers: readonly string[]; readonly body?: Uint8Array },
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: server.host,
        port: server.port,
        method: message.method,
        path: message.target,
        headers: message.headers.slice(),
        agent: false,
      },
      (response) => {
        collect(response).then((body) => resolve(replyOf(response, body)), reject);
      },
    );
    request.on("error", reject);
    request.end(message.body);
  });
}

/** Sends raw bytes and gives everything that comes back until the server closes (or `idleMs` of silence). */
export function sendRaw(
  server: Pick<S3TestServer, "host" | "port">,
  bytes: string | Uint8Array,
  { idleMs = 2000 } = {},
): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: server.host, port: server.port }, () => socket.write(bytes as Uint8Array));
    let text = "";
    const end = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(idleMs, end);
    socket.on("data", (piece) => {
      text += piece.toString("latin1");
    });
    socket.on("end", end);
    socket.on("error", end);
  });
}

function replyOf(response: IncomingMessage, body: Buffer): Reply {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers))
    headers[name] = Array.isArray(value) ? value.join(", ") : (value ?? "");
  const text = body.toString("utf8");
  return {
    status: response.statusCode ?? 0,
    headers,
    body,
    text,
    code: /^<\?xml[^>]*>\s*<Error><Code>(\w+)<\/Code>/.exec(text)?.[1] ?? "",
  };
}

async function collect(response: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
