import { successor } from "../../codec/key-order.ts";
import { latin1Slice } from "../../codec/slices.ts";
import { type KvRead, STOP } from "../../platform/kv.ts";
import type { BucketId, GroupId, UploadId } from "../../util/ids.ts";
import type { ListUploadsRequest, PartsPage, UploadsPage } from "../object-service.ts";
import { ORDERED_END_BYTES, partOfKey, partsOfUpload, readUploadKey, ROW, rowsOf, rowsOfKey, uploadKey } from "./row-keys.ts";
import { partNumbers } from "./data-reads.ts";
import { lostUpload } from "./lost.ts";
import { decodeUploadHead, readUpload } from "./upload-row.ts";
import { decodePartHead, isLostContent } from "./version-row.ts";

type UploadEntry = UploadsPage["entries"][number];

/**
 * A page of a bucket's uploads, by key and then by upload id, which begins with the time of creation. Uploads are few: every
 * partition is asked for a whole page.
 */
export function listUploads(
  rows: KvRead,
  groups: readonly GroupId[],
  request: Omit<ListUploadsRequest, "bucket"> & { readonly bucket: BucketId },
): UploadsPage {
  const { limit } = request;
  if (limit <= 0) return { entries: [], truncated: false };
  const found = new Map<string, UploadEntry>();
  for (const group of groups) for (const [order, entry] of entriesOf(rows, group, request)) found.set(order, entry);
  const sorted = [...found].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const entries = sorted.slice(0, limit).map(([, entry]) => entry);
  return { entries, truncated: sorted.length > limit };
}

/**
 * At most limit + 1 entries of one partition; each with its row key's bytes behind the bucket (latin1), by which all are ordered.
 */
function entriesOf(rows: KvRead, group: GroupId, request: Parameters<typeof listUploads>[2]): readonly [string, UploadEntry][] {
  const { bucket, prefix, delimiter, afterKey, afterUpload, skipPrefix, limit } = request;
  const found: [string, UploadEntry][] = [];
  const start = below(group, bucket, prefix);
  let behind = start;
  if (afterUpload !== undefined) behind = Buffer.concat([uploadKey(group, bucket, afterKey, afterUpload as UploadId), ZERO]);
  else if (afterKey !== "")
    behind = skipPrefix ? successor(below(group, bucket, afterKey)) : rowsOfKey(group, ROW.upload, bucket, afterKey).end;
  const range = { start: Buffer.compare(behind, start) > 0 ? behind : start, end: successor(start) };
  if (Buffer.compare(range.start, range.end) >= 0) return found;
  rows.scan("rows", range, (row) => {
    const { key, upload } = readUploadKey(row.key, row.keyStart);
    const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (end >= 0) {
      const common = key.slice(0, end + delimiter.length);
      const place = below(group, bucket, common);
      found.push([latin1Slice(place, BUCKET_BYTES, place.byteLength), { key: common, createdMs: 0 }]);
      return found.length > limit ? STOP : successor(place);
    }
    const head = decodeUploadHead(row.value, row.valueStart, row.valueEnd);
    const { createdMs } = head;
    const checksum = head.lost ? undefined : head.checksum;
    const order = latin1Slice(row.key, row.keyStart + BUCKET_BYTES, row.keyEnd);
    found.push([order, { key, upload, createdMs, ...(checksum ? { checksum } : {}) }]);
    return found.length > limit ? STOP : undefined;
  });
  return found;
}

const BUCKET_BYTES = 35;
const ZERO = Buffer.of(0);

/** Start of the range of all keys that begin with `text`. */
function below(group: GroupId, bucket: BucketId, text: string): Buffer {
  const { start } = rowsOfKey(group, ROW.upload, bucket, text);
  return start.subarray(0, start.byteLength - ORDERED_END_BYTES);
}

export interface UploadName {
  readonly key: string;
  readonly upload: UploadId;
}

/** The bucket's uploads in one partition behind `after` and at most `limit` of them. */
export function uploadsOf(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  { after, limit = Number.POSITIVE_INFINITY }: { readonly after?: UploadName | undefined; readonly limit?: number } = {},
): readonly (UploadName & { readonly bucket: BucketId })[] {
  const found: (UploadName & { readonly bucket: BucketId })[] = [];
  const { start, end } = rowsOf(group, ROW.upload, bucket);
  const from = after === undefined ? start : Buffer.concat([uploadKey(group, bucket, after.key, after.upload), ZERO]);
  rows.scan("rows", { start: from, end }, (row) => {
    found.push({ bucket, ...readUploadKey(row.key, row.keyStart) });
    return found.length >= limit ? STOP : undefined;
  });
  return found;
}

/** As many of the first of `uploads` as have about `limit` parts together, but at least one. */
export function withFewParts(
  rows: KvRead,
  group: GroupId,
  uploads: readonly (UploadName & { readonly bucket: BucketId })[],
  limit: number,
): typeof uploads {
  let left = limit;
  const end = uploads.findIndex((upload) => {
    left -= partNumbers(rows, group, upload, { from: 1, limit: left }).length;
    return left <= 0;
  });
  return end < 0 ? uploads : uploads.slice(0, end + 1);
}

/** A page of an upload's parts with numbers > after; null: no such upload. */
export function listParts(
  rows: KvRead,
  group: GroupId,
  request: {
    readonly bucket: BucketId;
    readonly key: string;
    readonly upload: UploadId;
    readonly after: number;
    readonly limit: number;
  },
): PartsPage | null {
  const { bucket, key, upload, after, limit } = request;
  const row = readUpload(rows, group, bucket, key, upload);
  if (row === undefined) return null;
  if (row.lost) throw lostUpload(key, upload);
  const parts: PartsPage["parts"][number][] = [];
  const { createdMs, checksum } = row;
  const info = checksum === undefined ? { createdMs } : { createdMs, checksum };
  if (limit <= 0) return { info, parts, truncated: false };
  let truncated = false;
  rows.scan("bodies", partsOfUpload(group, request, Math.min(after + 1, 0xffff)), (at) => {
    if (parts.length === limit) {
      truncated = true;
      return STOP;
    }
    if (isLostContent(at.value, at.valueStart)) return undefined;
    const head = decodePartHead(at.value.subarray(at.valueStart, at.valueEnd));
    parts.push({
      part: partOfKey(at.key, at.keyEnd),
      etag: head.etag,
      sizeBytes: head.sizeBytes,
      stampMs: head.stampMs,
      ...(head.checksum ? { checksum: head.checksum } : {}),
    });
    return undefined;
  });
  return { info, parts, truncated };
}
