import type { HttpRequest } from "../../platform/http.ts";
import type { ByteSource } from "../../util/byte-source.ts";
import { protocolError } from "./api-error.ts";
import type { Query } from "./request-target.ts";

/** Parameters of the signature itself; they are no headers. */
const OF_THE_SIGNATURE: ReadonlySet<string> = new Set([
  "x-amz-algorithm",
  "x-amz-credential",
  "x-amz-signature",
  "x-amz-date",
  "x-amz-signedheaders",
  "x-amz-expires",
  "x-amz-content-sha256",
]);

/**
 * Headers that a presigner has put into the query (x-amz-acl, x-amz-meta-…, x-amz-checksum-…), by lower-case name, as latin1 byte
 * strings like any header's value. Undefined when there are none.
 *
 * @throws ApiError InvalidRequest when one is given twice, or a header of the same name says something else.
 */
export function hoistedHeaders(request: HttpRequest, query: Query): ReadonlyMap<string, string> | undefined {
  let headers: Map<string, string> | undefined;
  for (const { name, value } of query.parameters) {
    const lower = name.toLowerCase();
    if (!lower.startsWith("x-amz-") || OF_THE_SIGNATURE.has(lower)) continue;
    const bytes = Buffer.from(value, "utf8").toString("latin1");
    const other = request.header(lower);
    if (headers?.has(lower) === true || (other !== undefined && other !== bytes))
      throw protocolError("InvalidRequest", `${lower} is given more than once, in the query and the headers.`);
    headers ??= new Map();
    headers.set(lower, bytes);
  }
  return headers;
}

/** A request with more headers than came in its head. */
export class HoistedRequest implements HttpRequest {
  readonly #request: HttpRequest;
  readonly #added: ReadonlyMap<string, string>;
  readonly rawHeaders: readonly string[];

  constructor(request: HttpRequest, added: ReadonlyMap<string, string>) {
    this.#request = request;
    this.#added = added;
    const raw = request.rawHeaders.slice();
    for (const [name, value] of added) if (request.header(name) === undefined) raw.push(name, value);
    this.rawHeaders = raw;
  }

  get method(): string {
    return this.#request.method;
  }
  get target(): string {
    return this.#request.target;
  }
  header(name: string): string | undefined {
    return this.#added.get(name) ?? this.#request.header(name);
  }
  get body(): ByteSource {
    return this.#request.body;
  }
  get contentLength(): number | undefined {
    return this.#request.contentLength;
  }
  get remoteAddress(): string {
    return this.#request.remoteAddress;
  }
  get signal(): AbortSignal {
    return this.#request.signal;
  }
}
