// What a group wants done, as data. The host (src/group, or a simulator) carries it out; nothing here happens by itself.
import type { Anchor, Entry, MemberId, Message } from "./messages.ts";

/**
 * One write to the group's log storage. Writes of a group become durable in the order of `seq`, each as a whole or not at all.
 * Within one write: first `install`, then `truncateFrom`, then `entries`, and term and vote with them.
 */
export interface Write<C> {
  /** 1, 2, 3, … per process and group. Reported back with `Raft.stored(seq)`. */
  readonly seq: number;
  readonly term: number;
  readonly vote: MemberId | null;
  /**
   * The staged snapshot at this anchor becomes the rows (report with `Raft.applied(anchor.index)`); the log up to it goes, and
   * what follows it as well if `truncateFrom` says so. Null: none.
   */
  readonly install: Anchor | null;
  /** Entries at and above this index are removed before `entries` are added; 0: nothing to remove. */
  readonly truncateFrom: number;
  /** Consecutive; the first follows the last one kept. */
  readonly entries: readonly Entry<C>[];
}

/**
 * A message and what must be durable before it leaves: the write with seq `afterSeq` (and all before it); 0: it may leave at
 * once.
 */
export interface Send<C> {
  readonly to: MemberId;
  readonly message: Message<C>;
  readonly afterSeq: number;
}

/** Why a read could not be answered; the host asks again, or another member. */
export type ReadFailure = "no-leader" | "not-leader" | "timeout" | "busy";

/**
 * The end of a read begun with `Raft.read`. ok: the member's own rows, as applied now (at or above `index`), are linearizable for
 * it.
 */
export type ReadAnswer =
  | { readonly id: number; readonly ok: true; readonly index: number }
  | { readonly id: number; readonly ok: false; readonly why: ReadFailure };

/** Entries a slow member needs that are no longer in memory but still in storage: answer with `Raft.fetched`. */
export interface Fetch {
  readonly to: MemberId;
  /** First index wanted. The host reads on from here, as far as its own limits for one message allow, at least one entry. */
  readonly from: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/**
 * What to do after the events handled since the last drain. Order: `write` may be started at once; messages with `afterSeq` 0 may
 * leave at once, before it; `apply` may be applied at once, in order, but its rows must not become durable before the log entries
 * that went out in this or an earlier write (one ordered storage pipeline does that by itself).
 */
export interface Effects<C> {
  readonly write: Write<C> | null;
  readonly messages: readonly Send<C>[];
  /** Committed entries, consecutive, each handed out exactly once a process. Report with `Raft.applied`. */
  readonly apply: readonly Entry<C>[];
  readonly reads: readonly ReadAnswer[];
  /** Members that need a snapshot: ship rows, the dedup table and `Raft.snapshotMessage(index)`; end with `Raft.snapshotDone`. */
  readonly snapshots: readonly MemberId[];
  readonly fetches: readonly Fetch[];
  /** True iff term, role, leader or configuration changed since the last drain (read them from the group). */
  readonly changed: boolean;
}
