import type { ChecksumAlgorithm, StoredChecksum } from "../../model/object-service.ts";
import { checksumHeader } from "../common/checksum-headers.ts";
import { S3_NAMESPACE, XML_HEAD, element } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { cannedAcl, noteIgnoredAcl } from "./canned-acl.ts";
import { checksumXml } from "./checksum-answer.ts";
import { COPY_CONDITIONS, findCopySource } from "./copy-source.ts";
import { entityTooLarge, invalidArgument, noSuchBucket, noSuchKey, noSuchUpload, refusal, s3Error } from "./errors.ts";
import { MAX_UPLOAD_BYTES } from "./limits.ts";
import { keptHeaders } from "./object-headers.ts";
import { operation } from "./operation.ts";
import { uploadOf } from "./put-object.ts";
import { parseCopyRange } from "./ranges.ts";
import { stillAllowed } from "./still-allowed.ts";
import { partNumberOf, uploadRef } from "./upload-parameters.ts";
import { wantedChecksum } from "./wanted-checksum.ts";

/** Multipart uploads up to their completion: create, put a part, copy a part, abort. */

const SOURCE_ATTEMPTS = 3;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
export const CreateMultipartUpload = operation({
  scope: "object",
  right: "write",
  route: { method: "POST", subresource: "uploads" },
  run: createMultipartUpload,
});

async function createMultipartUpload(call: BucketCall, services: Services): Promise<void> {
  const headers = keptHeaders(call.request);
  const acl = cannedAcl(call.request.header("x-amz-acl"));
  const checksum = checksumPlan(call);
  const request = { bucket: call.bucket, key: call.key, headers };
  const outcome = await services.objects.createUpload(checksum === undefined ? request : { ...request, checksum });
  if (!outcome.ok) throw noSuchBucket(call.bucketName);
  noteIgnoredAcl(acl, { id: call.bucket.id, name: call.bucketName }, services);
  const out: string[] = [];
  if (checksum !== undefined) out.push("x-amz-checksum-algorithm", checksum.algorithm, "x-amz-checksum-type", checksum.type);
  call.answer.xml(
    `${XML_HEAD}<InitiateMultipartUploadResult xmlns="${S3_NAMESPACE}">${element("Bucket", call.bucketName)}${element("Key", call.key)}` +
      `${element("UploadId", outcome.upload)}</InitiateMultipartUploadResult>`,
    { headers: out },
  );
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html */
export const UploadPart = operation({
  scope: "object",
  right: "write",
  route: { method: "PUT", subresource: "uploadId" },
  params: ["partNumber"],
  run: uploadPart,
});

async function uploadPart(call: BucketCall, services: Services): Promise<void> {
  const upload = uploadRef(call);
  const part = partNumberOf(call.query);
  const recheck = stillAllowed(call, services);
  const outcome = await services.objects.putPart({ ...upload, part, body: uploadOf(call), recheck });
  if (!outcome.ok) throw refusal(outcome, call, upload);
  const headers = ["ETag", `"${outcome.etag}"`];
  // The type belongs to the whole upload: answers to parts carry the value alone.
  if (outcome.checksum !== undefined) headers.push(checksumHeader(outcome.checksum.algorithm), outcome.checksum.value);
  call.answer.send(200, headers);
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html */
export const UploadPartCopy = operation({
  scope: "object",
  right: "write",
  route: { method: "PUT", subresource: "uploadId", mark: "copy-source" },
  params: ["partNumber"],
  understood: ["x-amz-copy-source-range", ...COPY_CONDITIONS],
  run: uploadPartCopy,
});

async function uploadPartCopy(call: BucketCall, services: Services): Promise<void> {
  const upload = uploadRef(call);
  const part = partNumberOf(call.query);
  const header = call.request.header("x-amz-copy-source-range");
  const range = header === undefined ? undefined : parseCopyRange(header);
  if (header !== undefined && range === undefined)
    throw invalidArgument(
      "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
      "x-amz-copy-source-range",
      header,
    );

  for (let attempt = 1; ; attempt++) {
    const source = await findCopySource(call, services);
    const { sizeBytes } = source.object;
    if (range !== undefined && range.end > sizeBytes)
      throw invalidArgument(
        `Range specified is not valid for source object of size: ${sizeBytes}`,
        "x-amz-copy-source-range",
        header ?? "",
      );
    const bytes = range === undefined ? sizeBytes : range.end - range.start;
    if (bytes > MAX_UPLOAD_BYTES) throw entityTooLarge(MAX_UPLOAD_BYTES, bytes);
    const request = { ...upload, part, source, signal: call.request.signal, recheck: stillAllowed(call, services) };
    const outcome = await services.objects.copyPart(range === undefined ? request : { ...request, range });
    if (!outcome.ok) {
      if (outcome.code !== "source-gone") throw refusal(outcome, call, upload);
      if (attempt >= SOURCE_ATTEMPTS) throw noSuchKey(source.key);
      continue;
    }
    return call.answer.xml(
      `${XML_HEAD}<CopyPartResult xmlns="${S3_NAMESPACE}"><LastModified>${services.dates.iso(outcome.stampMs)}</LastModified>` +
        `<ETag>&quot;${outcome.etag}&quot;</ETag>${checksumXml(outcome.checksum)}</CopyPartResult>`,
    );
  }
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html */
export const AbortMultipartUpload = operation({
  scope: "object",
  right: "write",
  route: { method: "DELETE", subresource: "uploadId" },
  run: abortMultipartUpload,
});

async function abortMultipartUpload(call: BucketCall, services: Services): Promise<void> {
  const upload = uploadRef(call);
  const { ok } = await services.objects.abortUpload(upload);
  if (!ok) throw noSuchUpload(upload.upload);
  call.answer.send(204, []);
}

/** Algorithm and type that the upload will have; undefined when none was asked for. */
function checksumPlan({ request }: BucketCall): { algorithm: ChecksumAlgorithm; type: StoredChecksum["type"] } | undefined {
  const algorithm = wantedChecksum(request.header("x-amz-checksum-algorithm"));
  const type = request.header("x-amz-checksum-type")?.toUpperCase();
  if (algorithm === undefined) {
    if (type === undefined) return undefined;
    throw s3Error("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
  }
  switch (type) {
    case undefined:
      return { algorithm, type: algorithm === "CRC64NVME" ? "FULL_OBJECT" : "COMPOSITE" };
    case "COMPOSITE":
      if (algorithm !== "CRC64NVME") return { algorithm, type };
      break;
    case "FULL_OBJECT":
      if (algorithm !== "SHA1" && algorithm !== "SHA256") return { algorithm, type };
      break;
    default:
      throw s3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid: it is FULL_OBJECT or COMPOSITE.");
  }
  throw s3Error(
    "InvalidRequest",
    `The ${type} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
  );
}
