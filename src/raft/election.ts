// Elections: pre-vote, votes, promises that hold them back, becoming leader (Raft §5.2, §5.4.1; dissertation §9.6; rules 12, 15,
// 16, 20).
import { assert } from "../util/assert.ts";
import { eachVoter, isQuorum, isVoter } from "./configuration.ts";
import { type Core, NEVER } from "./core.ts";
import type { CampaignNow, LeadAnswer, LeadQuestion, MemberId, Moment, VoteReply, VoteRequest } from "./messages.ts";
import { beginLeadership, leaseHeld } from "./leadership.ts";

/**
 * May this member campaign? Voters may; so may one whose removal is not committed yet: it may never commit without it (rule 23).
 * What is committed is known only from below, all the more after a restart: any configuration from there on may be the one that
 * counts.
 */
export function mayCampaign<C>(core: Core<C>): boolean {
  if (isSilent(core)) return false;
  if (isVoter(core.configuration, core.self)) return true;
  return core.log.someConfigurationFrom(core.commit, (at) => isVoter(at, core.self)) && !core.broken("leaver-silent");
}

/**
 * It forgot what it once had, and is not filled again up to there: its log proves nothing, and its configuration may be an old
 * one.
 */
function isSilent<C>(core: Core<C>): boolean {
  return core.log.last < core.silentBelow;
}

/**
 * A follower or candidate looks at the time: campaign, go on sleeping behind a promise, or ask its leader whether it still leads.
 */
export function tickElection<C>(core: Core<C>, now: Moment): void {
  const { leases } = core.options;
  if (core.role === "follower" && core.leader !== null && leases.promisedTo(core.leader, now)) {
    askLeader(core, now);
    if (!core.broken("campaign-in-lease")) {
      core.electAtMs = NEVER; // rule 12: promised to its leader it does not campaign; 'promise-lapsed' wakes the group
      return;
    }
  }
  if (!mayCampaign(core)) {
    core.electAtMs = NEVER;
    return;
  }
  if (core.electAtMs === NEVER) core.rest(now);
  if (now.monoMs < core.electAtMs || !leases.mayVote(now)) return; // rule 15: not within one lease of a restart
  // rule 20: pre-vote, so that a member that was away does not depose a leader others are content with.
  campaign(core, !core.broken("no-prevote") && !core.broken("term-in-lease") && !core.broken("term-by-answer"), false, now);
}

/** rule 19: a leader whose generation grew may have stopped leading here; the follower asks until told. */
function askLeader<C>(core: Core<C>, now: Moment): void {
  assert(core.leader !== null, "there is a leader to ask");
  if (core.options.leases.genOf(core.leader) <= core.leaderGen || core.broken("no-gen")) return;
  if (now.monoMs < core.askedAtMs + core.options.retryMs) return;
  core.askedAtMs = now.monoMs;
  core.send(core.leader, { kind: "lead-question", from: core.self, term: core.term });
}

function campaign<C>(core: Core<C>, pre: boolean, force: boolean, now: Moment): void {
  core.role = pre ? "pre-candidate" : "candidate";
  core.leader = null;
  core.changed = true;
  core.votes = new Set();
  core.failReads("no-leader");
  core.rest(now);
  if (!pre) {
    core.enterTerm(core.term + 1, core.self);
    core.ownVoteSeq = 0; // rule 1: its own vote counts once durable; `drain` notes the write, `stored` counts it
  }
  const { log } = core;
  const term = pre ? core.term + 1 : core.term;
  eachVoter(core.configuration, (member) => {
    if (member === core.self) return;
    const request: VoteRequest = { kind: "vote", from: core.self, term, pre, force, lastIndex: log.last, lastTerm: log.lastTerm };
    core.send(member, request, !pre);
  });
  if (pre) countVote(core, core.self, now);
}

