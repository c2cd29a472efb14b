import { BlockError, type BlockStore } from "../../block/block-store.ts";
import type { Groups } from "../../group/groups.ts";
import { DiskError } from "../../platform/disk.ts";
import type { Log } from "../../platform/log.ts";
import type { Worker, WorkerStatus, WorkStep } from "../../task/worker.ts";
import type { BucketId, ClaimId, GroupId, Hash } from "../../util/ids.ts";
import type { PartitionCommand, ResolveClaimResult } from "../commands.ts";
import { isDamage } from "../partition/damage.ts";
import { isReferenced, type KnownReference, unconfirmedReferences, zeroHashes, zeroSince } from "../partition/reference-row.ts";
import { zeroKey } from "../partition/row-keys.ts";
import type { Placement } from "../placement.ts";
import { hasRemains } from "./bucket-remains.ts";
import type { ReadPins } from "../bytes/read-pins.ts";
import { MAX_PER_COMMAND, type ReferenceName } from "../bytes/lazy-references.ts";

export interface JanitorOptions {
  /** `block_gc_delay`. */
  readonly gcDelayMs: number;
  /** commandWindow: how often there can be something new to judge. */
  readonly commandWindowMs: number;
}

export interface JanitorModules {
  readonly groups: Groups;
  readonly blocks: BlockStore;
  readonly placement: Placement;
  readonly pins: ReadPins;
  readonly log: Log;
  /** Whether files may be removed now: not while the metadata may be an older copy than the blocks. */
  readonly mayRemove: () => boolean;
  /**
   * The group of an object; undefined when its bucket is gone for good (confirmed with the control group), and with it every
   * claim.
   */
  readonly homeOf: (bucket: BucketId, key: string) => Promise<GroupId | undefined>;
}

export interface JanitorRound {
  /** References found in use. */
  readonly settled: number;
  /** References of dead uploads. */
  readonly dropped: number;
  /** Claims whose uploads are still under way. */
  readonly waiting: number;
  /** Files removed. */
  readonly removed: number;
  /** Blocks that nobody needs but that must stay a while. */
  readonly kept: number;
}

/** Rows looked at per group and round. */
const LIMIT = 1024;

/**
 * Ends what uploads that died left behind, and lets unneeded blocks go.
 * When a reference is not confirmed by its expiry its claim is resolved in its object's group (rule 36): in use →
 * settled, dead → dropped.
 * A block without references for `block_gc_delay` (log time), and untouched for as long, loses its file and then its row (rule
 * 33).
 */
export class Janitor implements Worker {
  readonly name = "Block janitor";
  readonly #options: JanitorOptions;
  readonly #modules: JanitorModules;
  #group = 0;
  #round: JanitorRound = NOTHING;
  #total: JanitorRound = NOTHING;
  #last: JanitorRound = NOTHING;

  constructor(options: JanitorOptions, modules: JanitorModules) {
    this.#options = options;
    this.#modules = modules;
  }

  status(): WorkerStatus {
    const { settled, dropped, removed } = this.#total;
    return {
      queueLength: this.#last.waiting + this.#last.kept,
      progress: `${((100 * this.#group) / this.#modules.groups.partitions).toFixed(0)}%`,
      freeform: [`${settled} references confirmed, ${dropped} dropped, ${removed} blocks removed`],
    };
  }

  /** One group a unit; after the last one it rests until something can have expired. */
  async work(): Promise<WorkStep> {
    const { gcDelayMs, commandWindowMs } = this.#options;
    const group = this.#group as GroupId;
    const isLast = group + 1 === this.#modules.groups.partitions;
    // Further on first: a group that can't be looked at must not keep the others waiting.
    this.#group = isLast ? 0 : group + 1;
    try {
      this.#add(await this.#lookAt(group));
    } finally {
      if (isLast) {
        this.#last = this.#round;
        this.#round = NOTHING;
      }
    }
    if (!isLast) return { state: "busy" };
    return { state: "idle", delayMs: Math.max(MIN_REST_MS, Math.min(gcDelayMs, commandWindowMs) / 4) };
  }

  /** One round over all groups, now. */
  async runOnce(): Promise<JanitorRound> {
    let sum = NOTHING;
    for (let group = 0; group < this.#modules.groups.partitions; group++) sum = plus(sum, await this.#lookAt(group as GroupId));
    this.#total = plus(this.#total, sum);
    return sum;
  }

  #add(found: JanitorRound): void {
    this.#round = plus(this.#round, found);
    this.#total = plus(this.#total, found);
  }

  async #lookAt(group: GroupId): Promise<JanitorRound> {
    const [judged, collected] = await Promise.allSettled([this.#judge(group), this.#collect(group)]);
    if (judged.status === "rejected") throw judged.reason;
    if (collected.status === "rejected") throw collected.reason;
    return plus(judged.value, collected.value);
  }

  async #judge(group: GroupId): Promise<JanitorRound> {
    const { groups } = this.#modules;
    let round = NOTHING;
    // Those that must wait come first every time (oldest first), so look further as long as only they are found.
    for (let limit = LIMIT; ; limit *= 2) {
      const found = await groups.read(group, (rows) => unconfirmedReferences(rows, group, { limit }));
      if (found.length === 0) return round;
      const { settle, drop, waiting } = await this.#resolutions(found);
      await this.#propose(group, "confirm-refs", settle);
      await this.#propose(group, "drop-refs", drop);
      round = plus(round, { ...NOTHING, settled: settle.length, dropped: drop.length });
      if (found.length < limit) return { ...round, waiting };
      if (settle.length + drop.length > 0) limit /= 2;
    }
  }

