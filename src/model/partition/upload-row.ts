import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import type { KvRead } from "../../platform/kv.ts";
import type { BucketId, GroupId, UploadId } from "../../util/ids.ts";
import type { UploadChecksum } from "../commands.ts";
import type { ObjectHeaders } from "../object-service.ts";
import { checkCodec, checksumCode, checksumOf, typeCode, typeOf } from "./object-row.ts";
import { uploadKey } from "./row-keys.ts";
import { readHeaders, writeHeaders } from "./version-row.ts";

/**
 * What an upload was created with. Payload: [codec u8][algorithm u8][type u8][created u48] and the headers. A lost one, which can
 * only be aborted, has the algorithm 0xff and no headers.
 */
export type UploadRow = UploadHead & { readonly headers: ObjectHeaders };

export interface UploadHead {
  readonly createdMs: number;
  readonly checksum: UploadChecksum | undefined;
}

/** Its row was damaged; when it was created its id says. */
export interface LostUpload {
  readonly lost: true;
  readonly createdMs: number;
}

const CODEC = 1;
const LOST = 0xff;

export function encodeUpload(upload: UploadRow): Buffer {
  const { checksum, createdMs, headers } = upload;
  const writer = new ByteWriter(128).u8(CODEC).u8(checksumCode(checksum?.algorithm)).u8(typeCode(checksum?.type)).u48(createdMs);
  writeHeaders(writer, headers);
  return writer.finish();
}

export function encodeLostUpload(upload: UploadId): Buffer {
  return new ByteWriter(9)
    .u8(CODEC)
    .u8(LOST)
    .u8(0)
    .u48(Number.parseInt(upload.slice(0, 12), 16))
    .finish();
}

/** The row at [start, end) of `row` without its headers: what lists of uploads show. */
export function decodeUploadHead(row: Buffer, start: number, end: number): (UploadHead & { readonly lost?: false }) | LostUpload {
  checkCodec(row[start], CODEC, "upload");
  const reader = new ByteReader(row, start + 1, end);
  const code = reader.u8();
  const type = typeOf(reader.u8());
  const createdMs = reader.u48();
  if (code === LOST) return { lost: true, createdMs };
  const algorithm = checksumOf(code);
  return { checksum: algorithm === undefined ? undefined : { algorithm, type }, createdMs };
}

export function readUpload(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
  upload: UploadId,
): (UploadRow & { readonly lost?: false }) | LostUpload | undefined {
  const row = rows.get("rows", uploadKey(group, bucket, key, upload));
  if (row === undefined) return undefined;
  const head = decodeUploadHead(row, 0, row.byteLength);
  return head.lost ? head : { ...head, headers: readHeaders(new ByteReader(row, 9)) };
}
