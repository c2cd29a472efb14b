import type { ChecksumAlgorithm, CompleteOutcome, CompleteRequest } from "../../model/object-service.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { checksumHeader } from "../common/checksum-headers.ts";
import { readSmallBody } from "../common/payload.ts";
import { S3_NAMESPACE, XML_HEAD, element } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { CHECKSUM_ALGORITHMS, typedChecksumXml } from "./checksum-answer.ts";
import { parseCompletion } from "./complete-document.ts";
import { allowedCondition, WRITE_CONDITIONS } from "./conditions.ts";
import { invalidArgument, refusal, s3Error } from "./errors.ts";
import { MAX_COMPLETE_XML_BYTES } from "./limits.ts";
import { objectLocation } from "./location.ts";
import { operation } from "./operation.ts";
import { conditionName } from "./put-object.ts";
import { stillAllowed } from "./still-allowed.ts";
import { uploadRef } from "./upload-parameters.ts";
import { withoutHeaders } from "./without-headers.ts";

/** CompleteMultipartUpload. https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
export const CompleteMultipartUpload = operation({
  scope: "object",
  right: "write",
  route: { method: "POST", subresource: "uploadId" },
  understood: WRITE_CONDITIONS,
  run: completeMultipartUpload,
});

async function completeMultipartUpload(call: BucketCall, services: Services): Promise<void> {
  const { request } = call;
  const upload = uploadRef(call);
  const condition = allowedCondition(call);
  const objectSize = announcedSize(request);
  const { bytes } = await readSmallBody(withoutHeaders(request, isChecksum), call.payload, {
    limitBytes: MAX_COMPLETE_XML_BYTES,
  });
  if (bytes.byteLength === 0) throw s3Error("MalformedXML");
  const parts = await parseCompletion(bytes, services);
  const announced = objectChecksum(request);
  await checkAgainstUpload(call, services, announced?.algorithm);
  stillAllowed(call, services)();
  const outcome = await services.objects.completeUpload({
    ...upload,
    parts,
    ...(condition === undefined ? {} : { condition }),
    ...(objectSize === undefined ? {} : { objectSize }),
    ...(announced === undefined ? {} : { fullObjectChecksum: announced.value }),
  });
  if (!outcome.ok) {
    const part = await blamedPart(outcome, { ...upload, parts }, services);
    throw refusal(outcome, call, { upload: upload.upload, condition: conditionName(condition), part });
  }
  call.answer.xml(
    `${XML_HEAD}<CompleteMultipartUploadResult xmlns="${S3_NAMESPACE}">${element("Location", objectLocation(call))}` +
      `${element("Bucket", call.bucketName)}${element("Key", call.key)}<ETag>&quot;${outcome.etag}&quot;</ETag>` +
      `${typedChecksumXml(outcome.checksum)}</CompleteMultipartUploadResult>`,
  );
}

/**
 * What AWS tells of the part for which a completion is refused: the ETag that the document names, and a size that is too small.
 */
async function blamedPart(
  outcome: Exclude<CompleteOutcome, { readonly ok: true }>,
  { parts, ...upload }: CompleteRequest,
  { objects }: Services,
): Promise<{ readonly etag?: string; readonly sizeBytes?: number }> {
  if (outcome.code !== "invalid-part" && outcome.code !== "part-too-small") return {};
  const named = parts.find(({ part }) => part === outcome.part);
  if (named === undefined) return {};
  const etag = named.etag.slice(0, MAX_ECHOED_ETAG);
  if (outcome.code === "invalid-part") return { etag };
  const page = await objects.listParts({ ...upload, after: outcome.part - 1, limit: 1 });
  const stored = page?.parts[0];
  // It may have been uploaded anew meanwhile, or the upload aborted.
  return stored?.part === outcome.part && stored.etag === named.etag ? { etag, sizeBytes: stored.sizeBytes } : { etag };
}

/** Documents may be megabytes; an ETag of ours has 32 characters. */
const MAX_ECHOED_ETAG = 128;

/** x-amz-checksum-* of this call is the object's, not the document's. */
function objectChecksum(request: HttpRequest): { algorithm: ChecksumAlgorithm; value: string } | undefined {
  let found: { algorithm: ChecksumAlgorithm; value: string } | undefined;
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    const value = request.header(checksumHeader(algorithm));
    if (value === undefined) continue;
    if (found !== undefined) throw s3Error("InvalidRequest", "Expecting a single x-amz-checksum- header.");
    found = { algorithm, value };
  }
  return found;
}

/**
 * What the request says of checksums must be what the upload was created with: another algorithm's value could never be verified.
 */
async function checkAgainstUpload(call: BucketCall, services: Services, algorithm: ChecksumAlgorithm | undefined): Promise<void> {
  const type = call.request.header("x-amz-checksum-type")?.toUpperCase();
  if (type === undefined && algorithm === undefined) return;
  const info = await services.objects.uploadInfo(uploadRef(call));
  // Gone: completed by an earlier try of this request, or unknown; completing will tell.
  if (info === null) return;
  const kept = info.checksum;
  if (algorithm !== undefined && kept?.algorithm !== algorithm)
    throw s3Error(
      "InvalidRequest",
      `Checksum Type mismatch occurred, expected checksum Type: ${kept?.algorithm.toLowerCase() ?? "null"}, actual checksum Type: ${algorithm.toLowerCase()}`,
    );
  if (type !== undefined && kept?.type !== type)
    throw s3Error(
      "InvalidRequest",
      kept === undefined
        ? "The upload was created without a checksum algorithm. Leave x-amz-checksum-type out."
        : `The upload was created using the ${kept.type} checksum mode. The complete request must use the same checksum mode.`,
    );
}

function announcedSize(request: HttpRequest): number | undefined {
  const value = request.header("x-amz-mp-object-size");
  if (value === undefined) return undefined;
  if (!/^\d{1,15}$/.test(value))
    throw invalidArgument("x-amz-mp-object-size must be a number of bytes.", "x-amz-mp-object-size", value);
  return Number(value);
}

function isChecksum(header: string): boolean {
  return header.startsWith("x-amz-checksum-");
}
