// Commit: by counting at the leader, by the leader's word, and early at a follower (Raft §5.3, §5.4.2; rules 2, 3, 6–8).
import { assert } from "../util/assert.ts";
import { eachMember, isQuorum, isVoter, quorumValue } from "./configuration.ts";
import type { Core } from "./core.ts";
import { peerOf } from "./leadership.ts";

/** Leader: the highest index a quorum of the newest configuration holds durable, if it is of the own term. */
export function advanceCommit<C>(core: Core<C>): void {
  const { leadership, log } = core;
  if (leadership === null) return;
  const held = quorumValue(core.deciding("commit-one-half"), (member) => {
    if (member === core.self) return core.broken("leader-unsynced") ? log.last : log.durable; // rule 1: its own share too
    return peerOf(leadership, member)?.match ?? 0;
  });
  if (held <= core.commit) return;
  if (log.termAt(held) !== core.term && !core.broken("commit-old-term")) return; // rule 2
  commitTo(core, held);
}

/** Commits everything up to `index`; `drain` hands it out for applying, in order. */
export function commitTo<C>(core: Core<C>, index: number): void {
  index = Math.min(index, core.log.last);
  if (index <= core.commit) return; // commit never falls
  core.commit = index;
}

/**
 * Follower: leader and self are a quorum that holds the entry durable in the leader's term, so it is committed, whoever knows
 * (rules 6–8): a coordinator that is itself a follower answers after one round trip. The leader then knows less than a client:
 * rule 9.
 */
export function earlyCommit<C>(core: Core<C>): void {
  const { log, leader } = core;
  if (!core.options.earlyCommit || core.role !== "follower" || leader === null) return;
  const flagged = core.broken("early-no-flag") ? log.last : core.flagged;
  const index = Math.min(flagged, core.broken("early-volatile") ? log.last : log.durable, log.last); // durable there and here
  if (index <= core.commit) return;
  if (log.termAt(index) !== core.term && !core.broken("early-old-term") && !core.broken("early-any-term")) return; // the entry's term as well
  const { self } = core;
  const configuration = core.broken("early-first-cfg") ? log.configurationAt(log.anchor.index) : log.configurationAt(index); // rule 8
  let enough = isQuorum(configuration, (member) => member === leader || member === self);
  if (core.broken("early-size")) enough = isVoter(configuration, leader) && isVoter(configuration, self);
  else if (core.broken("early-learner")) {
    let member = false;
    eachMember(configuration, (id) => {
      member ||= id === self;
    });
    enough = configuration.voters.length <= 3 && member;
  }
  if (enough) commitTo(core, index); // rule 7: commits all up to it; applying follows in order, the answer is the result of that
}

/** Called after each commit of anything: the invariants between the indices. */
export function checkIndices<C>(core: Core<C>): void {
  assert(
    core.applied <= core.handed && core.handed <= core.commit && core.commit <= core.log.last,
    "applied ≤ handed out ≤ committed ≤ last",
  );
  assert(core.log.durable <= core.log.last && core.log.anchor.index <= core.handed, "the log holds what is not handed out");
}
