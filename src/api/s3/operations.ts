/**
 * Every operation of S3, by AWS's name, with what the door must know of it before it runs: where it acts, which right it needs,
 * whether it changes anything, and how far Hangar answers it. The union is closed: a table typed over it that misses an operation
 * does not compile. docs/s3.md lists exactly these (a test compares).
 */

/** What a caller must hold. `signed`: any valid key · `create`: the key's flag · the others: the key's right on the bucket. */
export type Right = "signed" | "create" | "read" | "write" | "owner";

/**
 * done: implemented · not-set: a read of a feature that can't be set yet, answered as AWS answers when it is not set · absent:
 * 501 NotImplemented.
 */
export type Support = "done" | "not-set" | "absent";

export interface OperationFacts {
  readonly scope: "service" | "bucket" | "object";
  readonly right: Right;
  readonly writes: boolean;
  readonly support: Support;
}

function facts<S extends Support>(
  scope: OperationFacts["scope"],
  right: Right,
  writes: boolean,
  support: S,
): OperationFacts & { readonly support: S } {
  return { scope, right, writes, support };
}

const BUCKET_READ = facts("bucket", "read", false, "done");
const BUCKET_WRITE = facts("bucket", "write", true, "done");
const OBJECT_READ = facts("object", "read", false, "done");
const OBJECT_WRITE = facts("object", "write", true, "done");
/** Reads of bucket settings that can't be set yet. */
const UNSET_BUCKET = facts("bucket", "read", false, "not-set");
/** Settings that only an owner may see (as Garage has it for website and CORS). */
const UNSET_OWNED = facts("bucket", "owner", false, "not-set");
const UNSET_OBJECT = facts("object", "read", false, "not-set");
const NO_BUCKET_READ = facts("bucket", "read", false, "absent");
const NO_BUCKET_WRITE = facts("bucket", "owner", true, "absent");
const NO_OBJECT_READ = facts("object", "read", false, "absent");
const NO_OBJECT_WRITE = facts("object", "write", true, "absent");

