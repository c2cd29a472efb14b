import type { Groups } from "../../group/groups.ts";
import type { KvRead } from "../../platform/kv.ts";
import type { BucketId } from "../../util/ids.ts";
import type { BucketRef, BucketUsage } from "../object-service.ts";
import type { Placement } from "../placement.ts";
import { addUsage, type Counters, readUsage } from "../partition/usage.ts";

/** What a write will add to a bucket. Negative figures count as 0: only growth is refused, and a shrinking write may yet fail. */
export interface Growth {
  readonly bytes: number;
  readonly objects: number;
  /** Whether bytes of parts under way count as well (parts themselves; not completions, which turn them into an object). */
  readonly besideParts?: boolean;
}

/** Room in a bucket that a write under way holds until it is over. */
export interface Reservation {
  release(): void;
}

/**
 * Quotas: exact figures of the bucket's partitions plus what writes under way have reserved here. Buckets without quotas cost
 * nothing.
 */
export class QuotaLedger {
  readonly #groups: Groups;
  readonly #placement: Placement;
  readonly #held = new Map<BucketId, Set<Held>>();

  constructor(groups: Groups, placement: Placement) {
    this.#groups = groups;
    this.#placement = placement;
  }

  /**
   * Reserves room for a write, or says why there is none.
   * @param growthOf  reads what the write will add, from the same snapshot as the bucket's figures.
   */
  async reserve(
    bucket: BucketRef,
    growthOf: (rows: KvRead) => Growth,
  ): Promise<{ readonly ok: true; readonly reservation: Reservation } | { readonly ok: false; readonly detail: string }> {
    if (bucket.quotas.maxSizeBytes === undefined && bucket.quotas.maxObjects === undefined) return UNLIMITED;
    for (let round = 0; ; round++) {
      const outcome = await this.#groups.readAll(this.#placement.groupsOf(bucket), (rows) =>
        this.#tryReserve(rows, bucket, growthOf(rows)),
      );
      if (typeof outcome !== "string") return { ok: true, reservation: outcome };
      // A write that was just committed may be counted twice for a moment, and one under way may fail: wait for them before
      // saying no.
      const others = this.#held.get(bucket.id);
      if (others === undefined || round === MAX_ROUNDS) return { ok: false, detail: outcome };
      await Promise.all([...others].map((held) => held.over));
    }
  }

  #tryReserve(rows: KvRead, bucket: BucketRef, growth: Growth): Held | string {
    const usage = sumUsage(rows, this.#placement, bucket);
    const bytes = Math.max(0, growth.bytes);
    const objects = Math.max(0, growth.objects);
    let heldBytes = 0;
    let heldObjects = 0;
    const others = this.#held.get(bucket.id);
    if (others) {
      for (const held of others) {
        heldBytes += held.bytes;
        heldObjects += held.objects;
      }
    }
    const { maxSizeBytes, maxObjects } = bucket.quotas;
    const used = usage.bytes + (growth.besideParts ? usage.partBytes : 0);
    if (maxSizeBytes !== undefined && bytes > 0 && used + heldBytes + bytes > maxSizeBytes)
      return `the bucket's quota of ${maxSizeBytes} bytes would be exceeded (${used} are used, this needs ${bytes} more)`;
    if (maxObjects !== undefined && objects > 0 && usage.objects + heldObjects + objects > maxObjects)
      return `the bucket's quota of ${maxObjects} objects would be exceeded`;
    return this.#hold(bucket.id, bytes, objects);
  }

  #hold(bucket: BucketId, bytes: number, objects: number): Held {
    const all = this.#held.get(bucket) ?? new Set<Held>();
    this.#held.set(bucket, all);
    const { promise, resolve } = Promise.withResolvers<void>();
    const held: Held = {
      bytes,
      objects,
      over: promise,
      release: () => {
        if (all.delete(held) && all.size === 0) this.#held.delete(bucket);
        resolve();
      },
    };
    all.add(held);
    return held;
  }
}

interface Held extends Reservation {
  readonly bytes: number;
  readonly objects: number;
  readonly over: Promise<void>;
}

const MAX_ROUNDS = 2;
const UNLIMITED = { ok: true, reservation: { release(): void {} } } as const;

/** Exact figures of a bucket over its partitions. */
export function sumUsage(rows: KvRead, placement: Placement, bucket: BucketRef): BucketUsage {
  const sum: Counters = { objects: 0, versions: 0, bytes: 0, uploads: 0, parts: 0, partBytes: 0 };
  for (const group of placement.groupsOf(bucket)) addUsage(sum, readUsage(rows, group, bucket.id));
  return sum;
}
