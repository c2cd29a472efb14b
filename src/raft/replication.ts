// Replication: the leader's appends, the follower's acceptance, acknowledgements, snapshots (Raft §5.3, §7; rules 1, 3–6, 14).
import { assert } from "../util/assert.ts";
import { isQuorum } from "./configuration.ts";
import { advanceCommit, commitTo, earlyCommit } from "./commit.ts";
import type { Core, Leadership, Peer } from "./core.ts";
import { peerOf } from "./leadership.ts";
import type { Append, AppendReply, Entry, MemberId, Moment, SnapshotMessage } from "./messages.ts";

const NO_ENTRIES: readonly never[] = Object.freeze([]);

// ---- leader

/** Sends every peer what it lacks, within the bounds on flight. Called once a drain, so everything proposed together goes together. */
export function replicate<C>(core: Core<C>, now: Moment): void {
  const { leadership } = core;
  if (leadership === null) return; // rule 5: who stepped down sends no further append
  const shared: { from: number; entries: readonly Entry<C>[] } = { from: 0, entries: NO_ENTRIES };
  for (const peer of leadership.peers) feed(core, leadership, peer, shared, now);
}

function feed<C>(
  core: Core<C>,
  leadership: Leadership,
  peer: Peer,
  shared: { from: number; entries: readonly Entry<C>[] },
  now: Moment,
): void {
  const { log, options } = core;
  let probe = peer.state === "probe";
  if (probe && !peer.due) return; // one probe at a time: its answer, or the retry, makes the next due
  while (peer.state === "stream" || probe) {
    const inFlight = peer.next - 1 - peer.match;
    const room =
      probe ||
      (inFlight < options.maxFlightEntries &&
        (inFlight === 0 || log.bytesBetween(peer.match, peer.next - 1) < options.maxFlightBytes));
    if (peer.next > log.last || !room) break;
    if (peer.next <= log.anchor.index) {
      reachBack(core, peer);
      return;
    }
    // Both followers of three mostly want the same slice: made once.
    if (shared.from !== peer.next) {
      shared.entries = log.slice(peer.next, options.maxAppendEntries, options.maxAppendBytes);
      shared.from = peer.next;
    }
    sendAppend(core, peer, peer.next - 1, log.termAt(peer.next - 1), shared.entries, now);
    probe = false;
  }
  if (peer.state === "snapshot" || peer.state === "fetch") return;
  // Nothing to send but news: that the commit index moved, that more is durable here (rule 6), or an append that is owed.
  if (!peer.due && peer.toldCommit >= core.commit && !(peer.toldDurable < log.durable && profitsFromFlag(core, leadership, peer)))
    return;
  if (peer.next <= log.anchor.index) {
    reachBack(core, peer);
    return;
  }
  sendAppend(core, peer, peer.next - 1, log.termAt(peer.next - 1), NO_ENTRIES, now);
}

/** A bare durable flag is worth a message only to a voter that could commit by it, and has not been acknowledged yet (rules 6, 8). */
function profitsFromFlag<C>(core: Core<C>, leadership: Leadership, peer: Peer): boolean {
  if (!core.options.earlyCommit || peer.match >= core.log.durable || core.commit >= core.log.durable) return false;
  return isQuorum(leadership.configuration, (member) => member === core.self || member === peer.id);
}

function sendAppend<C>(
  core: Core<C>,
  peer: Peer,
  prevIndex: number,
  prevTerm: number,
  entries: readonly Entry<C>[],
  now: Moment,
): void {
  assert(core.role === "leader", "only the leader sends appends (rule 5)");
  const { log } = core;
  peer.due = false;
  peer.sentAtMs = now.monoMs;
  peer.toldCommit = core.commit;
  peer.toldDurable = log.durable;
  if (peer.state === "stream") peer.next = prevIndex + entries.length + 1; // a probe's answer moves on, not its sending
  const append: Append<C> = {
    kind: "append",
    from: core.self,
    term: core.term,
    gen: core.options.leases.gen, // rule 19
    prevIndex,
    prevTerm,
    entries,
    commit: core.commit,
    durable: log.durable, // rule 6
  };
  core.send(peer.id, append); // may leave before it is durable here: the leader's own share counts once it is (rule 1)
}

/** What the peer needs has left memory: from storage if it is still there, else a snapshot. */
function reachBack<C>(core: Core<C>, peer: Peer): void {
  peer.due = false;
  if (peer.next >= core.log.oldestStored) {
    peer.state = "fetch";
    const { maxAppendEntries, maxAppendBytes } = core.options;
    (core.fetches ??= []).push({ to: peer.id, from: peer.next, maxEntries: maxAppendEntries, maxBytes: maxAppendBytes });
  } else {
    peer.state = "snapshot";
    (core.snapshots ??= []).push(peer.id);
  }
}

