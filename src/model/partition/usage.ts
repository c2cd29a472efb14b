import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { MAX_U48 } from "../../codec/slices.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import type { Log } from "../../platform/log.ts";
import type { BucketId, GroupId, UploadId } from "../../util/ids.ts";
import type { BucketUsage } from "../object-service.ts";
import { readPartHead } from "./body-reads.ts";
import { isDamage, scanOver, unlessDamaged } from "./damage.ts";
import { MAX_PARTS, partNumbers } from "./data-reads.ts";
import { uploadsOf } from "./list-uploads.ts";
import { checkCodec, sizeOf } from "./object-row.ts";
import { rebuiltObjectRow } from "./read-version.ts";
import { bucketKey, ROW, rowsOf } from "./row-keys.ts";

/** [codec u8] and six u48: objects, versions, bytes, uploads, parts, part bytes. */
const CODEC = 1;

export type Counters = { -readonly [name in keyof BucketUsage]: number };

/** The counters that a batch touches, gathered in memory and written once, exact per bucket and partition. */
export class UsageGather {
  readonly #group: GroupId;
  readonly #log: Pick<Log, "warn"> | undefined;
  readonly #touched = new Map<BucketId, Counters>();

  /** @param log  hears of counters that had to be counted anew. */
  constructor(group: GroupId, log?: Pick<Log, "warn">) {
    this.#group = group;
    this.#log = log;
  }

  /** The bucket's counters, to be changed in place; ask before the command's first write. */
  of(rows: KvRead, bucket: BucketId): Counters {
    let counters = this.#touched.get(bucket);
    if (counters === undefined) {
      counters = readUsage(rows, this.#group, bucket);
      this.#touched.set(bucket, counters);
    }
    return counters;
  }

  /** Forgets a bucket whose counters went with it. */
  drop(bucket: BucketId): void {
    this.#touched.delete(bucket);
  }

  flush(rows: KvWrite): void {
    for (const [bucket, counted] of this.#touched) {
      let counters = counted;
      if (!FIELDS.every((name) => counters[name] >= 0 && counters[name] <= MAX_U48)) {
        // The stored ones were wrong, and they are facts from a disk: that must not end the batch, and with it the process.
        counters = countUsage(rows, this.#group, bucket);
        this.#log?.warn(
          { bucket, group: this.#group, wrong: counted, counters },
          "impossible counters of a bucket were counted anew",
        );
      }
      rows.put("rows", bucketKey(this.#group, ROW.usage, bucket), encode(counters));
    }
    this.#touched.clear();
  }
}

/**
 * The counters of a bucket in one partition. Where their row is damaged, or gone while rows that it counts are there, all is
 * counted anew, until the next write stores it.
 */
export function readUsage(rows: KvRead, group: GroupId, bucket: BucketId): Counters {
  let row: Buffer | undefined;
  try {
    row = rows.view("rows", bucketKey(group, ROW.usage, bucket));
  } catch (error) {
    if (isDamage(error)) return countUsage(rows, group, bucket);
    throw error;
  }
  if (row === undefined) return countUsage(rows, group, bucket);
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

/**
 * Damaged rows don't stop it: an object counts with what its version row says, or, where that can't be read either, with no
 * bytes.
 */
function countUsage(rows: KvRead, group: GroupId, bucket: BucketId): Counters {
  const counters = { ...NOTHING };
  const count = (sizeBytes: number): undefined => {
    counters.objects++;
    counters.versions++;
    counters.bytes += sizeBytes;
  };
  scanOver(rows, "rows", rowsOf(group, ROW.object, bucket), {
    visit: (row) => count(sizeOf(row.value, row.valueStart)),
    onDamaged: (key) => {
      const rebuilt = unlessDamaged(() => rebuiltObjectRow(rows, group, bucket, key));
      count(rebuilt !== undefined && Buffer.compare(rebuilt.key, key) === 0 ? sizeOf(rebuilt.value, 0) : 0);
    },
  });
  return Object.assign(counters, countUploads(rows, group, bucket));
}

/** Counts the bucket's uploads and their parts, without those of `but`. A part that can't be read counts as one of no bytes. */
export function countUploads(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  but?: UploadId,
): Pick<Counters, "uploads" | "parts" | "partBytes"> {
  const uploads = uploadsOf(rows, group, bucket).filter(({ upload }) => upload !== but);
  let parts = 0;
  let partBytes = 0;
  for (const { key, upload } of uploads)
    for (const part of partNumbers(rows, group, { bucket, key, upload }, { from: 1, limit: MAX_PARTS })) {
      parts++;
      partBytes += unlessDamaged(() => readPartHead(rows, { group, bucket, key }, upload, part))?.sizeBytes ?? 0;
    }
  return { uploads: uploads.length, parts, partBytes };
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

function encode(counters: BucketUsage): Buffer {
  const writer = new ByteWriter(37).u8(CODEC);
  // More than fits can't be stored, as 256 TiB a partition; the next recount is as near.
  for (const name of FIELDS) writer.u48(Math.min(counters[name], MAX_U48));
  return writer.finish();
}
