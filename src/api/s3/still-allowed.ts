import type { Recheck } from "../../model/object-service.ts";
import type { BucketCall, Services } from "./call.ts";
import { s3Error } from "./errors.ts";

/**
 * For the moment before a write is decided: its rights were judged by its head, and its body may have taken hours since. Throws
 * AccessDenied when the key has gone, expired or lost its right to write meanwhile. A bucket that has gone is left to the write
 * itself.
 */
export function stillAllowed(
  { accessKey: { id }, bucket }: Pick<BucketCall, "accessKey" | "bucket">,
  { control, clock }: Pick<Services, "control" | "clock">,
): Recheck {
  return () => {
    const key = control.accessKey(id);
    const isValid = key !== undefined && (key.expiresMs === undefined || key.expiresMs > clock.wallMs());
    if (!isValid || control.bucket(bucket.id)?.rights(id).write === false)
      throw s3Error("AccessDenied", "Access Denied: this access key lost its right to write while the request was under way.");
  };
}