export const OPERATIONS = {
  // ---- the service
  ListBuckets: facts("service", "signed", false, "done"),
  ListDirectoryBuckets: facts("service", "signed", false, "absent"),
  WriteGetObjectResponse: facts("service", "signed", true, "absent"),

  // ---- buckets
  CreateBucket: facts("bucket", "create", true, "done"),
  HeadBucket: BUCKET_READ,
  DeleteBucket: facts("bucket", "owner", true, "done"),
  GetBucketLocation: BUCKET_READ,
  GetBucketVersioning: BUCKET_READ,
  ListObjects: BUCKET_READ,
  ListObjectsV2: BUCKET_READ,
  ListObjectVersions: BUCKET_READ,
  ListMultipartUploads: BUCKET_READ,
  DeleteObjects: BUCKET_WRITE,
  PostObject: BUCKET_WRITE,
  GetBucketAcl: BUCKET_READ,
  GetBucketOwnershipControls: BUCKET_READ,
  GetBucketWebsite: facts("bucket", "owner", false, "done"),

  // ---- objects
  GetObject: OBJECT_READ,
  HeadObject: OBJECT_READ,
  GetObjectAttributes: OBJECT_READ,
  GetObjectAcl: OBJECT_READ,
  PutObject: OBJECT_WRITE,
  CopyObject: OBJECT_WRITE,
  DeleteObject: OBJECT_WRITE,
  CreateMultipartUpload: OBJECT_WRITE,
  UploadPart: OBJECT_WRITE,
  UploadPartCopy: OBJECT_WRITE,
  CompleteMultipartUpload: OBJECT_WRITE,
  AbortMultipartUpload: OBJECT_WRITE,
  ListParts: OBJECT_READ,

  // ---- settings that can't be set yet: reads say "not set" as AWS does (real clients ask), writes say 501
  GetBucketAccelerateConfiguration: UNSET_BUCKET,
  PutBucketAccelerateConfiguration: NO_BUCKET_WRITE,
  PutBucketAcl: NO_BUCKET_WRITE,
  GetBucketCors: UNSET_OWNED,
  PutBucketCors: NO_BUCKET_WRITE,
  DeleteBucketCors: NO_BUCKET_WRITE,
  GetBucketEncryption: UNSET_BUCKET,
  PutBucketEncryption: NO_BUCKET_WRITE,
  DeleteBucketEncryption: NO_BUCKET_WRITE,
  GetBucketLifecycleConfiguration: UNSET_BUCKET,
  PutBucketLifecycleConfiguration: NO_BUCKET_WRITE,
  DeleteBucketLifecycle: NO_BUCKET_WRITE,
  GetBucketLogging: UNSET_BUCKET,
  PutBucketLogging: NO_BUCKET_WRITE,
  GetBucketNotificationConfiguration: UNSET_BUCKET,
  PutBucketNotificationConfiguration: NO_BUCKET_WRITE,
  PutBucketOwnershipControls: NO_BUCKET_WRITE,
  DeleteBucketOwnershipControls: NO_BUCKET_WRITE,
  GetBucketPolicy: UNSET_BUCKET,
  GetBucketPolicyStatus: UNSET_BUCKET,
  PutBucketPolicy: NO_BUCKET_WRITE,
  DeleteBucketPolicy: NO_BUCKET_WRITE,
  GetBucketReplication: UNSET_BUCKET,
  PutBucketReplication: NO_BUCKET_WRITE,
  DeleteBucketReplication: NO_BUCKET_WRITE,
  GetBucketRequestPayment: UNSET_BUCKET,
  PutBucketRequestPayment: NO_BUCKET_WRITE,
  GetBucketTagging: UNSET_BUCKET,
  PutBucketTagging: NO_BUCKET_WRITE,
  DeleteBucketTagging: NO_BUCKET_WRITE,
  PutBucketVersioning: NO_BUCKET_WRITE,
  PutBucketWebsite: NO_BUCKET_WRITE,
  DeleteBucketWebsite: NO_BUCKET_WRITE,
  GetObjectLockConfiguration: UNSET_BUCKET,
  PutObjectLockConfiguration: NO_BUCKET_WRITE,
  GetPublicAccessBlock: UNSET_BUCKET,
  PutPublicAccessBlock: NO_BUCKET_WRITE,
  DeletePublicAccessBlock: NO_BUCKET_WRITE,
  GetBucketAnalyticsConfiguration: UNSET_BUCKET,
  ListBucketAnalyticsConfigurations: UNSET_BUCKET,
  PutBucketAnalyticsConfiguration: NO_BUCKET_WRITE,
  DeleteBucketAnalyticsConfiguration: NO_BUCKET_WRITE,
  GetBucketIntelligentTieringConfiguration: UNSET_BUCKET,
  ListBucketIntelligentTieringConfigurations: UNSET_BUCKET,
  PutBucketIntelligentTieringConfiguration: NO_BUCKET_WRITE,
  DeleteBucketIntelligentTieringConfiguration: NO_BUCKET_WRITE,
  GetBucketInventoryConfiguration: UNSET_BUCKET,
  ListBucketInventoryConfigurations: UNSET_BUCKET,
  PutBucketInventoryConfiguration: NO_BUCKET_WRITE,
  DeleteBucketInventoryConfiguration: NO_BUCKET_WRITE,
  GetBucketMetricsConfiguration: UNSET_BUCKET,
  ListBucketMetricsConfigurations: UNSET_BUCKET,
  PutBucketMetricsConfiguration: NO_BUCKET_WRITE,
  DeleteBucketMetricsConfiguration: NO_BUCKET_WRITE,

  PutObjectAcl: NO_OBJECT_WRITE,
  GetObjectTagging: UNSET_OBJECT,
  PutObjectTagging: NO_OBJECT_WRITE,
  DeleteObjectTagging: NO_OBJECT_WRITE,
  GetObjectLegalHold: UNSET_OBJECT,
  PutObjectLegalHold: NO_OBJECT_WRITE,
  GetObjectRetention: UNSET_OBJECT,
  PutObjectRetention: NO_OBJECT_WRITE,

  // ---- not there
  GetBucketAbac: NO_BUCKET_READ,
  PutBucketAbac: NO_BUCKET_WRITE,
  CreateSession: NO_BUCKET_READ,
  CreateBucketMetadataConfiguration: NO_BUCKET_WRITE,
  GetBucketMetadataConfiguration: NO_BUCKET_READ,
  DeleteBucketMetadataConfiguration: NO_BUCKET_WRITE,
  CreateBucketMetadataTableConfiguration: NO_BUCKET_WRITE,
  GetBucketMetadataTableConfiguration: NO_BUCKET_READ,
  DeleteBucketMetadataTableConfiguration: NO_BUCKET_WRITE,
  UpdateBucketMetadataAnnotationTableConfiguration: NO_BUCKET_WRITE,
  UpdateBucketMetadataInventoryTableConfiguration: NO_BUCKET_WRITE,
  UpdateBucketMetadataJournalTableConfiguration: NO_BUCKET_WRITE,
  GetObjectAnnotation: NO_OBJECT_READ,
  ListObjectAnnotations: NO_OBJECT_READ,
  PutObjectAnnotation: NO_OBJECT_WRITE,
  DeleteObjectAnnotation: NO_OBJECT_WRITE,
  GetObjectTorrent: NO_OBJECT_READ,
  RenameObject: NO_OBJECT_WRITE,
  RestoreObject: NO_OBJECT_WRITE,
  SelectObjectContent: NO_OBJECT_READ,
  UpdateObjectEncryption: NO_OBJECT_WRITE,
} as const satisfies Record<string, OperationFacts>;

export type Operation = keyof typeof OPERATIONS;

/** Operations that reach a handler. */
export type LiveOperation = {
  [O in Operation]: (typeof OPERATIONS)[O]["support"] extends "absent" ? never : O;
}[Operation];
