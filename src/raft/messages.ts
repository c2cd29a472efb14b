// What travels between the members of one group, and the words all of src/raft shares. Plain data: no class, no method, safe to
// encode. The envelope (which group, to whom) is the host's; a message names its sender, because a member id names a store, not a
// connection.

/**
 * Names one store of one node: node and incarnation (rule 26). A wiped or restored-old store gets a new one and never reuses the
 * old. The same id stands for the node in every group it is a member of, and in `Leases`.
 */
export type MemberId = string;

/**
 * The instant of an event, read by the host *after* the event has come: a lease looked at before a request came is worthless
 * (rule 17). One object may serve many events that are handled together if it was read after the last of them had come.
 */
export interface Moment {
  /** The ordinary monotonic clock, ms. May stand still while the machine sleeps. */
  readonly monoMs: number;
  /** A monotonic clock that goes on while the machine sleeps (boot time), ms. Where there is none, the host passes `monoMs`. */
  readonly bootMs: number;
  /** The wall clock, ms since 1970. May jump; used as third opinion on leases and for log time, never for order. */
  readonly wallMs: number;
  /** A fresh random number in [0, 1): election and heartbeat jitter. */
  readonly jitter: number;
}

/**
 * Which reads an entry concerns (rule 9): a key's hash (a non-negative safe integer; equal keys, equal hashes), several of them,
 * `SCOPE_ALL` (a bucket-wide command: counts for every key) or `SCOPE_NONE` (no row a client can read changes).
 * For a read: the hash of its key, several, or `SCOPE_ALL` (a list: waits for every flagged entry of the group).
 */
export type Scope = number | readonly number[];
export const SCOPE_ALL = -1;
export const SCOPE_NONE = -2;

/**
 * Who is a member. `old` is null, or the voters being left while the change is joint: then both halves must agree. Never mutated.
 */
export interface Configuration {
  readonly voters: readonly MemberId[];
  readonly old: readonly MemberId[] | null;
  readonly learners: readonly MemberId[];
}

/** One position of the log. Never mutated once made: windows of several members (in one process) may share it. */
export interface Entry<C> {
  readonly index: number;
  readonly term: number;
  /** Log time, ms since 1970: never less than that of the entry before (rule 28). */
  readonly stampMs: number;
  /** What reads it concerns. */
  readonly scope: Scope;
  /** Weight for flow control, bytes. */
  readonly sizeBytes: number;
  /** Set iff the entry changes the membership; then `data` is null. */
  readonly configuration: Configuration | null;
  /** The command; null in a leader's first entry (the no-op) and in configuration entries. */
  readonly data: C | null;
}

/**
 * A position and all that must be known about what lies at or before it (rule 4; rows and the dedup table are the host's part).
 */
export interface Anchor {
  readonly index: number;
  readonly term: number;
  readonly stampMs: number;
  /** The configuration at `index`. */
  readonly configuration: Configuration;
}

/** "May I lead?" `pre`: only asks whether a vote would be given; `term` is then the one it would campaign in. */
export interface VoteRequest {
  readonly kind: "vote";
  readonly from: MemberId;
  readonly term: number;
  readonly pre: boolean;
  /** Sent on the old leader's word ('campaign-now'): promises to that leader don't hold it back (rules 12, 16). */
  readonly force: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
}
export interface VoteReply {
  readonly kind: "vote-reply";
  readonly from: MemberId;
  /** Granted: the term asked for. Refused: the refuser's own term. */
  readonly term: number;
  readonly pre: boolean;
  readonly granted: boolean;
  /** The voter's wall clock: a fresh leader knows a majority's clocks at once. */
  readonly wallMs: number;
}
export interface Append<C> {
  readonly kind: "append";
  readonly from: MemberId;
  readonly term: number;
  /** The sender's generation: (boot, step-downs) of the node, see `Leases.gen` (rule 19). */
  readonly gen: number;
  /**
   * Since when the receiver is a member, as the leader numbers it; echoed. Who left, forgot and came back is not held to what it
   * said before.
   */
  readonly session: number;
  /** As of the leader's whole log, the receiver is no member any more: this is its farewell. */
  readonly leaving: boolean;
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly entries: readonly Entry<C>[];
  readonly commit: number;
  /** Highest index that is durable at the leader (rule 6). */
  readonly durable: number;
}
export interface AppendReply {
  readonly kind: "append-reply";
  readonly from: MemberId;
  readonly term: number;
  /** Of the append or snapshot that this answers. */
  readonly session: number;
  readonly ok: boolean;
  /**
   * ok: everything up to here is durable at the sender and equals the leader's log. Else a hint: no agreement above this index.
   */
  readonly match: number;
  /** Not ok: the prevIndex refused. */
  readonly refused: number;
  /** The epoch of the sender's promise to the leader when it *accepted* the append; −1 for none (rule 14). */
  readonly epoch: number;
  /** The sender's commit index: the leader may let the group sleep once it equals its own. */
  readonly commit: number;
}
/** Announces that a snapshot lies staged at the receiver: the host hands it to `step` only once all its bytes are there. */
export interface SnapshotMessage {
  readonly kind: "snapshot";
  readonly from: MemberId;
  readonly term: number;
  readonly gen: number;
  readonly session: number;
  readonly anchor: Anchor;
}
/**
 * "Do you still follow me?" Answered by `confirm-reply`; a majority of answers proves leadership at a moment after `round` began
 * (rule 18).
 */
export interface Confirm {
  readonly kind: "confirm";
  readonly from: MemberId;
  readonly term: number;
  readonly gen: number;
  readonly round: number;
}
export interface ConfirmReply {
  readonly kind: "confirm-reply";
  readonly from: MemberId;
  readonly term: number;
  readonly round: number;
}
/** A member asks its leader up to where it must have applied before it answers these reads itself (rule 18). */
export interface ReadIndexRequest {
  readonly kind: "read-index";
  readonly from: MemberId;
  readonly term: number;
  /** The asker's own number for this question. */
  readonly ask: number;
  /** One scope per question in the batch. */
  readonly scopes: readonly Scope[];
}
export interface ReadIndexReply {
  readonly kind: "read-index-reply";
  readonly from: MemberId;
  readonly term: number;
  readonly ask: number;
  /** Indices in the order of the scopes asked; null when the sender does not lead. */
  readonly indices: readonly number[] | null;
}
/** The leader tells a caught-up voter to campaign at once (transfer). */
export interface CampaignNow {
  readonly kind: "campaign-now";
  readonly from: MemberId;
  readonly term: number;
}
/** "Do you lead this group in this term?" (rule 19) */
export interface LeadQuestion {
  readonly kind: "lead-question";
  readonly from: MemberId;
  readonly term: number;
}
export interface LeadAnswer {
  readonly kind: "lead-answer";
  readonly from: MemberId;
  /** The term asked about. */
  readonly term: number;
  readonly leads: boolean;
  readonly gen: number;
}

export type Message<C> =
  | VoteRequest
  | VoteReply
  | Append<C>
  | AppendReply
  | SnapshotMessage
  | Confirm
  | ConfirmReply
  | ReadIndexRequest
  | ReadIndexReply
  | CampaignNow
  | LeadQuestion
  | LeadAnswer;
