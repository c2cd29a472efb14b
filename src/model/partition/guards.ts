import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { hexSlice } from "../../codec/slices.ts";
import type { Entry } from "../../group/groups.ts";
import { type KvRead, type KvWrite, STOP } from "../../platform/kv.ts";
import type { BucketId, GroupId } from "../../util/ids.ts";
import type { GuardSettings, PartitionCommand, Refusal, SealResult } from "../commands.ts";
import { missingRow } from "./damage.ts";
import { checkCodec } from "./object-row.ts";
import { bucketKey, FIELDS_START, tombstoneKey, ROW, rowsOf } from "./row-keys.ts";

/** What protects a bucket's data in one partition; commands trust nothing else. */
export interface Guard extends Omit<GuardSettings, "attempt"> {
  /** Highest attempt that sealed, and highest that was unsealed: sealed while the first is greater (rule 38). */
  readonly sealedBy: number;
  readonly floor: number;
  /** After the bucket is gone: log time until which the seal stays (rule 41); 0 = the bucket lives. */
  readonly tombstoneUntilMs: number;
}

/** [codec u8][control index u48][shards u8][sealed by u32][floor u32][tombstone until u48] */
const CODEC = 1;

/** The guards of one partition, read once per batch. */
export class Guards {
  readonly #group: GroupId;
  readonly #known = new Map<BucketId, Guard | undefined>();

  constructor(group: GroupId) {
    this.#group = group;
  }

  /** Why a command on the bucket's data is refused now; undefined: go on. */
  refusal(rows: KvRead, bucket: BucketId): Refusal | undefined {
    const guard = this.#get(rows, bucket);
    if (guard === undefined || guard.tombstoneUntilMs > 0) return "no-bucket";
    return guard.sealedBy > guard.floor ? "sealed" : undefined;
  }

  set(rows: KvWrite, bucket: BucketId, settings: GuardSettings, entry: Entry): { readonly isNew: boolean } {
    const { controlIndex, indexShards, attempt = 0 } = settings;
    const guard = this.#get(rows, bucket);
    const tombstones = this.#dueTombstones(rows, entry);
    if (guard === undefined || guard.controlIndex < controlIndex) {
      const seals = guard ?? { sealedBy: attempt, floor: attempt, tombstoneUntilMs: 0 };
      this.#put(rows, bucket, { ...seals, controlIndex, indexShards });
    }
    this.#clear(rows, tombstones);
    return { isNew: guard === undefined };
  }

