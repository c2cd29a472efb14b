import type { UploadRef } from "../../model/object-service.ts";
import type { Query } from "../common/request-target.ts";
import { isHex, type UploadId } from "../../util/ids.ts";
import type { BucketCall } from "./call.ts";
import { invalidArgument, noSuchUpload } from "./errors.ts";
import { MAX_PART_NUMBER } from "./limits.ts";

/** uploadId and partNumber of the multipart calls. */

/** @throws ApiError NoSuchUpload for what can't be an id of ours */
export function uploadRef(call: BucketCall): UploadRef {
  const id = call.query.get("uploadId") ?? "";
  if (!isHex(id, 16)) throw noSuchUpload(id);
  return { bucket: call.bucket, key: call.key, upload: id as UploadId };
}

/** @throws ApiError InvalidArgument */
export function partNumberOf(query: Query): number {
  const value = query.get("partNumber") ?? "";
  const number = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > MAX_PART_NUMBER)
    throw invalidArgument(`Part number must be an integer between 1 and ${MAX_PART_NUMBER}, inclusive`, "partNumber", value);
  return number;
}
