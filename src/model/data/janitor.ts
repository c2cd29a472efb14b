import type { BlockStore } from "../../block/block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Log } from "../../platform/log.ts";
import type { Worker, WorkerStatus, WorkStep } from "../../task/worker.ts";
import type { BucketId, ClaimId, GroupId, Hash } from "../../util/ids.ts";
import type { PartitionCommand, VerdictResult } from "../commands.ts";
import { isReferenced, type Reference, unsettledReferences, zeroHashes, zeroSince } from "../partition/reference-row.ts";
import { zeroKey } from "../partition/row-keys.ts";
import type { Placement } from "../placement.ts";
import { MAX_PER_COMMAND, type ReferenceName } from "./lazy-references.ts";

export interface JanitorOptions {
  /** `block_gc_delay`. */
  readonly gcDelayMs: number;
  /** W: how often there can be something new to judge. */
  readonly commandWindowMs: number;
}

export interface JanitorParts {
  readonly groups: Groups;
  readonly blocks: BlockStore;
  readonly placement: Placement;
  readonly log: Log;
  /** The group of an object; undefined when its bucket is gone for good (confirmed with the control group), and with it every claim. */
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
 * A reference that is not settled when its expiry has passed gets a verdict in its object's group (rule 36): in use → settled, dead → dropped.
 * A block without references for `block_gc_delay` (log time), and untouched for as long, loses its file and then its row (rule 33).
 */
export class Janitor implements Worker {
  readonly name = "Block janitor";
  readonly #options: JanitorOptions;
  readonly #parts: JanitorParts;
  #group = 0;
  #round: JanitorRound = NOTHING;
  #total: JanitorRound = NOTHING;
  #last: JanitorRound = NOTHING;

  constructor(options: JanitorOptions, parts: JanitorParts) {
    this.#options = options;
    this.#parts = parts;
  }

  status(): WorkerStatus {
    const { settled, dropped, removed } = this.#total;
    return {
      queueLength: this.#last.waiting + this.#last.kept,
      progress: `${((100 * this.#group) / this.#parts.groups.partitions).toFixed(0)}%`,
      freeform: [`${settled} references settled, ${dropped} dropped, ${removed} blocks removed`],
    };
  }

  /** One group a unit; after the last one it rests until something can have expired. */
  async work(): Promise<WorkStep> {
    const { gcDelayMs, commandWindowMs } = this.#options;
    this.#add(await this.#lookAt(this.#group as GroupId));
    if (++this.#group < this.#parts.groups.partitions) return { state: "busy" };
    this.#group = 0;
    this.#last = this.#round;
    this.#round = NOTHING;
    return { state: "idle", delayMs: Math.max(MIN_REST_MS, Math.min(gcDelayMs, commandWindowMs) / 4) };
  }

  /** One round over all groups, now. */
  async runOnce(): Promise<JanitorRound> {
    let sum = NOTHING;
    for (let group = 0; group < this.#parts.groups.partitions; group++) sum = plus(sum, await this.#lookAt(group as GroupId));
    this.#total = plus(this.#total, sum);
    return sum;
  }

  #add(found: JanitorRound): void {
    this.#round = plus(this.#round, found);
    this.#total = plus(this.#total, found);
  }

  async #lookAt(group: GroupId): Promise<JanitorRound> {
    return plus(await this.#judge(group), await this.#collect(group));
  }

  async #judge(group: GroupId): Promise<JanitorRound> {
    const { groups } = this.#parts;
    let round = NOTHING;
    // Those that must wait come first every time (oldest first), so look further as long as only they are found.
    for (let limit = LIMIT; ; limit *= 2) {
      const beforeMs = groups.logTime(group);
      const found = await groups.read(group, (rows) => unsettledReferences(rows, group, { beforeMs, limit }));
      if (found.length === 0) return round;
      const { settle, drop, waiting } = await this.#verdicts(found);
      await this.#propose(group, "settle-refs", settle);
      await this.#propose(group, "drop-refs", drop);
      round = plus(round, { ...NOTHING, settled: settle.length, dropped: drop.length });
      if (found.length < limit) return { ...round, waiting };
      if (settle.length + drop.length > 0) limit /= 2;
    }
  }

