// Membership change: one member at a time or joint, one change at a time (Raft §6; dissertation §4; rules 21–24).
import { assert } from "../util/assert.ts";
import {
  afterJoint,
  eachMember,
  isValidMembership,
  isVoter,
  type Membership,
  nextConfiguration,
  votersChanged,
} from "./configuration.ts";
import type { Core, Peer } from "./core.ts";
import { appendEntry } from "./leadership.ts";
import type { Configuration, Moment } from "./messages.ts";
import { SCOPE_NONE } from "./messages.ts";

export type ReconfigureRefusal = "not-leader" | "transferring" | "not-ready" | "in-progress" | "no-change" | "invalid";

/** Appends the configuration that leads towards the wish; a joint one is left by itself once it is committed. */
export function reconfigure<C>(core: Core<C>, wish: Membership, now: Moment): number | ReconfigureRefusal {
  const { leadership, log } = core;
  if (leadership === null) return "not-leader";
  if (leadership.transferTo !== null) return "transferring";
  if (!isValidMembership(wish)) return "invalid";
  if (core.commit < leadership.noop && !core.broken("conf-own-term")) return "not-ready"; // rule 22
  const pending = log.configurationIndex > core.commit || log.configuration.old !== null;
  if (pending && !core.broken("conf-overlap")) return "in-progress"; // rule 21
  const present: Configuration = pending ? { ...log.configuration, old: null } : log.configuration;
  let next = nextConfiguration(present, wish);
  if (next === null) return "no-change";
  if (core.broken("conf-two") && votersChanged(present.voters, wish.voters) === 2) next = { ...next, old: null };
  assert(log.admits(next) || core.options.defects !== undefined, "one change at a time (rule 21)");
  return appendEntry(core, null, next, SCOPE_NONE, configurationBytes(next), now);
}

/**
 * Level-triggered, whoever leads: a committed joint configuration is followed by the new one alone (Raft §6).
 * Returns true if the committed configuration no longer has this leader as a voter: it is to step down.
 */
export function driveMembership<C>(core: Core<C>, now: Moment): boolean {
  const { leadership, log } = core;
  if (leadership === null || log.configurationIndex > core.commit || core.commit < leadership.noop) return false;
  if (log.configuration.old !== null) {
    const next = afterJoint(log.configuration);
    appendEntry(core, null, next, SCOPE_NONE, configurationBytes(next), now);
    return false;
  }
  return !isVoter(log.configuration, core.self);
}

/**
 * The leader is no voter any more: it steps down and, so that the others need not wait for its promise to end, tells the one that
 * has most of the log to campaign. It has sent its last append (rule 5), and the commit index with it.
 */
export function leaveLeadership<C>(core: Core<C>, now: Moment): void {
  const { leadership, configuration, term } = core;
  assert(leadership !== null, "only a leader leaves leadership");
  let best: Peer | null = null;
  for (const peer of leadership.peers) {
    if (isVoter(configuration, peer.id) && (best === null || peer.match > best.match)) best = peer;
  }
  const told = core.out; // the last appends were made while it led
  core.out = null;
  core.follow(term, null, now);
  core.out = told;
  if (best !== null && best.match >= core.commit) core.send(best.id, { kind: "campaign-now", from: core.self, term });
}

function configurationBytes(configuration: Configuration): number {
  let bytes = 16;
  eachMember(configuration, (member) => {
    bytes += member.length + 8;
  });
  return bytes;
}
