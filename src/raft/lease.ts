// Node leases as a value: promises between pairs of nodes, one heartbeat a pair for all groups. Answers one question: "may this
// node answer a read of group g from its own rows, now?" (`covers`; `Raft.mayRead` puts it together with the group's side).
//
// A leader L heartbeats the members of its groups. By its reply F promises L, until its own deadline, neither to vote against L
// nor to campaign where L leads. L trusts the promise for less time, counted from when it *sent*, on every clock it has. Both
// keep an epoch, so that L notices when F was free in between. Nothing here knows which groups there are: that is what makes it
// one heartbeat a pair.
import type { Defect } from "./defects.ts";
import { isQuorum } from "./configuration.ts";
import type { Configuration, MemberId, Moment } from "./messages.ts";

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
   * promise-lapsed: groups that follow `peer` may campaign. generation-grew: groups that follow `peer` must ask whether it still
   * leads (rule 19). support-changed: groups this node leads with `peer` as member need an append there (rule 14), or may send
   * again: it is back. support-lost: groups this node leads with `peer` as member must look whether a majority still supports
   * them (rule 20).
   */
  readonly kind: "promise-lapsed" | "generation-grew" | "support-changed" | "support-lost";
  readonly peer: MemberId;
}
export interface LeaseSend {
  readonly to: MemberId;
  readonly message: LeaseMessage;
}
export interface LeaseEffects {
  /** Leave at once; nothing needs to be durable for them. */
  readonly messages: readonly LeaseSend[];
  readonly events: readonly LeaseEvent[];
}

export interface LeaseOptions {
  readonly self: MemberId;
  /** Length of a promise on the promiser's clock, ms. */
  readonly leaseMs: number;
  /**
   * Bound on how much faster one node's clock may run than another's; the holder counts leaseMs / driftFactor. 1.05 in production
   * (rule 10).
   */
  readonly driftFactor: number;
  /** Time between heartbeats to a peer that answers; well below leaseMs / driftFactor, so that one may get lost. */
  readonly heartbeatMs: number;
  /** Heartbeats to a silent peer get rarer up to this. */
  readonly maxHeartbeatMs: number;
  /** Grows with every process start of this store, durable before use (1, 2, …; below 2 ** 20). */
  readonly boot: number;
  /** True only if this store has never run before: it can have promised nothing, so it need not wait (rule 15). */
  readonly firstBoot: boolean;
  readonly defects?: ReadonlySet<Defect>;
}

/** Boots and counters in one number: boot · 2^32 + count, exact below boot 2^20. */
const COUNT_SPAN = 2 ** 32;

/** What this node has promised a peer. Never forgotten while the process lives: its epochs must not repeat. */
interface PromiseGiven {
  untilMs: number;
  lapses: number;
  gen: number;
  /** The groups have been told that it ran out. */
  lapseTold: boolean;
}
/** What a peer has promised this node, and the heartbeats that keep it so. */
interface SupportHeld {
  epoch: number;
  /** Deadlines on the three clocks, all from the same heartbeat. */
  untilMonoMs: number;
  untilBootMs: number;
  untilWallMs: number;
  /** Held when last looked; turns into an event when it changes. */
  alive: boolean;
  nextBeatMs: number;
  intervalMs: number;
}

export class Leases {
  readonly leaseMs: number;
  readonly #options: LeaseOptions;
  readonly #mayVoteAtMs: number;
  readonly #given = new Map<MemberId, PromiseGiven>();
  readonly #held = new Map<MemberId, SupportHeld>();
  /** Offset of each peer's wall clock to our boot-time clock, as last heard; errs on the slow side by the time under way. */
  readonly #wallOffsets = new Map<MemberId, number>();
  #stepDowns = 0;
  #asks = 0;
  #messages: LeaseSend[] = [];
  #events: LeaseEvent[] = [];

  constructor(options: LeaseOptions, now: Moment) {
    this.leaseMs = options.leaseMs;
    this.#options = options;
    // rule 15: what the process before this one promised may still hold.
    this.#mayVoteAtMs = options.firstBoot || this.#broken("boot-no-wait") ? now.monoMs : now.monoMs + options.leaseMs;
  }

  // ---- events and effects

