import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import type { KvRead, Tree } from "../../platform/kv.ts";
import type { GroupId } from "../../util/ids.ts";
import { checkCodec } from "./object-row.ts";
import { ROW, rowsOf } from "./row-keys.ts";

/** A damaged row as it was when it was replaced or given up. */
export interface LostRecord {
  readonly tree: Tree;
  /** Under which it should lie, as far as that could be made out. */
  readonly own: Uint8Array;
  /** As it was stored, with the checksum behind the value. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** When that was: log time. */
  readonly stampMs: number;
}

/** [codec u8][tree u8][stamp u48][length u16, own key][length u16, stored key][stored value] */
const CODEC = 1;

export function encodeLostRecord({ tree, own, key, value, stampMs }: LostRecord): Buffer {
  const writer = new ByteWriter(16 + own.byteLength + key.byteLength + value.byteLength);
  writer
    .u8(CODEC)
    .u8(tree === "rows" ? 0 : 1)
    .u48(stampMs);
  writer.u16(own.byteLength).bytes(own).u16(key.byteLength).bytes(key).bytes(value);
  return writer.finish();
}

function decodeLostRecord(row: Buffer): LostRecord {
  checkCodec(row[0], CODEC, "lost record");
  const reader = new ByteReader(row, 1);
  const tree = reader.u8() === 0 ? "rows" : "bodies";
  const stampMs = reader.u48();
  const own = reader.bytes(reader.u16());
  const key = reader.bytes(reader.u16());
  return { tree, own, key, value: reader.bytes(reader.left), stampMs };
}

/** The lost records of a group, oldest first. */
export function lostRecords(rows: KvRead, group: GroupId): readonly LostRecord[] {
  const found: LostRecord[] = [];
  rows.scan("bodies", rowsOf(group, ROW.lost), ({ value, valueStart, valueEnd }) => {
    found.push(decodeLostRecord(Buffer.from(value.subarray(valueStart, valueEnd))));
    return undefined;
  });
  return found;
}
