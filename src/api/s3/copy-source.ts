import type { Bucket } from "../../model/control-service.ts";
import type { FoundObject } from "../../model/object-service.ts";
import { uriDecode } from "../../util/uri-encoding.ts";
import type { BucketCall, Services } from "./call.ts";
import { judgeRead } from "./conditions.ts";
import { invalidArgument, noSuchBucket, noSuchKey, preconditionFailed, s3Error } from "./errors.ts";
import { checkKey } from "./keys.ts";
import { requireOwner } from "./owner.ts";
import { checkVersionId } from "./version-id.ts";
import { Query } from "../common/request-target.ts";

/** The source of CopyObject and UploadPartCopy: x-amz-copy-source and its conditions. */
export interface CopySource {
  readonly bucket: Bucket;
  readonly key: string;
  readonly object: FoundObject;
}

/** Headers that findCopySource obeys. */
export const COPY_CONDITIONS: readonly string[] = [
  "x-amz-copy-source-if-match",
  "x-amz-copy-source-if-none-match",
  "x-amz-copy-source-if-modified-since",
  "x-amz-copy-source-if-unmodified-since",
];

interface SourceName {
  readonly bucketName: string;
  readonly key: string;
  /** Where the key holds a plus that was not escaped: the same with spaces. */
  readonly spacedKey: string | undefined;
  readonly version: string | undefined;
}

/**
 * Finds the source object and checks the caller's read right and the x-amz-copy-source-if-* conditions (every failure is 412).
 * @throws ApiError InvalidArgument · NoSuchBucket · NoSuchKey · NoSuchVersion · AccessDenied · PreconditionFailed
 */
export async function findCopySource(call: BucketCall, services: Services): Promise<CopySource> {
  const { request } = call;
  const { bucketName, key: literalKey, spacedKey, version } = parseCopySource(request.header("x-amz-copy-source") ?? "");
  checkKey(literalKey);
  const bucket = services.control.resolveBucket(bucketName, call.accessKey.id);
  if (bucket === undefined) throw noSuchBucket(bucketName);
  if (!bucket.rights(call.accessKey.id).read)
    throw s3Error("AccessDenied", "This access key may not read the bucket of the copy source.");
  requireOwner(call, "x-amz-source-expected-bucket-owner");
  if (version !== undefined) checkVersionId(new Query([{ name: "versionId", value: version }]), literalKey);
  let key = literalKey;
  let object = await services.objects.lookup({ bucket, key });
  if (object === null && spacedKey !== undefined) {
    key = spacedKey;
    object = await services.objects.lookup({ bucket, key });
  }
  if (object === null) throw noSuchKey(literalKey);
  const verdict = judgeRead(object, {
    ifMatch: request.header("x-amz-copy-source-if-match"),
    ifUnmodifiedSince: request.header("x-amz-copy-source-if-unmodified-since"),
    ifNoneMatch: request.header("x-amz-copy-source-if-none-match"),
    ifModifiedSince: request.header("x-amz-copy-source-if-modified-since"),
    nowMs: services.clock.wallMs(),
  });
  if (verdict !== "go")
    throw preconditionFailed(
      verdict === "not-modified"
        ? request.header("x-amz-copy-source-if-none-match") !== undefined
          ? "x-amz-copy-source-If-None-Match"
          : "x-amz-copy-source-If-Modified-Since"
        : `x-amz-copy-source-${verdict}`,
    );
  return { bucket, key, object };
}

/**
 * "[/]bucket/key[?versionId=id]", percent-encoded (a "?" of the key itself is %3F). A "+" that is not escaped is a plus for most
 * clients; AWS reads a space, which is what those meant that encode as forms do: so the key with a plus is looked for first, then
 * the one with a space.
 */
export function parseCopySource(header: string): SourceName {
  const mark = header.indexOf("?");
  const source = mark < 0 ? header : header.slice(0, mark);
  const path = uriDecode(source);
  let version: string | undefined;
  if (mark >= 0) {
    const match = /^versionId=([^&]*)$/.exec(header.slice(mark + 1));
    if (match === null)
      throw invalidArgument(
        "Copy Source may carry nothing but ?versionId=. Encode a ? of the key as %3F.",
        "x-amz-copy-source",
        header,
      );
    version = match[1];
  }
  const start = path?.startsWith("/") === true ? 1 : 0;
  const slash = path?.indexOf("/", start) ?? -1;
  if (path === undefined || slash <= start || slash === path.length - 1)
    throw invalidArgument(
      "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
      "x-amz-copy-source",
      header,
    );
  const spacedKey = source.includes("+") ? uriDecode(source.replaceAll("+", " "))?.slice(slash + 1) : undefined;
  return { bucketName: path.slice(start, slash), key: path.slice(slash + 1), spacedKey, version };
}
