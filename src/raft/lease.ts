// Node leases as a value: promises between pairs of nodes, one heartbeat a pair for all groups. SKELETON: signatures are final, bodies follow.
import type { Configuration, MemberId, Moment } from "./messages.ts";
import type { Defect } from "./defects.ts";

/** "Don't vote against me or campaign where I lead": the promise it asks for covers every group at once (rule 10). */
export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly from: MemberId;
  /** The sender's clocks when it sent, echoed in the reply: the lease counts from these. */
  readonly sentMonoMs: number;
  readonly sentBootMs: number;
  readonly sentWallMs: number;
  /** The sender's boot: replies to an earlier process are worthless. */
  readonly boot: number;
  /** (boot, step-downs) of the sender (rule 19). */
  readonly gen: number;
}
export interface HeartbeatReply {
  readonly kind: "heartbeat-reply";
  readonly from: MemberId;
  readonly sentMonoMs: number;
  readonly sentBootMs: number;
  readonly sentWallMs: number;
  readonly boot: number;
  /** Epoch of the promise given (rule 13). */
  readonly epoch: number;
  /** The promiser's wall clock (log time). */
  readonly wallMs: number;
}
export type LeaseMessage = Heartbeat | HeartbeatReply;

/** Something that idle groups must hear of: tick them (`Roster` knows which). */
export interface LeaseEvent {
  /**
   * promise-lapsed: groups that follow `peer` may campaign. generation-grew: groups that follow `peer` must ask whether it still leads (rule 19).
   * support-changed: groups this node leads with `peer` as member need an append there (rule 14), or may send again: it is back.
   * support-lost: groups this node leads with `peer` as member must look whether a majority still supports them (rule 20).
   */
  readonly kind: "promise-lapsed" | "generation-grew" | "support-changed" | "support-lost";
  readonly peer: MemberId;
}
export interface LeaseEffects {
  /** Leave at once; nothing needs to be durable for them. */
  readonly messages: readonly { readonly to: MemberId; readonly message: LeaseMessage }[];
  readonly events: readonly LeaseEvent[];
}

export interface LeaseOptions {
  readonly self: MemberId;
  /** Length of a promise on the promiser's clock, ms. */
  readonly leaseMs: number;
  /** Bound on how much faster one node's clock may run than another's; the holder counts leaseMs / driftFactor. 1.05 in production (rule 10). */
  readonly driftFactor: number;
  /** Time between heartbeats to a peer that answers. */
  readonly heartbeatMs: number;
  /** Heartbeats to a silent peer get rarer up to this. */
  readonly maxHeartbeatMs: number;
  /** Grows with every process start of this store, durable before use (1, 2, …; below 2 ** 20). */
  readonly boot: number;
  /** True only if this store has never run before: it can have promised nothing, so it need not wait (rule 15). */
  readonly firstBoot: boolean;
  readonly defects?: ReadonlySet<Defect>;
}

export class Leases {
  readonly leaseMs: number;
  constructor(options: LeaseOptions, now: Moment) {
    this.leaseMs = options.leaseMs;
    void now;
  }
  /** Changes whenever this node may have stopped leading somewhere; every heartbeat and append carries it. */
  get gen(): number {
    return 0;
  }
  /** Says for which peers this node wants support: the members of the groups it leads (`Roster` does it). New ones get a heartbeat at the next `tick`. */
  setPeers(peers: Iterable<MemberId>, now: Moment): void {
    void peers, void now;
  }
  step(message: LeaseMessage, now: Moment): void {
    void message, void now;
  }
  /** Time has passed: needed at `nextWakeMs()`, harmless at any time. */
  tick(now: Moment): void {
    void now;
  }
  drain(): LeaseEffects | null {
    return null;
  }
  nextWakeMs(): number {
    return Number.POSITIVE_INFINITY;
  }
  /** Diagnosis: does `peer` support this node, now? */
  supportedBy(peer: MemberId, now: Moment): boolean {
    void peer, void now;
    return false;
  }
  /** Diagnosis: has this node promised itself to `peer`, now? */
  promisedTo(peer: MemberId, now: Moment): boolean {
    void peer, void now;
    return false;
  }
  /** The question: do promises that hold now, in the epochs in which these members acknowledged this term's appends, make a quorum? (rule 14) */
  covers(configuration: Configuration, acknowledgedEpoch: (member: MemberId) => number, now: Moment): boolean {
    void configuration, void acknowledgedEpoch, void now;
    return false;
  }
}
