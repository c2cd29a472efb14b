import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { readU48 } from "../../codec/slices.ts";
import type { KvRead } from "../../platform/kv.ts";
import { STOP } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, UploadId } from "../../util/ids.ts";
import { checkCodec } from "./object-row.ts";
import { FIELDS_START, outboxKey, ROW, rowsOf } from "./row-keys.ts";
import { readStored, type StoredBody, storedKindCode, storedKindOf, writeStored } from "./version-row.ts";

/**
 * An effect that a command left for other groups: references to release. Block pages and part rows of the released body stay
 * until the entry is ticked off (`outbox-done`), so a release costs the command that caused it one row.
 */
export type OutboxEntry = {
  readonly sequence: number;
  readonly bucket: BucketId;
  readonly key: string;
} & Release;

export type Release =
  /** One claim's blocks: a replaced or deleted version, or a part that was uploaded again. */
  | { readonly kind: "body"; readonly claim: ClaimId; readonly stored: StoredBody }
  /** Parts of an aborted upload or of a multipart version ("all": what is left of them), or parts that a completion left out. */
  | { readonly kind: "parts"; readonly upload: UploadId; readonly numbers: readonly number[] | "all" };

/**
 * [codec u8][kind u8][bucket 32][key text16] and, for a body, [claim 16][stored kind u8][stored]; for parts, [upload 16][all
 * u8][numbers u16…].
 */
const CODEC = 1;

export function encodeOutboxRow(entry: { readonly bucket: BucketId; readonly key: string } & Release): Buffer {
  const writer = new ByteWriter(128 + entry.key.length)
    .u8(CODEC)
    .u8(entry.kind === "body" ? 0 : 1)
    .hex(entry.bucket, 32)
    .text16(entry.key);
  if (entry.kind === "body") {
    writer.hex(entry.claim, 16).u8(storedKindCode(entry.stored));
    writeStored(writer, entry.stored);
  } else {
    writer.hex(entry.upload, 16).u8(entry.numbers === "all" ? 1 : 0);
    if (entry.numbers !== "all") for (const number of entry.numbers) writer.u16(number);
  }
  return writer.finish();
}

function decodeOutboxRow(sequence: number, row: Buffer): OutboxEntry {
  checkCodec(row[0], CODEC, "outbox");
  const reader = new ByteReader(row, 2);
  const bucket = reader.hex(32) as BucketId;
  const key = reader.text16();
  if (row[1] === 0) {
    const claim = reader.hex(16) as ClaimId;
    return { sequence, bucket, key, kind: "body", claim, stored: readStored(storedKindOf(reader.u8()), reader) };
  }
  const upload = reader.hex(16) as UploadId;
  if (reader.u8() === 1) return { sequence, bucket, key, kind: "parts", upload, numbers: "all" };
  const numbers: number[] = [];
  while (reader.left > 0) numbers.push(reader.u16());
  return { sequence, bucket, key, kind: "parts", upload, numbers };
}

/** Entries with a sequence > after (0 = from the first), oldest first. */
export function readOutbox(
  rows: KvRead,
  group: GroupId,
  { after, limit }: { readonly after: number; readonly limit: number },
): readonly OutboxEntry[] {
  const found: OutboxEntry[] = [];
  if (limit <= 0) return found;
  rows.scan("rows", { start: outboxKey(group, after + 1), end: rowsOf(group, ROW.outbox).end }, (row) => {
    const sequence = readU48(row.key, row.keyStart + FIELDS_START);
    found.push(decodeOutboxRow(sequence, Buffer.from(row.value.subarray(row.valueStart, row.valueEnd))));
    return found.length === limit ? STOP : undefined;
  });
  return found;
}

/** Sequences that one command may use: its index times this, and those up to the next. */
export const SEQUENCES_PER_COMMAND = 4;

export function outboxEntry(rows: KvRead, group: GroupId, sequence: number): OutboxEntry | undefined {
  const row = rows.get("rows", outboxKey(group, sequence));
  return row === undefined ? undefined : decodeOutboxRow(sequence, row);
}
