// The state of one group at one member, and the few moves every part makes: send, follow, set timers. The parts (election,
// replication, …) are functions over this record; `Raft` is its face. Lean on purpose: thousands of groups sit idle in one
// process, so what only leaders, candidates or readers need is allocated when they need it.
import { assert } from "../util/assert.ts";
import type { Defect } from "./defects.ts";
import type { Fetch, ReadAnswer, ReadFailure, Role } from "./effects.ts";
import { Log } from "./log.ts";
import type { Anchor, AppendReply, Configuration, MemberId, Message, Moment, Scope } from "./messages.ts";
import type { RaftOptions } from "./options.ts";
import type { Restored } from "./restored.ts";

export const NEVER = Number.POSITIVE_INFINITY;

/** What a leader knows of one other member. */
export interface Peer {
  readonly id: MemberId;
  /** Index at which it became a member under this leader (or the leader began): answers to anything before count for nothing. */
  readonly session: number;
  /** Its log is durable and equal to ours up to here. */
  match: number;
  /** First index not sent yet. */
  next: number;
  /** stream: appends flow ahead of acks · probe: one at a time until logs agree · snapshot, fetch: waiting for the host. */
  state: "stream" | "probe" | "snapshot" | "fetch";
  /** Epoch of its promise when it last accepted an append of this term; −1: none yet (rule 14). */
  epoch: number;
  /** The epoch for which an append was sent to have it acknowledged. */
  wokenEpoch: number;
  /** Its commit index as it last said. */
  commit: number;
  /** Last append sent. */
  sentAtMs: number;
  /** What the last append told it. */
  toldCommit: number;
  toldDurable: number;
  /** An append is owed even if there is nothing new (probe, wake, retry). */
  due: boolean;
  /** Highest round of confirmation it answered (rule 18). */
  round: number;
  /** It has left the configuration and is only told so. */
  leaving: boolean;
}

/** What only a leader has. Made anew for each term it leads. */
export interface Leadership {
  peers: Peer[];
  /** Their ids. */
  supporters: readonly MemberId[];
  /** Index of the term's first entry. */
  readonly noop: number;
  /** rule 16: having sent 'campaign now' in this term, no lease any more. */
  sealed: boolean;
  /** While set, no proposals: the target could not catch up (dissertation §3.10). */
  transferTo: MemberId | null;
  transferSent: boolean;
  transferUntilMs: number;
  /** Since when no majority supports this node; NEVER while one does (rule 20). */
  unsupportedSinceMs: number;
  /** Leaving peers are told until then. */
  leavingUntilMs: number;
}

/** One read, or one member's batch of questions, on its way (read-index.ts). */
export interface WaitingRead {
  /** The caller's id; for another member's questions, the number of its ask. */
  readonly id: number;
  /** Null: begun here. Else who asked. */
  readonly from: MemberId | null;
  readonly scopes: readonly Scope[];
  /** What must be applied before the answer, per scope; null while the leader has not said. */
  indices: readonly number[] | null;
  /** Leader: leadership was shown at some moment after the request came (rule 17). */
  confirmed: boolean;
  /** Leader: the first round of confirmation begun after the request; 0: none yet. */
  round: number;
  /**
   * Follower: the questions that carried it, alternating ask and place in it: the answer to any of them will do. Null: none yet.
   */
  asks: number[] | null;
  /** Follower: when it was last asked. */
  sentAtMs: number;
  readonly untilMs: number;
}
export interface Reads {
  waiting: WaitingRead[];
  /**
   * Leader: the last round of confirmation. Answers count in their own term only, so the numbers may begin anew with each
   * process.
   */
  rounds: number;
  /** When the last round was sent. */
  roundSentAtMs: number;
}

interface Outgoing<C> {
  readonly to: MemberId;
  readonly message: Message<C>;
  /** Leaves only after everything written so far is durable (rule 1). */
  readonly durable: boolean;
}