  /** One resolution per claim: the blocks of an upload share it. */
  async #resolutions(
    found: readonly KnownReference[],
  ): Promise<{ settle: ReferenceName[]; drop: ReferenceName[]; waiting: number }> {
    const latest = new Map<ClaimId, KnownReference>();
    for (const reference of found) {
      const known = latest.get(reference.claim);
      if (known === undefined || known.expiryMs < reference.expiryMs) latest.set(reference.claim, reference);
    }
    const resolutions = new Map<ClaimId, Promise<Resolution>>();
    for (const [claim, reference] of latest) resolutions.set(claim, this.#resolve(reference));
    await Promise.all(resolutions.values());
    const settle: ReferenceName[] = [];
    const drop: ReferenceName[] = [];
    let waiting = 0;
    for (const { hash, claim } of found) {
      const resolution = await resolutions.get(claim);
      if (resolution === "live") settle.push({ hash, claim });
      else if (resolution === "dead") drop.push({ hash, claim });
      else if (resolution === "wait") waiting++;
    }
    return { settle, drop, waiting };
  }

  async #resolve({ bucket, key, claim, upload, part, expiryMs }: KnownReference): Promise<Resolution> {
    const { groups, homeOf, pins, log } = this.#modules;
    // It may be a version that was replaced while it is being read: its release waits as well.
    if (pins.isPinned(upload ?? claim)) return "wait";
    try {
      const home = await homeOf(bucket, key);
      if (home === undefined) return (await hasRemains(groups, bucket)) ? "wait" : "dead";
      const nowMs = groups.logTime(home);
      // Resolved before its expiry, the claim of an upload that is merely slow would be fenced. No expiry lies further ahead than
      // commandWindow, unless a clock was wrong for a moment; such a claim need not wait for the year that it read.
      if (expiryMs >= nowMs && expiryMs <= nowMs + this.#options.commandWindowMs) return "early";
      const command: PartitionCommand = {
        op: "resolve-claim",
        bucket,
        key,
        claim,
        ...(upload === undefined || part === undefined ? {} : { upload, part }),
      };
      const result = await groups.propose<PartitionCommand, ResolveClaimResult>(home, command);
      return result.wait ? "wait" : result.live ? "live" : "dead";
    } catch (error) {
      // What can't be read may name the block: it stays.
      if (!isDamage(error)) throw error;
      log.warn({ err: error, bucket, key }, "a damaged row hides whether an upload is in use; its blocks stay");
      return "wait";
    }
  }

  async #propose(group: GroupId, op: "confirm-refs" | "drop-refs", refs: readonly ReferenceName[]): Promise<void> {
    for (let at = 0; at < refs.length; at += MAX_PER_COMMAND) {
      const command: PartitionCommand = { op, refs: refs.slice(at, at + MAX_PER_COMMAND) };
      await this.#modules.groups.propose(group, command);
    }
  }

  async #collect(group: GroupId): Promise<JanitorRound> {
    const { groups, mayRemove } = this.#modules;
    let round = NOTHING;
    if (!mayRemove()) return round;
    for (let limit = LIMIT; ; limit *= 2) {
      const beforeMs = groups.logTime(group) - this.#options.gcDelayMs;
      const zeros = await groups.read(group, (rows) => zeroHashes(rows, group, { beforeMs, limit }));
      let gone = 0;
      let kept = 0;
      for (let at = 0; at < zeros.length; at += REMOVALS_TOGETHER) {
        const some = zeros.slice(at, at + REMOVALS_TOGETHER);
        for (const outcome of await Promise.all(some.map(({ hash }) => this.#letGo(group, hash)))) {
          if (outcome === "kept") kept++;
          else gone++;
          if (outcome === "removed") round = plus(round, { ...NOTHING, removed: 1 });
        }
      }
      if (zeros.length < limit) return { ...round, kept };
      if (gone > 0) limit /= 2;
    }
  }

  async #letGo(group: GroupId, hash: Hash): Promise<"removed" | "absent" | "kept"> {
    const { groups, blocks, log } = this.#modules;
    let outcome: Awaited<ReturnType<BlockStore["removeUnneeded"]>>;
    try {
      outcome = await blocks.removeUnneeded(hash, () => this.#isUnneeded(group, hash));
    } catch (error) {
      // One file or row must not keep all others; it is tried again in the next round.
      if (!(error instanceof BlockError || error instanceof DiskError || isDamage(error))) throw error;
      log.warn({ err: error, hash }, "a block that nobody seems to need could not be removed");
      return "kept";
    }
    if (outcome === "touched" || outcome === "needed") return "kept";
    const command: PartitionCommand = { op: "forget-hash", hash };
    await groups.propose(group, command);
    return outcome;
  }

  /** A fresh read, under the lock of the hash: still without references, and for long enough. */
  #isUnneeded(group: GroupId, hash: Hash): Promise<boolean> {
    const { groups } = this.#modules;
    return groups.read(group, (rows) => {
      const since = zeroSince(rows, zeroKey(group, hash));
      return since !== undefined && since + this.#options.gcDelayMs <= groups.logTime(group) && !isReferenced(rows, group, hash);
    });
  }
}

type Resolution = "live" | "dead" | "wait" | "early";

/** Blocks let go of side by side: their removals share commits, and the disk is not flooded. */
const REMOVALS_TOGETHER = 16;

const MIN_REST_MS = 50;
const NOTHING: JanitorRound = { settled: 0, dropped: 0, waiting: 0, removed: 0, kept: 0 };

function plus(a: JanitorRound, b: JanitorRound): JanitorRound {
  return {
    settled: a.settled + b.settled,
    dropped: a.dropped + b.dropped,
    waiting: a.waiting + b.waiting,
    removed: a.removed + b.removed,
    kept: a.kept + b.kept,
  };
}
