import { ByteReader } from "../codec/byte-reader.ts";
import { ByteWriter } from "../codec/byte-writer.ts";
import type { GroupId, NodeId } from "../util/ids.ts";

/**
 * The row in which a group keeps what it needs to go on after a restart and to grow later; written once per batch that touched
 * the group. Key [group u16][1], payload [codec u8][term u48][index u48][log time u48][voters u8][node 32 …].
 */
export interface GroupRow {
  readonly term: number;
  /** Of the last applied command. */
  readonly index: number;
  /** Stamp of the last applied command; never goes back. */
  readonly logTimeMs: number;
  /** Configuration: the voting members. */
  readonly voters: readonly NodeId[];
}

const ROW_TYPE = 0x01;
const CODEC = 1;

export function groupRowKey(group: GroupId): Buffer {
  return Buffer.of(group >>> 8, group & 0xff, ROW_TYPE);
}

export function encodeGroupRow(row: GroupRow): Buffer {
  const writer = new ByteWriter(20 + row.voters.length * 32).u8(CODEC).u48(row.term).u48(row.index).u48(row.logTimeMs);
  writer.u8(row.voters.length);
  for (const voter of row.voters) writer.hex(voter, 32);
  return writer.finish();
}

export function decodeGroupRow(row: Buffer): GroupRow {
  const reader = new ByteReader(row);
  const codec = reader.u8();
  if (codec !== CODEC) throw new RangeError(`group row of codec ${codec}; this release reads ${CODEC}`);
  const term = reader.u48();
  const index = reader.u48();
  const logTimeMs = reader.u48();
  const voters: NodeId[] = [];
  for (let count = reader.u8(); count > 0; count--) voters.push(reader.hex(32) as NodeId);
  return { term, index, logTimeMs, voters };
}
