// Quorums over configurations, and which change of one may follow (rules 8, 21–24). Pure functions.
import { assert } from "../util/assert.ts";
import type { Configuration, MemberId } from "./messages.ts";

export const MAX_VOTERS = 7;
export const MAX_LEARNERS = 16;

/** The wished members of a group. The core decides whether one step does or a joint configuration is needed (rule 21). */
export interface Membership {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/** Do the members for which `has` holds make a majority, of both halves while joint? */
export function isQuorum(configuration: Configuration, has: (member: MemberId) => boolean): boolean {
  return isMajority(configuration.voters, has) && (configuration.old === null || isMajority(configuration.old, has));
}

function isMajority(voters: readonly MemberId[], has: (member: MemberId) => boolean): boolean {
  let count = 0;
  for (const voter of voters) if (has(voter)) count++;
  return count > voters.length >> 1;
}

/** The highest value that a quorum has reached, given each voter's. No allocation: this runs for every acknowledgement. */
export function quorumValue(configuration: Configuration, heldBy: (member: MemberId) => number): number {
  const value = majorityValue(configuration.voters, heldBy);
  return configuration.old === null ? value : Math.min(value, majorityValue(configuration.old, heldBy));
}

function majorityValue(voters: readonly MemberId[], heldBy: (member: MemberId) => number): number {
  let best = Number.NEGATIVE_INFINITY;
  for (const voter of voters) {
    const value = heldBy(voter);
    if (value <= best) continue;
    let reached = 0;
    for (const other of voters) if (heldBy(other) >= value) reached++;
    if (reached > voters.length >> 1) best = value;
  }
  return best;
}

export function isVoter(configuration: Configuration, member: MemberId): boolean {
  return configuration.voters.includes(member) || configuration.old?.includes(member) === true;
}

export function isMember(configuration: Configuration, member: MemberId): boolean {
  return isVoter(configuration, member) || configuration.learners.includes(member);
}

/** Calls `visit` once for each voter of either half. */
export function eachVoter(configuration: Configuration, visit: (member: MemberId) => void): void {
  for (const member of configuration.voters) visit(member);
  if (configuration.old !== null)
    for (const member of configuration.old) if (!configuration.voters.includes(member)) visit(member);
}

/** Calls `visit` once for each voter and learner. */
export function eachMember(configuration: Configuration, visit: (member: MemberId) => void): void {
  eachVoter(configuration, visit);
  for (const member of configuration.learners) if (!isVoter(configuration, member)) visit(member);
}

/** A wish is well-formed: 1–7 voters, no one twice, nobody both. */
export function isValidMembership(wish: Membership): boolean {
  const all = [...wish.voters, ...wish.learners];
  return (
    wish.voters.length >= 1 &&
    wish.voters.length <= MAX_VOTERS &&
    wish.learners.length <= MAX_LEARNERS &&
    new Set(all).size === all.length
  );
}

/** How many voters come or go between two sets. */
export function votersChanged(from: readonly MemberId[], to: readonly MemberId[]): number {
  let changed = 0;
  for (const member of from) if (!to.includes(member)) changed++;
  for (const member of to) if (!from.includes(member)) changed++;
  return changed;
}

/**
 * The configuration that leads from `present` (not joint) towards the wish: itself if at most one voter comes or goes, else the
 * joint one (rules 21, 24). Null if nothing changes.
 */
export function nextConfiguration(present: Configuration, wish: Membership): Configuration | null {
  assert(present.old === null, "a joint configuration is left before the next change (rule 21)");
  const changed = votersChanged(present.voters, wish.voters);
  if (changed === 0 && sameSet(present.learners, wish.learners)) return null;
  // A lone voter that is replaced by another would be two steps anyway; joint does both in one.
  return { voters: [...wish.voters], old: changed > 1 ? present.voters : null, learners: [...wish.learners] };
}

/** What follows a joint configuration once it is committed. */
export function afterJoint(joint: Configuration): Configuration {
  return { voters: joint.voters, old: null, learners: joint.learners };
}

/** May `next` stand in a log right after `previous`? (rule 21; asserted at every append) */
export function mayFollow(previous: Configuration, next: Configuration): boolean {
  if (next.voters.length > MAX_VOTERS || next.voters.length < 1) return false;
  if (previous.voters.length === 0) return true; // a member that knew nothing
  if (previous.old !== null) return next.old === null && sameSet(previous.voters, next.voters);
  if (next.old !== null) return sameSet(previous.voters, next.old);
  return votersChanged(previous.voters, next.voters) <= 1;
}

function sameSet(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((member) => b.includes(member));
}