/** Entries from storage, for a peer whose needs reach behind the memory window. */
export function onFetched<C>(core: Core<C>, to: MemberId, prevTerm: number, entries: readonly Entry<C>[], now: Moment): void {
  const peer = core.leadership === null ? null : peerOf(core.leadership, to);
  if (peer === null || peer.state !== "fetch") return;
  if (entries.length === 0) {
    peer.state = "snapshot";
    (core.snapshots ??= []).push(peer.id);
    return;
  }
  peer.state = "stream";
  if (entries[0]!.index !== peer.next) {
    peer.due = true; // it has moved on meanwhile
    return;
  }
  sendAppend(core, peer, peer.next - 1, prevTerm, entries, now);
}

/** The bytes are over (or not). The acknowledgement, if it comes, says how far that brought the peer; until then it is probed. */
export function onSnapshotDone<C>(core: Core<C>, to: MemberId, ok: boolean, now: Moment): void {
  const peer = core.leadership === null ? null : peerOf(core.leadership, to);
  if (peer === null || peer.state !== "snapshot") return;
  peer.state = "probe";
  peer.next = Math.max(peer.match, core.log.anchor.index) + 1;
  peer.due = false;
  // After a failure the retry comes later, like after any silence; after success the peer's own word is awaited first.
  peer.sentAtMs = ok ? now.monoMs : now.monoMs + core.options.retryMs;
}

/** Does this peer still lack something: entries, the commit index, or an append in the epoch in which it supports us now (rule 14)? */
export function isBehind<C>(core: Core<C>, peer: Peer): boolean {
  if (peer.leaving) return peer.commit < core.log.configurationIndex;
  return peer.match < core.log.last || peer.commit < core.commit || peer.epoch !== core.options.leases.supportEpoch(peer.id);
}

/** When a peer that is behind is to be sent to again. One that does not answer heartbeats is not: 'support-changed' says when it is back. */
export function retryAtMs<C>(core: Core<C>, peer: Peer): number {
  if (peer.state === "snapshot" || peer.state === "fetch" || !core.options.leases.reaches(peer.id) || !isBehind(core, peer)) {
    return Number.POSITIVE_INFINITY;
  }
  // rule 14: its promise is a new one: the group is woken by one append at once, so that the lease covers it again.
  if (core.options.leases.supportEpoch(peer.id) !== Math.max(peer.epoch, peer.wokenEpoch)) return Number.NEGATIVE_INFINITY;
  return peer.sentAtMs + core.options.retryMs;
}

export function tickReplication<C>(core: Core<C>, now: Moment): void {
  const { leadership, log } = core;
  assert(leadership !== null, "only a leader replicates");
  for (const peer of leadership.peers) {
    if (now.monoMs < retryAtMs(core, peer)) continue;
    peer.due = true;
    peer.wokenEpoch = core.options.leases.supportEpoch(peer.id);
    if (peer.match >= log.last || now.monoMs < peer.sentAtMs + core.options.retryMs) continue; // only a word is owed, or more is under way
    peer.state = "probe"; // what was under way is taken for lost: again from what is known
    peer.next = Math.max(peer.match + 1, Math.min(peer.next, log.last));
  }
  dropLeavers(core, leadership, now);
}

/** Who has left is told so (its configuration entry and that it is committed), and not for ever. */
function dropLeavers<C>(core: Core<C>, leadership: Leadership, now: Moment): void {
  const done = (peer: Peer): boolean => peer.leaving && (!isBehind(core, peer) || now.monoMs >= leadership.leavingUntilMs);
  if (!leadership.peers.some(done)) return;
  leadership.peers = leadership.peers.filter((peer) => !done(peer));
  leadership.supporters = leadership.peers.map((peer) => peer.id);
  core.changed = true;
}

