import assert from "node:assert/strict";
import { type MemoryKv, MemoryKvDisk, memoryKv } from "../../../../sim/platform/memory-kv.ts";
import { MemoryLog } from "../../../../sim/platform/memory-log.ts";
import { hexSlice } from "../../../codec/slices.ts";
import { readOrdered } from "../../../codec/key-order.ts";
import { GroupHost } from "../../../group/group-host.ts";
import type { BucketId, ClaimId, GroupId, Hash, NodeId, UploadId } from "../../../util/ids.ts";
import type { KvRead } from "../../../platform/kv.ts";
import type { PartitionCommand } from "../../commands.ts";
import type { BucketRef, BucketUsage } from "../../object-service.ts";
import { lastCommandOf } from "../../repair/last-command.ts";
import { Repair } from "../../repair/repair.ts";
import { Placement } from "../../placement.ts";
import { readPieces } from "../body-reads.ts";
import { eachClaim } from "../data-reads.ts";
import { decodeObjectRow } from "../object-row.ts";
import { PartitionMachine, type PartitionResult } from "../partition-machine.ts";
import { readOutbox } from "../outbox-row.ts";
import { FIELDS_START, OBJECT_KEY_START, ORDERED_KEY_START, ROW, rowsOf, uploadKey, versionKey } from "../row-keys.ts";
import { readUsage } from "../usage.ts";
import { decodePart, decodeVersion } from "../version-row.ts";

export const PARTITIONS = 64;
export const WINDOW_MS = 60_000;

export function bucketRef(n: number, indexShards: number, quotas: BucketRef["quotas"] = {}): BucketRef {
  return { id: n.toString(16).padStart(64, "b") as BucketId, indexShards, quotas };
}
export function claimOf(n: number): ClaimId {
  return n.toString(16).padStart(32, "c") as ClaimId;
}
export function uploadOf(n: number): UploadId {
  return n.toString(16).padStart(32, "0") as UploadId;
}
export function hashOf(n: number): Hash {
  return n.toString(16).padStart(8, "0").repeat(8) as Hash;
}

/** Real partitions of one node over a kv in memory that can be restarted and crashed. */
export class PartitionWorld {
  disk = new MemoryKvDisk();
  readonly placement = new Placement(PARTITIONS);
  readonly wall = { now: 1_700_000_000_000 };
  readonly log = new MemoryLog(() => this.wall.now);
  kv!: MemoryKv;
  host!: GroupHost;

  static async open(): Promise<PartitionWorld> {
    const world = new PartitionWorld();
    await world.start();
    return world;
  }

  async start(): Promise<void> {
    const fatal = (error: unknown): never => {
      throw error;
    };
    this.kv = memoryKv({ disk: this.disk, fatal });
    this.host = await GroupHost.open(
      { partitions: PARTITIONS, member: "ef".repeat(32) as NodeId, commandWindowMs: WINDOW_MS },
      {
        clock: { wallMs: () => this.wall.now, monotonicMs: () => 0 },
        kv: this.kv,
        fatal,
        lastCommand: lastCommandOf,
        onDamaged: new Repair(() => this.host, { commandWindowMs: WINDOW_MS, log: this.log }).onDamaged,
        machine: (group) => new PartitionMachine(group, { commandWindowMs: WINDOW_MS }),
      },
    );
  }

  async restart(): Promise<void> {
    await this.host.stop();
    await this.kv.close();
    await this.start();
  }

  async crash(inFlight: "lost" | "kept"): Promise<void> {
    this.kv.crash({ inFlight });
    await this.start();
  }

  propose<R = PartitionResult>(group: GroupId, command: PartitionCommand, expiryMs?: number): Promise<R> {
    return this.host.propose<PartitionCommand, R>(group, command, expiryMs === undefined ? {} : { expiry: expiryMs as never });
  }

  async makeBucket(bucket: BucketRef): Promise<void> {
    const { indexShards } = bucket;
    await Promise.all(
      this.placement
        .groupsOf(bucket)
        .map((group) => this.propose(group, { op: "set-guard", bucket: bucket.id, settings: { controlIndex: 1, indexShards } })),
    );
  }

