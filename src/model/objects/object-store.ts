import type { KvRead } from "../../platform/kv.ts";
import { isHex } from "../../util/ids.ts";
import type { BucketRef, ObjectService } from "../object-service.ts";
import { listObjects } from "../partition/list-objects.ts";
import { listParts, listUploads } from "../partition/list-uploads.ts";
import { serviceFailure } from "../service-failure.ts";
import { copyObject, copyPart } from "./copy-operations.ts";
import { deleteObject, lookupObject, type OperationModules, putObject } from "./object-operations.ts";
import { QuotaLedger, sumUsage } from "./quota-ledger.ts";
import { abortUpload, completeUpload, createUpload, putPart, uploadInfo } from "./upload-operations.ts";

export interface ObjectServiceOptions {
  /** Smallest part that is not the last: 5 MiB in S3. */
  readonly minPartSize: number;
}

export type ObjectServiceModules = Omit<OperationModules, "quotas">;

/** The object operations over groups (names) and the data path (bytes). */
export function createObjectService(options: ObjectServiceOptions, given: ObjectServiceModules): ObjectService {
  const { groups, placement } = given;
  const modules: OperationModules = { ...given, quotas: new QuotaLedger(groups, placement) };

  const readBucket = async <T>(bucket: BucketRef, fn: (rows: KvRead) => T): Promise<T> => {
    try {
      return await groups.readAll(placement.groupsOf(bucket), fn);
    } catch (error) {
      throw serviceFailure(error);
    }
  };

  return {
    put: (request) => putObject(modules, request),
    lookup: ({ bucket, key }) => lookupObject(modules, bucket, key),
    delete: (request) => deleteObject(modules, request),
    copy: (request) => copyObject(modules, request),
    list: (request) => {
      const { bucket } = request;
      return readBucket(bucket, (rows) => listObjects(rows, placement.groupsOf(bucket), { ...request, bucket: bucket.id }));
    },
    createUpload: (request) => createUpload(modules, request),
    putPart: (request) => putPart(modules, request),
    copyPart: (request) => copyPart(modules, request),
    completeUpload: (request) => completeUpload(modules, options, request),
    abortUpload: (request) => abortUpload(modules, request),
    uploadInfo: (request) => uploadInfo(modules, request),
    listParts: async ({ bucket, key, upload, after, limit }) => {
      if (!isHex(upload, 16)) return null;
      const group = placement.ofKey(bucket, key);
      return readBucket(bucket, (rows) => listParts(rows, group, { bucket: bucket.id, key, upload, after, limit }));
    },
    listUploads: (request) => {
      const { bucket } = request;
      return readBucket(bucket, (rows) => listUploads(rows, placement.groupsOf(bucket), { ...request, bucket: bucket.id }));
    },
    usage: (bucket) => readBucket(bucket, (rows) => sumUsage(rows, placement, bucket)),
  };
}
