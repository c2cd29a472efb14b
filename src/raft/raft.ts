// One group's consensus as a value: events in, effects out. No clock, no randomness, no I/O. SKELETON: signatures are final, bodies follow.
import type { Effects, Role } from "./effects.ts";
import type { Anchor, Configuration, Entry, MemberId, Message, Moment, Scope, SnapshotMessage } from "./messages.ts";
import type { RaftOptions } from "./options.ts";

/** What a group is made from at process start: what storage holds. A new member starts from `emptyGroup()`. */
export interface Restored<C> {
  readonly term: number;
  readonly vote: MemberId | null;
  /** The position just before `entries`, with what is known there. Index 0, term 0 and the birth configuration for a newborn group. */
  readonly anchor: Anchor;
  /** Oldest index still in storage (for members that are behind); `anchor.index + 1` if storage holds no more than `entries`. */
  readonly oldestStored: number;
  /** The log after the anchor, durable. */
  readonly entries: readonly Entry<C>[];
  /** Up to where the rows are applied, durable; at least `anchor.index`. */
  readonly applied: number;
}

/** A member that knows nothing yet: it waits to be found by a leader (learner first, rule 26). */
export function emptyGroup<C>(): Restored<C> {
  const configuration: Configuration = { voters: [], old: null, learners: [] };
  return newbornGroup(configuration);
}
/** A group at birth: all its first voters start from this same value. */
export function newbornGroup<C>(configuration: Configuration): Restored<C> {
  return {
    term: 0,
    vote: null,
    anchor: { index: 0, term: 0, stampMs: 0, configuration },
    oldestStored: 1,
    entries: [],
    applied: 0,
  };
}

export interface Command<C> {
  readonly data: C;
  /** The reads it concerns (rule 9). */
  readonly scope: Scope;
  readonly sizeBytes: number;
}
export type Refusal = "not-leader" | "transferring" | "busy";
/** The wished members. The core decides whether one step does or a joint configuration is needed (rule 21). */
export interface Membership {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}
export type ReconfigureRefusal = "not-leader" | "transferring" | "not-ready" | "in-progress" | "no-change" | "invalid";

/** What a leader knows of a member. */
export interface Progress {
  /** Up to here its log is durable and equal to ours. */
  readonly match: number;
  /** Probing for agreement, streaming, or being filled by a snapshot. */
  readonly state: "probe" | "stream" | "snapshot" | "fetch";
}

export class Raft<C> {
  /** @param now the jitter in it staggers the first campaigns of a node's groups. */
  constructor(options: RaftOptions, restored: Restored<C>, now: Moment) {
    void options, void restored, void now;
  }

  // ---- events. None returns effects: handle as many as have come together, then `drain` once (that makes the batches).

  /** A message of another member has come. Late, repeated and reordered ones are fine. A snapshot message: only once its bytes are staged. */
  step(message: Message<C>, now: Moment): void {
    void message, void now;
  }
  /** Time has passed. Needed at `nextWakeMs()` and after the lease events that concern the group (`Roster` knows); harmless at any time. */
  tick(now: Moment): void {
    void now;
  }
  /** Appends a command at the leader. Returns its index (its term is `term`), or why not. Whether it commits shows in `Effects.apply`. */
  propose(command: Command<C>, now: Moment): number | Refusal {
    void command, void now;
    return "not-leader";
  }
  /**
   * Begins a linearizable read; ends in `Effects.reads` with the caller's `id` once the own rows may answer (leader: by lease or a majority's
   * confirmation; other members: index from the leader). The host must read its rows after the answer and before it handles the next event.
   */
  read(id: number, scope: Scope, now: Moment): void {
    void id, void scope, void now;
  }
  /** Everything written up to `Write.seq` is durable. */
  stored(seq: number, now: Moment): void {
    void seq, void now;
  }
  /** The rows hold everything up to `index`. */
  applied(index: number, now: Moment): void {
    void index, void now;
  }
  /**
   * Lets go of old entries: those at or below `memoryIndex` leave memory (they must be applied), those at or below `storageIndex` (≤ memoryIndex)
   * are gone from storage too, or soon will be: who needs them gets a snapshot.
   */
  trim(memoryIndex: number, storageIndex: number): void {
    void memoryIndex, void storageIndex;
  }
  /** The message that goes with a snapshot of the rows as applied at `index` (anchor of the window ≤ index ≤ applied); null if not leading. */
  snapshotMessage(index: number): SnapshotMessage | null {
    void index;
    return null;
  }
  /** The hand-over of a snapshot has ended: received and staged there, or failed (it will be wanted again later). */
  snapshotDone(to: MemberId, ok: boolean, now: Moment): void {
    void to, void ok, void now;
  }
  /** Answers `Effects.fetches`: consecutive entries from storage and the term of the one before them; none: they are gone, a snapshot is due. */
  fetched(to: MemberId, prevTerm: number, entries: readonly Entry<C>[], now: Moment): void {
    void to, void prevTerm, void entries, void now;
  }
  /** Leader: hand leadership to this voter as soon as it has the whole log. False if that can't be. Gives up after `transferMs`. */
  transfer(to: MemberId, now: Moment): boolean {
    void to, void now;
    return false;
  }
  /** Leader: change the membership (one learner or voter, or any set of voters by way of a joint configuration). Returns the entry's index or why not. */
  reconfigure(wish: Membership, now: Moment): number | ReconfigureRefusal {
    void wish, void now;
    return "not-leader";
  }

  // ---- effects

  /** What is to be done since the last drain; null if nothing. The arrays are the caller's. */
  drain(now: Moment): Effects<C> | null {
    void now;
    return null;
  }
  /** When `tick` is next needed, on the clock of `Moment.monoMs`; Infinity while only a message, a call or a lease event can matter. */
  nextWakeMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  // ---- what is known (no effects)

  /** May this member answer a read of this scope from its own rows, now, without a message? True only at a leader with a lease, rows applied far enough. */
  mayRead(scope: Scope, now: Moment): boolean {
    void scope, void now;
    return false;
  }
  /** Leader: the index a linearizable read of this scope must have applied (rule 9); null elsewhere. */
  readIndex(scope: Scope): number | null {
    void scope;
    return null;
  }
  get self(): MemberId {
    return "";
  }
  get term(): number {
    return 0;
  }
  get role(): Role {
    return "follower";
  }
  /** Who leads in this term, as far as known. */
  get leader(): MemberId | null {
    return null;
  }
  get commitIndex(): number {
    return 0;
  }
  /** Reported by `applied`. */
  get appliedIndex(): number {
    return 0;
  }
  get lastIndex(): number {
    return 0;
  }
  get durableIndex(): number {
    return 0;
  }
  /** Follower: highest index durable here and flagged durable by the leader of this term; 0 else. What early commit looks at. */
  get flaggedIndex(): number {
    return 0;
  }
  /** The newest configuration in the log (rule 23). */
  get configuration(): Configuration {
    return { voters: [], old: null, learners: [] };
  }
  /** Index of the newest configuration entry; committed iff ≤ commitIndex. */
  get configurationIndex(): number {
    return 0;
  }
  configurationAt(index: number): Configuration {
    void index;
    return this.configuration;
  }
  /** Log time of the newest entry, ms since 1970. */
  get logTimeMs(): number {
    return 0;
  }
  /** Leader only; null for a stranger or elsewhere. */
  progress(member: MemberId): Progress | null {
    void member;
    return null;
  }
  /** Entry in the memory window, or null. */
  entry(index: number): Entry<C> | null {
    void index;
    return null;
  }
}
