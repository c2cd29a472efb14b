import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { MAX_U48 } from "../../codec/slices.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import type { BucketId, GroupId } from "../../util/ids.ts";
import type { BucketUsage } from "../object-service.ts";
import { eachPartOfUpload } from "./body-reads.ts";
import { missingRow, wrongCounters } from "./damage.ts";
import { isGuarded } from "./guards.ts";
import { uploadsOf } from "./list-uploads.ts";
import { checkCodec, sizeOf } from "./object-row.ts";
import { bucketKey, ROW, rowsOf } from "./row-keys.ts";

/** [codec u8] and six u48: objects, versions, bytes, uploads, parts, part bytes. */
const CODEC = 1;

export type Counters = { -readonly [name in keyof BucketUsage]: number };

/** The counters that a batch touches, gathered in memory and written once, exact per bucket and partition. */
export class UsageGather {
  readonly #group: GroupId;
  readonly #touched = new Map<BucketId, Counters>();

  constructor(group: GroupId) {
    this.#group = group;
  }

  /**
   * Call it before the command's first write, and what it returns after the last one: that counts.
   * @throws KvError kv.damaged for counters that the change would make impossible: they were wrong before
   */
  ready(rows: KvRead, bucket: BucketId, change: Partial<BucketUsage>): () => void {
    let counters = this.#touched.get(bucket);
    if (counters === undefined) {
      counters = readUsage(rows, this.#group, bucket);
      this.#touched.set(bucket, counters);
    }
    const counted = counters;
    for (const name in change) {
      const next = counted[name as keyof BucketUsage] + (change[name as keyof BucketUsage] as number);
      if (next < 0 || next > MAX_U48) throw wrongCounters(bucketKey(this.#group, ROW.usage, bucket));
    }
    return () => {
      for (const name in change) counted[name as keyof BucketUsage] += change[name as keyof BucketUsage] as number;
    };
  }

  /** A bucket's life here begins: its counters come with its guard. */
  begin(rows: KvWrite, bucket: BucketId): void {
    rows.put("rows", bucketKey(this.#group, ROW.usage, bucket), encodeUsage(NOTHING));
  }

  /** What is stored counts from here on: the counters went with their bucket, or were written anew. */
  drop(bucket: BucketId): void {
    this.#touched.delete(bucket);
  }

  flush(rows: KvWrite): void {
    for (const [bucket, counters] of this.#touched)
      rows.put("rows", bucketKey(this.#group, ROW.usage, bucket), encodeUsage(counters));
    this.#touched.clear();
  }
}

/**
 * The counters of a bucket in one partition.
 * @throws KvError kv.damaged also when they are gone while the bucket's guard is there: it came with them
 */
export function readUsage(rows: KvRead, group: GroupId, bucket: BucketId): Counters {
  const at = bucketKey(group, ROW.usage, bucket);
  const row = rows.view("rows", at);
  if (row === undefined) {
    if (isGuarded(rows, group, bucket)) throw missingRow(at);
    return { ...NOTHING };
  }
  checkCodec(row[0], CODEC, "usage");
  const reader = new ByteReader(row, 1);
  return {
    objects: reader.u48(),
    versions: reader.u48(),
    bytes: reader.u48(),
    uploads: reader.u48(),
    parts: reader.u48(),
    partBytes: reader.u48(),
  };
}

/** The counters by the rows that they count: every row of the bucket in one partition. Lost objects and parts have no bytes. */
export function countUsage(rows: KvRead, group: GroupId, bucket: BucketId): Counters {
  const counters: Counters = { ...NOTHING };
  rows.scan("rows", rowsOf(group, ROW.object, bucket), ({ value, valueStart }) => {
    counters.objects++;
    counters.versions++;
    counters.bytes += sizeOf(value, valueStart);
    return undefined;
  });
  for (const { key, upload } of uploadsOf(rows, group, bucket)) {
    counters.uploads++;
    eachPartOfUpload(rows, group, { bucket, key, upload }, (_number, { sizeBytes }) => {
      counters.parts++;
      counters.partBytes += sizeBytes;
    });
  }
  return counters;
}

const FIELDS = ["objects", "versions", "bytes", "uploads", "parts", "partBytes"] as const;
const NOTHING: BucketUsage = { objects: 0, versions: 0, bytes: 0, uploads: 0, parts: 0, partBytes: 0 };

/** Sum over partitions. */
export function addUsage(sum: Counters, more: BucketUsage): void {
  sum.objects += more.objects;
  sum.versions += more.versions;
  sum.bytes += more.bytes;
  sum.uploads += more.uploads;
  sum.parts += more.parts;
  sum.partBytes += more.partBytes;
}

export function encodeUsage(counters: BucketUsage): Buffer {
  const writer = new ByteWriter(37).u8(CODEC);
  // More than fits, 256 TiB a partition, is refused before; a recount that finds more is as near as can be.
  for (const name of FIELDS) writer.u48(Math.min(counters[name], MAX_U48));
  return writer.finish();
}
