import type { ListPage } from "../../model/object-service.ts";
import { S3_NAMESPACE, XML_HEAD, escapeXml } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { invalidArgument } from "./errors.ts";
import {
  continuationToken,
  endsCommonPrefix,
  LIST_PARAMS,
  optionalParam,
  pageSize,
  placeOfToken,
  urlEncoded,
} from "./list-parameters.ts";
import { regionHeader } from "./location.ts";
import { listText, renderContents, renderVersions } from "./list-xml.ts";
import { operation } from "./operation.ts";
import { ownerXml } from "./owner.ts";

/** ListObjects (v1), ListObjectsV2, ListObjectVersions. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */

export const ListObjects = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET" },
  params: [...LIST_PARAMS, "marker", "max-keys"],
  run: listObjects,
});

export const ListObjectsV2 = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET", mark: { param: "list-type" } },
  params: [...LIST_PARAMS, "continuation-token", "start-after", "fetch-owner", "max-keys"],
  run: listObjectsV2,
});

export const ListObjectVersions = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET", subresource: "versions" },
  params: [...LIST_PARAMS, "key-marker", "version-id-marker", "max-keys"],
  run: listObjectVersions,
});

const LIST_HEAD = `${XML_HEAD}<ListBucketResult xmlns="${S3_NAMESPACE}">`;
const VERSIONS_HEAD = `${XML_HEAD}<ListVersionsResult xmlns="${S3_NAMESPACE}">`;

interface Selection {
  readonly prefix: string;
  readonly delimiter: string;
  readonly url: boolean;
  readonly limit: number;
}

async function listObjects(call: BucketCall, services: Services): Promise<void> {
  const selection = selectionOf(call);
  const { prefix, delimiter, url } = selection;
  const marker = call.query.get("marker") ?? "";
  const page = await pageOf(call, services, selection, {
    after: marker,
    skipPrefix: endsCommonPrefix(marker, prefix, delimiter),
  });

  let xml = LIST_HEAD + nameAndPrefix(call, selection) + "<Marker>" + listText(marker, url) + "</Marker>";
  // AWS names a NextMarker only with a delimiter; without one clients go on from the last key.
  if (page.truncated && delimiter !== "" && page.next !== undefined)
    xml += "<NextMarker>" + listText(page.next.after, url) + "</NextMarker>";
  xml += limits(selection, page);
  xml += renderContents(page.entries, { url, owner: ownerXml("Owner", call.accessKey), dates: services.dates });
  call.answer.xml(xml + "</ListBucketResult>", { headers: regionHeader(services) });
}

async function listObjectsV2(call: BucketCall, services: Services): Promise<void> {
  const { query } = call;
  const type = query.get("list-type") ?? "";
  if (type !== "2") throw invalidArgument('list-type must be "2", or left out for the older ListObjects.', "list-type", type);
  const selection = selectionOf(call);
  const { url } = selection;
  const token = optionalParam(query, "continuation-token");
  const startAfter = optionalParam(query, "start-after");
  const owner = query.get("fetch-owner") === "true" ? ownerXml("Owner", call.accessKey) : "";
  const from = token !== undefined ? placeOfToken(token) : { after: startAfter ?? "", skipPrefix: false };
  const page = await pageOf(call, services, selection, from);

  let xml = LIST_HEAD + nameAndPrefix(call, selection);
  if (startAfter !== undefined) xml += "<StartAfter>" + listText(startAfter, url) + "</StartAfter>";
  if (token !== undefined) xml += "<ContinuationToken>" + escapeXml(token) + "</ContinuationToken>";
  if (page.truncated && page.next !== undefined)
    xml += "<NextContinuationToken>" + continuationToken(page.next) + "</NextContinuationToken>";
  xml += `<KeyCount>${page.entries.length}</KeyCount>` + limits(selection, page);
  xml += renderContents(page.entries, { url, owner, dates: services.dates });
  call.answer.xml(xml + "</ListBucketResult>", { headers: regionHeader(services) });
}

/** Nothing is versioned yet: every key has one version, "null", and no delete markers. */
async function listObjectVersions(call: BucketCall, services: Services): Promise<void> {
  const { query } = call;
  const selection = selectionOf(call);
  const { prefix, delimiter, url } = selection;
  const keyMarker = query.get("key-marker") ?? "";
  const versionMarker = optionalParam(query, "version-id-marker");
  if (versionMarker !== undefined && keyMarker === "")
    throw invalidArgument("A version-id marker cannot be specified without a key marker.", "version-id-marker", versionMarker);
  if (versionMarker !== undefined && versionMarker !== "null")
    throw invalidArgument("Invalid version id specified", "version-id-marker", versionMarker);
  const page = await pageOf(call, services, selection, {
    after: keyMarker,
    skipPrefix: endsCommonPrefix(keyMarker, prefix, delimiter),
  });

  let xml = VERSIONS_HEAD + nameAndPrefix(call, selection) + "<KeyMarker>" + listText(keyMarker, url) + "</KeyMarker>";
  xml += "<VersionIdMarker>" + (versionMarker ?? "") + "</VersionIdMarker>";
  if (page.truncated && page.next !== undefined) {
    xml += "<NextKeyMarker>" + listText(page.next.after, url) + "</NextKeyMarker>";
    if (!page.next.skipPrefix) xml += "<NextVersionIdMarker>null</NextVersionIdMarker>";
  }
  xml += limits(selection, page);
  xml += renderVersions(page.entries, { url, owner: ownerXml("Owner", call.accessKey), dates: services.dates });
  call.answer.xml(xml + "</ListVersionsResult>", { headers: regionHeader(services) });
}

function selectionOf({ query }: BucketCall): Selection {
  return {
    prefix: query.get("prefix") ?? "",
    delimiter: query.get("delimiter") ?? "",
    url: urlEncoded(query),
    limit: pageSize(query, "max-keys"),
  };
}

function pageOf(
  call: BucketCall,
  services: Services,
  selection: Selection,
  from: { readonly after: string; readonly skipPrefix: boolean },
): Promise<ListPage> {
  const { prefix, delimiter, limit } = selection;
  // AWS: no keys asked for, none given, and none said to be left.
  if (limit === 0) return Promise.resolve({ entries: [], truncated: false });
  return services.objects.list({ bucket: call.bucket, prefix, delimiter, limit, ...from });
}

function nameAndPrefix(call: BucketCall, { prefix, url }: Selection): string {
  return "<Name>" + escapeXml(call.bucketName) + "</Name><Prefix>" + listText(prefix, url) + "</Prefix>";
}

function limits({ delimiter, url, limit }: Selection, page: ListPage): string {
  let xml = `<MaxKeys>${limit}</MaxKeys>`;
  if (delimiter !== "") xml += "<Delimiter>" + listText(delimiter, url) + "</Delimiter>";
  if (url) xml += "<EncodingType>url</EncodingType>";
  return xml + `<IsTruncated>${page.truncated}</IsTruncated>`;
}
