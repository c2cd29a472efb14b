import { isHex } from "../../util/ids.ts";
import { S3_NAMESPACE, XML_HEAD, element } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { checksumXml } from "./checksum-answer.ts";
import { invalidArgument, noSuchUpload } from "./errors.ts";
import { endsCommonPrefix, LIST_PARAMS, optionalParam, pageSize, urlEncoded, wholeNumber } from "./list-parameters.ts";
import { regionHeader } from "./location.ts";
import { commonPrefix, listText } from "./list-xml.ts";
import { operation } from "./operation.ts";
import { ownerXml } from "./owner.ts";
import { uploadRef } from "./upload-parameters.ts";

/** ListMultipartUploads and ListParts. */

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html */
export const ListMultipartUploads = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET", subresource: "uploads" },
  params: [...LIST_PARAMS, "key-marker", "upload-id-marker", "max-uploads"],
  run: listMultipartUploads,
});

async function listMultipartUploads(call: BucketCall, services: Services): Promise<void> {
  const { query } = call;
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const url = urlEncoded(query);
  const limit = pageSize(query, "max-uploads");
  const afterKey = query.get("key-marker") ?? "";
  // AWS ignores an upload-id-marker without a key-marker.
  const afterUpload = afterKey === "" ? undefined : optionalParam(query, "upload-id-marker");
  if (afterUpload !== undefined && !isHex(afterUpload, 16))
    throw invalidArgument("Invalid uploadId marker", "upload-id-marker", afterUpload);
  const from = {
    prefix,
    delimiter,
    afterKey,
    skipPrefix: afterUpload === undefined && endsCommonPrefix(afterKey, prefix, delimiter),
  };
  const page =
    limit === 0
      ? { entries: [], truncated: false }
      : await services.objects.listUploads({
          bucket: call.bucket,
          limit,
          ...from,
          ...(afterUpload === undefined ? {} : { afterUpload }),
        });

  let xml = `${XML_HEAD}<ListMultipartUploadsResult xmlns="${S3_NAMESPACE}">${element("Bucket", call.bucketName)}`;
  xml += `<KeyMarker>${listText(afterKey, url)}</KeyMarker><UploadIdMarker>${afterUpload ?? ""}</UploadIdMarker>`;
  const last = page.entries.at(-1);
  if (page.truncated && last !== undefined)
    xml += `<NextKeyMarker>${listText(last.key, url)}</NextKeyMarker><NextUploadIdMarker>${last.upload ?? ""}</NextUploadIdMarker>`;
  xml += `<Prefix>${listText(prefix, url)}</Prefix>`;
  if (delimiter !== "") xml += `<Delimiter>${listText(delimiter, url)}</Delimiter>`;
  if (url) xml += "<EncodingType>url</EncodingType>";
  xml += `<MaxUploads>${limit}</MaxUploads><IsTruncated>${page.truncated}</IsTruncated>`;

  const people = ownerXml("Initiator", call.accessKey) + ownerXml("Owner", call.accessKey);
  let prefixes = "";
  for (const entry of page.entries) {
    if (entry.upload === undefined) {
      prefixes += commonPrefix(entry.key, url);
      continue;
    }
    xml += `<Upload><Key>${listText(entry.key, url)}</Key><UploadId>${entry.upload}</UploadId>${people}<StorageClass>STANDARD</StorageClass>`;
    xml += `<Initiated>${services.dates.iso(entry.createdMs)}</Initiated>`;
    if (entry.checksum !== undefined)
      xml += `<ChecksumAlgorithm>${entry.checksum.algorithm}</ChecksumAlgorithm><ChecksumType>${entry.checksum.type}</ChecksumType>`;
    xml += "</Upload>";
  }
  call.answer.xml(xml + prefixes + "</ListMultipartUploadsResult>", { headers: regionHeader(services) });
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html */
export const ListParts = operation({
  scope: "object",
  right: "read",
  route: { method: "GET", subresource: "uploadId" },
  params: ["max-parts", "part-number-marker", "encoding-type"],
  run: listParts,
});

async function listParts(call: BucketCall, services: Services): Promise<void> {
  const { query } = call;
  const upload = uploadRef(call);
  const limit = pageSize(query, "max-parts");
  const markerText = optionalParam(query, "part-number-marker");
  const after = markerText === undefined ? 0 : wholeNumber(markerText, "part-number-marker");
  // With a limit of 0 the upload must still exist: ask for one and tell none.
  const page = await services.objects.listParts({ ...upload, after, limit: Math.max(1, limit) });
  if (page === null) throw noSuchUpload(upload.upload);
  const parts = limit === 0 ? [] : page.parts;
  const truncated = limit > 0 && page.truncated;

  const url = urlEncoded(query);
  let xml = `${XML_HEAD}<ListPartsResult xmlns="${S3_NAMESPACE}">${element("Bucket", call.bucketName)}<Key>${listText(call.key, url)}</Key>`;
  xml += `<UploadId>${upload.upload}</UploadId>${ownerXml("Initiator", call.accessKey)}${ownerXml("Owner", call.accessKey)}`;
  xml += `<StorageClass>STANDARD</StorageClass><PartNumberMarker>${after}</PartNumberMarker>`;
  xml += `<NextPartNumberMarker>${parts.at(-1)?.part ?? 0}</NextPartNumberMarker>`;
  xml += `<MaxParts>${limit}</MaxParts><IsTruncated>${truncated}</IsTruncated>`;
  const { checksum } = page.info;
  if (checksum !== undefined)
    xml += `<ChecksumAlgorithm>${checksum.algorithm}</ChecksumAlgorithm><ChecksumType>${checksum.type}</ChecksumType>`;
  for (const part of parts) {
    xml += `<Part><PartNumber>${part.part}</PartNumber><LastModified>${services.dates.iso(part.stampMs)}</LastModified>`;
    xml += `<ETag>&quot;${part.etag}&quot;</ETag><Size>${part.sizeBytes}</Size>${checksumXml(part.checksum)}</Part>`;
  }
  call.answer.xml(xml + "</ListPartsResult>");
}
