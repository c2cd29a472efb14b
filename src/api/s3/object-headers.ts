import type { ObjectHeaders } from "../../model/object-service.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { storedContentEncoding } from "../common/payload.ts";
import { decodeWords, encodeWords } from "./encoded-words.ts";
import { invalidArgument, s3Error } from "./errors.ts";

/**
 * Headers that are kept with an object: in from a request, out to an answer. Node hands header bytes over as latin1 strings. What
 * a client sent as UTF-8 is kept as text; system headers go out as the same bytes, user metadata beyond ASCII as encoded words
 * (encoded-words.ts), which it may also come in as.
 */

/**
 * User metadata: sum of the bytes of names (without "x-amz-meta-") and values.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
 */
export const MAX_USER_METADATA_BYTES = 2048;
/** All other kept headers together. */
export const MAX_SYSTEM_METADATA_BYTES = 8192;
const META = "x-amz-meta-";
const DEFAULT_CONTENT_TYPE = "binary/octet-stream";

type Pair = readonly [name: string, value: string];
const NOTHING: readonly Pair[] = [];

/** @throws ApiError MetadataTooLarge · InvalidArgument (not UTF-8) · InvalidRedirectLocation */
export function keptHeaders(request: Pick<HttpRequest, "rawHeaders" | "header">): ObjectHeaders {
  const system: Pair[] = [];
  let user: Pair[] | undefined;
  const { rawHeaders } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const raw = rawHeaders[at] as string;
    const first = raw.charCodeAt(0) | 0x20;
    // Only c…, e… and x… can be one: most names are passed over without a new string.
    if (first !== 0x63 && first !== 0x65 && first !== 0x78) continue;
    const name = raw.toLowerCase();
    if (name.startsWith(META)) {
      user ??= [];
      addUser(user, name.slice(META.length), decodeWords(textOf(name, rawHeaders[at + 1] as string)));
    } else if (isKept(name) && !has(system, name)) {
      const text = textOf(name, request.header(name) ?? "");
      const value = name === "content-encoding" ? storedContentEncoding(text) : text;
      if (value !== undefined && value !== "") system.push([name, value]);
    }
  }
  const headers: ObjectHeaders = { system, user: user ?? NOTHING };
  checkKeptHeaders(headers);
  return headers;
}

/** The limits and forms that hold for kept headers wherever they come from (request, browser form). */
export function checkKeptHeaders(headers: ObjectHeaders): void {
  if (headers.user.length > 0) {
    const bytes = sizeOf(headers.user);
    if (bytes > MAX_USER_METADATA_BYTES) throw metadataTooLarge(bytes);
    for (const [name, value] of headers.user) checkHeaderText(META + name, value);
  }
  for (const [name, value] of headers.system) {
    if (value.length > MAX_SYSTEM_METADATA_BYTES / 8 && sizeOf(headers.system) > MAX_SYSTEM_METADATA_BYTES)
      throw s3Error(
        "MetadataTooLarge",
        `Headers that are kept with the object may have ${MAX_SYSTEM_METADATA_BYTES} bytes in all.`,
      );
    checkHeaderText(name, value);
    if (name === "x-amz-website-redirect-location" && !/^(\/|https?:\/\/)/.test(value)) throw s3Error("InvalidRedirectLocation");
  }
}

/** Appends what is kept with an object; `overrides` (response-*) take the place of system headers. */
export function pushKeptHeaders(out: string[], headers: ObjectHeaders, overrides?: ReadonlyMap<string, string>): void {
  let typed = false;
  for (const [name, value] of headers.system) {
    if (overrides?.has(name) === true) continue;
    if (name === "content-type") typed = true;
    out.push(name, wireText(value));
  }
  if (overrides !== undefined) for (const [name, value] of overrides) out.push(name, wireText(value));
  if (!typed && overrides?.has("content-type") !== true) out.push("content-type", DEFAULT_CONTENT_TYPE);
  for (const [name, value] of headers.user) out.push(META + name, encodeWords(value));
}

/** Text as a header carries it: UTF-8 bytes in a latin1 string. */
export function wireText(text: string): string {
  return NOT_ASCII.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}

/** @throws ApiError InvalidArgument: a line break or another control character would break the answer's head apart. */
export function checkHeaderText(name: string, value: string): void {
  if (CONTROL.test(value)) throw invalidArgument(`The value of ${name} holds a control character. Remove it.`, name, value);
}

export function isKept(name: string): boolean {
  switch (name) {
    case "content-type":
    case "cache-control":
    case "content-disposition":
    case "content-encoding":
    case "content-language":
    case "expires":
    case "x-amz-website-redirect-location":
      return true;
    default:
      return false;
  }
}

/** Repeated user metadata is one value, joined without spaces (AWS); the transport would join with them. */
function addUser(user: Pair[], name: string, value: string): void {
  const at = user.findIndex((pair) => pair[0] === name);
  if (at >= 0) user[at] = [name, `${(user[at] as Pair)[1]},${value}`];
  // Every name has a byte at least: a request with more of them is too large, and looking for each among all would take long.
  else if (user.length >= MAX_USER_METADATA_BYTES) throw metadataTooLarge(sizeOf(user) + name.length);
  else user.push([name, value]);
}

function metadataTooLarge(bytes: number): Error {
  return s3Error(
    "MetadataTooLarge",
    `Your metadata headers exceed the maximum allowed metadata size: make them ${MAX_USER_METADATA_BYTES} bytes at most.`,
    [
      ["Size", String(bytes)],
      ["MaxSizeAllowed", String(MAX_USER_METADATA_BYTES)],
    ],
  );
}

const NOT_ASCII = /[^\x00-\x7f]/;
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

function textOf(name: string, value: string): string {
  if (!NOT_ASCII.test(value)) return value;
  const bytes = Buffer.from(value, "latin1");
  const text = bytes.toString("utf8");
  // A replacement character that the client did not send: the bytes were no UTF-8, and what comes back would not be what was
  // sent.
  if (!Buffer.from(text, "utf8").equals(bytes)) throw invalidArgument(`The value of ${name} must be UTF-8.`, name, value);
  return text;
}

function has(pairs: readonly Pair[], name: string): boolean {
  for (const pair of pairs) if (pair[0] === name) return true;
  return false;
}

function sizeOf(pairs: readonly Pair[]): number {
  let bytes = 0;
  for (const [name, value] of pairs) bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes;
}
