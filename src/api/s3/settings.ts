import { S3_NAMESPACE, XML_HEAD, element } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { noSuchKey, s3Error, type S3ErrorCode } from "./errors.ts";
import type { OPERATIONS, Operation } from "./operations.ts";
import { checkVersionId } from "./version-id.ts";

/**
 * Reads of bucket and object settings. What can't be set yet is answered as AWS answers what is not set: real clients ask
 * (awscli's multipart copies read the tags of their source) and fail on 501.
 */

/** Operations whose table entry says "not-set". */
export type UnsetOperation = { [O in Operation]: (typeof OPERATIONS)[O]["support"] extends "not-set" ? O : never }[Operation];

/** The error, or the document of a setting at its default. */
type Unset = { readonly error: S3ErrorCode; readonly message?: string } | { readonly document: string };

const error = (code: S3ErrorCode, message = ""): Unset => ({ error: code, message });
const document = (name: string, content = ""): Unset => ({
  document: `${XML_HEAD}<${name} xmlns="${S3_NAMESPACE}">${content}</${name}>`,
});
const NO_LOCK = error("InvalidRequest", "Bucket is missing Object Lock Configuration");
const NOTHING_LISTED = "<IsTruncated>false</IsTruncated>";

const UNSET: Readonly<Record<UnsetOperation, Unset>> = {
  GetBucketAccelerateConfiguration: document("AccelerateConfiguration"),
  GetBucketCors: error("NoSuchCORSConfiguration"),
  GetBucketEncryption: error("ServerSideEncryptionConfigurationNotFoundError"),
  GetBucketLifecycleConfiguration: error("NoSuchLifecycleConfiguration"),
  GetBucketLogging: document("BucketLoggingStatus"),
  GetBucketNotificationConfiguration: document("NotificationConfiguration"),
  GetBucketPolicy: error("NoSuchBucketPolicy"),
  GetBucketPolicyStatus: error("NoSuchBucketPolicy"),
  GetBucketReplication: error("ReplicationConfigurationNotFoundError"),
  GetBucketRequestPayment: document("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
  GetBucketTagging: error("NoSuchTagSet"),
  GetObjectLockConfiguration: error("ObjectLockConfigurationNotFoundError"),
  GetPublicAccessBlock: error("NoSuchPublicAccessBlockConfiguration"),
  GetBucketAnalyticsConfiguration: error("NoSuchConfiguration"),
  ListBucketAnalyticsConfigurations: document("ListBucketAnalyticsConfigurationResult", NOTHING_LISTED),
  GetBucketIntelligentTieringConfiguration: error("NoSuchConfiguration"),
  ListBucketIntelligentTieringConfigurations: document("ListBucketIntelligentTieringConfigurationsOutput", NOTHING_LISTED),
  GetBucketInventoryConfiguration: error("NoSuchConfiguration"),
  ListBucketInventoryConfigurations: document("ListInventoryConfigurationsResult", NOTHING_LISTED),
  GetBucketMetricsConfiguration: error("NoSuchConfiguration"),
  ListBucketMetricsConfigurations: document("ListMetricsConfigurationsResult", NOTHING_LISTED),
  GetObjectTagging: document("Tagging", "<TagSet></TagSet>"),
  GetObjectLegalHold: NO_LOCK,
  GetObjectRetention: NO_LOCK,
};

export async function answerUnset(operation: UnsetOperation, call: BucketCall, services: Services): Promise<void> {
  if (call.key !== "") {
    checkVersionId(call.query, call.key);
    if ((await services.objects.lookup({ bucket: call.bucket, key: call.key })) === null) throw noSuchKey(call.key);
  }
  const unset = UNSET[operation];
  if ("error" in unset) throw s3Error(unset.error, unset.message, call.key === "" ? [["BucketName", call.bucketName]] : []);
  call.answer.xml(unset.document);
}

/** Buckets are not versioned yet: AWS's empty document. */
export function getBucketVersioning(call: BucketCall): void {
  call.answer.xml(`${XML_HEAD}<VersioningConfiguration xmlns="${S3_NAMESPACE}"></VersioningConfiguration>`);
}

/** Set by CreateBucket alone. */
export function getBucketOwnershipControls(call: BucketCall): void {
  const rule = `<Rule><ObjectOwnership>${call.bucket.objectOwnership}</ObjectOwnership></Rule>`;
  call.answer.xml(`${XML_HEAD}<OwnershipControls xmlns="${S3_NAMESPACE}">${rule}</OwnershipControls>`);
}

/** Set by operators; not by S3 yet. */
export function getBucketWebsite(call: BucketCall): void {
  const { website } = call.bucket;
  if (website === undefined) throw s3Error("NoSuchWebsiteConfiguration", "", [["BucketName", call.bucketName]]);
  let xml = `${XML_HEAD}<WebsiteConfiguration xmlns="${S3_NAMESPACE}">`;
  xml += `<IndexDocument>${element("Suffix", website.indexDocument)}</IndexDocument>`;
  if (website.errorDocument !== undefined) xml += `<ErrorDocument>${element("Key", website.errorDocument)}</ErrorDocument>`;
  call.answer.xml(xml + "</WebsiteConfiguration>");
}
