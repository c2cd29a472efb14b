import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { hexSlice, readU48, utf8Slice } from "../../codec/slices.ts";
import { type KvRead, STOP } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, Hash, UploadId } from "../../util/ids.ts";
import type { NewReference } from "../commands.ts";
import { checkCodec } from "./object-row.ts";
import { FIELDS_START, referenceKey, referencesOfHash, ROW, rowsOf, unconfirmedKey } from "./row-keys.ts";

/** Who needs a block. Of a lost one only that is known: its row was damaged. It goes when its claim is dropped by name. */
export type Reference = KnownReference | LostReference;

export interface LostReference {
  readonly kind: "lost";
  readonly hash: Hash;
  readonly claim: ClaimId;
}

/** With the way back to the object that the claim belongs to. */
export interface KnownReference {
  readonly kind: "known";
  readonly hash: Hash;
  readonly claim: ClaimId;
  readonly size: number;
  readonly bucket: BucketId;
  readonly key: string;
  readonly upload: UploadId | undefined;
  readonly part: number | undefined;
  readonly expiryMs: number;
}

/**
 * [codec u8][kind u8][expiry u48][size u32][bucket 32] and, of kind 1 (a part), [upload 16][part u16]; then the key. Of kind 2
 * (lost) nothing follows.
 */
const CODEC = 1;
const LOST = 2;

export function encodeLostReference(): Buffer {
  return Buffer.of(CODEC, LOST);
}

export function encodeReference(reference: NewReference): Buffer {
  const writer = new ByteWriter(64 + reference.key.length)
    .u8(CODEC)
    .u8(reference.upload === undefined ? 0 : 1)
    .u48(reference.expiryMs)
    .u32(reference.size)
    .hex(reference.bucket, 32);
  if (reference.upload !== undefined) writer.hex(reference.upload, 16).u16(reference.part ?? 0);
  return writer.bytes(Buffer.from(reference.key)).finish();
}

function decodeReference(key: Buffer, keyStart: number, row: Buffer, start: number, end: number): Reference {
  checkCodec(row[start], CODEC, "reference");
  const reader = new ByteReader(row, start + 1, end);
  const at = keyStart + FIELDS_START;
  const name = { hash: hexSlice(key, at, at + 32) as Hash, claim: hexSlice(key, at + 32, at + 48) as ClaimId };
  const kind = reader.u8();
  if (kind === LOST) return { kind: "lost", ...name };
  const hasUpload = kind === 1;
  const expiryMs = reader.u48();
  const size = reader.u32();
  const bucket = reader.hex(32) as BucketId;
  const upload = hasUpload ? (reader.hex(16) as UploadId) : undefined;
  const part = hasUpload ? reader.u16() : undefined;
  return {
    kind: "known",
    ...name,
    size,
    bucket,
    key: utf8Slice(row, reader.position, end),
    upload,
    part,
    expiryMs,
  };
}

export function readReference(rows: KvRead, group: GroupId, hash: Hash, claim: ClaimId): Reference | undefined {
  const key = referenceKey(group, hash, claim);
  const row = rows.view("rows", key);
  return row === undefined ? undefined : decodeReference(key, 0, row, 0, row.byteLength);
}

/** References to one block, at most `limit`. */
export function referencesTo(rows: KvRead, group: GroupId, hash: Hash, limit: number): readonly Reference[] {
  const found: Reference[] = [];
  rows.scan("rows", referencesOfHash(group, hash), (row) => {
    found.push(decodeReference(row.key, row.keyStart, row.value, row.valueStart, row.valueEnd));
    return found.length >= limit ? STOP : undefined;
  });
  return found;
}

/** Whether a block has any reference. */
export function isReferenced(rows: KvRead, group: GroupId, hash: Hash): boolean {
  let found = false;
  rows.scan("rows", referencesOfHash(group, hash), () => {
    found = true;
    return STOP;
  });
  return found;
}

/**
 * Visits every reference of the group in the order of the hashes, those of hashes ≥ `from` when given; return STOP to end.
 * `visit` must not read rows.
 */
export function eachReference(
  rows: KvRead,
  group: GroupId,
  visit: (reference: Reference) => typeof STOP | undefined,
  from?: Hash,
): void {
  const { start, end } = rowsOf(group, ROW.reference);
  rows.scan("rows", { start: from === undefined ? start : referencesOfHash(group, from).start, end }, (row) =>
    visit(decodeReference(row.key, row.keyStart, row.value, row.valueStart, row.valueEnd)),
  );
}

/**
 * References that are not confirmed, those that expire first before others; with `beforeMs` (log time of their object's group)
 * only those that expire before it.
 */
export function unconfirmedReferences(
  rows: KvRead,
  group: GroupId,
  { beforeMs, limit }: { readonly beforeMs?: number; readonly limit: number },
): readonly KnownReference[] {
  const names: { hash: Hash; claim: ClaimId }[] = [];
  if (limit <= 0) return [];
  const all = rowsOf(group, ROW.unconfirmed);
  const end =
    beforeMs === undefined ? all.end : unconfirmedKey(group, beforeMs, "" as Hash, "" as ClaimId).subarray(0, FIELDS_START + 6);
  rows.scan("rows", { start: all.start, end }, (row) => {
    const at = row.keyStart + FIELDS_START + 6;
    names.push({ hash: hexSlice(row.key, at, at + 32) as Hash, claim: hexSlice(row.key, at + 32, at + 48) as ClaimId });
    return names.length === limit ? STOP : undefined;
  });
  const found: KnownReference[] = [];
  for (const { hash, claim } of names) {
    const reference = readReference(rows, group, hash, claim);
    // Nobody can be asked about a lost one; its block stays.
    if (reference?.kind === "known") found.push(reference);
  }
  return found;
}

/** Blocks of the group that nobody has needed since before `beforeMs` (log time of this group). */
export function zeroHashes(
  rows: KvRead,
  group: GroupId,
  { beforeMs, limit }: { readonly beforeMs: number; readonly limit: number },
): readonly { readonly hash: Hash; readonly sinceMs: number }[] {
  const found: { hash: Hash; sinceMs: number }[] = [];
  if (limit <= 0) return found;
  rows.scan("rows", rowsOf(group, ROW.zero), (row) => {
    const sinceMs = readU48(row.value, row.valueStart + 1);
    if (sinceMs >= beforeMs) return undefined;
    const at = row.keyStart + FIELDS_START;
    found.push({ hash: hexSlice(row.key, at, at + 32) as Hash, sinceMs });
    return found.length === limit ? STOP : undefined;
  });
  return found;
}

/** Payload of a zero row: [codec u8][since u48]. */
export function encodeZero(sinceMs: number): Buffer {
  return new ByteWriter(7).u8(CODEC).u48(sinceMs).finish();
}

/** Payload of rows whose key says it all. */
export function encodeMark(): Buffer {
  return Buffer.of(CODEC);
}

/** Log time since which nobody has needed the block; undefined when it has a reference or never had one. */
export function zeroSince(rows: KvRead, key: Uint8Array): number | undefined {
  const row = rows.view("rows", key);
  return row === undefined ? undefined : readU48(row, 1);
}
