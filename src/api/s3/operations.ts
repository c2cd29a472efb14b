import { GetBucketAcl, GetObjectAcl } from "./acl.ts";
import { ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation } from "./buckets.ts";
import { CompleteMultipartUpload } from "./complete-upload.ts";
import { CopyObject } from "./copy-object.ts";
import { DeleteObject } from "./delete-object.ts";
import { DeleteObjects } from "./delete-objects.ts";
import { GetObject, HeadObject } from "./get-object.ts";
import { ListObjects, ListObjectsV2, ListObjectVersions } from "./list-objects.ts";
import { ListMultipartUploads, ListParts } from "./list-uploads.ts";
import { CreateMultipartUpload, UploadPart, UploadPartCopy, AbortMultipartUpload } from "./multipart.ts";
import { NOT_YET } from "./not-yet.ts";
import { GetObjectAttributes } from "./object-attributes.ts";
import { PostObject } from "./post-object.ts";
import { PutObject } from "./put-object.ts";
import { GetBucketVersioning, GetBucketOwnershipControls, GetBucketWebsite } from "./settings.ts";
import type { S3Operation } from "./operation.ts";

/**
 * Every operation of S3, by AWS's name. The union is closed: without a record for each, or with one too many, this does not
 * compile. docs/s3.md lists exactly these (a test compares).
 */
export type Operation =
  | "ListBuckets"
  | "ListDirectoryBuckets"
  | "WriteGetObjectResponse"
  | "CreateBucket"
  | "HeadBucket"
  | "DeleteBucket"
  | "GetBucketLocation"
  | "GetBucketVersioning"
  | "ListObjects"
  | "ListObjectsV2"
  | "ListObjectVersions"
  | "ListMultipartUploads"
  | "DeleteObjects"
  | "PostObject"
  | "GetBucketAcl"
  | "GetBucketOwnershipControls"
  | "GetBucketWebsite"
  | "GetObject"
  | "HeadObject"
  | "GetObjectAttributes"
  | "GetObjectAcl"
  | "PutObject"
  | "CopyObject"
  | "DeleteObject"
  | "CreateMultipartUpload"
  | "UploadPart"
  | "UploadPartCopy"
  | "CompleteMultipartUpload"
  | "AbortMultipartUpload"
  | "ListParts"
  | "GetBucketAccelerateConfiguration"
  | "PutBucketAccelerateConfiguration"
  | "PutBucketAcl"
  | "GetBucketCors"
  | "PutBucketCors"
  | "DeleteBucketCors"
  | "GetBucketEncryption"
  | "PutBucketEncryption"
  | "DeleteBucketEncryption"
  | "GetBucketLifecycleConfiguration"
  | "PutBucketLifecycleConfiguration"
  | "DeleteBucketLifecycle"
  | "GetBucketLogging"
  | "PutBucketLogging"
  | "GetBucketNotificationConfiguration"
  | "PutBucketNotificationConfiguration"
  | "PutBucketOwnershipControls"
  | "DeleteBucketOwnershipControls"
  | "GetBucketPolicy"
  | "GetBucketPolicyStatus"
  | "PutBucketPolicy"
  | "DeleteBucketPolicy"
  | "GetBucketReplication"
  | "PutBucketReplication"
  | "DeleteBucketReplication"
  | "GetBucketRequestPayment"
  | "PutBucketRequestPayment"
  | "GetBucketTagging"
  | "PutBucketTagging"
  | "DeleteBucketTagging"
  | "PutBucketVersioning"
  | "PutBucketWebsite"
  | "DeleteBucketWebsite"
  | "GetObjectLockConfiguration"
  | "PutObjectLockConfiguration"
  | "GetPublicAccessBlock"
  | "PutPublicAccessBlock"
  | "DeletePublicAccessBlock"
  | "GetBucketAnalyticsConfiguration"
  | "ListBucketAnalyticsConfigurations"
  | "PutBucketAnalyticsConfiguration"
  | "DeleteBucketAnalyticsConfiguration"
  | "GetBucketIntelligentTieringConfiguration"
  | "ListBucketIntelligentTieringConfigurations"
  | "PutBucketIntelligentTieringConfiguration"
  | "DeleteBucketIntelligentTieringConfiguration"
  | "GetBucketInventoryConfiguration"
  | "ListBucketInventoryConfigurations"
  | "PutBucketInventoryConfiguration"
  | "DeleteBucketInventoryConfiguration"
  | "GetBucketMetricsConfiguration"
  | "ListBucketMetricsConfigurations"
  | "PutBucketMetricsConfiguration"
  | "DeleteBucketMetricsConfiguration"
  | "PutObjectAcl"
  | "GetObjectTagging"
  | "PutObjectTagging"
  | "DeleteObjectTagging"
  | "GetObjectLegalHold"
  | "PutObjectLegalHold"
  | "GetObjectRetention"
  | "PutObjectRetention"
  | "GetBucketAbac"
  | "PutBucketAbac"
  | "CreateSession"
  | "CreateBucketMetadataConfiguration"
  | "GetBucketMetadataConfiguration"
  | "DeleteBucketMetadataConfiguration"
  | "CreateBucketMetadataTableConfiguration"
  | "GetBucketMetadataTableConfiguration"
  | "DeleteBucketMetadataTableConfiguration"
  | "UpdateBucketMetadataAnnotationTableConfiguration"
  | "UpdateBucketMetadataInventoryTableConfiguration"
  | "UpdateBucketMetadataJournalTableConfiguration"
  | "GetObjectAnnotation"
  | "ListObjectAnnotations"
  | "PutObjectAnnotation"
  | "DeleteObjectAnnotation"
  | "GetObjectTorrent"
  | "RenameObject"
  | "RestoreObject"
  | "SelectObjectContent"
  | "UpdateObjectEncryption";

export const OPERATIONS: { readonly [O in Operation]: S3Operation } = {
  // ---- the service
  ListBuckets,

  // ---- buckets
  CreateBucket,
  HeadBucket,
  DeleteBucket,
  GetBucketLocation,
  GetBucketVersioning,
  ListObjects,
  ListObjectsV2,
  ListObjectVersions,
  ListMultipartUploads,
  DeleteObjects,
  PostObject,
  GetBucketAcl,
  GetBucketOwnershipControls,
  GetBucketWebsite,

  // ---- objects
  GetObject,
  HeadObject,
  GetObjectAttributes,
  GetObjectAcl,
  PutObject,
  CopyObject,
  DeleteObject,
  CreateMultipartUpload,
  UploadPart,
  UploadPartCopy,
  CompleteMultipartUpload,
  AbortMultipartUpload,
  ListParts,

  // Last: a name of the list that has a record above does not compile.
  ...NOT_YET,
};