  /** One verdict per claim: the blocks of an upload share it. */
  async #verdicts(found: readonly Reference[]): Promise<{ settle: ReferenceName[]; drop: ReferenceName[]; waiting: number }> {
    const latest = new Map<ClaimId, Reference>();
    for (const reference of found) {
      const known = latest.get(reference.claim);
      if (known === undefined || known.expiryMs < reference.expiryMs) latest.set(reference.claim, reference);
    }
    const verdicts = new Map<ClaimId, Promise<Verdict>>();
    for (const [claim, reference] of latest) verdicts.set(claim, this.#verdict(reference));
    await Promise.all(verdicts.values());
    const settle: ReferenceName[] = [];
    const drop: ReferenceName[] = [];
    let waiting = 0;
    for (const { hash, claim } of found) {
      const verdict = await verdicts.get(claim);
      if (verdict === "live") settle.push({ hash, claim });
      else if (verdict === "dead") drop.push({ hash, claim });
      else waiting++;
    }
    return { settle, drop, waiting };
  }

  async #verdict({ bucket, key, claim, upload, expiryMs }: Reference): Promise<Verdict> {
    const { groups, homeOf } = this.#parts;
    const home = await homeOf(bucket, key);
    if (home === undefined) return "dead";
    // Asked before the expiry, a verdict would forbid an upload that is merely slow.
    if (expiryMs >= groups.logTime(home)) return "wait";
    const command: PartitionCommand = {
      op: "verdict",
      bucket,
      key,
      claim,
      expiryMs,
      ...(upload === undefined ? {} : { upload }),
    };
    const result = await groups.propose<PartitionCommand, VerdictResult>(home, command);
    return result.wait ? "wait" : result.live ? "live" : "dead";
  }

  async #propose(group: GroupId, op: "settle-refs" | "drop-refs", refs: readonly ReferenceName[]): Promise<void> {
    for (let at = 0; at < refs.length; at += MAX_PER_COMMAND) {
      const command: PartitionCommand = { op, refs: refs.slice(at, at + MAX_PER_COMMAND) };
      await this.#parts.groups.propose(group, command);
    }
  }

  async #collect(group: GroupId): Promise<JanitorRound> {
    const { groups, blocks } = this.#parts;
    let round = NOTHING;
    for (let limit = LIMIT; ; limit *= 2) {
      const beforeMs = groups.logTime(group) - this.#options.gcDelayMs;
      const zeros = await groups.read(group, (rows) => zeroHashes(rows, group, { beforeMs, limit }));
      let gone = 0;
      let kept = 0;
      for (const { hash } of zeros) {
        const outcome = await blocks.removeUnneeded(hash, () => this.#isUnneeded(group, hash));
        if (outcome === "touched" || outcome === "needed") {
          kept++;
          continue;
        }
        const command: PartitionCommand = { op: "forget-hash", hash };
        await groups.propose(group, command);
        gone++;
        if (outcome === "removed") round = plus(round, { ...NOTHING, removed: 1 });
      }
      if (zeros.length < limit) return { ...round, kept };
      if (gone > 0) limit /= 2;
    }
  }

  /** A fresh read, under the lock of the hash: still without references, and for long enough. */
  #isUnneeded(group: GroupId, hash: Hash): Promise<boolean> {
    const { groups } = this.#parts;
    return groups.read(group, (rows) => {
      const since = zeroSince(rows, zeroKey(group, hash));
      return since !== undefined && since + this.#options.gcDelayMs <= groups.logTime(group) && !isReferenced(rows, group, hash);
    });
  }
}

type Verdict = "live" | "dead" | "wait";

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
