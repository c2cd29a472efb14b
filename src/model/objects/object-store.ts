import type { KvRead } from "../../platform/kv.ts";
import { isHex } from "../../util/ids.ts";
import type { BucketRef, ObjectService } from "../object-service.ts";
import { listObjects } from "../partition/list-objects.ts";
import { listParts, listUploads } from "../partition/list-uploads.ts";
import { serviceFailure } from "../service-failure.ts";
import { copyObject, copyPart } from "./copy-operations.ts";
import { deleteObject, lookupObject, mendObject, type OperationParts, putObject } from "./object-operations.ts";
import { QuotaLedger, sumUsage } from "./quota-ledger.ts";
import { abortUpload, completeUpload, createUpload, putPart, uploadInfo } from "./upload-operations.ts";

export interface ObjectServiceOptions {
  /** Smallest part that is not the last: 5 MiB in S3. */
  readonly minPartSize: number;
}

export type ObjectServiceParts = Omit<OperationParts, "quotas">;

/** The object operations over groups (names) and the data path (bytes). */
export function createObjectService(options: ObjectServiceOptions, modules: ObjectServiceParts): ObjectService {
  const { groups, placement } = modules;
  const parts: OperationParts = { ...modules, quotas: new QuotaLedger(groups, placement) };

  const readBucket = async <T>(bucket: BucketRef, fn: (rows: KvRead) => T): Promise<T> => {
    try {
      return await groups.readAll(placement.groupsOf(bucket), fn);
    } catch (error) {
      throw serviceFailure(error);
    }
  };

  return {
    put: (request) => putObject(parts, request),
    lookup: ({ bucket, key }) => lookupObject(parts, bucket, key),
    delete: (request) => deleteObject(parts, request),
    copy: (request) => copyObject(parts, request),
    list: async (request) => {
      const { bucket } = request;
      const damaged: string[] = [];
      const wanted = { ...request, bucket: bucket.id, onDamaged: (key: string) => void damaged.push(key) };
      const page = await readBucket(bucket, (rows) => listObjects(rows, placement.groupsOf(bucket), wanted));
      for (const key of damaged) mendObject(parts, bucket, key);
      return page;
    },
    createUpload: (request) => createUpload(parts, request),
    putPart: (request) => putPart(parts, request),
    copyPart: (request) => copyPart(parts, request),
    completeUpload: (request) => completeUpload(parts, options, request),
    abortUpload: (request) => abortUpload(parts, request),
    uploadInfo: (request) => uploadInfo(parts, request),
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
