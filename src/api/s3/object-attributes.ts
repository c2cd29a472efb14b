import type { FoundObject } from "../../model/object-service.ts";
import { S3_NAMESPACE, XML_HEAD } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { checksumXml, typedChecksumXml } from "./checksum-answer.ts";
import { invalidArgument, noSuchKey } from "./errors.ts";
import { MAX_PAGE, wholeNumber } from "./list-parameters.ts";
import { operation } from "./operation.ts";
import { checkVersionId } from "./version-id.ts";

const ATTRIBUTES: ReadonlySet<string> = new Set(["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]);

/** GetObjectAttributes. https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html */
export const GetObjectAttributes = operation({
  scope: "object",
  right: "read",
  route: { method: "GET", subresource: "attributes" },
  params: ["versionId"],
  run: getObjectAttributes,
});

async function getObjectAttributes(call: BucketCall, services: Services): Promise<void> {
  checkVersionId(call.query, call.key);
  const wanted = wantedAttributes(call);
  const maxParts = Math.min(numberHeader(call, "x-amz-max-parts", MAX_PAGE), MAX_PAGE);
  const marker = numberHeader(call, "x-amz-part-number-marker", 0);
  const object = await services.objects.lookup({ bucket: call.bucket, key: call.key });
  if (object === null) throw noSuchKey(call.key);

  let xml = `${XML_HEAD}<GetObjectAttributesResponse xmlns="${S3_NAMESPACE}">`;
  if (wanted.has("ETag")) xml += `<ETag>${object.etag}</ETag>`;
  if (wanted.has("Checksum") && object.checksum !== undefined) xml += `<Checksum>${typedChecksumXml(object.checksum)}</Checksum>`;
  if (wanted.has("ObjectParts") && object.partCount > 0) xml += await partsXml(object, { marker, maxParts });
  if (wanted.has("StorageClass")) xml += "<StorageClass>STANDARD</StorageClass>";
  if (wanted.has("ObjectSize")) xml += `<ObjectSize>${object.sizeBytes}</ObjectSize>`;
  call.answer.xml(xml + "</GetObjectAttributesResponse>", { headers: ["Last-Modified", services.dates.http(object.stampMs)] });
}

/** AWS lists single parts only where they have checksums; without, it tells their number. */
async function partsXml(object: FoundObject, page: { readonly marker: number; readonly maxParts: number }): Promise<string> {
  const { marker, maxParts } = page;
  const found = await object.parts(marker, maxParts + 1);
  const listed = found[0]?.checksum !== undefined;
  const parts = found.slice(0, maxParts);
  let xml = `<ObjectParts><PartsCount>${object.partCount}</PartsCount>`;
  if (listed) {
    xml += `<PartNumberMarker>${marker}</PartNumberMarker><NextPartNumberMarker>${parts.at(-1)?.number ?? 0}</NextPartNumberMarker>`;
    xml += `<MaxParts>${maxParts}</MaxParts><IsTruncated>${found.length > maxParts}</IsTruncated>`;
    for (const part of parts)
      xml += `<Part><PartNumber>${part.number}</PartNumber><Size>${part.sizeBytes}</Size>${checksumXml(part.checksum)}</Part>`;
  }
  return xml + "</ObjectParts>";
}

function wantedAttributes({ request }: BucketCall): ReadonlySet<string> {
  const header = request.header("x-amz-object-attributes") ?? "";
  const names = header.split(",").map((name) => name.trim());
  if (header.trim() === "")
    throw invalidArgument(
      "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
      "x-amz-object-attributes",
      header,
    );
  for (const name of names)
    if (!ATTRIBUTES.has(name)) throw invalidArgument("Invalid attribute name specified", "x-amz-object-attributes", name);
  return new Set(names);
}

function numberHeader({ request }: BucketCall, name: string, absent: number): number {
  const value = request.header(name);
  return value === undefined ? absent : wholeNumber(value, name);
}
