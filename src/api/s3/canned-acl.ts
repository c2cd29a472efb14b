import type { BucketId } from "../../util/ids.ts";
import type { Services } from "./call.ts";
import { invalidArgument } from "./errors.ts";

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl */
const CANNED: ReadonlySet<string> = new Set([
  "private",
  "public-read",
  "public-read-write",
  "authenticated-read",
  "aws-exec-read",
  "bucket-owner-read",
  "bucket-owner-full-control",
  "log-delivery-write",
]);
/** What every object has anyway. */
const GRANTS_NOTHING: ReadonlySet<string> = new Set(["private", "bucket-owner-read", "bucket-owner-full-control"]);

/**
 * The value of x-amz-acl, or of a form's field acl; "" when there is none. @throws ApiError InvalidArgument when AWS has no such
 * one
 */
export function cannedAcl(value: string | undefined): string {
  const acl = value?.trim() ?? "";
  if (acl !== "" && !CANNED.has(acl)) throw invalidArgument("", "x-amz-acl", acl);
  return acl;
}

/**
 * Notes a canned ACL that would grant something on AWS. There are no ACLs here: it is taken, because applications send
 * public-read by default (Mastodon), and grants nothing; one line a bucket in the log says so.
 */
export function noteIgnoredAcl(acl: string, bucket: { readonly id: BucketId; readonly name: string }, services: Services): void {
  if (acl === "" || GRANTS_NOTHING.has(acl) || !services.ignoredAcls.note(bucket.id, acl)) return;
  services.log.warn(
    { bucket: bucket.name, id: bucket.id, acl },
    "a canned ACL was taken and grants nothing: there are no ACLs. Allow keys on the bucket, or serve it as a website",
  );
}
