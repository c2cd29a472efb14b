import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { encode, encodeKey, type SigningIdentity, signRequest, UNSIGNED } from "../../support/sign.ts";

export interface S3Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  /** performance.now() when the head of the answer came. */
  readonly headMs: number;
}

export interface S3Request {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** After this the request is cut off and rejects. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** An S3 error, as the server worded it. */
export class S3Error extends Error {
  readonly status: number;
  readonly code: string;
  constructor(what: string, answer: S3Answer) {
    const text = answer.body.toString("utf8");
    const code = tag(text, "Code") ?? "";
    super(`${what}: ${answer.status} ${code} ${tag(text, "Message") ?? text.slice(0, 200)}`);
    this.name = "S3Error";
    this.status = answer.status;
    this.code = code;
  }
}

/**
 * A small S3 client for tests that need to know what was sent when: one connection per request under way, no retries,
 * requests that stop in the middle. Bodies go unsigned (`UNSIGNED-PAYLOAD`), which keeps the client cheap.
 */
export class S3Client {
  readonly host: string;
  readonly port: number;
  readonly identity: SigningIdentity;
  #agent = new Agent({ keepAlive: true, maxSockets: 512 });

  constructor(host: string, port: number, identity: SigningIdentity) {
    this.host = host;
    this.port = port;
    this.identity = identity;
  }

  /**
   * Starts a request and leaves the body to the caller. `answered` rejects when the connection breaks before the head of the
   * answer.
   */
  open(
    method: string,
    target: string,
    headers: Readonly<Record<string, string>> = {},
    options: { readonly agent?: Agent | false } = {},
  ): { readonly request: ClientRequest; readonly answered: Promise<IncomingMessage> } {
    const list = ["host", `${this.host}:${this.port}`];
    for (const [name, value] of Object.entries(headers)) list.push(name, value);
    const signed = signRequest(this.identity, { method, target, headers: list, payload: UNSIGNED, timeMs: Date.now() });
    const sent = request({
      host: this.host,
      port: this.port,
      method,
      path: target,
      headers: signed.headers as unknown as Record<string, string>,
      agent: options.agent ?? this.#agent,
    });
    sent.setNoDelay(true);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once("response", resolve);
      sent.on("error", reject);
    });
    // Whoever tears the request down on purpose does not look at it any more.
    answered.catch(() => {});
    return { request: sent, answered };
  }

  async send(
    method: string,
    target: string,
    { headers = {}, body, timeoutMs = 120_000, signal }: S3Request = {},
  ): Promise<S3Answer> {
    const all: Record<string, string> = { ...headers };
    if (body !== undefined || method === "PUT" || method === "POST") all["content-length"] = String(body?.byteLength ?? 0);
    const { request: sent, answered } = this.open(method, target, all);
    const cut = (why: string) => (): void => void sent.destroy(new Error(`${method} ${target}: ${why}`));
    const timer = setTimeout(cut(`no answer within ${timeoutMs} ms`), timeoutMs);
    const aborted = cut("aborted");
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      sent.end(body);
      const answer = await answered;
      const headMs = performance.now();
      const pieces: Buffer[] = [];
      for await (const piece of answer) pieces.push(piece as Buffer);
      return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(pieces), headMs };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    }
  }

  /** @throws S3Error unless the status is 2xx */
  async must(method: string, target: string, options: S3Request = {}): Promise<S3Answer> {
    const answer = await this.send(method, target, options);
    if (answer.status < 200 || answer.status > 299) throw new S3Error(`${method} ${target}`, answer);
    return answer;
  }

  /** @returns the ETag without quotes. */
  async put(bucket: string, key: string, body: Uint8Array, options: Omit<S3Request, "body"> = {}): Promise<string> {
    return etagOf(await this.must("PUT", target(bucket, key), { ...options, body }));
  }

  /** Undefined when there is no such object. */
  async get(bucket: string, key: string, options: S3Request = {}): Promise<S3Answer | undefined> {
    return orAbsent(`GET ${key}`, await this.send("GET", target(bucket, key), options));
  }

  async head(bucket: string, key: string): Promise<S3Answer | undefined> {
    return orAbsent(`HEAD ${key}`, await this.send("HEAD", target(bucket, key)));
  }

  async delete(bucket: string, key: string): Promise<void> {
    await this.must("DELETE", target(bucket, key));
  }

  /** All objects, page after page. */
  async list(bucket: string, prefix = "", pageKeys = 1000): Promise<Listed[]> {
    const all: Listed[] = [];
    let token: string | undefined;
    do {
      const query = [`list-type=2`, `max-keys=${pageKeys}`, `prefix=${encode(prefix)}`];
      if (token !== undefined) query.push(`continuation-token=${encode(token)}`);
      const text = (await this.must("GET", `/${bucket}?${query.join("&")}`)).body.toString("utf8");
      for (const entry of text.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g))
        all.push({
          key: tag(entry[1] as string, "Key") ?? "",
          bytes: Number(tag(entry[1] as string, "Size")),
          etag: (tag(entry[1] as string, "ETag") ?? "").replaceAll('"', ""),
        });
      token = tag(text, "IsTruncated") === "true" ? tag(text, "NextContinuationToken") : undefined;
    } while (token !== undefined);
    return all;
  }

  async startUpload(bucket: string, key: string): Promise<string> {
    const answer = await this.must("POST", `${target(bucket, key)}?uploads=`);
    return tag(answer.body.toString("utf8"), "UploadId") ?? "";
  }

  async uploadPart(bucket: string, key: string, upload: string, number: number, body: Uint8Array): Promise<string> {
    return etagOf(await this.must("PUT", `${target(bucket, key)}?partNumber=${number}&uploadId=${encode(upload)}`, { body }));
  }

  /** @returns the ETag. @throws S3Error, also for an error inside a 200. */
  async complete(bucket: string, key: string, upload: string, etags: readonly string[]): Promise<string> {
    const answer = await this.must("POST", `${target(bucket, key)}?uploadId=${encode(upload)}`, {
      body: Buffer.from(completeXml(etags)),
    });
    const text = answer.body.toString("utf8");
    const etag = tag(text, "ETag");
    if (etag === undefined) throw new S3Error(`complete ${key}`, answer);
    return etag.replaceAll('"', "");
  }

  async abort(bucket: string, key: string, upload: string): Promise<void> {
    await this.must("DELETE", `${target(bucket, key)}?uploadId=${encode(upload)}`);
  }

  /** The uploads that are neither completed nor aborted (first thousand). */
  async uploads(bucket: string): Promise<{ key: string; upload: string }[]> {
    const text = (await this.must("GET", `/${bucket}?uploads=`)).body.toString("utf8");
    return [...text.matchAll(/<Upload>([\s\S]*?)<\/Upload>/g)].map((entry) => ({
      key: tag(entry[1] as string, "Key") ?? "",
      upload: tag(entry[1] as string, "UploadId") ?? "",
    }));
  }

  /** Drops idle connections; for a server that was restarted. */
  reset(): void {
    this.#agent.destroy();
    this.#agent = new Agent({ keepAlive: true, maxSockets: 512 });
  }
}

