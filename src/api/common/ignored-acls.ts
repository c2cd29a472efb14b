import type { BucketId } from "../../util/ids.ts";

/** Buckets that are remembered; a store with more of them that take public ACLs logs some of them again. */
const MAX_BUCKETS = 10_000;

/**
 * For which buckets canned ACLs were sent since this node started: they are taken and grant nothing, which the log and the
 * bucket's information say. One per node, shared by the S3 API, which notes, and the admin API, which tells.
 */
export class IgnoredAcls {
  /** The latest of each bucket. */
  readonly #latest = new Map<BucketId, string>();

  /** @returns whether it is the first one of this bucket. */
  note(bucket: BucketId, acl: string): boolean {
    const first = !this.#latest.has(bucket);
    if (first && this.#latest.size >= MAX_BUCKETS) this.#latest.clear();
    this.#latest.set(bucket, acl);
    return first;
  }

  latest(bucket: BucketId): string | undefined {
    return this.#latest.get(bucket);
  }
}
