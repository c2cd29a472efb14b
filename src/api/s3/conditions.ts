import type { AccessKey, Bucket } from "../../model/control-service.ts";
import type { WriteCondition } from "../../model/object-service.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { parseHttpDate } from "../common/dates.ts";
import { s3Error } from "./errors.ts";

/**
 * Preconditions of reads and copy sources (RFC 9110 §13.2.2, in its order), and conditions of writes, which the state machine
 * decides.
 */

/** What a write may carry whose condition the state machine decides. */
export const WRITE_CONDITIONS: readonly string[] = ["if-match", "if-none-match"];

export interface ReadConditions {
  readonly ifMatch: string | undefined;
  readonly ifUnmodifiedSince: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  readonly nowMs: number;
}

export type ReadVerdict = "go" | "not-modified" | "If-Match" | "If-Unmodified-Since";

/** @returns "go", "not-modified" (304), or the name of the condition that failed (412). Unparsable dates count as absent. */
export function judgeRead(object: { readonly etag: string; readonly stampMs: number }, conditions: ReadConditions): ReadVerdict {
  const { ifMatch, ifUnmodifiedSince, ifNoneMatch, ifModifiedSince, nowMs } = conditions;
  // Dates on the wire have whole seconds: the object's is cut to them, or nobody could repeat what Last-Modified told.
  const second = Math.floor(object.stampMs / 1000) * 1000;
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, object.etag, "strong")) return "If-Match";
  } else if (ifUnmodifiedSince !== undefined) {
    const date = parseHttpDate(ifUnmodifiedSince);
    if (date !== undefined && second > date) return "If-Unmodified-Since";
  }
  if (ifNoneMatch !== undefined) {
    if (matches(ifNoneMatch, object.etag, "weak")) return "not-modified";
  } else if (ifModifiedSince !== undefined) {
    const date = parseHttpDate(ifModifiedSince);
    // AWS ignores a date in the future. That of an object whose own is (a clock was set back) still holds.
    if (date !== undefined && second <= date && (date <= nowMs || date === second)) return "not-modified";
  }
  return "go";
}

/** If-Range (RFC 9110 §13.1.5): whether the Range still holds for this object. */
export function rangeHolds(ifRange: string | undefined, object: { readonly etag: string; readonly stampMs: number }): boolean {
  if (ifRange === undefined) return true;
  const date = ifRange.startsWith('"') || ifRange.startsWith("W/") ? undefined : parseHttpDate(ifRange);
  if (date !== undefined) return Math.floor(object.stampMs / 1000) * 1000 === date;
  return matches(ifRange, object.etag, "strong");
}

/**
 * If-Match and If-None-Match of a write; undefined when there is none.
 * @throws ApiError NotImplemented for what AWS does not do either: an ETag in If-None-Match, both at once.
 */
export function writeConditionOf(request: Pick<HttpRequest, "header">): WriteCondition | undefined {
  const ifNoneMatch = request.header("if-none-match");
  const ifMatch = request.header("if-match");
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== "*") throw unsupported("If-None-Match", "Writes support If-None-Match only with the value *.");
    if (ifMatch !== undefined) throw unsupported("If-Match", "Writes support one of If-Match and If-None-Match at a time.");
    return { ifNoneMatch: "*" };
  }
  return ifMatch === undefined ? undefined : ifMatchCondition(ifMatch);
}

/** The condition of a write, where its caller may ask it. @throws ApiError as `writeConditionOf` and `checkMayCompare` */
export function allowedCondition(call: Comparer & { readonly request: Pick<HttpRequest, "header"> }): WriteCondition | undefined {
  const condition = writeConditionOf(call.request);
  checkMayCompare(condition, call);
  return condition;
}

/**
 * Comparing an ETag tells something of what is stored: AWS asks for the right to read as well, but not where the condition is
 * only that there is something, or nothing. https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
 *
 * @throws ApiError AccessDenied
 */
export function checkMayCompare(condition: WriteCondition | undefined, { bucket, accessKey }: Comparer): void {
  if (condition === undefined || !("ifMatch" in condition) || condition.ifMatch === "*" || bucket.rights(accessKey.id).read)
    return;
  throw s3Error("AccessDenied", "Access Denied: If-Match with an ETag needs the read right on the bucket too.");
}

interface Comparer {
  readonly bucket: Bucket;
  readonly accessKey: AccessKey;
}

/** @throws ApiError InvalidArgument when no ETag can be read from it. */
export function ifMatchCondition(value: string): WriteCondition {
  const tags = entityTags(value);
  if (tags === "*") return { ifMatch: "*" };
  const strong = tags.filter((tag) => !tag.weak).map((tag) => tag.value);
  if (tags.length === 0) throw s3Error("InvalidArgument", "If-Match needs an ETag, or *.", [["ArgumentName", "If-Match"]]);
  // Weak tags never match strongly: with only those, nothing can.
  return { ifMatch: strong.length > 0 ? strong : [""] };
}

function unsupported(header: string, message: string): Error {
  return s3Error("NotImplemented", `A header you provided implies functionality that is not implemented. ${message}`, [
    ["Header", header],
  ]);
}

interface EntityTag {
  readonly value: string;
  readonly weak: boolean;
}

function matches(header: string, etag: string, comparison: "strong" | "weak"): boolean {
  const tags = entityTags(header);
  if (tags === "*") return true;
  return tags.some((tag) => tag.value === etag && (comparison === "weak" || !tag.weak));
}

/** ETags of a list, quoted or (as many clients send them) bare. */
function entityTags(header: string): readonly EntityTag[] | "*" {
  const text = header.trim();
  if (text === "*") return "*";
  const tags: EntityTag[] = [];
  for (const piece of text.split(",")) {
    let tag = piece.trim();
    const weak = tag.startsWith("W/");
    if (weak) tag = tag.slice(2);
    if (tag.length >= 2 && tag.startsWith('"') && tag.endsWith('"')) tag = tag.slice(1, -1);
    if (tag !== "") tags.push({ value: tag, weak });
  }
  return tags;
}
