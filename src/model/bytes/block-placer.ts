import type { BlockStore, StoredBlock } from "../../block/block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Clock } from "../../platform/clock.ts";
import type { DigestAlgorithm } from "../../platform/cpu.ts";
import type { Hash } from "../../util/ids.ts";
import type { AddRefsResult, NewReference, PartitionCommand } from "../commands.ts";
import type { Placement } from "../placement.ts";
import type { UploadTarget } from "./data-path.ts";

/**
 * Brings one block and its reference into the cluster, beside each other, so that afterwards a row may name it (rules 31, 32):
 * the reference is committed, the bytes are durable, and no more than half the removal delay passed from sending the bytes to
 * learning of the reference; else they are sent again, because an old file might have been removed in between.
 */
export class BlockPlacer {
  readonly #gcDelayMs: number;
  readonly #groups: Groups;
  readonly #blocks: BlockStore;
  readonly #placement: Placement;
  readonly #clock: Clock;

  constructor(
    { gcDelayMs }: { readonly gcDelayMs: number },
    parts: { readonly groups: Groups; readonly blocks: BlockStore; readonly placement: Placement; readonly clock: Clock },
  ) {
    this.#gcDelayMs = gcDelayMs;
    this.#groups = parts.groups;
    this.#blocks = parts.blocks;
    this.#placement = parts.placement;
    this.#clock = parts.clock;
  }

  /**
   * @param onReference  told the hash before its reference is proposed, so that the caller can drop it whatever happens then.
   * @throws BlockError · GroupError
   */
  async place(
    data: Uint8Array,
    block: {
      readonly target: UploadTarget;
      readonly expiryMs: number;
      readonly expected: Hash | undefined;
      readonly also: readonly DigestAlgorithm[];
      readonly onReference: (hash: Hash) => void;
    },
  ): Promise<StoredBlock> {
    let learned: Promise<Times> | undefined;
    const onHash = (hash: Hash): void => {
      block.onReference(hash);
      const added = this.addReference({ hash, size: data.byteLength, target: block.target, expiryMs: block.expiryMs });
      learned = added.then(() => this.#now());
      learned.catch(() => {}); // Looked at below, once the bytes are through.
    };
    let sent = this.#now();
    const storing = this.#blocks.store(data, block.expected, block.also, onHash);
    // Both to the end, whatever happens: a reference that arrives after it was dropped would live until its expiry.
    const [bytes] = await Promise.allSettled([storing]);
    const [reference] = await Promise.allSettled([learned]);
    if (bytes.status === "rejected") throw bytes.reason;
    if (reference.status === "rejected") throw reference.reason;
    const known = reference.value as Times;
    let stored = bytes.value;
    while (known.monotonicMs - sent.monotonicMs > this.#gcDelayMs / 2 || known.wallMs - sent.wallMs > this.#gcDelayMs / 2) {
      sent = this.#now();
      stored = { ...(await this.#blocks.store(data, stored.hash)), digests: stored.digests };
    }
    return stored;
  }

  async addReference(reference: {
    readonly hash: Hash;
    readonly size: number;
    readonly target: UploadTarget;
    readonly expiryMs: number;
  }): Promise<void> {
    const { hash } = reference;
    const command: PartitionCommand = { op: "add-refs", refs: [newReference(reference)] };
    await this.#groups.propose<PartitionCommand, AddRefsResult>(this.#placement.ofHash(hash), command);
  }

  #now(): Times {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }
}

interface Times {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export function newReference({
  hash,
  size,
  target,
  expiryMs,
}: {
  readonly hash: Hash;
  readonly size: number;
  readonly target: UploadTarget;
  readonly expiryMs: number;
}): NewReference {
  const { bucket, key, claim, upload, part } = target;
  return {
    hash,
    claim,
    size,
    bucket,
    key,
    expiryMs,
    ...(upload === undefined ? {} : { upload }),
    ...(part === undefined ? {} : { part }),
  };
}