export class Core<C> {
  readonly options: RaftOptions;
  readonly log: Log<C>;
  // ---- hard state
  term: number;
  vote: MemberId | null;
  // ---- soft state
  role: Role = "follower";
  leader: MemberId | null = null;
  /** The leader's generation as last heard in this group (rule 19). */
  leaderGen = 0;
  commit: number;
  /** Committed entries handed out for applying, up to here. */
  handed: number;
  applied: number;
  /** No vote and no campaign before the log reaches this again (`Restored.silentBelow`). */
  readonly silentBelow: number;
  /** The session of the newest append heeded in this term, and whether it was a farewell. */
  session = -1;
  dismissed = false;
  /**
   * Highest index that the leader of this term flagged durable, as far as verified here (rule 6). Every term begins with 0
   * (`enterTerm`).
   */
  flagged = 0;
  /** When to campaign; NEVER while a promise, or not being a voter, holds it back. */
  electAtMs = NEVER;
  /** When the leader was last asked whether it leads (rule 19). */
  askedAtMs = Number.NEGATIVE_INFINITY;
  /** The campaign under way: who granted. */
  votes: Set<MemberId> | null = null;
  leadership: Leadership | null = null;
  reads: Reads | null = null;
  // ---- writes: what goes into the next, and those under way
  hardDirty = false;
  /** Log entries up to here went out in writes. */
  writtenTo: number;
  truncateFrom = 0;
  /** A snapshot accepted since the last write. */
  installing: Anchor | null = null;
  writeSeq = 0;
  storedSeq = 0;
  /** Alternating: seq, highest index it makes durable. Null when all is durable. */
  underWay: number[] | null = null;
  /** The write that carries this candidate's vote for itself; 0: not yet drained. */
  ownVoteSeq = 0;
  // ---- effects gathered for the next drain
  out: Outgoing<C>[] | null = null;
  /** One acknowledgement answers all appends of a batch. */
  ack: AppendReply | null = null;
  ackTo: MemberId = "";
  answers: ReadAnswer[] | null = null;
  snapshots: MemberId[] | null = null;
  fetches: Fetch[] | null = null;
  changed = true;

  constructor(options: RaftOptions, restored: Restored<C>) {
    this.options = options;
    this.log = new Log(restored.anchor, restored.oldestStored, restored.entries);
    this.term = restored.term;
    this.vote = restored.vote;
    assert(
      restored.applied >= restored.anchor.index && restored.applied <= this.log.last,
      "rows are applied within the log that is there",
    );
    assert(this.term >= this.log.lastTerm, "the term is at least that of the last entry");
    this.commit = this.handed = this.applied = restored.applied;
    this.writtenTo = this.log.last;
    this.silentBelow = restored.silentBelow ?? 0;
  }

  get self(): MemberId {
    return this.options.self;
  }
  get configuration(): Configuration {
    return this.log.configuration;
  }
  /** Is this rule broken on purpose? One line per planted defect, at the line that keeps the rule. */
  broken(defect: Defect): boolean {
    return this.options.defects !== undefined && this.options.defects.has(defect);
  }

  /**
   * The newest configuration, for a decision that takes a majority of both halves while it is joint (rule 21). @param defect
   * looks at the new half only.
   */
  deciding(defect: Defect): Configuration {
    const { configuration } = this;
    return this.broken(defect) ? { ...configuration, old: null } : configuration;
  }

  /** @param durable leaves only once everything written so far is durable. */
  send(to: MemberId, message: Message<C>, durable = false): void {
    assert(to !== this.self, "a member does not write to itself");
    (this.out ??= []).push({ to, message, durable });
  }

  /** The only place where the term grows: no vote given in it yet but this one, nothing flagged. */
  enterTerm(term: number, vote: MemberId | null): void {
    assert(term > this.term, "a term never falls");
    this.term = term;
    this.vote = vote; // one vote a term
    this.hardDirty = true;
    if (!this.broken("early-any-term")) this.flagged = 0; // rule 6: a flag speaks of its own term
  }

  /** Becomes follower in `term`, of `leader` if known. Ends a campaign or leadership and all that hangs on them. */
  follow(term: number, leader: MemberId | null, now: Moment): void {
    if (term !== this.term) this.enterTerm(term, null);
    if (this.role === "leader") {
      this.options.leases.steppedDown(); // rule 19
      if (this.out !== null) this.out = this.out.filter((outgoing) => outgoing.message.kind !== "append"); // rule 5
    }
    this.role = "follower";
    this.leader = leader;
    this.session = -1;
    this.dismissed = false;
    this.votes = null;
    this.leadership = null; // rule 5: without it nothing can be appended or sent as leader
    this.askedAtMs = Number.NEGATIVE_INFINITY;
    this.changed = true;
    this.failReads("not-leader");
    this.rest(now);
  }

  /** Ends all reads under way; other members' questions are dropped: they ask again. */
  failReads(why: ReadFailure): void {
    if (this.reads === null) return;
    for (const read of this.reads.waiting) if (read.from === null) (this.answers ??= []).push({ id: read.id, ok: false, why });
    this.reads.waiting = [];
  }

  /** (Re)starts the election timer. */
  rest(now: Moment): void {
    const { electionMinMs, electionSpreadMs } = this.options;
    this.electAtMs = now.monoMs + electionMinMs + now.jitter * electionSpreadMs;
  }
}
