// The leader's side of replication: who lacks what, bounded flight, retries, acknowledgements (Raft §5.3, §7; rules 5, 6, 14).
import { assert } from "../util/assert.ts";
import { isQuorum } from "./configuration.ts";
import { advanceCommit } from "./commit.ts";
import type { Core, Leadership, Peer } from "./core.ts";
import { peerOf } from "./leadership.ts";
import type { Append, AppendReply, Entry, MemberId, Moment } from "./messages.ts";

const NO_ENTRIES: readonly never[] = Object.freeze([]);

/**
 * Sends every peer what it lacks, within the bounds on flight. Called once a drain, so everything proposed together goes
 * together.
 */
export function replicate<C>(core: Core<C>, now: Moment): void {
  const { leadership } = core;
  if (leadership === null) return; // rule 5: who stepped down sends no further append
  const shared: { from: number; entries: readonly Entry<C>[] } = { from: 0, entries: NO_ENTRIES };
  for (const peer of leadership.peers) feed(core, peer, shared, now);
}

function feed<C>(core: Core<C>, peer: Peer, shared: { from: number; entries: readonly Entry<C>[] }, now: Moment): void {
  const { log, options } = core;
  const until = peer.leaving ? log.configurationIndex : log.last; // who leaves learns that it does, and no more
  let probe = peer.state === "probe";
  if (probe && !peer.due) return; // one probe at a time: its answer, or the retry, makes the next due
  while (peer.state === "stream" || probe) {
    const inFlight = peer.next - 1 - peer.match;
    const room =
      probe ||
      (inFlight < options.maxFlightEntries &&
        (inFlight === 0 || log.bytesBetween(peer.match, peer.next - 1) < options.maxFlightBytes));
    if (peer.next > until || !room) break;
    if (peer.next <= log.anchor.index) {
      reachBack(core, peer);
      return;
    }
    // Both followers of three mostly want the same slice: made once.
    if (shared.from !== peer.next) {
      shared.entries = log.slice(peer.next, options.maxAppendEntries, options.maxAppendBytes);
      shared.from = peer.next;
    }
    const entries = peer.leaving ? shared.entries.slice(0, until + 1 - peer.next) : shared.entries;
    sendAppend(core, peer, peer.next - 1, log.termAt(peer.next - 1), entries, now);
    probe = false;
  }
  if (peer.state === "snapshot" || peer.state === "fetch") return;
  // Nothing to send but news: that the commit index moved, that more is durable here (rule 6), or an append that is owed.
  if (!peer.due && peer.toldCommit >= core.commit && !(peer.toldDurable < log.durable && profitsFromFlag(core, peer))) return;
  if (peer.next <= log.anchor.index) {
    reachBack(core, peer);
    return;
  }
  sendAppend(core, peer, peer.next - 1, log.termAt(peer.next - 1), NO_ENTRIES, now);
}

/**
 * A bare durable flag is worth a message only to a voter that could commit by it, and has not been acknowledged yet (rules 6, 8).
 */
function profitsFromFlag<C>(core: Core<C>, peer: Peer): boolean {
  if (!core.options.earlyCommit || peer.match >= core.log.durable || core.commit >= core.log.durable) return false;
  return isQuorum(core.configuration, (member) => member === core.self || member === peer.id);
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
    session: peer.session,
    leaving: peer.leaving,
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
  // Storage was read a while ago, perhaps under an earlier leadership of this member: what was not committed then may have been
  // replaced since. At or below the anchor nothing ever is; what follows it is sent from memory.
  const kept = entries.filter((entry) => entry.index <= core.log.anchor.index);
  if (kept[0]?.index !== peer.next) {
    peer.due = true; // it has moved on meanwhile
    return;
  }
  sendAppend(core, peer, peer.next - 1, prevTerm, kept, now);
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

/**
 * Does this peer still lack something: entries, the commit index, or an append in the epoch in which it supports us now (rule
 * 14)?
 */
export function isBehind<C>(core: Core<C>, peer: Peer): boolean {
  if (peer.leaving) return peer.commit < core.log.configurationIndex;
  return peer.match < core.log.last || peer.commit < core.commit || peer.epoch < core.options.leases.supportEpoch(peer.id);
}

/**
 * When a peer that is behind is to be sent to again. One that does not answer heartbeats is not: 'support-changed' says when it
 * is back.
 */
export function retryAtMs<C>(core: Core<C>, peer: Peer): number {
  if (peer.state === "snapshot" || peer.state === "fetch" || !core.options.leases.reaches(peer.id) || !isBehind(core, peer)) {
    return Number.POSITIVE_INFINITY;
  }
  // rule 14: its promise is a new one: the group is woken by one append at once, so that the lease covers it again. (An epoch
  // acknowledged before the heartbeat that tells of it has come back needs no append, but that heartbeat.)
  if (core.options.leases.supportEpoch(peer.id) > Math.max(peer.epoch, peer.wokenEpoch)) return Number.NEGATIVE_INFINITY;
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
  if (peer === null || reply.session !== peer.session) return;
  peer.epoch = Math.max(peer.epoch, reply.epoch); // rule 14
  peer.commit = Math.max(peer.commit, reply.commit);
  if (reply.ok) {
    assert(reply.match <= core.log.last, "a member agrees with no more than the leader has (log matching)");
    if (reply.match > peer.match) {
      peer.match = reply.match;
      peer.next = Math.max(peer.next, peer.match + 1);
      advanceCommit(core);
    }
    if (peer.leaving) dropLeavers(core, leadership, now);
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
