import { getBucketAcl, getObjectAcl } from "./acl.ts";
import { createBucket, deleteBucket, getBucketLocation, headBucket, listBuckets } from "./buckets.ts";
import type { BucketCall, Call, Services } from "./call.ts";
import { completeMultipartUpload } from "./complete-upload.ts";
import { copyObject } from "./copy-object.ts";
import { deleteObject } from "./delete-object.ts";
import { deleteObjects } from "./delete-objects.ts";
import { getObject, headObject } from "./get-object.ts";
import { listObjects, listObjectVersions, listObjectsV2 } from "./list-objects.ts";
import { listMultipartUploads, listParts } from "./list-uploads.ts";
import { abortMultipartUpload, createMultipartUpload, uploadPart, uploadPartCopy } from "./multipart.ts";
import { getObjectAttributes } from "./object-attributes.ts";
import type { LiveOperation } from "./operations.ts";
import { putObject } from "./put-object.ts";
import {
  answerUnset,
  getBucketOwnershipControls,
  getBucketVersioning,
  getBucketWebsite,
  type UnsetOperation,
} from "./settings.ts";

/**
 * Which function runs an operation. A missing operation does not compile. PostObject stands apart: its caller is known only from
 * its body.
 */

type Run<C extends Call> = (call: C, services: Services) => Promise<void> | void;

/** Operations that run without an existing bucket. */
export type FreeOperation = "ListBuckets" | "CreateBucket";
export const FREE: Readonly<Record<FreeOperation, Run<Call>>> = { ListBuckets: listBuckets, CreateBucket: createBucket };

export type BoundOperation = Exclude<LiveOperation, FreeOperation | UnsetOperation | "PostObject">;
export const BOUND: Readonly<Record<BoundOperation, Run<BucketCall>>> = {
  HeadBucket: headBucket,
  DeleteBucket: deleteBucket,
  GetBucketLocation: getBucketLocation,
  GetBucketVersioning: getBucketVersioning,
  GetBucketAcl: getBucketAcl,
  GetBucketOwnershipControls: getBucketOwnershipControls,
  GetBucketWebsite: getBucketWebsite,
  ListObjects: listObjects,
  ListObjectsV2: listObjectsV2,
  ListObjectVersions: listObjectVersions,
  ListMultipartUploads: listMultipartUploads,
  DeleteObjects: deleteObjects,
  GetObject: getObject,
  HeadObject: headObject,
  GetObjectAttributes: getObjectAttributes,
  GetObjectAcl: getObjectAcl,
  PutObject: putObject,
  CopyObject: copyObject,
  DeleteObject: deleteObject,
  CreateMultipartUpload: createMultipartUpload,
  UploadPart: uploadPart,
  UploadPartCopy: uploadPartCopy,
  CompleteMultipartUpload: completeMultipartUpload,
  AbortMultipartUpload: abortMultipartUpload,
  ListParts: listParts,
};

export function runBound(operation: BoundOperation | UnsetOperation, call: BucketCall, services: Services): Promise<void> | void {
  return isBound(operation) ? BOUND[operation](call, services) : answerUnset(operation, call, services);
}

function isBound(operation: BoundOperation | UnsetOperation): operation is BoundOperation {
  return Object.hasOwn(BOUND, operation);
}
