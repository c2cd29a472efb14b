import { type KvRead, type RowView, STOP } from "../../platform/kv.ts";
import type { BucketId, GroupId, VersionId } from "../../util/ids.ts";
import { isDamage, missingRow } from "./damage.ts";
import { encodeObjectRow, etagOf, isInlineHead, sizeOf, versionOf } from "./object-row.ts";
import { objectKey, readVersionKey, ROW, rowsOf, rowsOfKey, versionKey, versionsFrom } from "./row-keys.ts";
import { decodeVersion, type Version } from "./version-row.ts";

/** What commands need of the present head version. */
export interface Head {
  readonly version: VersionId;
  readonly sizeBytes: number;
  readonly inline: boolean;
  readonly etag: string;
}

/** `sure`: "none" is checked against the version rows too, one more seek, as where a condition or a deletion rests on it. */
export function readHead(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
  { sure }: { readonly sure: boolean },
): Head | undefined {
  const row = objectRow(rows, group, bucket, key, { sure })?.row;
  if (row === undefined) return undefined;
  return { version: versionOf(row, 0), sizeBytes: sizeOf(row, 0), inline: isInlineHead(row, 0), etag: etagOf(row, 0) };
}

/**
 * The head version of a key with its headers and body; undefined when there is none. Inline bytes are the caller's own.
 * `rebuilt`: its object row is damaged or gone and should be written anew (repair-object).
 */
export function readHeadVersion(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
): { readonly version: VersionId; readonly content: Version; readonly rebuilt: boolean } | undefined {
  const head = objectRow(rows, group, bucket, key, { sure: true });
  if (head === undefined) return undefined;
  const version = versionOf(head.row, 0);
  return { version, content: readVersion(rows, group, bucket, key, version), rebuilt: head.rebuilt };
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

/** A key's object row, from its version row where it is damaged or (`sure`) gone. `row` is valid until the next read. */
function objectRow(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
  { sure }: { readonly sure: boolean },
): { readonly row: Buffer; readonly rebuilt: boolean } | undefined {
  const at = objectKey(group, bucket, key);
  let damage: unknown;
  try {
    const row = rows.view("rows", at);
    if (row !== undefined) return { row, rebuilt: false };
    if (!sure) return undefined;
  } catch (error) {
    if (!isDamage(error)) throw error;
    damage = error;
  }
  const rebuilt = rebuiltObjectRow(rows, group, bucket, at, rowsOfKey(group, ROW.version, bucket, key).end);
  if (rebuilt !== undefined) return { row: rebuilt.value, rebuilt: true };
  if (damage !== undefined) throw damage;
  return undefined;
}

/**
 * The object row with the least key ≥ `from` (the row key of an object, or of any text) as the version rows say it is: each
 * object row has its version row, which holds all that it says. Undefined when there is none before `end`, by default the end of
 * the bucket's version rows.
 */
export function rebuiltObjectRow(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  from: Uint8Array,
  end: Uint8Array = rowsOf(group, ROW.version, bucket).end,
): RowView | undefined {
  let found: RowView | undefined;
  rows.scan("bodies", { start: versionsFrom(from), end }, (row) => {
    const { key, version } = readVersionKey(row.key, row.keyStart);
    const content = decodeVersion(Buffer.from(row.value.subarray(row.valueStart, row.valueEnd)));
    const at = objectKey(group, bucket, key);
    const value = encodeObjectRow({ ...content, inline: content.stored.kind === "inline", version });
    found = { key: at, keyStart: 0, keyEnd: at.byteLength, value, valueStart: 0, valueEnd: value.byteLength };
    return STOP;
  });
  return found;
}
