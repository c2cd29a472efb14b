import type { AccessKey } from "../../model/control-service.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { escapeXml } from "../common/xml-write.ts";
import { s3Error } from "./errors.ts";

/** Owner, Initiator and Grantee: there are keys, no accounts, so every key sees itself as the owner of what it may see. */
export function ownerXml(name: "Owner" | "Initiator", key: AccessKey): string {
  return `<${name}><ID>${escapeXml(key.id)}</ID><DisplayName>${escapeXml(key.name)}</DisplayName></${name}>`;
}

/**
 * Compares a header that names the owner a client expects with the one that the client is shown: its own key's id. An empty one
 * asks nothing. https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
 *
 * @throws ApiError AccessDenied
 */
export function requireOwner(
  { request, accessKey }: { readonly request: Pick<HttpRequest, "header">; readonly accessKey: AccessKey },
  header: "x-amz-expected-bucket-owner" | "x-amz-source-expected-bucket-owner",
): void {
  const expected = request.header(header) ?? "";
  if (expected === "" || expected === accessKey.id) return;
  throw s3Error(
    "AccessDenied",
    `Access Denied: ${header} is not the owner. It is the id that ListBuckets names: your access key's.`,
  );
}
