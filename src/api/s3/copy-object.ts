import type { ObjectHeaders } from "../../model/object-service.ts";
import { S3_NAMESPACE, XML_HEAD } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { cannedAcl, noteIgnoredAcl } from "./canned-acl.ts";
import { typedChecksumXml } from "./checksum-answer.ts";
import { allowedCondition, WRITE_CONDITIONS } from "./conditions.ts";
import { COPY_CONDITIONS, type CopySource, findCopySource } from "./copy-source.ts";
import { invalidArgument, noSuchKey, refusal, s3Error } from "./errors.ts";
import { MAX_UPLOAD_BYTES } from "./limits.ts";
import { keptHeaders } from "./object-headers.ts";
import { operation } from "./operation.ts";
import { conditionName } from "./put-object.ts";
import { stillAllowed } from "./still-allowed.ts";
import { wantedChecksum } from "./wanted-checksum.ts";

const REDIRECT = "x-amz-website-redirect-location";
/** How often a source is looked up again when it was replaced while it was being copied. */
const SOURCE_ATTEMPTS = 3;

/** CopyObject. https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
export const CopyObject = operation({
  scope: "object",
  right: "write",
  route: { method: "PUT", mark: "copy-source" },
  understood: [...WRITE_CONDITIONS, ...COPY_CONDITIONS],
  run: copyObject,
});

async function copyObject(call: BucketCall, services: Services): Promise<void> {
  const { request } = call;
  const replace = metadataReplaced(call);
  const condition = allowedCondition(call);
  const algorithm = wantedChecksum(request.header("x-amz-checksum-algorithm"));
  const given = keptHeaders(request);
  const acl = cannedAcl(request.header("x-amz-acl"));

  for (let attempt = 1; ; attempt++) {
    const source = await findCopySource(call, services);
    if (source.object.sizeBytes > MAX_UPLOAD_BYTES)
      throw s3Error(
        "InvalidRequest",
        `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_UPLOAD_BYTES}. Copy it in parts.`,
      );
    const headers = replace ? given : copiedHeaders(source, given);
    if (!replace && headers === undefined && algorithm === undefined) refuseSelfCopy(call, source);
    const outcome = await services.objects.copy({
      source,
      bucket: call.bucket,
      key: call.key,
      signal: request.signal,
      recheck: stillAllowed(call, services),
      ...(headers === undefined ? {} : { headers }),
      ...(algorithm === undefined ? {} : { algorithm }),
      ...(condition === undefined ? {} : { condition }),
    });
    if (!outcome.ok) {
      if (outcome.code !== "source-gone") throw refusal(outcome, call, { condition: conditionName(condition) });
      if (attempt >= SOURCE_ATTEMPTS) throw noSuchKey(source.key);
      continue;
    }
    noteIgnoredAcl(acl, { id: call.bucket.id, name: call.bucketName }, services);
    return call.answer.xml(
      `${XML_HEAD}<CopyObjectResult xmlns="${S3_NAMESPACE}"><LastModified>${services.dates.iso(outcome.stampMs)}</LastModified>` +
        `<ETag>&quot;${outcome.etag}&quot;</ETag>${typedChecksumXml(outcome.checksum)}</CopyObjectResult>`,
    );
  }
}

function metadataReplaced({ request }: BucketCall): boolean {
  const directive = request.header("x-amz-metadata-directive");
  if (directive === undefined || directive === "COPY") return false;
  if (directive === "REPLACE") return true;
  throw invalidArgument("Unknown metadata directive.", "x-amz-metadata-directive", directive);
}

/**
 * With directive COPY all is the source's but the website redirect, which AWS never copies. @returns undefined: exactly the
 * source's.
 */
function copiedHeaders({ object }: CopySource, given: ObjectHeaders): ObjectHeaders | undefined {
  const redirect = given.system.find(([name]) => name === REDIRECT);
  if (redirect === undefined && !object.headers.system.some(([name]) => name === REDIRECT)) return undefined;
  const kept = object.headers.system.filter(([name]) => name !== REDIRECT);
  return { system: redirect === undefined ? kept : [...kept, redirect], user: object.headers.user };
}

function refuseSelfCopy(call: BucketCall, source: CopySource): void {
  if (source.bucket.id !== call.bucket.id || source.key !== call.key || (call.request.header("x-amz-storage-class") ?? "") !== "")
    return;
  throw s3Error(
    "InvalidRequest",
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
  );
}