  seal(rows: KvWrite, command: Extract<PartitionCommand, { op: "seal" }>): SealResult {
    const { bucket, attempt } = command;
    const guard = this.#get(rows, bucket);
    if (guard === undefined || guard.tombstoneUntilMs > 0) return { ok: false, refused: "no-bucket" };
    if (attempt <= guard.floor) return { ok: false, refused: "old-attempt" };
    if (!this.#isEmpty(rows, bucket)) return { ok: false, refused: "not-empty" };
    this.#put(rows, bucket, { ...guard, sealedBy: Math.max(guard.sealedBy, attempt) });
    return { ok: true };
  }

  unseal(rows: KvWrite, command: Extract<PartitionCommand, { op: "unseal" }>): { readonly ok: true } {
    const guard = this.#get(rows, command.bucket);
    if (guard !== undefined && guard.tombstoneUntilMs === 0 && guard.floor < command.attempt)
      this.#put(rows, command.bucket, { ...guard, floor: command.attempt });
    return { ok: true };
  }

  setTombstone(
    rows: KvWrite,
    command: Extract<PartitionCommand, { op: "set-tombstone" }>,
    entry: Entry,
  ): { readonly ok: boolean } {
    const { bucket, attempt, untilMs } = command;
    const guard = this.#get(rows, bucket);
    if (guard === undefined || guard.tombstoneUntilMs > 0) return { ok: true };
    // Only the attempt that sealed here can have been decided as the end.
    if (this.endRefusal(rows, bucket, attempt) !== undefined) return { ok: false };
    const tombstones = this.#dueTombstones(rows, entry);
    this.#clear(rows, tombstones);
    this.#put(rows, bucket, { ...guard, tombstoneUntilMs: untilMs });
    rows.put("rows", tombstoneKey(this.#group, untilMs, bucket), Buffer.of(CODEC));
    rows.remove("rows", bucketKey(this.#group, ROW.usage, bucket));
    return { ok: true };
  }

  /**
   * Why the end of the bucket under an attempt is not what happens here; undefined: it is. The attempt that sealed may have been
   * given up elsewhere, so who asks must know that the control group has decided it (rule 39).
   */
  endRefusal(rows: KvRead, bucket: BucketId, attempt: number): "no-bucket" | "not-sealed" | undefined {
    const guard = this.#get(rows, bucket);
    if (guard === undefined || guard.tombstoneUntilMs > 0) return "no-bucket";
    return guard.sealedBy === attempt && attempt > guard.floor ? undefined : "not-sealed";
  }

  /** Guards whose tombstone has expired. Commands on guards clear them away, so it takes no clock of its own. */
  #dueTombstones(rows: KvRead, entry: Entry): readonly { readonly bucket: BucketId; readonly tombstone: Buffer }[] {
    const due: { bucket: BucketId; tombstone: Buffer }[] = [];
    const { start } = rowsOf(this.#group, ROW.tombstone);
    const end = tombstoneKey(this.#group, entry.stamp, "" as BucketId).subarray(0, FIELDS_START + 6);
    rows.scan("rows", { start, end }, (row) => {
      const at = row.keyStart + FIELDS_START + 6;
      const bucket = hexSlice(row.key, at, at + 32) as BucketId;
      due.push({ bucket, tombstone: Buffer.from(row.key.subarray(row.keyStart, row.keyEnd)) });
      return due.length === MAX_TOMBSTONES_CLEARED ? STOP : undefined;
    });
    return due;
  }

  #clear(rows: KvWrite, tombstones: readonly { readonly bucket: BucketId; readonly tombstone: Buffer }[]): void {
    for (const { bucket, tombstone } of tombstones) {
      rows.remove("rows", tombstone);
      rows.remove("rows", bucketKey(this.#group, ROW.guard, bucket));
      this.#known.set(bucket, undefined);
    }
  }

  /** The batch is over; the next one reads again (this one may still fail). */
  forget(): void {
    this.#known.clear();
  }

  /** No version is here. Unfinished uploads go with the bucket, once its end is decided (drop-upload). */
  #isEmpty(rows: KvRead, bucket: BucketId): boolean {
    let empty = true;
    const found = (): typeof STOP => {
      empty = false;
      return STOP;
    };
    rows.scan("rows", rowsOf(this.#group, ROW.object, bucket), found);
    if (empty) rows.scan("bodies", rowsOf(this.#group, ROW.version, bucket), found);
    return empty;
  }

  #get(rows: KvRead, bucket: BucketId): Guard | undefined {
    let guard = this.#known.get(bucket);
    if (guard === undefined && !this.#known.has(bucket)) {
      const at = bucketKey(this.#group, ROW.guard, bucket);
      const row = rows.view("rows", at);
      // Counters come and go with a bucket's life here, so with them a guard that is not there is gone by damage.
      if (row === undefined && rows.view("rows", bucketKey(this.#group, ROW.usage, bucket)) !== undefined) throw missingRow(at);
      guard = row === undefined ? undefined : decode(row);
      this.#known.set(bucket, guard);
    }
    return guard;
  }

  #put(rows: KvWrite, bucket: BucketId, guard: Guard): void {
    rows.put("rows", bucketKey(this.#group, ROW.guard, bucket), encodeGuard(guard));
    this.#known.set(bucket, guard);
  }
}

const MAX_TOMBSTONES_CLEARED = 16;

/** Whether the bucket lives in the partition, sealed or not. */
export function isGuarded(rows: KvRead, group: GroupId, bucket: BucketId): boolean {
  const row = rows.view("rows", bucketKey(group, ROW.guard, bucket));
  return row !== undefined && decode(row).tombstoneUntilMs === 0;
}

export function encodeGuard(guard: Guard): Buffer {
  const writer = new ByteWriter(23).u8(CODEC).u48(guard.controlIndex).u8(guard.indexShards);
  return writer.u32(guard.sealedBy).u32(guard.floor).u48(guard.tombstoneUntilMs).finish();
}

function decode(row: Buffer): Guard {
  checkCodec(row[0], CODEC, "guard");
  const reader = new ByteReader(row, 1);
  return {
    controlIndex: reader.u48(),
    indexShards: reader.u8(),
    sealedBy: reader.u32(),
    floor: reader.u32(),
    tombstoneUntilMs: reader.u48(),
  };
}
