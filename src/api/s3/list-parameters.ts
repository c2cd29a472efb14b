import type { Query } from "../common/request-target.ts";
import { invalidArgument } from "./errors.ts";

/** Query parameters that the listing calls share, checked as AWS checks them. An empty value counts as absent. */

export const MAX_PAGE = 1000;
/** Those that every list in a bucket has. */
export const LIST_PARAMS: readonly string[] = ["prefix", "delimiter", "encoding-type"];

export function optionalParam(query: Query, name: string): string | undefined {
  const value = query.get(name);
  return value === "" ? undefined : value;
}

/** A decimal number ≥ 0, cut to `max` as AWS does; `max` when absent. @throws ApiError InvalidArgument */
export function pageSize(query: Query, name: string, max: number = MAX_PAGE): number {
  const value = optionalParam(query, name);
  return value === undefined ? max : Math.min(wholeNumber(value, name), max);
}

/** @throws ApiError InvalidArgument unless `value` is 0 ..= 2^31 − 1 */
export function wholeNumber(value: string, name: string): number {
  const number = /^\d{1,10}$/.test(value.trim()) ? Number(value) : Number.NaN;
  if (!(number <= 0x7fff_ffff)) throw invalidArgument(`Provided ${name} not an integer or within integer range`, name, value);
  return number;
}

/** Whether encoding-type=url was asked for. @throws ApiError InvalidArgument for another encoding. */
export function urlEncoded(query: Query): boolean {
  const value = optionalParam(query, "encoding-type");
  if (value === undefined) return false;
  if (value.toLowerCase() !== "url")
    throw invalidArgument("Invalid Encoding Method specified in Request", "encoding-type", value);
  return true;
}

/**
 * Where a marker that a client sends goes on. A marker that is itself a common prefix of this listing (v1 hands those out as
 * NextMarker) means that everything under it has been told.
 */
export function endsCommonPrefix(marker: string, prefix: string, delimiter: string): boolean {
  if (delimiter === "" || !marker.endsWith(delimiter) || !marker.startsWith(prefix)) return false;
  return marker.indexOf(delimiter, prefix.length) === marker.length - delimiter.length;
}

/**
 * Continuation tokens: opaque to clients, "1" and base64url of a flag and the place. Not signed: a forged one only moves the
 * caller's own page.
 */
export function continuationToken(place: { readonly after: string; readonly skipPrefix: boolean }): string {
  return "1" + Buffer.from((place.skipPrefix ? "p" : "k") + place.after, "utf8").toString("base64url");
}

/** @throws ApiError InvalidArgument when this server did not make it. */
export function placeOfToken(token: string): { after: string; skipPrefix: boolean } {
  const bytes = /^1[A-Za-z0-9_-]+$/.test(token) ? Buffer.from(token.slice(1), "base64url") : Buffer.alloc(0);
  const text = bytes.toString("utf8");
  const flag = text.charAt(0);
  if ((flag !== "k" && flag !== "p") || !Buffer.from(text, "utf8").equals(bytes))
    throw invalidArgument("The continuation token provided is incorrect", "continuation-token", token);
  return { after: text.slice(1), skipPrefix: flag === "p" };
}
