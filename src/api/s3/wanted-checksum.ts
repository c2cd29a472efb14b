import type { ChecksumAlgorithm } from "../../model/object-service.ts";
import { parseChecksumAlgorithm } from "../common/checksum-headers.ts";
import { s3Error } from "./errors.ts";

/**
 * The algorithm that x-amz-checksum-algorithm (a header, or a form's field) names; undefined when it is absent or empty. AWS's
 * newer ones don't come here: the screen refuses them by name.
 *
 * @throws ApiError InvalidRequest
 */
export function wantedChecksum(name: string | undefined): ChecksumAlgorithm | undefined {
  if (name === undefined || name === "") return undefined;
  const algorithm = parseChecksumAlgorithm(name);
  if (algorithm === undefined) throw s3Error("InvalidRequest", `Checksum algorithm provided is unsupported: ${name}.`);
  return algorithm;
}