export function onVoteRequest<C>(core: Core<C>, request: VoteRequest, now: Moment): void {
  const { leases } = core.options;
  if (!leases.mayVote(now) || isSilent(core)) return; // rule 15
  const refuse = (): void =>
    core.send(request.from, {
      kind: "vote-reply",
      from: core.self,
      term: core.term,
      pre: request.pre,
      granted: false,
      wallMs: now.wallMs,
    });
  if (request.term < core.term) {
    refuse();
    return;
  }
  if (request.from === core.leader && request.term > core.term) {
    // The leader itself asks: it does not lead any more, so the promise to it is over.
    if (!core.broken("leader-asks")) loseLeader(core, now);
  } else if (!request.force && heldBack(core, now)) {
    // rule 12: promised to its leader (or leading by lease itself): no vote, and the higher term is not adopted.
    if (!core.broken("vote-in-lease")) {
      if (core.broken("term-in-lease") && request.term > core.term && !request.pre) core.follow(request.term, null, now);
      else if (core.leader !== null && core.leader !== core.self && !core.broken("no-gen")) {
        core.send(core.leader, { kind: "lead-question", from: core.self, term: core.term }); // rule 19: it asks as well when it refuses
      }
      return;
    }
  }
  const { log } = core;
  // Raft §5.4.1: only for a log at least as up to date as the own.
  const fresh = request.lastTerm > log.lastTerm || (request.lastTerm === log.lastTerm && request.lastIndex >= log.last);
  if (request.pre) {
    const granted = fresh && request.term > core.term;
    const term = granted ? request.term : core.term;
    core.send(request.from, { kind: "vote-reply", from: core.self, term, pre: true, granted, wallMs: now.wallMs });
    return;
  }
  if (request.term > core.term) core.follow(request.term, null, now);
  const idle = core.role === "follower" || core.role === "pre-candidate";
  const granted = fresh && idle && core.leader === null && (core.vote === null || core.vote === request.from);
  if (granted) {
    assert(core.vote === null || core.vote === request.from, "one vote a term");
    if (core.role === "pre-candidate") core.follow(core.term, null, now);
    if (core.vote === null) core.hardDirty = true;
    core.vote = request.from;
    core.rest(now);
  }
  // rule 1: a vote leaves once durable.
  core.send(
    request.from,
    { kind: "vote-reply", from: core.self, term: core.term, pre: false, granted, wallMs: now.wallMs },
    !core.broken("vote-unsynced"),
  );
}

/** The leader of this term is known to lead no more: nothing holds this member back, and its election timer runs. */
export function loseLeader<C>(core: Core<C>, now: Moment): void {
  core.leader = null;
  core.changed = true;
  core.failReads("no-leader");
  core.rest(now);
}

/** Does a promise keep this member from voting for others: to its leader of the present term, or its own lease as leader? */
function heldBack<C>(core: Core<C>, now: Moment): boolean {
  if (core.leader === null) return false;
  return core.role === "leader" ? leaseHeld(core, now) : core.options.leases.promisedTo(core.leader, now);
}

export function onVoteReply<C>(core: Core<C>, reply: VoteReply, now: Moment): void {
  core.options.leases.heardWall(reply.from, reply.wallMs, now);
  if (!reply.granted) {
    // rule 12: a late refusal must not lift a follower's term and so free it from its promise; only candidates and leaders heed
    // it.
    if (reply.term > core.term && (core.role !== "follower" || core.broken("term-by-answer"))) core.follow(reply.term, null, now);
    return;
  }
  if (core.role !== (reply.pre ? "pre-candidate" : "candidate") || reply.term !== core.term + (reply.pre ? 1 : 0)) return;
  countVote(core, reply.from, now);
}

/** The candidate's vote for itself is durable (rule 1). */
export function ownVoteStored<C>(core: Core<C>, now: Moment): void {
  if (core.role === "candidate" && core.ownVoteSeq !== 0 && core.storedSeq >= core.ownVoteSeq) countVote(core, core.self, now);
}

function countVote<C>(core: Core<C>, from: MemberId, now: Moment): void {
  const { votes } = core;
  assert(votes !== null, "a campaign is under way");
  votes.add(from);
  if (!isQuorum(core.deciding("vote-one-half"), (member) => votes.has(member))) return;
  if (core.role === "pre-candidate") campaign(core, false, false, now);
  else beginLeadership(core, now);
}

/**
 * The leader hands over (dissertation §3.10): campaign at once, without pre-vote, and promises to it don't hold back the others.
 */
export function onCampaignNow<C>(core: Core<C>, order: CampaignNow, now: Moment): void {
  if (order.term !== core.term || core.role !== "follower" || core.leader !== order.from) return;
  if (!mayCampaign(core) || !core.options.leases.mayVote(now)) return; // rule 15
  campaign(core, false, true, now);
}

/** rule 19: a follower asks; answered at any time, by anyone. */
export function onLeadQuestion<C>(core: Core<C>, question: LeadQuestion): void {
  const leads = core.role === "leader" && core.term === question.term;
  core.send(question.from, { kind: "lead-answer", from: core.self, term: question.term, leads, gen: core.options.leases.gen });
}

export function onLeadAnswer<C>(core: Core<C>, answer: LeadAnswer, now: Moment): void {
  if (answer.term !== core.term || core.leader !== answer.from || core.role !== "follower") return;
  if (answer.leads) core.leaderGen = Math.max(core.leaderGen, answer.gen);
  else loseLeader(core, now); // told so
}
