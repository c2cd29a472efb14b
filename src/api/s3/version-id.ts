import type { Query } from "../common/request-target.ts";
import { invalidArgument, s3Error } from "./errors.ts";

/**
 * versionId of a read in a bucket that was never versioned: "null" is the object itself; others can't exist.
 * @throws ApiError InvalidArgument (not the form of a version id) · NoSuchVersion
 */
export function checkVersionId(query: Query, key: string): void {
  const version = query.get("versionId");
  if (version === undefined || version === "null") return;
  checkForm(version);
  throw s3Error("NoSuchVersion", "", [
    ["Key", key],
    ["VersionId", version],
  ]);
}

/** Whether a delete of this version has anything to delete: deleting a version that does not exist is no error on S3. */
export function deletesCurrent(version: string | undefined): boolean {
  if (version === undefined || version === "null") return true;
  checkForm(version);
  return false;
}

/** Ours will be 32 hex; AWS's are 32 URL-safe characters. */
function checkForm(version: string): void {
  if (!/^[A-Za-z0-9._-]{32}$/.test(version))
    throw invalidArgument(
      version === "" ? "Version id cannot be the empty string" : "Invalid version id specified",
      "versionId",
      version,
    );
}