export interface Listed {
  readonly key: string;
  readonly bytes: number;
  readonly etag: string;
}

export function target(bucket: string, key: string): string {
  return `/${bucket}/${encodeKey(key)}`;
}

export function completeXml(etags: readonly string[]): string {
  const parts = etags.map((etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>"${etag}"</ETag></Part>`);
  return `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
}

export function etagOf(answer: S3Answer): string {
  return (answer.headers.etag ?? "").replaceAll('"', "");
}

/** Text of the first element of that name, entities resolved. */
export function tag(xml: string, name: string): string | undefined {
  const match = new RegExp(`<${name}(?: [^>]*)?>([\\s\\S]*?)</${name}>`).exec(xml);
  return match?.[1]?.replace(/&(#x[0-9a-fA-F]+|#\d+|lt|gt|quot|apos|amp);/g, (whole, entity: string) => {
    if (entity.startsWith("#x")) return String.fromCodePoint(Number.parseInt(entity.slice(2), 16));
    if (entity.startsWith("#")) return String.fromCodePoint(Number(entity.slice(1)));
    return { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" }[entity] ?? whole;
  });
}

function orAbsent(what: string, answer: S3Answer): S3Answer | undefined {
  if (answer.status === 404) return undefined;
  if (answer.status < 200 || answer.status > 299) throw new S3Error(what, answer);
  return answer;
}
