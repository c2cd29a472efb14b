import { ORDERED_END_BYTES, orderedLength, readOrdered, successor, writeOrdered } from "../../codec/key-order.ts";
import { hexSlice, writeU48 } from "../../codec/slices.ts";
import type { Tree } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, Hash, UploadId, VersionId } from "../../util/ids.ts";

/**
 * Keys of a partition's rows: [group u16][row type u8] and then as the table says. A group's rows are one range of each tree.
 * Changing anything here needs a migration of every store.
 */
export const ROW = {
  /** bucket 32 — what protects the bucket's data in this partition. */
  guard: 0x10,
  /** until u48, bucket 32 — tombstones of guards by the log time at which they go. */
  tombstone: 0x11,
  /** bucket 32 — exact counters. */
  usage: 0x12,
  /** bucket 32, key — the head version as lists show it (tree rows). */
  object: 0x20,
  /** bucket 32, key ordered, version 16 (newest first) — headers, body (tree bodies). */
  version: 0x21,
  /** bucket 32, key ordered, claim 16, page u16 — 1,024 blocks of a body (tree bodies). */
  blockPage: 0x22,
  /** bucket 32, key ordered, upload 16, page u16 — 1,024 parts of a multipart version (tree bodies). */
  partPage: 0x23,
  /** bucket 32, key ordered, upload 16 — an upload under way (tree rows). */
  upload: 0x30,
  /** bucket 32, key ordered, upload 16, part u16 — a part with its blocks; stays when the upload is completed (tree bodies). */
  part: 0x31,
  /** claim 16 — a long upload that is still alive. */
  uploadLease: 0x40,
  /** claim 16 — claims that were fenced. */
  fenced: 0x41,
  /** sequence u48 — effects still to be carried out in other groups. */
  outbox: 0x50,
  /** hash 32, claim 16 — who needs a block. */
  reference: 0x60,
  /** expiry u48, hash 32, claim 16 — references not known to be in use yet. */
  unconfirmed: 0x61,
  /** hash 32 — blocks that nobody needs, since when. */
  zero: 0x62,
  /** index u48, number u16 — a damaged row as it was, when it was replaced or given up (tree bodies). */
  lost: 0x70,
} as const;

const IN_BODIES: ReadonlySet<number> = new Set([ROW.version, ROW.blockPage, ROW.partPage, ROW.part, ROW.lost]);

/** The tree in which rows of the type that a key names lie. */
export function treeOf(key: Uint8Array): Tree {
  return IN_BODIES.has(key[2] as number) ? "bodies" : "rows";
}

const HEAD = 3;
const BUCKET_END = HEAD + 32;

/** All rows of one type in a group, or those of one bucket in it. */
export function rowsOf(group: GroupId, type: number, bucket?: BucketId): { readonly start: Buffer; readonly end: Buffer } {
  const start = bucket === undefined ? headed(group, type, HEAD) : bucketKey(group, type, bucket);
  return { start, end: successor(start) };
}

export function bucketKey(group: GroupId, type: number, bucket: BucketId): Buffer {
  const key = headed(group, type, BUCKET_END);
  key.write(bucket, HEAD, "hex");
  return key;
}

export function tombstoneKey(group: GroupId, untilMs: number, bucket: BucketId): Buffer {
  const key = headed(group, ROW.tombstone, HEAD + 38);
  key.write(bucket, writeU48(key, untilMs, HEAD), "hex");
  return key;
}

/** Also the key of any text below it, so the start of a prefix range. */
export function objectKey(group: GroupId, bucket: BucketId, key: string): Buffer {
  const row = headed(group, ROW.object, BUCKET_END + Buffer.byteLength(key));
  row.write(bucket, HEAD, "hex");
  row.write(key, BUCKET_END);
  return row;
}

/** Where the S3 key begins in an object row's key. */
export const OBJECT_KEY_START = BUCKET_END;

/** Key bytes common to all rows of one S3 key of a type whose key text is ordered; `extra` bytes are left free behind it. */
function orderedKey(group: GroupId, type: number, bucket: BucketId, key: string, extra: number): Buffer {
  const row = headed(group, type, BUCKET_END + orderedLength(key) + extra);
  row.write(bucket, HEAD, "hex");
  writeOrdered(row, BUCKET_END, key);
  return row;
}

/** Range of all rows of a type that belong to one S3 key. */
export function rowsOfKey(
  group: GroupId,
  type: number,
  bucket: BucketId,
  key: string,
): { readonly start: Buffer; readonly end: Buffer } {
  const start = orderedKey(group, type, bucket, key, 0);
  return { start, end: successor(start) };
}

export function versionKey(group: GroupId, bucket: BucketId, key: string, version: VersionId): Buffer {
  const row = orderedKey(group, ROW.version, bucket, key, 16);
  const at = row.byteLength - 16;
  row.write(version, at, "hex");
  for (let i = at; i < at + 8; i++) row[i] = ~(row[i] as number);
  return row;
}

