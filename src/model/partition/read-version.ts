import type { KvRead } from "../../platform/kv.ts";
import { assert } from "../../util/assert.ts";
import type { BucketId, GroupId, VersionId } from "../../util/ids.ts";
import { versionOf } from "./object-row.ts";
import { objectKey, versionKey } from "./row-keys.ts";
import { decodeVersion, type Version } from "./version-row.ts";

/** The head version of a key with its headers and body; undefined when there is none. Inline bytes are the caller's own. */
export function readHeadVersion(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
): { readonly version: VersionId; readonly content: Version } | undefined {
  const head = rows.view("rows", objectKey(group, bucket, key));
  if (head === undefined) return undefined;
  const version = versionOf(head, 0);
  const row = rows.get("bodies", versionKey(group, bucket, key, version));
  assert(row !== undefined, "an object row's version exists");
  return { version, content: decodeVersion(row) };
}
