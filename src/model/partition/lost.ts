import type { BucketId, UploadId } from "../../util/ids.ts";
import { ServiceError } from "../object-service.ts";

/** What is said of an object of which a row is lost; the words tell its owner what to do. */
export function lostObject({ bucket, key }: { readonly bucket: BucketId; readonly key: string }): ServiceError {
  const name = `${JSON.stringify(key)} in bucket ${bucket}`;
  return new ServiceError(
    "object.damaged",
    `a metadata row of ${name} was damaged, and what it held is lost: overwrite or delete the object, or restore a copy`,
  );
}

export function lostUpload(key: string, upload: UploadId): ServiceError {
  return new ServiceError(
    "object.damaged",
    `the metadata row of upload ${upload} of ${JSON.stringify(key)} was damaged, and what it held is lost: abort the upload`,
  );
}