export function onAppendReply<C>(core: Core<C>, reply: AppendReply, now: Moment): void {
  if (reply.term > core.term && (core.role === "leader" || core.broken("term-by-answer"))) {
    core.follow(reply.term, null, now); // rule 12: only a leader heeds it (candidates hear of it in answers to votes)
    return;
  }
  const { leadership } = core;
  if (leadership === null || reply.term !== core.term) return;
  const peer = peerOf(leadership, reply.from);
  if (peer === null) return;
  peer.epoch = Math.max(peer.epoch, reply.epoch); // rule 14
  peer.commit = Math.max(peer.commit, reply.commit);
  if (reply.ok) {
    assert(reply.match <= core.log.last, "a member agrees with no more than the leader has (log matching)");
    if (reply.match > peer.match) {
      peer.match = reply.match;
      peer.next = Math.max(peer.next, peer.match + 1);
      advanceCommit(core);
    }
    if (peer.state === "probe") {
      peer.state = "stream";
      peer.next = peer.match + 1;
    } else if (peer.state !== "stream" && peer.match >= core.log.anchor.index) peer.state = "stream"; // the snapshot took it far enough
    return;
  }
  if (peer.state === "snapshot" || peer.state === "fetch") return;
  // Late refusals: of what is known to agree, or of another than the present probe.
  if (reply.refused <= peer.match || (peer.state === "probe" && reply.refused !== peer.next - 1)) return;
  // No agreement at the refused index: look further back, never behind what is known to agree (Raft §5.3).
  peer.state = "probe";
  peer.next = Math.max(peer.match + 1, Math.min(reply.refused, reply.match + 1));
  peer.due = true;
}

// ---- follower

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
      acknowledge(core, append.from, true, log.anchor.index, epoch, 0);
      return;
    }
    entries = entries.slice(log.anchor.index - prevIndex);
    prevIndex = log.anchor.index;
    prevTerm = log.anchor.term;
  }
  if (log.termAt(prevIndex) !== prevTerm) {
    assert(prevIndex > core.commit, "committed entries are the same in every leader's log (leader completeness)");
    acknowledge(core, append.from, false, conflictHint(core, prevIndex), epoch, append.prevIndex);
    return;
  }
  for (const entry of entries) accept(core, entry);
  // rule 3: what follows in the own log has not been compared with the leader's.
  commitTo(core, Math.min(append.commit, core.broken("commit-unverified") ? log.last : sentUpTo));
  noteFlag(core, append, sentUpTo);
  acknowledge(core, append.from, true, Math.max(sentUpTo, log.anchor.index), epoch, 0);
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

function refuseOldTerm<C>(core: Core<C>, to: MemberId): void {
  core.send(to, {
    kind: "append-reply",
    from: core.self,
    term: core.term,
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
  log.truncate(from);
  if (log.configurationIndex !== configurationIndex) core.changed = true;
  if (from <= core.writtenTo) {
    core.truncateFrom = core.truncateFrom === 0 ? from : Math.min(core.truncateFrom, from);
    core.writtenTo = from - 1;
  }
  // Writes under way make durable what is no longer the log: they count only up to here.
  if (core.underWay !== null)
    for (let k = 1; k < core.underWay.length; k += 2) core.underWay[k] = Math.min(core.underWay[k]!, from - 1);
  if (core.flagged >= from) core.flagged = from - 1;
}

/** rule 6: what the leader says is durable with it, as far as verified here, in this term. */
function noteFlag<C>(core: Core<C>, append: Append<C>, verified: number): void {
  if (core.broken("early-unverified")) core.flagged = append.durable;
  else core.flagged = Math.max(core.flaggedTerm === append.term ? core.flagged : 0, Math.min(append.durable, verified));
  core.flaggedTerm = append.term;
}

/** Gathers the answers to a batch of appends: agreements become one; it leaves once all they brought is durable (rule 1). */
function acknowledge<C>(core: Core<C>, to: MemberId, ok: boolean, match: number, epoch: number, refused: number): void {
  const before = core.ack;
  if (before !== null) {
    if (before.ok && ok && before.term === core.term && core.ackTo === to) match = Math.max(match, before.match);
    else flushAck(core);
  }
  core.ack = { kind: "append-reply", from: core.self, term: core.term, ok, match, refused, epoch, commit: core.commit };
  core.ackTo = to;
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
    // rule 4: the configuration comes with it (rows, remembered results and log time too: the host's part of the snapshot).
    log.install(core.broken("snap-no-cfg") ? { ...anchor, configuration: log.anchor.configuration } : anchor);
    core.commit = core.handed = anchor.index; // `applied` follows when the host says that the rows are in place
    core.installing = log.anchor;
    core.changed = true;
    if (!kept) {
      core.truncateFrom = anchor.index + 1;
      core.writtenTo = anchor.index;
      if (core.underWay !== null)
        for (let k = 1; k < core.underWay.length; k += 2) core.underWay[k] = Math.min(core.underWay[k]!, anchor.index);
    }
    core.writtenTo = Math.max(core.writtenTo, anchor.index);
  }
  acknowledge(core, message.from, true, Math.min(anchor.index, core.commit), epoch, 0);
}
