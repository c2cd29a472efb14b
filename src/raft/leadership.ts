// Being leader: beginning a term, the lease, check-quorum, transfer, and "do you still lead?" (rules 14, 16, 19, 20; dissertation
// §3.10, §6.2).
import { assert } from "../util/assert.ts";
import { eachMember, isQuorum, isVoter } from "./configuration.ts";
import { type Core, type Leadership, NEVER, type Peer } from "./core.ts";
import { nextStampMs } from "./log-time.ts";
import type { Configuration, Entry, MemberId, Moment, Scope } from "./messages.ts";
import { SCOPE_NONE } from "./messages.ts";

/** Won: takes up the term with an entry of its own, which is what lets earlier entries commit (rule 2). */
export function beginLeadership<C>(core: Core<C>, now: Moment): void {
  assert(core.role === "candidate" && core.vote === core.self, "only a candidate of this term becomes its leader");
  core.role = "leader";
  core.leader = core.self;
  core.votes = null;
  core.electAtMs = NEVER;
  core.changed = true;
  core.leadership = {
    peers: [],
    supporters: [],
    noop: core.log.last + 1,
    sealed: false,
    transferTo: null,
    transferSent: false,
    transferUntilMs: NEVER,
    unsupportedSinceMs: now.monoMs,
    leavingUntilMs: NEVER,
  };
  syncPeers(core, now);
  appendEntry(core, null, null, SCOPE_NONE, 0, now);
}

/** Appends at the leader: the only place where a leader's log changes, and it only grows (leader append-only). */
export function appendEntry<C>(
  core: Core<C>,
  data: C | null,
  configuration: Configuration | null,
  scope: Scope,
  sizeBytes: number,
  now: Moment,
): number {
  assert(core.role === "leader", "only the leader appends (rule 5)");
  const { log } = core;
  const index = log.last + 1;
  const stampMs = nextStampMs(log.configuration, log.lastStampMs, core.options.leases, now);
  const entry: Entry<C> = { index, term: core.term, stampMs, scope, sizeBytes, configuration, data };
  log.append(entry);
  if (configuration !== null) {
    core.changed = true;
    syncPeers(core, now);
  }
  return index;
}

/** Makes the peers those of the newest configuration (rule 23). Who left stays for a while, only to be told. */
function syncPeers<C>(core: Core<C>, now: Moment): void {
  const { leadership, log } = core;
  assert(leadership !== null, "only a leader has peers");
  const { configuration } = core;
  const members: MemberId[] = [];
  eachMember(configuration, (member) => {
    if (member !== core.self) members.push(member);
  });
  const before = leadership.peers.filter((peer) => peer.leaving);
  for (const peer of leadership.peers) {
    const leaving = !members.includes(peer.id);
    if (leaving && !peer.leaving) leadership.leavingUntilMs = now.monoMs + core.options.checkQuorumMs;
    peer.leaving = leaving;
  }
  // Who left and comes back may have thrown away what it had: nothing known of it counts any more.
  leadership.peers = leadership.peers.filter((peer) => peer.leaving || !before.includes(peer));
  for (const member of members) {
    if (!leadership.peers.some((peer) => peer.id === member)) leadership.peers.push(newPeer(member, log.last));
  }
  leadership.supporters = leadership.peers.map((peer) => peer.id);
}

function newPeer(id: MemberId, last: number): Peer {
  return {
    id,
    session: last,
    match: 0,
    next: last + 1,
    state: "stream",
    epoch: -1,
    wokenEpoch: -1,
    commit: 0,
    sentAtMs: Number.NEGATIVE_INFINITY,
    toldCommit: 0,
    toldDurable: 0,
    due: true,
    round: 0,
    leaving: false,
  };
}

export function peerOf(leadership: Leadership, member: MemberId): Peer | null {
  for (const peer of leadership.peers) if (peer.id === member) return peer;
  return null;
}

/** rule 14: does this leader hold a lease: promises of a quorum, each acknowledged in this term in the epoch that holds now? */
export function leaseHeld<C>(core: Core<C>, now: Moment): boolean {
  const { leadership } = core;
  if (leadership === null || leadership.sealed) return false; // rule 16
  return core.options.leases.covers(core.deciding("lease-one-half"), (member) => peerOf(leadership, member)?.epoch ?? -1, now);
}

/** rule 20: check-quorum. Returns false if the leader stepped down. */
export function tickLeadership<C>(core: Core<C>, now: Moment): boolean {
  const { leadership } = core;
  assert(leadership !== null, "only a leader checks its quorum");
  const { leases, checkQuorumMs } = core.options;
  if (isQuorum(core.configuration, (member) => member === core.self || leases.supportedBy(member, now)))
    leadership.unsupportedSinceMs = NEVER;
  else if (leadership.unsupportedSinceMs === NEVER) leadership.unsupportedSinceMs = now.monoMs;
  else if (now.monoMs >= leadership.unsupportedSinceMs + checkQuorumMs) {
    core.follow(core.term, null, now);
    return false;
  }
  if (leadership.transferTo !== null && now.monoMs >= leadership.transferUntilMs) {
    leadership.transferTo = null; // given up; if 'campaign now' was sent, the lease stays sealed (rule 16)
    leadership.transferUntilMs = NEVER;
    core.changed = true;
  }
  return true;
}

export function beginTransfer<C>(core: Core<C>, to: MemberId, now: Moment): boolean {
  const { leadership } = core;
  if (leadership === null || to === core.self || !isVoter(core.configuration, to)) return false;
  const peer = peerOf(leadership, to);
  if (peer === null || peer.state === "snapshot") return false;
  leadership.transferTo = to;
  leadership.transferSent = false;
  leadership.transferUntilMs = now.monoMs + core.options.transferMs;
  return true;
}

/** Sends 'campaign now' once the target has the whole log (dissertation §3.10). */
export function driveTransfer<C>(core: Core<C>): void {
  const { leadership } = core;
  if (leadership === null || leadership.transferTo === null || leadership.transferSent) return;
  const peer = peerOf(leadership, leadership.transferTo);
  if (peer === null || peer.leaving) {
    leadership.transferTo = null;
    leadership.transferUntilMs = NEVER;
  } else if (peer.match === core.log.last) {
    if (!core.broken("transfer-lease")) leadership.sealed = true; // rule 16
    leadership.transferSent = true;
    core.send(peer.id, { kind: "campaign-now", from: core.self, term: core.term });
  }
}
