// A Signature Version 4 signer for tests and benchmarks: header and query form, streaming chunks with and without trailers, POST
// policies. Written from AWS's description, apart from the verifier in src/api/common (which it is tested against), so that one
// error can't hide in both. https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
import { createHash, createHmac } from "node:crypto";

export interface SigningIdentity {
  readonly keyId: string;
  readonly secret: string;
  readonly region: string;
  /** "s3" when left out. */
  readonly service?: string;
}

export interface RequestToSign {
  readonly method: string;
  /** As it goes on the wire: path already escaped, query too. */
  readonly target: string;
  /** Name, value, name, value …; must have Host. Values as byte strings (latin1). */
  readonly headers: readonly string[];
  /** x-amz-content-sha256: digest or one of AWS's words. */
  readonly payload: string;
  readonly timeMs: number;
  /** Headers to leave unsigned (lower-case), to see them refused. */
  readonly unsigned?: readonly string[];
}

export interface SignedRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: string[];
  readonly canonicalRequest: string;
  readonly stringToSign: string;
  readonly signature: string;
}

export const UNSIGNED = "UNSIGNED-PAYLOAD";
export const STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
export const STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
export const STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

export function sha256Hex(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** Signs with an Authorization header; adds x-amz-date and x-amz-content-sha256 where they are missing. */
export function signRequest(identity: SigningIdentity, request: RequestToSign): SignedRequest {
  const headers = [...request.headers];
  if (!hasHeader(headers, "x-amz-date") && !hasHeader(headers, "date")) headers.push("x-amz-date", amzDate(request.timeMs));
  if (!hasHeader(headers, "x-amz-content-sha256")) headers.push("x-amz-content-sha256", request.payload);
  const names = signedNames(headers, request.unsigned ?? []);
  const [path, query] = splitTarget(request.target);
  const canonicalRequest = [
    request.method,
    encodePath(path),
    canonicalQuery(query),
    ...names.map((name) => `${name}:${canonicalValue(headers, name)}`),
    "",
    names.join(";"),
    request.payload,
  ].join("\n");
  const { stringToSign, signature, scope } = finish(identity, request.timeMs, canonicalRequest);
  headers.push(
    "Authorization",
    `AWS4-HMAC-SHA256 Credential=${identity.keyId}/${scope},SignedHeaders=${names.join(";")},Signature=${signature}`,
  );
  return { method: request.method, target: request.target, headers, canonicalRequest, stringToSign, signature };
}

/** Signs the query: the target gets the X-Amz-* parameters. Only the given headers are signed (Host at least). */
export function presign(identity: SigningIdentity, request: RequestToSign & { readonly expiresSeconds: number }): SignedRequest {
  const names = signedNames(request.headers, request.unsigned ?? []);
  const [path, query] = splitTarget(request.target);
  const scope = scopeOf(identity, request.timeMs);
  const parameters = [
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
    ["X-Amz-Credential", `${identity.keyId}/${scope}`],
    ["X-Amz-Date", amzDate(request.timeMs)],
    ["X-Amz-Expires", String(request.expiresSeconds)],
    ["X-Amz-SignedHeaders", names.join(";")],
  ];
  const added = parameters.map(([name, value]) => `${encode(name!)}=${encode(value!)}`).join("&");
  const full = query === "" ? added : `${query}&${added}`;
  const canonicalRequest = [
    request.method,
    encodePath(path),
    canonicalQuery(full),
    ...names.map((name) => `${name}:${canonicalValue(request.headers, name)}`),
    "",
    names.join(";"),
    request.payload,
  ].join("\n");
  const { stringToSign, signature } = finish(identity, request.timeMs, canonicalRequest);
  const target = `${path}?${full}&X-Amz-Signature=${signature}`;
  return { method: request.method, target, headers: [...request.headers], canonicalRequest, stringToSign, signature };
}

/**
 * The aws-chunked body for a request signed with one of the STREAMING payloads.
 * @param seed  the request's own signature; undefined = chunks are not signed.
 */
export function chunkedBody(
  identity: SigningIdentity,
  body: {
    readonly chunks: readonly Uint8Array[];
    readonly seed: string | undefined;
    readonly timeMs: number;
    readonly trailers?: readonly (readonly [name: string, value: string])[];
  },
): Buffer {
  const scope = scopeOf(identity, body.timeMs);
  const key = signingKey(identity, body.timeMs);
  let previous = body.seed;
  const parts: (string | Uint8Array)[] = [];
  for (const chunk of [...body.chunks, new Uint8Array(0)]) {
    if (previous === undefined) parts.push(`${chunk.byteLength.toString(16)}\r\n`);
    else {
      const text = ["AWS4-HMAC-SHA256-PAYLOAD", amzDate(body.timeMs), scope, previous, sha256Hex(""), sha256Hex(chunk)].join(
        "\n",
      );
      previous = hmac(key, text).toString("hex");
      parts.push(`${chunk.byteLength.toString(16)};chunk-signature=${previous}\r\n`);
    }
    if (chunk.byteLength > 0) parts.push(chunk, "\r\n");
  }
  if (body.trailers === undefined) parts.push("\r\n");
  else {
    for (const [name, value] of body.trailers) parts.push(`${name}:${value}\r\n`);
    if (previous !== undefined) {
      const canonical = body.trailers.map(([name, value]) => `${name}:${value}\n`).join("");
      const text = ["AWS4-HMAC-SHA256-TRAILER", amzDate(body.timeMs), scope, previous, sha256Hex(canonical)].join("\n");
      parts.push(`x-amz-trailer-signature:${hmac(key, text).toString("hex")}\r\n`);
    }
    parts.push("\r\n");
  }
  return Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array)));
}