  /**
   * Says for which peers this node wants support: the members of the groups it leads (`Roster` does it). New ones get a heartbeat
   * at the next `tick`.
   */
  setPeers(peers: Iterable<MemberId>, now: Moment): void {
    const wanted = new Set(peers);
    wanted.delete(this.#options.self);
    for (const peer of this.#held.keys()) if (!wanted.has(peer)) this.#held.delete(peer);
    for (const peer of wanted) if (!this.#held.has(peer)) this.#held.set(peer, this.#newSupport(now));
  }

  step(message: LeaseMessage, now: Moment): void {
    if (message.kind === "heartbeat") this.#promise(message, now);
    else this.#support(message, now);
  }

  /** Time has passed: needed at `nextWakeMs()`, harmless at any time. */
  tick(now: Moment): void {
    for (const [peer, promise] of this.#given) {
      if (promise.lapseTold || promise.untilMs > now.monoMs) continue;
      promise.lapseTold = true;
      this.#events.push({ kind: "promise-lapsed", peer });
    }
    let spread = now.jitter;
    for (const [peer, support] of this.#held) {
      if (support.alive && !this.#inTime(support, now)) {
        support.alive = false;
        support.nextBeatMs = now.monoMs; // the machine may have slept: ask again at once
        this.#events.push({ kind: "support-lost", peer });
      }
      if (support.nextBeatMs > now.monoMs) continue;
      // Peers of one node are not beaten in step, and nodes not in step with each other: ± 10 %, spread by the golden ratio.
      spread = (spread + 0.618) % 1;
      support.nextBeatMs = now.monoMs + support.intervalMs * (0.9 + 0.2 * spread);
      if (!support.alive) support.intervalMs = Math.min(support.intervalMs * 1.5, this.#options.maxHeartbeatMs);
      this.#messages.push({ to: peer, message: this.#heartbeat(now) });
    }
  }

  /** What is to be done since the last drain; null if nothing. */
  drain(): LeaseEffects | null {
    if (this.#messages.length === 0 && this.#events.length === 0) return null;
    const effects = { messages: this.#messages, events: this.#events };
    this.#messages = [];
    this.#events = [];
    return effects;
  }

  /** When `tick` is next needed, on the clock of `Moment.monoMs`. */
  nextWakeMs(): number {
    let wakeMs = Number.POSITIVE_INFINITY;
    for (const promise of this.#given.values()) if (!promise.lapseTold) wakeMs = Math.min(wakeMs, promise.untilMs);
    for (const support of this.#held.values()) {
      wakeMs = Math.min(wakeMs, support.nextBeatMs);
      if (support.alive) wakeMs = Math.min(wakeMs, support.untilMonoMs);
    }
    return wakeMs;
  }

  // ---- the side of F, who promises

  #promise(beat: Heartbeat, now: Moment): void {
    let promise = this.#given.get(beat.from);
    if (promise === undefined) {
      promise = { untilMs: Number.NEGATIVE_INFINITY, lapses: 0, gen: 0, lapseTold: true };
      this.#given.set(beat.from, promise);
    }
    // rule 13: in the gap this node was free to vote and to campaign, so the promise that begins now is another one.
    if (promise.untilMs <= now.monoMs && !(this.#broken("lapse-no-epoch") && promise.lapses > 0)) promise.lapses++;
    promise.untilMs = Math.max(promise.untilMs, now.monoMs + this.leaseMs); // rule 10; rule 11: F goes by the ordinary clock only
    promise.lapseTold = false;
    if (beat.gen > promise.gen) {
      promise.gen = beat.gen;
      this.#events.push({ kind: "generation-grew", peer: beat.from });
    }
    this.heardWall(beat.from, beat.sentWallMs, now);
    this.#hurry(beat.from, now);
    this.#messages.push({
      to: beat.from,
      message: {
        kind: "heartbeat-reply",
        from: this.#options.self,
        sentMonoMs: beat.sentMonoMs,
        sentBootMs: beat.sentBootMs,
        sentWallMs: beat.sentWallMs,
        boot: beat.boot,
        epoch: this.epochFor(beat.from),
        wallMs: now.wallMs,
      },
    });
  }

  /**
   * Has this node promised itself to `peer`, and does that still hold? Then it neither votes against it nor campaigns where it
   * leads (rule 12).
   */
  promisedTo(peer: MemberId, now: Moment): boolean {
    const promise = this.#given.get(peer);
    return promise !== undefined && promise.untilMs > now.monoMs;
  }
  /**
   * The epoch of the promise to `peer`: grows whenever it lapsed in between and with every boot (rule 13); −1 before the first.
   */
  epochFor(peer: MemberId): number {
    const promise = this.#given.get(peer);
    if (promise === undefined) return -1;
    return (this.#broken("boot-no-epoch") ? 0 : this.#options.boot * COUNT_SPAN) + promise.lapses;
  }
  /** The generation `peer` last spoke of in a heartbeat (rule 19). */
  genOf(peer: MemberId): number {
    return this.#given.get(peer)?.gen ?? 0;
  }
  /** rule 15: after a restart, one lease passes before this node votes or campaigns. */
  mayVote(now: Moment): boolean {
    return now.monoMs >= this.#mayVoteAtMs;
  }
  get mayVoteAtMs(): number {
    return this.#mayVoteAtMs;
  }

  // ---- the side of L, who holds

  #support(reply: HeartbeatReply, now: Moment): void {
    this.heardWall(reply.from, reply.wallMs, now);
    const support = this.#held.get(reply.from);
    if (support === undefined || reply.boot !== this.#options.boot || reply.epoch < support.epoch) return;
    const holdMs = this.#broken("no-drift") ? this.leaseMs : this.leaseMs / this.#options.driftFactor; // rule 10: clocks differ in rate
    const sent = this.#broken("from-receipt")
      ? now
      : { monoMs: reply.sentMonoMs, bootMs: reply.sentBootMs, wallMs: reply.sentWallMs }; // rule 10: counted from when it sent
    const renewed = reply.epoch > support.epoch;
    if (renewed || sent.monoMs + holdMs > support.untilMonoMs) {
      support.epoch = reply.epoch;
      support.untilMonoMs = sent.monoMs + holdMs;
      support.untilBootMs = sent.bootMs + holdMs;
      support.untilWallMs = sent.wallMs + holdMs;
    }
    support.intervalMs = this.#options.heartbeatMs;
    support.nextBeatMs = Math.min(support.nextBeatMs, now.monoMs + support.intervalMs);
    const alive = this.#inTime(support, now);
    if (alive && (renewed || !support.alive)) this.#events.push({ kind: "support-changed", peer: reply.from });
    else if (!alive && support.alive) this.#events.push({ kind: "support-lost", peer: reply.from });
    support.alive = alive;
  }

  /**
   * rule 11: the deadline holds on the ordinary clock, on one that goes on while the machine sleeps, and, third opinion, on the
   * wall.
   */
  #inTime(support: SupportHeld, now: Moment): boolean {
    if (support.untilMonoMs <= now.monoMs) return false;
    return this.#broken("one-clock") || (support.untilBootMs > now.bootMs && support.untilWallMs > now.wallMs);
  }

  /** Does `peer` support this node, now, in whatever epoch? (check-quorum, rule 20) */
  supportedBy(peer: MemberId, now: Moment): boolean {
    const support = this.#held.get(peer);
    return support !== undefined && this.#inTime(support, now);
  }
  /** The epoch in which `peer` supports this node; −1 if it does not answer or is not asked. */
  supportEpoch(peer: MemberId): number {
    const support = this.#held.get(peer);
    return support === undefined || !support.alive ? -1 : support.epoch;
  }
  /**
   * Did `peer` answer when this was last looked at? Groups don't send again to one that does not; 'support-changed' says when it
   * is back.
   */
  reaches(peer: MemberId): boolean {
    return this.#held.get(peer)?.alive === true;
  }

  /**
   * The question: do promises that hold now, in the epochs in which these members acknowledged this term's appends, make a
   * quorum? (rule 14: a promise covers a group only if its giver is known to follow there in this term since the promise began.)
   */
  covers(configuration: Configuration, acknowledgedEpoch: (member: MemberId) => number, now: Moment): boolean {
    return isQuorum(configuration, (member) => {
      if (member === this.#options.self) return true;
      const support = this.#held.get(member);
      if (support === undefined || !this.#inTime(support, now)) return false;
      return this.#broken("lease-no-ack") || acknowledgedEpoch(member) === support.epoch;
    });
  }

  // ---- what all nodes tell each other

  /** Changes whenever this node may have stopped leading somewhere; every heartbeat and append carries it (rule 19). */
  get gen(): number {
    return this.#options.boot * COUNT_SPAN + this.#stepDowns;
  }
  /**
   * A number for a question to another node, not given before: by no process of this store, and by no group of this process. (A
   * group that was forgotten and came back must not take the answer to a question of before for one of its own: rule 18.)
   */
  nextAsk(): number {
    this.#asks = (this.#asks + 1) % COUNT_SPAN;
    return this.#options.boot * COUNT_SPAN + this.#asks;
  }
  /** A group of this node stopped leading. */
  steppedDown(): void {
    this.#stepDowns++;
  }
  /** A peer's wall clock, as told just now in a message of its. */
  heardWall(peer: MemberId, wallMs: number, now: Moment): void {
    this.#wallOffsets.set(peer, wallMs - now.bootMs);
  }
  /** What `peer`'s wall clock shows at least; −Infinity if it was never heard. */
  wallOf(peer: MemberId, now: Moment): number {
    if (peer === this.#options.self) return now.wallMs;
    const offset = this.#wallOffsets.get(peer);
    return offset === undefined ? Number.NEGATIVE_INFINITY : offset + now.bootMs;
  }

  #heartbeat(now: Moment): Heartbeat {
    return {
      kind: "heartbeat",
      from: this.#options.self,
      sentMonoMs: now.monoMs,
      sentBootMs: now.bootMs,
      sentWallMs: now.wallMs,
      boot: this.#options.boot,
      gen: this.gen,
    };
  }
  /** A silent peer has spoken: don't wait for the end of the back-off. */
  #hurry(peer: MemberId, now: Moment): void {
    const support = this.#held.get(peer);
    if (support === undefined || support.alive || support.intervalMs <= this.#options.heartbeatMs) return;
    support.intervalMs = this.#options.heartbeatMs;
    support.nextBeatMs = now.monoMs;
  }
  #newSupport(now: Moment): SupportHeld {
    const never = Number.NEGATIVE_INFINITY;
    return {
      epoch: -1,
      untilMonoMs: never,
      untilBootMs: never,
      untilWallMs: never,
      alive: false,
      nextBeatMs: now.monoMs,
      intervalMs: this.#options.heartbeatMs,
    };
  }
  #broken(defect: Defect): boolean {
    return this.#options.defects?.has(defect) === true;
  }
}