  read<T>(fn: (rows: KvRead) => T): Promise<T> {
    return this.kv.read(fn);
  }

  get groups(): readonly GroupId[] {
    return Array.from({ length: PARTITIONS }, (_, group) => group as GroupId);
  }
}

/** Recounts a store row by row and compares with the counters; every version has its rows and no row is without its owner. */
export function checkRows(rows: KvRead, world: PartitionWorld): void {
  for (const group of world.groups) checkGroup(rows, group);
}

function checkGroup(rows: KvRead, group: GroupId): void {
  const counted = new Map<string, { -readonly [name in keyof BucketUsage]: number }>();
  const of = (bucket: string) => {
    const known = counted.get(bucket) ?? { objects: 0, versions: 0, bytes: 0, uploads: 0, parts: 0, partBytes: 0 };
    counted.set(bucket, known);
    return known;
  };
  const each = (tree: "rows" | "bodies", type: number, visit: (bucket: BucketId, key: Buffer, value: Buffer) => void): void => {
    const found: [BucketId, Buffer, Buffer][] = [];
    rows.scan(tree, rowsOf(group, type), (row) => {
      const key = Buffer.from(row.key.subarray(row.keyStart, row.keyEnd));
      found.push([
        hexSlice(key, FIELDS_START, FIELDS_START + 32) as BucketId,
        key,
        Buffer.from(row.value.subarray(row.valueStart, row.valueEnd)),
      ]);
      return undefined;
    });
    for (const [bucket, key, value] of found) visit(bucket, key, value);
  };
  each("rows", ROW.object, (bucket, rowKey, value) => {
    const key = rowKey.toString("utf8", OBJECT_KEY_START);
    const head = decodeObjectRow(value);
    const row = rows.get("bodies", versionKey(group, bucket, key, head.version));
    assert.ok(row, "an object has its version");
    const version = decodeVersion(row);
    assert.deepEqual(
      [version.sizeBytes, version.etag, version.stampMs, version.checksum?.algorithm],
      [head.sizeBytes, head.etag, head.stampMs, head.checksum?.algorithm],
    );
    const pieces: { offset: number; size: number }[] = [];
    for (let offset = 0; offset < version.sizeBytes; ) {
      const more = readPieces(rows, { group, bucket, key, ...version }, offset, 7);
      assert.ok(more && more.length > 0, "a live body has its rows");
      for (const piece of more) {
        assert.equal(piece.offset, offset);
        pieces.push(piece);
        offset += piece.size;
      }
    }
    const usage = of(bucket);
    usage.objects++;
    usage.bytes += head.sizeBytes;
  });
  each("bodies", ROW.version, (bucket, rowKey) => {
    of(bucket).versions++;
    assert.equal(rowKey.length - readOrdered(rowKey, ORDERED_KEY_START).end, 16);
  });
  each("rows", ROW.upload, (bucket) => {
    of(bucket).uploads++;
  });
  each("bodies", ROW.part, (bucket, rowKey, value) => {
    const { text, end } = readOrdered(rowKey, ORDERED_KEY_START);
    const upload = rowKey.toString("hex", end, end + 16) as UploadId;
    if (rows.get("rows", uploadKey(group, bucket, text, upload)) === undefined) return;
    const usage = of(bucket);
    usage.parts++;
    usage.partBytes += decodePart(value).sizeBytes;
  });
  each("rows", ROW.usage, (bucket) => {
    of(bucket);
  });
  for (const [bucket, usage] of counted) assert.deepEqual(readUsage(rows, group, bucket as BucketId), usage);
}

/** All claims that rows make, "hash/claim" sorted, with how often. */
export function allClaims(rows: KvRead, world: PartitionWorld): readonly string[] {
  const found: string[] = [];
  for (const group of world.groups) eachClaim(rows, group, ({ hash, claim }) => found.push(`${hash}/${claim}`));
  return found.sort();
}

export function outboxLength(rows: KvRead, world: PartitionWorld): number {
  let count = 0;
  for (const group of world.groups) count += readOutbox(rows, group, { after: 0, limit: 1_000_000 }).length;
  return count;
}
