import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { BucketId, GroupId, Hash } from "../util/ids.ts";

/**
 * Which partition group holds what. Fixed for a cluster's life: changing a function here would lose every row.
 * Partitions are numbered 0 ..= partitions − 1; their number is a power of two, 64 ..= 4,096.
 */
export class Placement {
  readonly partitions: number;
  readonly #shift: number;
  readonly #shards = new Map<string, readonly GroupId[]>();

  constructor(partitions: number) {
    this.partitions = partitions;
    this.#shift = 16 - Math.log2(partitions);
  }

  /** The group that holds a key's rows. */
  ofKey(bucket: { readonly id: BucketId; readonly indexShards: number }, key: string): GroupId {
    return this.shards(bucket)[shardOfKey(key, bucket.indexShards)] as GroupId;
  }

  /** The group that holds a block's references: by the first bits of its hash. */
  ofHash(hash: Hash): GroupId {
    return (Number.parseInt(hash.slice(0, 4), 16) >>> this.#shift) as GroupId;
  }

  /** Group of each shard of a bucket; shards may share a group. */
  shards(bucket: { readonly id: BucketId; readonly indexShards: number }): readonly GroupId[] {
    const known = this.#shards.get(bucket.id);
    if (known && known.length === bucket.indexShards) return known;
    const groups: GroupId[] = [];
    for (let shard = 0; shard < bucket.indexShards; shard++) {
      const digest = createHash("sha256").update(bucket.id, "hex").update(Uint8Array.of(shard)).digest();
      groups.push((digest.readUInt16BE(0) >>> this.#shift) as GroupId);
    }
    if (this.#shards.size >= MAX_CACHED_BUCKETS) this.#shards.clear();
    this.#shards.set(bucket.id, groups);
    return groups;
  }

  /** The distinct groups that hold a part of a bucket, ascending: what a list, a seal or a guard has to visit. */
  groupsOf(bucket: { readonly id: BucketId; readonly indexShards: number }): readonly GroupId[] {
    return [...new Set(this.shards(bucket))].sort((a, b) => a - b);
  }
}

const MAX_CACHED_BUCKETS = 10_000;

/** Shard of a key, 0 ..= shards − 1: a CRC-32 over its UTF-8 bytes, mixed because CRCs of similar keys are similar. */
function shardOfKey(key: string, shards: number): number {
  if (shards === 1) return 0;
  let hash = crc32(key);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return ((hash ^ (hash >>> 15)) >>> 0) % shards;
}
