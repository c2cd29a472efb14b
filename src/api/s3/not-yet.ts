import { S3_NAMESPACE, XML_HEAD } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { noSuchKey, s3Error, type S3ErrorCode } from "./errors.ts";
import { type Method, operation, type QueryMark, type S3Operation } from "./operation.ts";
import type { Operation } from "./operations.ts";
import { checkVersionId } from "./version-id.ts";

/**
 * The operations of features that aren't here yet. Reads of what can't be set are answered as AWS answers what is not set: real
 * clients ask (awscli's multipart copies read the tags of their source) and fail on 501. All else is 501 by its name. A feature
 * that comes gets a file of its own, and its records leave this one.
 */

/** What a read is answered: the error, or the document of a setting at its default. */
type Unset = { readonly error: S3ErrorCode; readonly message?: string } | { readonly document: string };

const NO_LOCK = error("InvalidRequest", "Bucket is missing Object Lock Configuration");
const NOTHING_LISTED = "<IsTruncated>false</IsTruncated>";

export const NOT_YET = {
  // ---- what can't be set yet
  GetBucketAccelerateConfiguration: bucketSetting("accelerate", document("AccelerateConfiguration")),
  PutBucketAccelerateConfiguration: noBucket("PUT", "accelerate"),
  PutBucketAcl: noBucket("PUT", "acl"),
  GetBucketCors: bucketSetting("cors", error("NoSuchCORSConfiguration"), { right: "owner" }),
  PutBucketCors: noBucket("PUT", "cors"),
  DeleteBucketCors: noBucket("DELETE", "cors"),
  GetBucketEncryption: bucketSetting("encryption", error("ServerSideEncryptionConfigurationNotFoundError")),
  PutBucketEncryption: noBucket("PUT", "encryption"),
  DeleteBucketEncryption: noBucket("DELETE", "encryption"),
  GetBucketLifecycleConfiguration: bucketSetting("lifecycle", error("NoSuchLifecycleConfiguration")),
  PutBucketLifecycleConfiguration: noBucket("PUT", "lifecycle"),
  DeleteBucketLifecycle: noBucket("DELETE", "lifecycle"),
  GetBucketLogging: bucketSetting("logging", document("BucketLoggingStatus")),
  PutBucketLogging: noBucket("PUT", "logging"),
  GetBucketNotificationConfiguration: bucketSetting("notification", document("NotificationConfiguration")),
  PutBucketNotificationConfiguration: noBucket("PUT", "notification"),
  PutBucketOwnershipControls: noBucket("PUT", "ownershipControls"),
  DeleteBucketOwnershipControls: noBucket("DELETE", "ownershipControls"),
  GetBucketPolicy: bucketSetting("policy", error("NoSuchBucketPolicy")),
  GetBucketPolicyStatus: bucketSetting("policyStatus", error("NoSuchBucketPolicy")),
  PutBucketPolicy: noBucket("PUT", "policy"),
  DeleteBucketPolicy: noBucket("DELETE", "policy"),
  GetBucketReplication: bucketSetting("replication", error("ReplicationConfigurationNotFoundError")),
  PutBucketReplication: noBucket("PUT", "replication"),
  DeleteBucketReplication: noBucket("DELETE", "replication"),
  GetBucketRequestPayment: bucketSetting("requestPayment", document("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>")),
  PutBucketRequestPayment: noBucket("PUT", "requestPayment"),
  GetBucketTagging: bucketSetting("tagging", error("NoSuchTagSet")),
  PutBucketTagging: noBucket("PUT", "tagging"),
  DeleteBucketTagging: noBucket("DELETE", "tagging"),
  PutBucketVersioning: noBucket("PUT", "versioning"),
  PutBucketWebsite: noBucket("PUT", "website"),
  DeleteBucketWebsite: noBucket("DELETE", "website"),
  GetObjectLockConfiguration: bucketSetting("object-lock", error("ObjectLockConfigurationNotFoundError")),
  PutObjectLockConfiguration: noBucket("PUT", "object-lock"),
  GetPublicAccessBlock: bucketSetting("publicAccessBlock", error("NoSuchPublicAccessBlockConfiguration")),
  PutPublicAccessBlock: noBucket("PUT", "publicAccessBlock"),
  DeletePublicAccessBlock: noBucket("DELETE", "publicAccessBlock"),
  GetBucketAnalyticsConfiguration: bucketSetting("analytics", error("NoSuchConfiguration"), { mark: { param: "id" } }),
  ListBucketAnalyticsConfigurations: bucketSetting(
    "analytics",
    document("ListBucketAnalyticsConfigurationResult", NOTHING_LISTED),
    { params: ["continuation-token"] },
  ),
  PutBucketAnalyticsConfiguration: noBucket("PUT", "analytics"),
  DeleteBucketAnalyticsConfiguration: noBucket("DELETE", "analytics"),
  GetBucketIntelligentTieringConfiguration: bucketSetting("intelligent-tiering", error("NoSuchConfiguration"), {
    mark: { param: "id" },
  }),
  ListBucketIntelligentTieringConfigurations: bucketSetting(
    "intelligent-tiering",
    document("ListBucketIntelligentTieringConfigurationsOutput", NOTHING_LISTED),
    { params: ["continuation-token"] },
  ),
  PutBucketIntelligentTieringConfiguration: noBucket("PUT", "intelligent-tiering"),
  DeleteBucketIntelligentTieringConfiguration: noBucket("DELETE", "intelligent-tiering"),
  GetBucketInventoryConfiguration: bucketSetting("inventory", error("NoSuchConfiguration"), { mark: { param: "id" } }),
  ListBucketInventoryConfigurations: bucketSetting("inventory", document("ListInventoryConfigurationsResult", NOTHING_LISTED), {
    params: ["continuation-token"],
  }),
  PutBucketInventoryConfiguration: noBucket("PUT", "inventory"),
  DeleteBucketInventoryConfiguration: noBucket("DELETE", "inventory"),
  GetBucketMetricsConfiguration: bucketSetting("metrics", error("NoSuchConfiguration"), { mark: { param: "id" } }),
  ListBucketMetricsConfigurations: bucketSetting("metrics", document("ListMetricsConfigurationsResult", NOTHING_LISTED), {
    params: ["continuation-token"],
  }),
  PutBucketMetricsConfiguration: noBucket("PUT", "metrics"),
  DeleteBucketMetricsConfiguration: noBucket("DELETE", "metrics"),
  PutObjectAcl: noObject("PUT", "acl"),
  GetObjectTagging: objectSetting("tagging", document("Tagging", "<TagSet></TagSet>")),
  PutObjectTagging: noObject("PUT", "tagging"),
  DeleteObjectTagging: noObject("DELETE", "tagging"),
  GetObjectLegalHold: objectSetting("legal-hold", NO_LOCK),
  PutObjectLegalHold: noObject("PUT", "legal-hold"),
  GetObjectRetention: objectSetting("retention", NO_LOCK),
  PutObjectRetention: noObject("PUT", "retention"),

  // ---- not there
  ListDirectoryBuckets: noService({ method: "GET", mark: { param: "x-id", value: "ListDirectoryBuckets" } }),
  WriteGetObjectResponse: noService({ method: "POST", path: "WriteGetObjectResponse" }),
  GetBucketAbac: noBucket("GET", "abac"),
  PutBucketAbac: noBucket("PUT", "abac"),
  CreateSession: noBucket("GET", "session"),
  CreateBucketMetadataConfiguration: noBucket("POST", "metadataConfiguration"),
  GetBucketMetadataConfiguration: noBucket("GET", "metadataConfiguration"),
  DeleteBucketMetadataConfiguration: noBucket("DELETE", "metadataConfiguration"),
  CreateBucketMetadataTableConfiguration: noBucket("POST", "metadataTable"),
  GetBucketMetadataTableConfiguration: noBucket("GET", "metadataTable"),
  DeleteBucketMetadataTableConfiguration: noBucket("DELETE", "metadataTable"),
  UpdateBucketMetadataAnnotationTableConfiguration: noBucket("PUT", "metadataAnnotationTable"),
  UpdateBucketMetadataInventoryTableConfiguration: noBucket("PUT", "metadataInventoryTable"),
  UpdateBucketMetadataJournalTableConfiguration: noBucket("PUT", "metadataJournalTable"),
  GetObjectAnnotation: noObject("GET", "annotation", { mark: { param: "annotationName" } }),
  ListObjectAnnotations: noObject("GET", "annotation"),
  PutObjectAnnotation: noObject("PUT", "annotation"),
  DeleteObjectAnnotation: noObject("DELETE", "annotation"),
  GetObjectTorrent: noObject("GET", "torrent"),
  RenameObject: noObject("PUT", "renameObject"),
  RestoreObject: noObject("POST", "restore"),
  SelectObjectContent: noObject("POST", "select", { right: "read", writes: false }),
  UpdateObjectEncryption: noObject("PUT", "encryption"),
} satisfies { readonly [O in Operation]?: S3Operation };

