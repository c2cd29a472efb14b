// One group's consensus as a value: events in, effects out. No clock, no randomness, no I/O. This is the face of `Core`: it hands
// each event to the part that knows it (election, replication, commit, membership, reads) and gathers what is to be done.
import { assert, unreachable } from "../util/assert.ts";
import { onAppend, onSnapshot } from "./acceptance.ts";
import { advanceCommit, earlyCommit } from "./commit.ts";
import { isMember, isVoter, type Membership } from "./configuration.ts";
import { Core } from "./core.ts";
import { drain } from "./drain.ts";
import type { Effects, Role } from "./effects.ts";
import {
  mayCampaign,
  onCampaignNow,
  onLeadAnswer,
  onLeadQuestion,
  onVoteReply,
  onVoteRequest,
  ownVoteStored,
  tickElection,
} from "./election.ts";
import { appendEntry, beginTransfer, leaseHeld, peerOf, tickLeadership } from "./leadership.ts";
import { reconfigure, type ReconfigureRefusal } from "./membership.ts";
import type { Anchor, Configuration, Entry, MemberId, Message, Moment, Scope, SnapshotMessage } from "./messages.ts";
import type { RaftOptions } from "./options.ts";
import {
  beginRead,
  leaderReadIndex,
  onConfirm,
  onConfirmReply,
  onReadIndexReply,
  onReadIndexRequest,
  readsWakeMs,
  tickReads,
} from "./read-index.ts";
import { onAppendReply, onFetched, onSnapshotDone, retryAtMs, tickReplication } from "./replication.ts";
import type { Remains, Restored } from "./restored.ts";

export type { Membership } from "./configuration.ts";
export type { ReconfigureRefusal } from "./membership.ts";
export { emptyGroup, bootstrapGroup, type Remains, type Restored } from "./restored.ts";

export interface Command<C> {
  readonly data: C;
  /** The reads it concerns (rule 9). */
  readonly scope: Scope;
  /** Weight for flow control. */
  readonly sizeBytes: number;
}
export type Refusal = "not-leader" | "transferring" | "busy";

/** What a leader knows of a member. */
export interface Progress {
  /** Up to here its log is durable and equal to ours. */
  readonly match: number;
  /** Streaming, probing for agreement, being filled by a snapshot or from storage. */
  readonly state: "probe" | "stream" | "snapshot" | "fetch";
}

const NOBODY: readonly MemberId[] = Object.freeze([]);

export class Raft<C> {
  readonly #core: Core<C>;

