import { S3_NAMESPACE, XML_HEAD, element } from "../common/xml-write.ts";
import type { BucketCall } from "./call.ts";
import { s3Error } from "./errors.ts";
import { operation } from "./operation.ts";

/** Reads of bucket settings that S3 can't write yet, but that something else sets. */

/** Buckets are not versioned yet: AWS's empty document. */
export const GetBucketVersioning = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET", subresource: "versioning" },
  run: getBucketVersioning,
});

function getBucketVersioning(call: BucketCall): void {
  call.answer.xml(`${XML_HEAD}<VersioningConfiguration xmlns="${S3_NAMESPACE}"></VersioningConfiguration>`);
}

/** Set by CreateBucket alone. */
export const GetBucketOwnershipControls = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET", subresource: "ownershipControls" },
  run: getBucketOwnershipControls,
});

function getBucketOwnershipControls(call: BucketCall): void {
  const rule = `<Rule><ObjectOwnership>${call.bucket.objectOwnership}</ObjectOwnership></Rule>`;
  call.answer.xml(`${XML_HEAD}<OwnershipControls xmlns="${S3_NAMESPACE}">${rule}</OwnershipControls>`);
}

/** Set by operators; not by S3 yet. */
export const GetBucketWebsite = operation({
  scope: "bucket",
  right: "owner",
  route: { method: "GET", subresource: "website" },
  run: getBucketWebsite,
});

function getBucketWebsite(call: BucketCall): void {
  const { website } = call.bucket;
  if (website === undefined) throw s3Error("NoSuchWebsiteConfiguration", "", [["BucketName", call.bucketName]]);
  let xml = `${XML_HEAD}<WebsiteConfiguration xmlns="${S3_NAMESPACE}">`;
  xml += `<IndexDocument>${element("Suffix", website.indexDocument)}</IndexDocument>`;
  if (website.errorDocument !== undefined) xml += `<ErrorDocument>${element("Key", website.errorDocument)}</ErrorDocument>`;
  call.answer.xml(xml + "</WebsiteConfiguration>");
}