/** Key and id of a version row. */
export function readVersionKey(row: Buffer, start: number): { readonly key: string; readonly version: VersionId } {
  const { text, end } = readOrdered(row, start + BUCKET_END);
  const version = Buffer.from(row.subarray(end, end + 16));
  for (let i = 0; i < 8; i++) version[i] = ~(version[i] as number);
  return { key: text, version: version.toString("hex") as VersionId };
}

/** Start of the version rows of all keys that are not less than the one of an object row (or any bytes in its place). */
export function versionsFrom(objectRow: Uint8Array): Buffer {
  const bytes = Buffer.from(objectRow);
  bytes[2] = ROW.version;
  const text = bytes.toString("latin1", BUCKET_END).replaceAll("\0", "\0\xff");
  return Buffer.concat([bytes.subarray(0, BUCKET_END), Buffer.from(text, "latin1")]);
}

/** A page of blocks (type blockPage, of a claim) or of parts (type partPage, of an upload). */
export function pageKey(
  group: GroupId,
  type: typeof ROW.blockPage | typeof ROW.partPage,
  place: { readonly bucket: BucketId; readonly key: string; readonly owner: ClaimId | UploadId; readonly page: number },
): Buffer {
  const row = orderedKey(group, type, place.bucket, place.key, 18);
  const at = row.byteLength - 18;
  row.write(place.owner, at, "hex");
  row.writeUInt16BE(place.page, at + 16);
  return row;
}

export function uploadKey(group: GroupId, bucket: BucketId, key: string, upload: UploadId): Buffer {
  const row = orderedKey(group, ROW.upload, bucket, key, 16);
  row.write(upload, row.byteLength - 16, "hex");
  return row;
}

/** Key and id of an upload row. */
export function readUploadKey(row: Buffer, start: number): { readonly key: string; readonly upload: UploadId } {
  const { text, end } = readOrdered(row, start + BUCKET_END);
  return { key: text, upload: hexSlice(row, end, end + 16) as UploadId };
}

/** Where the ordered S3 key begins in the keys of uploads, versions, pages and parts. */
export const ORDERED_KEY_START = BUCKET_END;
export { ORDERED_END_BYTES };

export function partKey(group: GroupId, bucket: BucketId, key: string, upload: UploadId, part: number): Buffer {
  const row = orderedKey(group, ROW.part, bucket, key, 18);
  const at = row.byteLength - 18;
  row.write(upload, at, "hex");
  row.writeUInt16BE(part, at + 16);
  return row;
}

/** Number at the end of a part row's key. */
export function partOfKey(row: Buffer, end: number): number {
  return row.readUInt16BE(end - 2);
}

/** Range of all part rows of an upload, from part `from` on. */
export function partsOfUpload(
  group: GroupId,
  place: { readonly bucket: BucketId; readonly key: string; readonly upload: UploadId },
  from = 0,
): { readonly start: Buffer; readonly end: Buffer } {
  const { bucket, key, upload } = place;
  const start = partKey(group, bucket, key, upload, from);
  return { start, end: successor(start.subarray(0, start.byteLength - 2)) };
}

export function claimKey(group: GroupId, type: typeof ROW.uploadLease | typeof ROW.fenced, claim: ClaimId): Buffer {
  const row = headed(group, type, HEAD + 16);
  row.write(claim, HEAD, "hex");
  return row;
}

export function outboxKey(group: GroupId, sequence: number): Buffer {
  const row = headed(group, ROW.outbox, HEAD + 6);
  writeU48(row, sequence, HEAD);
  return row;
}

export function referenceKey(group: GroupId, hash: Hash, claim: ClaimId): Buffer {
  const row = headed(group, ROW.reference, HEAD + 48);
  row.write(hash, HEAD, "hex");
  row.write(claim, HEAD + 32, "hex");
  return row;
}

/** Start of the range of all references to one block. */
export function referencesOfHash(group: GroupId, hash: Hash): { readonly start: Buffer; readonly end: Buffer } {
  const start = headed(group, ROW.reference, HEAD + 32);
  start.write(hash, HEAD, "hex");
  return { start, end: successor(start) };
}

export function unconfirmedKey(group: GroupId, expiryMs: number, hash: Hash, claim: ClaimId): Buffer {
  const row = headed(group, ROW.unconfirmed, HEAD + 54);
  writeU48(row, expiryMs, HEAD);
  row.write(hash, HEAD + 6, "hex");
  row.write(claim, HEAD + 38, "hex");
  return row;
}

export function zeroKey(group: GroupId, hash: Hash): Buffer {
  const row = headed(group, ROW.zero, HEAD + 32);
  row.write(hash, HEAD, "hex");
  return row;
}

export function lostKey(group: GroupId, index: number, number: number): Buffer {
  const row = headed(group, ROW.lost, HEAD + 8);
  row.writeUInt16BE(number, writeU48(row, index, HEAD));
  return row;
}

/** Offset of the first field behind group and type. */
export const FIELDS_START = HEAD;

function headed(group: GroupId, type: number, length: number): Buffer {
  const key = Buffer.allocUnsafe(length);
  key[0] = group >>> 8;
  key[1] = group;
  key[2] = type;
  return key;
}
