// What is to be done after a batch of events: the one place where effects leave the core.
import { flushAck } from "./acceptance.ts";
import { checkIndices } from "./commit.ts";
import { type Core, NEVER } from "./core.ts";
import type { Effects, Send, Write } from "./effects.ts";
import { driveTransfer } from "./leadership.ts";
import { driveMembership, leaveLeadership } from "./membership.ts";
import type { Entry, Moment } from "./messages.ts";
import { settleReads } from "./read-index.ts";
import { replicate } from "./replication.ts";

const NONE: readonly never[] = Object.freeze([]);

/** Lets the leader act on what has become possible, then gathers everything; null if there is nothing. */
export function drain<C>(core: Core<C>, now: Moment): Effects<C> | null {
  if (core.leadership !== null) {
    const removed = driveMembership(core, now);
    replicate(core, now);
    driveTransfer(core);
    if (removed) leaveLeadership(core, now); // rule 5: after its last appends
  }
  settleReads(core, now);
  flushAck(core);
  const write = takeWrite(core);
  const messages = takeMessages(core);
  const apply = takeCommitted(core);
  const { answers, snapshots, fetches, changed } = core;
  checkIndices(core);
  const idle =
    write === null && messages === NONE && apply === NONE && answers === null && snapshots === null && fetches === null;
  if (idle && !changed) return null;
  core.answers = core.snapshots = core.fetches = null;
  core.changed = false;
  return { write, messages, apply, reads: answers ?? NONE, snapshots: snapshots ?? NONE, fetches: fetches ?? NONE, changed };
}

/** rule 1: term, vote and log go out in one order; whoever waits for them waits for the sequence number. */
function takeWrite<C>(core: Core<C>): Write<C> | null {
  const { log, installing, truncateFrom } = core;
  if (!core.hardDirty && installing === null && truncateFrom === 0 && core.writtenTo === log.last) return null;
  const seq = ++core.writeSeq;
  const entries = core.writtenTo < log.last ? log.slice(core.writtenTo + 1, NEVER, NEVER) : NONE;
  (core.underWay ??= []).push(seq, log.last);
  core.writtenTo = log.last;
  core.hardDirty = false;
  core.installing = null;
  core.truncateFrom = 0;
  if (core.role === "candidate" && core.ownVoteSeq === 0) core.ownVoteSeq = seq;
  return { seq, term: core.term, vote: core.vote, install: installing, truncateFrom, entries };
}

function takeMessages<C>(core: Core<C>): readonly Send<C>[] {
  const { out } = core;
  if (out === null) return NONE;
  core.out = null;
  const afterSeq = core.storedSeq < core.writeSeq ? core.writeSeq : 0;
  const messages: Send<C>[] = [];
  for (const { to, message, durable } of out) {
    // What was promised in a term that ended within this same batch may never have been written: silence instead.
    if (durable && message.term < core.term) continue;
    messages.push({ to, message, afterSeq: durable ? afterSeq : 0 });
  }
  return messages.length === 0 ? NONE : messages;
}

function takeCommitted<C>(core: Core<C>): readonly Entry<C>[] {
  if (core.handed === core.commit) return NONE;
  const apply: Entry<C>[] = [];
  for (let index = core.handed + 1; index <= core.commit; index++) apply.push(core.log.get(index));
  core.handed = core.commit;
  return apply;
}
