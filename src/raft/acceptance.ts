// The follower's side of replication: accepting appends and snapshots, and answering (Raft §5.3, §7; rules 1, 3, 4, 6, 14).
import { assert } from "../util/assert.ts";
import { commitTo, earlyCommit } from "./commit.ts";
import type { Core } from "./core.ts";
import type { Append, Entry, MemberId, Moment, SnapshotMessage } from "./messages.ts";

export function onAppend<C>(core: Core<C>, append: Append<C>, now: Moment): void {
  if (append.term < core.term) {
    refuseOldTerm(core, append.from);
    return;
  }
  assert(core.role !== "leader" || append.term > core.term, "one leader a term");
  heedLeader(core, append, now);
  const epoch = core.options.leases.epochFor(append.from); // rule 14: the epoch at the moment of accepting, not when the ack leaves
  const { log } = core;
  let { prevIndex, prevTerm, entries } = append;
  const sentUpTo = prevIndex + entries.length;
  if (prevIndex < log.anchor.index) {
    // What lies before the anchor is applied here, hence committed, hence the same there: only the rest is looked at.
    if (sentUpTo <= log.anchor.index) {
      acknowledge(core, append, true, log.anchor.index, epoch, 0);
      return;
    }
    entries = entries.slice(log.anchor.index - prevIndex);
    prevIndex = log.anchor.index;
    prevTerm = log.anchor.term;
  }
  if (log.termAt(prevIndex) !== prevTerm) {
    assert(prevIndex > core.commit, "committed entries are the same in every leader's log (leader completeness)");
    acknowledge(core, append, false, conflictHint(core, prevIndex), epoch, append.prevIndex);
    return;
  }
  for (const entry of entries) accept(core, entry);
  heedFarewell(core, append);
  // rule 3: what follows in the own log has not been compared with the leader's.
  commitTo(core, Math.min(append.commit, core.broken("commit-unverified") ? log.last : sentUpTo));
  noteFlag(core, append, sentUpTo);
  acknowledge(core, append, true, Math.max(sentUpTo, log.anchor.index), epoch, 0);
  earlyCommit(core);
}

/** A message that only this term's leader can have sent. */
function heedLeader<C>(core: Core<C>, message: { from: MemberId; term: number; gen: number }, now: Moment): void {
  if (message.term > core.term || core.role !== "follower" || core.leader !== message.from) {
    core.follow(message.term, message.from, now);
    core.leaderGen = message.gen;
  } else {
    core.leaderGen = Math.max(core.leaderGen, message.gen);
    core.rest(now);
  }
}

/** The sender leads no more: the answer tells the term, nothing else. */
export function refuseOldTerm<C>(core: Core<C>, to: MemberId): void {
  core.send(to, {
    kind: "append-reply",
    from: core.self,
    term: core.term,
    session: 0,
    ok: false,
    match: 0,
    refused: 0,
    epoch: -1,
    commit: 0,
  });
}

/** Where the leader had best look next: before the whole run of the conflicting term (Raft §5.3, the optimization at its end). */
function conflictHint<C>(core: Core<C>, prevIndex: number): number {
  const { log } = core;
  if (prevIndex > log.last) return log.last;
  const term = log.termAt(prevIndex);
  let index = prevIndex - 1;
  while (index > core.commit && log.termAt(index) === term) index--;
  return index;
}

/**
 * Is this member dismissed? Only the newest session says: a farewell that comes late, after it was taken in again, says nothing.
 */
function heedFarewell<C>(core: Core<C>, { session, leaving }: Append<C>): void {
  if (session < core.session) return;
  core.session = session;
  if (leaving !== core.dismissed) core.changed = true;
  core.dismissed = leaving;
}

function accept<C>(core: Core<C>, entry: Entry<C>): void {
  const { log } = core;
  const have = log.termAt(entry.index);
  if (have === entry.term) return; // log matching: the same entry
  if (have !== -1) truncate(core, entry.index);
  assert(
    entry.configuration === null || log.admits(entry.configuration) || core.options.defects !== undefined,
    "one change at a time (rule 21)",
  );
  log.append(entry);
  if (entry.configuration !== null) core.changed = true; // rule 23: it counts from now on
}

