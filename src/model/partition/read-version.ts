import { type KvRead, STOP } from "../../platform/kv.ts";
import type { BucketId, GroupId, VersionId } from "../../util/ids.ts";
import { missingRow } from "./damage.ts";
import { etagOf, isInlineHead, isLostHead, sizeOf, versionOf } from "./object-row.ts";
import { objectKey, ROW, rowsOfKey, versionKey } from "./row-keys.ts";
import { decodeVersion, type Version } from "./version-row.ts";

/** What commands need of the present head version. */
export interface Head {
  readonly version: VersionId;
  readonly sizeBytes: number;
  readonly inline: boolean;
  readonly etag: string;
  /** Size and ETag are not known any more. */
  readonly lost: boolean;
}

/**
 * `sure`: "none" is checked against the version rows too, one more seek, as where a condition, a deletion or an answer rests on
 * it. A put without a condition is spared it: over an object whose row is gone it leaves the old version row behind, which the
 * audit names.
 */
export function readHead(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
  { sure }: { readonly sure: boolean },
): Head | undefined {
  const row = rows.view("rows", objectKey(group, bucket, key));
  if (row === undefined) {
    if (sure) assertAbsent(rows, group, bucket, key);
    return undefined;
  }
  return {
    version: versionOf(row, 0),
    sizeBytes: sizeOf(row, 0),
    inline: isInlineHead(row, 0),
    etag: etagOf(row, 0),
    lost: isLostHead(row, 0),
  };
}

/** The head version of a key with its headers and body; undefined when there is none. Inline bytes are the caller's own. */
export function readHeadVersion(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
): { readonly version: VersionId; readonly content: Version } | undefined {
  const head = readHead(rows, group, bucket, key, { sure: true });
  return head && { version: head.version, content: readVersion(rows, group, bucket, key, head.version) };
}

/**
 * The version that an object row names. @throws KvError kv.damaged also when its row is not there: only damage can have taken it.
 */
export function readVersion(rows: KvRead, group: GroupId, bucket: BucketId, key: string, version: VersionId): Version {
  const at = versionKey(group, bucket, key, version);
  const row = rows.get("bodies", at);
  if (row === undefined) throw missingRow(at);
  return decodeVersion(row);
}

/** The one place where "no such object" is doubted: a version row without its object row. */
function assertAbsent(rows: KvRead, group: GroupId, bucket: BucketId, key: string): void {
  let hidden = false;
  rows.scan("bodies", rowsOfKey(group, ROW.version, bucket, key), () => {
    hidden = true;
    return STOP;
  });
  if (hidden) throw missingRow(objectKey(group, bucket, key));
}