function error(code: S3ErrorCode, message = ""): Unset {
  return { error: code, message };
}

function document(name: string, content = ""): Unset {
  return { document: `${XML_HEAD}<${name} xmlns="${S3_NAMESPACE}">${content}</${name}>` };
}

function bucketSetting(
  subresource: string,
  unset: Unset,
  {
    right = "read",
    mark,
    params = [],
  }: { readonly right?: "read" | "owner"; readonly mark?: QueryMark; readonly params?: readonly string[] } = {},
): S3Operation {
  return operation({
    scope: "bucket",
    right,
    route: { method: "GET", subresource, ...(mark && { mark }) },
    params,
    support: "not-set",
    run: ({ answer, bucketName }) => answerUnset(answer, unset, [["BucketName", bucketName]]),
  });
}

function objectSetting(subresource: string, unset: Unset): S3Operation {
  return operation({
    scope: "object",
    right: "read",
    route: { method: "GET", subresource },
    params: ["versionId"],
    support: "not-set",
    run: async (call: BucketCall, services: Services) => {
      checkVersionId(call.query, call.key);
      if ((await services.objects.lookup({ bucket: call.bucket, key: call.key })) === null) throw noSuchKey(call.key);
      answerUnset(call.answer, unset);
    },
  });
}

function answerUnset(answer: BucketCall["answer"], unset: Unset, elements: readonly (readonly [string, string])[] = []): void {
  if ("error" in unset) throw s3Error(unset.error, unset.message, elements);
  answer.xml(unset.document);
}

/** Settings of a bucket are its owner's. */
function noBucket(method: Method, subresource: string): S3Operation {
  const right = method === "GET" ? "read" : "owner";
  return operation({ scope: "bucket", right, route: { method, subresource }, support: "absent", run: undefined });
}

function noObject(
  method: Method,
  subresource: string,
  { mark, ...more }: { readonly mark?: QueryMark; readonly right?: "read"; readonly writes?: false } = {},
): S3Operation {
  const right = method === "GET" ? "read" : "write";
  const route = { method, subresource, ...(mark && { mark }) };
  return operation({ scope: "object", right, route, support: "absent", run: undefined, ...more });
}

function noService(route: Parameters<typeof operation>[0]["route"]): S3Operation {
  return operation({ scope: "service", right: "signed", route, support: "absent", run: undefined });
}