  /** @param now the jitter in it staggers the first campaigns of a node's groups. */
  constructor(options: RaftOptions, restored: Restored<C>, now: Moment) {
    this.#core = new Core(options, restored);
    if (mayCampaign(this.#core)) this.#core.rest(now);
  }

  // ---- events. None returns effects: handle as many as have come together, then `drain` once (that makes the batches).

  /**
   * A message of another member has come. Late, repeated and reordered ones are fine. A snapshot message: only once its bytes are
   * staged.
   */
  step(message: Message<C>, now: Moment): void {
    const core = this.#core;
    switch (message.kind) {
      case "append":
        onAppend(core, message, now);
        break;
      case "append-reply":
        onAppendReply(core, message, now);
        break;
      case "vote":
        onVoteRequest(core, message, now);
        break;
      case "vote-reply":
        onVoteReply(core, message, now);
        break;
      case "snapshot":
        onSnapshot(core, message, now);
        break;
      case "confirm":
        onConfirm(core, message, now);
        break;
      case "confirm-reply":
        onConfirmReply(core, message);
        break;
      case "read-index":
        onReadIndexRequest(core, message, now);
        break;
      case "read-index-reply":
        onReadIndexReply(core, message);
        break;
      case "campaign-now":
        onCampaignNow(core, message, now);
        break;
      case "lead-question":
        onLeadQuestion(core, message);
        break;
      case "lead-answer":
        onLeadAnswer(core, message, now);
        break;
      default:
        unreachable(message);
    }
  }

  /**
   * Time has passed. Needed at `nextWakeMs()` and after the lease events that concern the group (`Roster` knows); harmless at any
   * time.
   */
  tick(now: Moment): void {
    const core = this.#core;
    tickReads(core, now);
    if (core.role !== "leader") tickElection(core, now);
    else if (tickLeadership(core, now)) tickReplication(core, now);
  }

  /**
   * Appends a command at the leader. Returns its index (its term is `term`), or why not. Whether it commits shows in
   * `Effects.apply`.
   */
  propose(command: Command<C>, now: Moment): number | Refusal {
    const core = this.#core;
    const { leadership, log, options } = core;
    if (leadership === null) return "not-leader";
    if (leadership.transferTo !== null) return "transferring";
    if (log.last - core.commit >= options.maxUncommittedEntries) return "busy";
    if (log.bytesBetween(core.commit, log.last) >= options.maxUncommittedBytes) return "busy";
    return appendEntry(core, command.data, null, command.scope, command.sizeBytes, now);
  }

  /**
   * Begins a linearizable read; ends in `Effects.reads` with the caller's `id` once the own rows may answer (leader: by lease or
   * a majority's confirmation; other members: index from the leader). The host must read its rows after the answer, as applied
   * then or later.
   */
  read(id: number, scope: Scope, now: Moment): void {
    beginRead(this.#core, id, scope, now);
  }

  /** Everything written up to `Write.seq` is durable. */
  stored(seq: number, now: Moment): void {
    const core = this.#core;
    assert(seq <= core.writeSeq, "only what was handed out can be stored");
    if (seq <= core.storedSeq) return;
    core.storedSeq = seq;
    const { underWay } = core;
    while (underWay !== null && underWay.length > 0 && underWay[0]! <= seq) {
      core.log.durable = Math.max(core.log.durable, underWay[1]!);
      underWay.splice(0, 2);
    }
    if (underWay?.length === 0) core.underWay = null;
    ownVoteStored(core, now);
    if (core.leadership !== null) advanceCommit(core);
    else earlyCommit(core);
  }

  /** The rows hold everything up to `index`. */
  applied(index: number, _now: Moment): void {
    assert(index <= this.#core.handed, "only what was handed out can be applied");
    this.#core.applied = Math.max(this.#core.applied, index);
  }

  /**
   * Lets go of old entries: those at or below `memoryIndex` leave memory (they must be applied), those at or below `storageIndex`
   * (≤ memoryIndex) are gone from storage too, or soon will be: who needs them gets a snapshot.
   */
  trim(memoryIndex: number, storageIndex: number): void {
    const { log, applied } = this.#core;
    assert(memoryIndex <= applied && storageIndex <= memoryIndex, "only applied entries are let go, first from memory");
    log.release(Math.min(memoryIndex, log.durable, this.#core.writtenTo));
    log.oldestStored = Math.max(log.oldestStored, Math.min(storageIndex, log.anchor.index) + 1);
  }

  /**
   * The message that goes to a member with a snapshot of the rows as applied at `index` (anchor of the window ≤ index ≤ applied).
   * Null if this is not the leader, or that not one of its members, any more. Without `to` the receiver's answer is not taken for
   * progress; a probe finds it out later.
   */
  snapshotMessage(index: number, to?: MemberId): SnapshotMessage | null {
    const core = this.#core;
    const { log, leadership } = core;
    const peer = leadership === null || to === undefined ? null : peerOf(leadership, to);
    if (leadership === null || (to !== undefined && peer === null)) return null;
    assert(
      index >= log.anchor.index && index <= core.applied,
      "a snapshot holds what is applied, at a position the window knows",
    );
    const stampMs = index === log.anchor.index ? log.anchor.stampMs : log.get(index).stampMs;
    const anchor: Anchor = { index, term: log.termAt(index), stampMs, configuration: log.configurationAt(index) }; // rule 4
    const session = peer?.session ?? -1;
    return { kind: "snapshot", from: core.self, term: core.term, gen: core.options.leases.gen, session, anchor };
  }

  /** The hand-over of a snapshot has ended: received and staged there, or failed (it will be wanted again later). */
  snapshotDone(to: MemberId, ok: boolean, now: Moment): void {
    onSnapshotDone(this.#core, to, ok, now);
  }

  /**
   * Answers `Effects.fetches`: consecutive entries from storage and the term of the one before them; none: they are gone, a
   * snapshot is due.
   */
  fetched(to: MemberId, prevTerm: number, entries: readonly Entry<C>[], now: Moment): void {
    onFetched(this.#core, to, prevTerm, entries, now);
  }

  /**
   * Leader: hand leadership to this voter as soon as it has the whole log. Until then, at most `transferMs`, no proposals are
   * taken. False if that can't be.
   */
  transfer(to: MemberId, now: Moment): boolean {
    return beginTransfer(this.#core, to, now);
  }

  /**
   * Leader: change the membership (one learner or voter, or any set of voters by way of a joint configuration). Returns the
   * entry's index or why not.
   */
  reconfigure(wish: Membership, now: Moment): number | ReconfigureRefusal {
    return reconfigure(this.#core, wish, now);
  }

  // ---- effects

  /** What is to be done since the last drain; null if nothing. The arrays are the caller's. */
  drain(now: Moment): Effects<C> | null {
    return drain(this.#core, now);
  }

  /**
   * When `tick` is next needed, on the clock of `Moment.monoMs`; Infinity while only a message, a call or a lease event can
   * matter.
   */
  nextWakeMs(): number {
    const core = this.#core;
    const { leadership, options } = core;
    let wakeMs = readsWakeMs(core);
    if (leadership === null) {
      wakeMs = Math.min(wakeMs, Math.max(core.electAtMs, options.leases.mayVoteAtMs));
      const mustAsk = core.leader !== null && core.role === "follower" && options.leases.genOf(core.leader) > core.leaderGen;
      return mustAsk ? Math.min(wakeMs, core.askedAtMs + options.retryMs) : wakeMs;
    }
    wakeMs = Math.min(wakeMs, leadership.unsupportedSinceMs + options.checkQuorumMs, leadership.transferUntilMs);
    for (const peer of leadership.peers) {
      wakeMs = Math.min(wakeMs, retryAtMs(core, peer));
      if (peer.leaving) wakeMs = Math.min(wakeMs, leadership.leavingUntilMs);
    }
    return wakeMs;
  }

  // ---- what is known (no effects)

  /**
   * May this member answer a read of this scope from its own rows, now, without a message? True only at a leader with a lease,
   * rows applied far enough.
   */
  mayRead(scope: Scope, now: Moment): boolean {
    const core = this.#core;
    if (core.leadership === null || core.applied < leaderReadIndex(core, core.leadership, scope)) return false;
    return leaseHeld(core, now);
  }
  /** Leader: the index a linearizable read of this scope must have applied (rule 9); null elsewhere. */
  readIndex(scope: Scope): number | null {
    return this.#core.leadership === null ? null : leaderReadIndex(this.#core, this.#core.leadership, scope);
  }
  /** Leader: does it hold a lease over this group, now? */
  holdsLease(now: Moment): boolean {
    return leaseHeld(this.#core, now);
  }
  get self(): MemberId {
    return this.#core.self;
  }
  get term(): number {
    return this.#core.term;
  }
  get role(): Role {
    return this.#core.role;
  }
  /** Who leads in this term, as far as known. */
  get leader(): MemberId | null {
    return this.#core.leader;
  }
  get commitIndex(): number {
    return this.#core.commit;
  }
  /** Reported by `applied`. */
  get appliedIndex(): number {
    return this.#core.applied;
  }
  get lastIndex(): number {
    return this.#core.log.last;
  }
  get durableIndex(): number {
    return this.#core.log.durable;
  }
  /** The position before the memory window. */
  get anchor(): Anchor {
    return this.#core.log.anchor;
  }
  /** Follower: highest index durable here and flagged durable by the leader of this term; 0 else. What early commit looks at. */
  get flaggedIndex(): number {
    const core = this.#core;
    if (core.role !== "follower" || core.leader === null) return 0;
    return Math.min(core.flagged, core.log.durable);
  }
  /** The newest configuration in the log (rule 23). */
  get configuration(): Configuration {
    return this.#core.configuration;
  }
  /** Index of the newest configuration entry; committed iff ≤ commitIndex. */
  get configurationIndex(): number {
    return this.#core.log.configurationIndex;
  }
  configurationAt(index: number): Configuration {
    return this.#core.log.configurationAt(index);
  }
  /** Is this member a voter of the newest configuration? */
  get isVoter(): boolean {
    return isVoter(this.#core.configuration, this.#core.self);
  }
  /**
   * Has the leader of this term said farewell, and is that committed here? Only then, and before it steps the next message, may
   * the host forget the group (delete rows and log): it keeps `Remains`, and a later `emptyGroup(remains)` waits to be filled.
   * That an applied configuration lacks this member is not enough: it may be an old one, replayed to a member that was taken in
   * again.
   */
  get dismissed(): boolean {
    const { dismissed, log, commit } = this.#core;
    return dismissed && log.configurationIndex <= commit && !isMember(log.configuration, this.self);
  }
  /** What the host keeps of a group that it forgets, as it is in memory now. */
  get remains(): Remains {
    const { term, vote, commit, silentBelow } = this.#core;
    return { term, vote, silentBelow: Math.max(commit, silentBelow) };
  }
  /** Log time of the newest entry, ms since 1970. */
  get logTimeMs(): number {
    return this.#core.log.lastStampMs;
  }
  /** Leader: the members whose support it wants, heartbeats go there; empty elsewhere. The same array until they change. */
  get supporters(): readonly MemberId[] {
    return this.#core.leadership?.supporters ?? NOBODY;
  }
  /** Leader only; null for a stranger or elsewhere. */
  progress(member: MemberId): Progress | null {
    const peer = this.#core.leadership === null ? null : peerOf(this.#core.leadership, member);
    return peer === null ? null : { match: peer.match, state: peer.state };
  }
  /** Entry in the memory window, or null. */
  entry(index: number): Entry<C> | null {
    return this.#core.log.entry(index);
  }
}
