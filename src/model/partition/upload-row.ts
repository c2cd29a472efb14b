import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import type { KvRead } from "../../platform/kv.ts";
import type { BucketId, GroupId, UploadId } from "../../util/ids.ts";
import type { UploadChecksum } from "../commands.ts";
import type { ObjectHeaders } from "../object-service.ts";
import { checkCodec, checksumCode, checksumOf, typeCode, typeOf } from "./object-row.ts";
import { uploadKey } from "./row-keys.ts";
import { readHeaders, writeHeaders } from "./version-row.ts";

/** What an upload was created with. Payload: [codec u8][algorithm u8][type u8][created u48] and the headers. */
export interface UploadRow {
  readonly createdMs: number;
  readonly checksum: UploadChecksum | undefined;
  readonly headers: ObjectHeaders;
}

const CODEC = 1;

export function encodeUpload(upload: UploadRow): Buffer {
  const { checksum, createdMs, headers } = upload;
  const writer = new ByteWriter(128).u8(CODEC).u8(checksumCode(checksum?.algorithm)).u8(typeCode(checksum?.type)).u48(createdMs);
  writeHeaders(writer, headers);
  return writer.finish();
}

/** The row at [start, end) of `row` without its headers: what lists of uploads show. */
export function decodeUploadHead(row: Buffer, start: number, end: number): Omit<UploadRow, "headers"> {
  checkCodec(row[start], CODEC, "upload");
  const reader = new ByteReader(row, start + 1, end);
  const algorithm = checksumOf(reader.u8());
  const type = typeOf(reader.u8());
  return { checksum: algorithm === undefined ? undefined : { algorithm, type }, createdMs: reader.u48() };
}

export function readUpload(rows: KvRead, group: GroupId, bucket: BucketId, key: string, upload: UploadId): UploadRow | undefined {
  const row = rows.get("rows", uploadKey(group, bucket, key, upload));
  if (row === undefined) return undefined;
  return { ...decodeUploadHead(row, 0, row.byteLength), headers: readHeaders(new ByteReader(row, 9)) };
}
