import type { ObjectHeaders, PutOutcome, Recheck, Upload, WriteCondition } from "../../model/object-service.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { openUpload } from "../common/payload.ts";
import { limitLength } from "../common/post-policy.ts";
import type { BucketCall, Services } from "./call.ts";
import { cannedAcl, noteIgnoredAcl } from "./canned-acl.ts";
import { pushChecksum } from "./checksum-answer.ts";
import { allowedCondition, WRITE_CONDITIONS } from "./conditions.ts";
import { entityTooLarge, refusal, s3Error } from "./errors.ts";
import { MAX_UPLOAD_BYTES } from "./limits.ts";
import { keptHeaders } from "./object-headers.ts";
import { operation } from "./operation.ts";
import { stillAllowed } from "./still-allowed.ts";
import { wantedChecksum } from "./wanted-checksum.ts";

/** PutObject. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
export const PutObject = operation({
  scope: "object",
  right: "write",
  route: { method: "PUT" },
  understood: WRITE_CONDITIONS,
  run: putObject,
});

async function putObject(call: BucketCall, services: Services): Promise<void> {
  const { request } = call;
  const headers = keptHeaders(request);
  const acl = cannedAcl(request.header("x-amz-acl"));
  const condition = allowedCondition(call);
  const upload = uploadOf(call);
  const outcome = await services.objects.put(
    putRequest(call, { headers, condition, upload, recheck: stillAllowed(call, services) }),
  );
  if (!outcome.ok) throw refusal(outcome, call, { condition: conditionName(condition) });
  noteIgnoredAcl(acl, { id: call.bucket.id, name: call.bucketName }, services);
  call.answer.send(200, writtenHeaders(outcome));
}

/** The body of PutObject or UploadPart, at most 5 GiB. @throws ApiError before a byte is read */
export function uploadOf({ request, payload }: Pick<BucketCall, "request" | "payload">): Upload {
  requireLength(request);
  // minio-go names one here and sends no checksum; AWS computes its own then.
  wantedChecksum(request.header("x-amz-checksum-algorithm"));
  const upload = openUpload(request, payload);
  if (upload.sizeBytes === undefined)
    return { ...upload, source: limitLength(upload.source, { minBytes: 0, maxBytes: MAX_UPLOAD_BYTES }) };
  if (upload.sizeBytes > MAX_UPLOAD_BYTES) throw entityTooLarge(MAX_UPLOAD_BYTES, upload.sizeBytes);
  return upload;
}

export function putRequest(
  call: Pick<BucketCall, "bucket" | "key">,
  what: {
    readonly headers: ObjectHeaders;
    readonly condition: WriteCondition | undefined;
    readonly upload: Upload;
    readonly recheck: Recheck;
  },
): Parameters<Services["objects"]["put"]>[0] {
  const { headers, condition, upload, recheck } = what;
  const request = { bucket: call.bucket, key: call.key, headers, upload, recheck };
  return condition === undefined ? request : { ...request, condition };
}

/** The header whose condition failed, for AWS's Condition element. */
export function conditionName(condition: WriteCondition | undefined): string {
  return condition !== undefined && "ifMatch" in condition ? "If-Match" : "If-None-Match";
}

export function writtenHeaders(outcome: Extract<PutOutcome, { ok: true }>): string[] {
  const headers = ["ETag", `"${outcome.etag}"`];
  pushChecksum(headers, outcome.checksum);
  return headers;
}

/** AWS asks for the length of a body; chunked transfer coding, which says where the body ends, is accepted as well. */
function requireLength(request: HttpRequest): void {
  if (request.contentLength === undefined && request.header("transfer-encoding") === undefined)
    throw s3Error("MissingContentLength");
}
