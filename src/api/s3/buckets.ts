import { S3_NAMESPACE, XML_HEAD, element, escapeXml } from "../common/xml-write.ts";
import { XmlReader, parseXml } from "../common/xml-read.ts";
import { readSmallBody } from "../common/payload.ts";
import { uriEncode } from "../../util/uri-encoding.ts";
import type { ObjectOwnership } from "../../model/control-service.ts";
import type { BucketCall, Call, Services } from "./call.ts";
import { cannedAcl, noteIgnoredAcl } from "./canned-acl.ts";
import { createBucketRefusal, deleteBucketRefusal, invalidArgument, s3Error } from "./errors.ts";
import { optionalParam, wholeNumber } from "./list-parameters.ts";
import { regionHeader } from "./location.ts";
import { ownerXml } from "./owner.ts";
import { MAX_XML_BYTES } from "./limits.ts";
import { operation } from "./operation.ts";

/**
 * Calls on buckets as a whole. A bucket made through S3 gets a name that only its key sees, until an operator gives it a global
 * one.
 */

const MAX_BUCKETS = 10_000;

export const ListBuckets = operation({
  scope: "service",
  right: "signed",
  route: { method: "GET" },
  params: ["prefix", "max-buckets", "continuation-token", "bucket-region"],
  run: listBuckets,
});

function listBuckets(call: Call, services: Services): void {
  const { query } = call;
  const max = optionalParam(query, "max-buckets");
  const limit = max === undefined ? Number.POSITIVE_INFINITY : wholeNumber(max, "max-buckets");
  if (max !== undefined && (limit < 1 || limit > MAX_BUCKETS))
    throw invalidArgument(`max-buckets must be an integer between 1 and ${MAX_BUCKETS}.`, "max-buckets", max);
  const prefix = optionalParam(query, "prefix");
  const region = optionalParam(query, "bucket-region");
  const token = optionalParam(query, "continuation-token");
  const after = token === undefined ? "" : bucketOfToken(token);

  let buckets = "";
  let count = 0;
  let last = "";
  let truncated = false;
  if (region === undefined || region === services.region) {
    for (const { name, bucket } of services.control.bucketsOf(call.accessKey.id)) {
      if (name <= after || (prefix !== undefined && !name.startsWith(prefix))) continue;
      if (count >= limit) {
        truncated = true;
        break;
      }
      count++;
      last = name;
      buckets += `<Bucket>${element("Name", name)}<CreationDate>${services.dates.iso(bucket.createdMs)}</CreationDate>`;
      if (max !== undefined || region !== undefined) buckets += element("BucketRegion", services.region);
      buckets += "</Bucket>";
    }
  }
  let xml = `${XML_HEAD}<ListAllMyBucketsResult xmlns="${S3_NAMESPACE}">${ownerXml("Owner", call.accessKey)}<Buckets>${buckets}</Buckets>`;
  if (truncated) xml += element("ContinuationToken", Buffer.from(last, "utf8").toString("base64url"));
  if (prefix !== undefined) xml += element("Prefix", prefix);
  call.answer.xml(xml + "</ListAllMyBucketsResult>");
}

export const CreateBucket = operation({
  scope: "bucket",
  right: "create",
  route: { method: "PUT" },
  run: createBucket,
});

async function createBucket(call: Call, services: Services): Promise<void> {
  const acl = cannedAcl(call.request.header("x-amz-acl"));
  const objectOwnership = wantedOwnership(call);
  const { bytes } = await readSmallBody(call.request, call.payload, { limitBytes: MAX_XML_BYTES });
  if (bytes.byteLength > 0) await checkConfiguration(bytes, services);
  const outcome = await services.control.createBucketFor({ keyId: call.accessKey.id, name: call.bucketName, objectOwnership });
  if (!outcome.ok) throw createBucketRefusal(outcome, call.bucketName);
  noteIgnoredAcl(acl, { id: outcome.id, name: call.bucketName }, services);
  call.answer.send(200, ["Location", "/" + uriEncode(call.bucketName)]);
}

function wantedOwnership({ request }: Call): ObjectOwnership {
  const wanted = request.header("x-amz-object-ownership") ?? "";
  if (wanted === "") return "BucketOwnerEnforced";
  const known = OWNERSHIPS.find((ownership) => ownership === wanted);
  if (known === undefined) throw invalidArgument("Invalid x-amz-object-ownership header", "x-amz-object-ownership", wanted);
  return known;
}

const OWNERSHIPS: readonly ObjectOwnership[] = ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"];

export const HeadBucket = operation({
  scope: "bucket",
  right: "read",
  route: { method: "HEAD" },
  run: headBucket,
});

function headBucket(call: BucketCall, services: Services): void {
  call.answer.send(200, [...regionHeader(services), "x-amz-access-point-alias", "false", "Content-Type", "application/xml"]);
}

export const DeleteBucket = operation({
  scope: "bucket",
  right: "owner",
  route: { method: "DELETE" },
  run: deleteBucket,
});

async function deleteBucket(call: BucketCall, services: Services): Promise<void> {
  const outcome = await services.control.deleteBucketFor({
    keyId: call.accessKey.id,
    name: call.bucketName,
    id: call.bucket.id,
  });
  if (outcome.ok) return call.answer.send(204, []);
  throw deleteBucketRefusal(outcome, call.bucketName);
}

export const GetBucketLocation = operation({
  scope: "bucket",
  right: "read",
  route: { method: "GET", subresource: "location" },
  run: getBucketLocation,
});

function getBucketLocation(call: BucketCall, services: Services): void {
  // AWS names its first region by an empty element; SDKs know that.
  const region = services.region === "us-east-1" ? "" : escapeXml(services.region);
  call.answer.xml(`${XML_HEAD}<LocationConstraint xmlns="${S3_NAMESPACE}">${region}</LocationConstraint>`);
}

function bucketOfToken(token: string): string {
  const bytes = /^[A-Za-z0-9_-]+$/.test(token) ? Buffer.from(token, "base64url") : Buffer.alloc(0);
  const name = bytes.toString("utf8");
  if (name === "" || !Buffer.from(name, "utf8").equals(bytes))
    throw invalidArgument("The continuation token provided is incorrect", "continuation-token", token);
  return name;
}

async function checkConfiguration(bytes: Uint8Array, { region, clock }: Services): Promise<void> {
  const reader = new XmlReader(await parseXml(bytes, { root: ["CreateBucketConfiguration"] }, { clock }));
  const constraint = reader.optionalText("LocationConstraint")?.trim() ?? "";
  for (const name of ["Location", "Bucket", "Tags"]) {
    const found = reader.optional(name);
    if (found !== undefined && found.children.length > 0)
      throw s3Error("NotImplemented", `CreateBucket does not support the element ${name}. Leave it out.`, [["Element", name]]);
  }
  reader.done();
  if (constraint !== "" && constraint !== region)
    throw s3Error(
      "InvalidLocationConstraint",
      `The specified location constraint is not valid: this store's region is "${region}". Name it, or send none.`,
      [["LocationConstraint", constraint]],
    );
}