function truncate<C>(core: Core<C>, from: number): void {
  assert(from > core.commit, "a committed entry is never removed");
  const { log } = core;
  const configurationIndex = log.configurationIndex;
  log.truncate(from, !core.broken("conf-not-undone"));
  if (log.configurationIndex !== configurationIndex) core.changed = true;
  if (from <= core.writtenTo) {
    core.truncateFrom = core.truncateFrom === 0 ? from : Math.min(core.truncateFrom, from);
    core.writtenTo = from - 1;
  }
  // Writes under way make durable what is no longer the log: they count only up to here.
  if (core.underWay !== null)
    for (let k = 1; k < core.underWay.length; k += 2) core.underWay[k] = Math.min(core.underWay[k]!, from - 1);
}

/**
 * rule 6: what the leader says is durable with it, as far as verified here, in this term. (What is verified in a term is not
 * truncated in it, and the next term begins with no flag: so nothing flagged is ever replaced.)
 */
function noteFlag<C>(core: Core<C>, append: Append<C>, verified: number): void {
  if (core.broken("early-unverified")) core.flagged = append.durable;
  else core.flagged = Math.max(core.flagged, Math.min(append.durable, verified));
}

/** Gathers the answers to a batch of appends: agreements become one; it leaves once all they brought is durable (rule 1). */
function acknowledge<C>(
  core: Core<C>,
  { from, session }: { readonly from: MemberId; readonly session: number },
  ok: boolean,
  match: number,
  epoch: number,
  refused: number,
): void {
  const before = core.ack;
  if (before !== null) {
    const same = before.ok && ok && before.term === core.term && before.session === session && core.ackTo === from;
    if (same) match = Math.max(match, before.match);
    else flushAck(core);
  }
  core.ack = { kind: "append-reply", from: core.self, term: core.term, session, ok, match, refused, epoch, commit: core.commit };
  core.ackTo = from;
}

/** Queues the answer gathered so far, with the commit index as it is now. */
export function flushAck<C>(core: Core<C>): void {
  if (core.ack === null) return;
  core.send(
    core.ackTo,
    core.ack.commit === core.commit ? core.ack : { ...core.ack, commit: core.commit },
    !core.broken("ack-unsynced"),
  );
  core.ack = null;
}

export function onSnapshot<C>(core: Core<C>, message: SnapshotMessage, now: Moment): void {
  if (message.term < core.term) {
    refuseOldTerm(core, message.from);
    return;
  }
  assert(core.role !== "leader" || message.term > core.term, "one leader a term");
  heedLeader(core, message, now);
  const epoch = core.options.leases.epochFor(message.from); // rule 14
  const { log } = core;
  const { anchor } = message;
  if (anchor.index > core.commit) {
    const kept = log.termAt(anchor.index) === anchor.term;
    // rule 4: the configuration comes with it (rows, the dedup table and log time too: the host's part of the snapshot).
    log.install(core.broken("snap-no-cfg") ? { ...anchor, configuration: log.anchor.configuration } : anchor);
    core.commit = core.handed = anchor.index; // `applied` follows when the host says that the rows are in place
    core.installing = log.anchor;
    core.session = Math.max(core.session, message.session);
    core.dismissed = false;
    core.changed = true;
    if (!kept) {
      core.truncateFrom = anchor.index + 1;
      core.writtenTo = anchor.index;
      if (core.underWay !== null)
        for (let k = 1; k < core.underWay.length; k += 2) core.underWay[k] = Math.min(core.underWay[k]!, anchor.index);
    }
    core.writtenTo = Math.max(core.writtenTo, anchor.index);
  }
  acknowledge(core, message, true, Math.min(anchor.index, core.commit), epoch, 0);
}
