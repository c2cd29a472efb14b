// What a group is made from: at bootstrap, at a process start, or as a member that knows nothing yet. Rules 25–27 are kept before
// this: a host makes a group from storage only after its store's (incarnation, tick) was accepted by the control group (rule 25;
// a member of the control group asks the others, rule 27); a refused store begins as a new, empty member (rule 26, `emptyGroup`).
import type { Anchor, Configuration, Entry, MemberId } from "./messages.ts";

/** What storage holds of a group when the process starts. */
export interface Restored<C> {
  readonly term: number;
  readonly vote: MemberId | null;
  /**
   * The position just before `entries`, with what is known there. Index 0, term 0 and the bootstrap configuration for a newborn
   * group.
   */
  readonly anchor: Anchor;
  /** Oldest index still in storage (for members that are behind); `anchor.index + 1` if storage holds no more than `entries`. */
  readonly oldestStored: number;
  /** The log after the anchor, durable. */
  readonly entries: readonly Entry<C>[];
  /** Up to where the rows are applied, durable; at least `anchor.index`. */
  readonly applied: number;
  /**
   * For a group this store once left and forgot (`Raft.dismissed`): its commit index then. Until its log reaches there again the
   * member neither votes nor campaigns, for what it is filled with passes through old configurations, in which it had a say. Kept
   * for good (what leaders fill it with holds everything committed up to there, so the log's end is measure enough, also after
   * restarts). Default 0.
   */
  readonly silentBelow?: number;
}

/** What must be kept of a group that was left: the promises that outlive the data. */
export interface Remains {
  readonly term: number;
  readonly vote: MemberId | null;
  /** The commit index when it was forgotten. */
  readonly silentBelow: number;
}

/**
 * A member that knows nothing yet: it waits to be found by a leader (learner first, rules 24, 26).
 *
 * @param remains  iff this store was a member before and forgot the group.
 */
export function emptyGroup<C>(remains: Remains | null = null): Restored<C> {
  const empty = bootstrapGroup<C>({ voters: [], old: null, learners: [] });
  return remains === null ? empty : { ...empty, ...remains };
}

/** A group at bootstrap: all its first voters start from this same value. */
export function bootstrapGroup<C>(configuration: Configuration): Restored<C> {
  return {
    term: 0,
    vote: null,
    anchor: { index: 0, term: 0, stampMs: 0, configuration },
    oldestStored: 1,
    entries: [],
    applied: 0,
  };
}
