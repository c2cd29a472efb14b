import type { HttpRequest } from "../../platform/http.ts";
import type { Query } from "../common/request-target.ts";
import { invalidArgument, s3Error } from "./errors.ts";
import type { S3Operation } from "./operation.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { isRefused } from "./refused-families.ts";
import { isSubResource } from "./route.ts";

/**
 * Refuses what asks for a guarantee or a wider effect that an operation does not give (P8): headers of `REFUSED_FAMILIES` and, on
 * writes, query parameters that choose another operation, another version or another part. Any other unknown header or parameter
 * is ignored, as AWS does: whole families of clients send them. Reads with unknown ones are always answered.
 */
export function screen(operation: Operation, request: Pick<HttpRequest, "rawHeaders">, query: Query): void {
  const record = OPERATIONS[operation];
  const { understood, writes } = record;
  const { rawHeaders } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const raw = rawHeaders[at] as string;
    const first = raw.charCodeAt(0) | 0x20;
    // Only If-* and x-amz-* can be meant: most names are passed over without a new string.
    if (first !== X && first !== I) continue;
    const name = raw.toLowerCase();
    const value = rawHeaders[at + 1] as string;
    if (!understood.has(name) && isRefused(name, value, { writes })) throw refusedHeader(operation, raw, value);
  }
  if (query.parameters.length > 0) screenQuery(operation, record, query);
}

const X = 0x78;
const I = 0x69;

/** Of other operations; a write that ignored them would change more than was asked for. */
const NARROWING: ReadonlySet<string> = new Set(["versionId", "partNumber"]);
/**
 * How AWS names sub-resources (acl, object-lock, renameObject): without a value such a name may choose an operation that isn't
 * known here.
 */
const SUB_RESOURCE = /^[a-z][A-Za-z0-9-]*$/;

function screenQuery(operation: Operation, { params, writes }: S3Operation, query: Query): void {
  const presigned = query.has("X-Amz-Signature");
  for (const { name, value } of query.parameters) {
    if (params.has(name)) {
      if (query.count(name) > 1)
        throw invalidArgument(`The query parameter ${name} must be given once.`, name, query.get(name) ?? "");
    } else if (writes && choosesMore(name, value, { presigned }))
      throw s3Error("NotImplemented", `${operation} does not support the query parameter "${name}". Remove it.`, [
        ["ArgumentName", name],
      ]);
  }
}

function choosesMore(name: string, value: string, { presigned }: { readonly presigned: boolean }): boolean {
  const lower = name.toLowerCase();
  // Those of a presigned URL were judged as headers; without one they would count for nothing, and say what a header says.
  if (lower.startsWith("x-amz-")) return !presigned;
  // Custom parameters that begin with "x-" are for the client's logs.
  if (lower.startsWith("x-")) return false;
  return isSubResource(name) || NARROWING.has(name) || (value === "" && SUB_RESOURCE.test(name));
}

function refusedHeader(operation: Operation, header: string, value: string): Error {
  return s3Error(
    "NotImplemented",
    `A header you provided implies functionality that is not implemented: ${operation} does not support ${header} with this value. Remove it.`,
    [
      ["Header", header],
      ["Value", value],
    ],
  );
}
