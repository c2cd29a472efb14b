import { ByteWriter } from "../../codec/byte-writer.ts";
import { readEtag, writeEtag } from "../../codec/etag.ts";
import { hexSlice, readU48 } from "../../codec/slices.ts";
import type { VersionId } from "../../util/ids.ts";
import type { ChecksumAlgorithm, StoredChecksum } from "../object-service.ts";

/**
 * Payload of an object row: what a list shows, and which version is the head. Fixed offsets, so that a list decodes it in the
 * read buffer:
 *   0 codec u8 · 1 flags u8 · 2 checksum algorithm u8 · 3 checksum type u8 · 4 stamp u48 · 10 size u48 · 16 version 16 · 32 ETag
 *   18
 * Flags: bit 0 = the body is inline (replacing it releases nothing); bit 1 = lost: that there is such an object is all that is
 * known. The other bits are 0 (later: delete marker).
 */
export const OBJECT_CODEC = 1;
const BYTES = 50;
const FLAG_INLINE = 1;
const FLAG_LOST = 2;

export interface ObjectRow {
  readonly inline: boolean;
  readonly lost?: boolean;
  readonly stampMs: number;
  readonly sizeBytes: number;
  readonly version: VersionId;
  readonly etag: string;
  readonly checksum: Pick<StoredChecksum, "algorithm" | "type"> | undefined;
}

export function encodeObjectRow(row: ObjectRow): Buffer {
  const writer = new ByteWriter(BYTES);
  writer
    .u8(OBJECT_CODEC)
    .u8((row.inline ? FLAG_INLINE : 0) | (row.lost ? FLAG_LOST : 0))
    .u8(checksumCode(row.checksum?.algorithm))
    .u8(typeCode(row.checksum?.type))
    .u48(row.stampMs)
    .u48(row.sizeBytes)
    .hex(row.version, 16);
  writeEtag(writer, row.etag);
  return writer.finish();
}

export function decodeObjectRow(row: Buffer): ObjectRow {
  checkCodec(row[0], OBJECT_CODEC, "object");
  const algorithm = checksumOf(row[2] as number);
  return {
    inline: isInlineHead(row, 0),
    lost: isLostHead(row, 0),
    stampMs: stampOf(row, 0),
    sizeBytes: sizeOf(row, 0),
    version: versionOf(row, 0),
    etag: etagOf(row, 0),
    checksum: algorithm === undefined ? undefined : { algorithm, type: typeOf(row[3] as number) },
  };
}

// ---- in place, for rows that lie at `at` in a read buffer

export function isInlineHead(row: Buffer, at: number): boolean {
  return ((row[at + 1] as number) & FLAG_INLINE) !== 0;
}
export function isLostHead(row: Buffer, at: number): boolean {
  return ((row[at + 1] as number) & FLAG_LOST) !== 0;
}
export function algorithmOf(row: Buffer, at: number): ChecksumAlgorithm | undefined {
  return checksumOf(row[at + 2] as number);
}
export function checksumTypeOf(row: Buffer, at: number): StoredChecksum["type"] {
  return typeOf(row[at + 3] as number);
}
export function stampOf(row: Buffer, at: number): number {
  return readU48(row, at + 4);
}
export function sizeOf(row: Buffer, at: number): number {
  return readU48(row, at + 10);
}
export function versionOf(row: Buffer, at: number): VersionId {
  return hexSlice(row, at + 16, at + 32) as VersionId;
}
export function etagOf(row: Buffer, at: number): string {
  return readEtag(row, at + 32);
}

// ---- codes shared by the rows of objects, uploads and parts

const ALGORITHMS: readonly ChecksumAlgorithm[] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/** 0 = none; else the place in the list, from 1. */
export function checksumCode(algorithm: ChecksumAlgorithm | undefined): number {
  return algorithm === undefined ? 0 : ALGORITHMS.indexOf(algorithm) + 1;
}
export function checksumOf(code: number): ChecksumAlgorithm | undefined {
  return code === 0 ? undefined : ALGORITHMS[code - 1];
}
export function typeCode(type: StoredChecksum["type"] | undefined): number {
  return type === undefined ? 0 : type === "COMPOSITE" ? 2 : 1;
}
export function typeOf(code: number): StoredChecksum["type"] {
  return code === 2 ? "COMPOSITE" : "FULL_OBJECT";
}

/** @throws RangeError when a newer release wrote the row: this one must not guess. */
export function checkCodec(found: number | undefined, known: number, what: string): void {
  if (found !== known) throw new RangeError(`${what} row of codec ${found}; this release reads ${known}`);
}