/** Fields of a POST form: policy (base64 JSON) and its signature. */
export function signPolicy(
  identity: SigningIdentity,
  policy: { readonly document: unknown; readonly timeMs: number },
): Record<string, string> {
  const text = Buffer.from(JSON.stringify(policy.document)).toString("base64");
  return {
    policy: text,
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": `${identity.keyId}/${scopeOf(identity, policy.timeMs)}`,
    "x-amz-date": amzDate(policy.timeMs),
    "x-amz-signature": hmac(signingKey(identity, policy.timeMs), text).toString("hex"),
  };
}

/** Conditions that such a policy needs for the fields of its own signature. */
export function policyFieldConditions(identity: SigningIdentity, timeMs: number): Record<string, string>[] {
  return [
    { "x-amz-algorithm": "AWS4-HMAC-SHA256" },
    { "x-amz-credential": `${identity.keyId}/${scopeOf(identity, timeMs)}` },
    { "x-amz-date": amzDate(timeMs) },
  ];
}

export function amzDate(timeMs: number): string {
  const iso = new Date(timeMs).toISOString();
  return iso.slice(0, 19).replace(/[-:]/g, "") + "Z";
}

/** Escapes everything but A–Z a–z 0–9 - . _ ~, byte by byte. */
export function encode(text: string): string {
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const character = String.fromCharCode(byte);
    out += /[A-Za-z0-9\-._~]/.test(character) ? character : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
  }
  return out;
}

/** A key as a path: slashes stay. */
export function encodeKey(key: string): string {
  return key.split("/").map(encode).join("/");
}

function finish(identity: SigningIdentity, timeMs: number, canonicalRequest: string) {
  const scope = scopeOf(identity, timeMs);
  const digest = sha256Hex(Buffer.from(canonicalRequest, "latin1"));
  const stringToSign = ["AWS4-HMAC-SHA256", amzDate(timeMs), scope, digest].join("\n");
  return { scope, stringToSign, signature: hmac(signingKey(identity, timeMs), stringToSign).toString("hex") };
}

function scopeOf(identity: SigningIdentity, timeMs: number): string {
  return `${amzDate(timeMs).slice(0, 8)}/${identity.region}/${identity.service ?? "s3"}/aws4_request`;
}

function signingKey(identity: SigningIdentity, timeMs: number): Buffer {
  let key = Buffer.from("AWS4" + identity.secret, "utf8");
  for (const part of scopeOf(identity, timeMs).split("/")) key = hmac(key, part);
  return key;
}

function hmac(key: Uint8Array, text: string): Buffer<ArrayBuffer> {
  return createHmac("sha256", key).update(text).digest();
}

function hasHeader(headers: readonly string[], lower: string): boolean {
  return headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === lower);
}

function signedNames(headers: readonly string[], unsigned: readonly string[]): string[] {
  const names = headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  return [...new Set(names)].filter((name) => !unsigned.includes(name)).sort();
}

function canonicalValue(headers: readonly string[], lower: string): string {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2)
    if (headers[i]!.toLowerCase() === lower) values.push(headers[i + 1]!.trim().replace(/[ \t]+/g, " "));
  return values.join(",");
}

function splitTarget(target: string): [path: string, query: string] {
  const mark = target.indexOf("?");
  return mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark + 1)];
}

/** S3: the decoded path, escaped once. */
function encodePath(path: string): string {
  return encodeKey(decodeURIComponent(path));
}

function canonicalQuery(query: string): string {
  return query
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      const equals = part.indexOf("=");
      const name = equals < 0 ? part : part.slice(0, equals);
      const value = equals < 0 ? "" : part.slice(equals + 1);
      return [encode(decodeURIComponent(name)), encode(decodeURIComponent(value))] as const;
    })
    .sort((a, b) => Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])) || Buffer.compare(Buffer.from(a[1]), Buffer.from(b[1])))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}
