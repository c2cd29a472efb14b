// Linearizable reads: up to where rows must be applied, and the proof of leadership (dissertation §6.4; rules 9, 17, 18).
// Many reads share one round of confirmation, and one question to the leader.
import { refuseOldTerm } from "./acceptance.ts";
import { eachVoter, isQuorum } from "./configuration.ts";
import type { Core, Leadership, Reads, WaitingRead } from "./core.ts";
import { leaseHeld, peerOf } from "./leadership.ts";
import type { Confirm, ConfirmReply, Moment, ReadIndexReply, ReadIndexRequest, Scope } from "./messages.ts";
import { SCOPE_ALL, SCOPE_NONE } from "./messages.ts";

/** Does an entry of this scope concern a read of that scope? */
export function concerns(entry: Scope, read: Scope): boolean {
  if (entry === SCOPE_NONE || read === SCOPE_NONE) return false;
  if (entry === SCOPE_ALL || read === SCOPE_ALL) return true; // bucket-wide commands count for every key, a list waits for every entry
  if (typeof entry === "number") return typeof read === "number" ? entry === read : read.some((key) => concerns(entry, key));
  return entry.some((key) => concerns(key, read));
}

/**
 * rule 9: the leader may know less than a client, because a follower may have answered up to what this leader flagged durable. So
 * a read waits for the commit index, the term's own first entry, and the last entry of its key at or below the highest index
 * flagged durable.
 */
export function leaderReadIndex<C>(core: Core<C>, leadership: Leadership, scope: Scope): number {
  const { log } = core;
  if (core.broken("read-own-term")) return Math.max(core.commit, log.durable < leadership.noop ? 0 : log.durable);
  const least = Math.max(core.broken("read-applied") ? core.applied : core.commit, leadership.noop);
  if (core.broken("read-commit")) return least;
  for (let index = log.durable; index > least; index--) if (concerns(log.get(index).scope, scope)) return index;
  return least;
}

function readsOf<C>(core: Core<C>): Reads {
  return (core.reads ??= { waiting: [], rounds: 0, roundSentAtMs: Number.NEGATIVE_INFINITY });
}

/** A read at this member. Answered in the same drain if the leader holds a lease and its rows are applied far enough. */
export function beginRead<C>(core: Core<C>, id: number, scope: Scope, now: Moment): void {
  const full = core.reads !== null && core.reads.waiting.length >= core.options.maxReads;
  if (full || core.leader === null) {
    (core.answers ??= []).push({ id, ok: false, why: full ? "busy" : "no-leader" });
    return;
  }
  const { leadership } = core;
  const indices = leadership === null ? null : [leaderReadIndex(core, leadership, scope)];
  wait(core, { id, from: null, scopes: [scope], indices }, now);
}

/** Another member asks for its reads. */
export function onReadIndexRequest<C>(core: Core<C>, request: ReadIndexRequest, now: Moment): void {
  const { leadership } = core;
  const full = core.reads !== null && core.reads.waiting.length >= core.options.maxReads;
  if (leadership === null || request.term !== core.term || full) {
    core.send(request.from, { kind: "read-index-reply", from: core.self, term: core.term, ask: request.ask, indices: null });
    return;
  }
  const indices = request.scopes.map((scope) => leaderReadIndex(core, leadership, scope));
  const { ask: id, from, scopes } = request;
  wait(core, { id, from, scopes, indices }, now);
}

function wait<C>(core: Core<C>, read: Pick<WaitingRead, "id" | "from" | "scopes" | "indices">, now: Moment): void {
  const untilMs = now.monoMs + core.options.readTimeoutMs;
  readsOf(core).waiting.push({ ...read, confirmed: false, round: 0, asks: null, sentAtMs: now.monoMs, untilMs });
}

export function onReadIndexReply<C>(core: Core<C>, reply: ReadIndexReply): void {
  const { reads } = core;
  if (reads === null || core.role === "leader") return;
  const asked = reads.waiting.filter((read) => read.indices === null && placeIn(read, reply.ask) >= 0);
  if (reply.indices === null) {
    for (const read of asked) (core.answers ??= []).push({ id: read.id, ok: false, why: "not-leader" });
    reads.waiting = reads.waiting.filter((read) => !asked.includes(read));
    return;
  }
  // By their place in the question: some that were asked together may have timed out since, and each key has an index of its own.
  for (const [k, read] of asked.entries()) {
    const index = reply.indices[core.broken("reads-by-place") ? k : placeIn(read, reply.ask)];
    if (index === undefined) continue;
    read.indices = [index];
    read.confirmed = true;
  }
}

/** The place of a read in that question; −1 if it was not asked there. */
function placeIn(read: WaitingRead, ask: number): number {
  if (read.asks !== null) for (let k = 0; k < read.asks.length; k += 2) if (read.asks[k] === ask) return read.asks[k + 1]!;
  return -1;
}

/**
 * "Do you still follow me?" Adopting the term and answering is all. It need not wait for the disk: it says that this member,
 * until now, has not voted in a later term; and votes leave once durable (rule 1), so it is true of what a restart finds as well.
 */
export function onConfirm<C>(core: Core<C>, confirm: Confirm, now: Moment): void {
  if (confirm.term < core.term) {
    refuseOldTerm(core, confirm.from);
    return;
  }
  if (confirm.term > core.term || core.leader !== confirm.from) {
    core.follow(confirm.term, confirm.from, now);
    core.leaderGen = confirm.gen;
  }
  core.send(confirm.from, { kind: "confirm-reply", from: core.self, term: confirm.term, round: confirm.round });
}

export function onConfirmReply<C>(core: Core<C>, reply: ConfirmReply): void {
  if (core.leadership === null || reply.term !== core.term) return; // an answer counts in its own term only (rule 18)
  const peer = peerOf(core.leadership, reply.from);
  if (peer !== null) peer.round = Math.max(peer.round, reply.round);
}

/** Called once a drain: confirms, asks, and answers what is ready. */
export function settleReads<C>(core: Core<C>, now: Moment): void {
  const { reads, leadership } = core;
  if (reads === null || reads.waiting.length === 0) return;
  if (leadership !== null) confirmReads(core, leadership, reads, now);
  else askLeader(core, reads, now);
  let kept = 0;
  for (const read of reads.waiting) if (!answer(core, read)) reads.waiting[kept++] = read;
  reads.waiting.length = kept;
}

function confirmReads<C>(core: Core<C>, leadership: Leadership, reads: Reads, now: Moment): void {
  if (reads.waiting.every((read) => read.confirmed)) return;
  // rule 17: one check, at any moment between request and answer; all that wait came before now.
  const lease = leaseHeld(core, now);
  let awaited = false;
  for (const read of reads.waiting) {
    read.confirmed ||= lease || (read.round > 0 && roundConfirmed(core, leadership, read.round));
    awaited ||= !read.confirmed && read.round > 0;
  }
  if (lease || (awaited && now.monoMs < reads.roundSentAtMs + core.options.retryMs)) return; // reads that came meanwhile share the next round
  if (reads.waiting.every((read) => read.confirmed)) return;
  reads.rounds++;
  reads.roundSentAtMs = now.monoMs;
  // Not lifted by later rounds: answers slower than the retry count as well.
  for (const read of reads.waiting) if (!read.confirmed && read.round === 0) read.round = reads.rounds;
  eachVoter(core.configuration, (member) => {
    if (member === core.self) return;
    core.send(member, { kind: "confirm", from: core.self, term: core.term, gen: core.options.leases.gen, round: reads.rounds });
  });
  if (roundConfirmed(core, leadership, reads.rounds)) for (const read of reads.waiting) read.confirmed = true; // the only voter
}

/** rule 18: a majority answered, in this term, a round begun after the request. */
function roundConfirmed<C>(core: Core<C>, leadership: Leadership, round: number): boolean {
  return isQuorum(
    core.deciding("confirm-one-half"),
    (member) => member === core.self || (peerOf(leadership, member)?.round ?? 0) >= round,
  );
}

/** Follower: one question for all reads not asked yet, and again for those without answer. */
function askLeader<C>(core: Core<C>, reads: Reads, now: Moment): void {
  const { leader } = core;
  if (leader === null) {
    core.failReads("no-leader");
    return;
  }
  const lateMs = now.monoMs - core.options.retryMs;
  const due = reads.waiting.filter((read) => read.indices === null && (read.asks === null || read.sentAtMs <= lateMs));
  if (due.length === 0) return;
  const ask = core.broken("asks-anew") ? ++reads.rounds : core.options.leases.nextAsk();
  for (const [place, read] of due.entries()) {
    (read.asks ??= []).push(ask, place);
    read.sentAtMs = now.monoMs;
  }
  const scopes = due.map((read) => read.scopes[0]!);
  core.send(leader, { kind: "read-index", from: core.self, term: core.term, ask, scopes });
}

/** Answers a read if it can be; returns whether it is done. */
function answer<C>(core: Core<C>, read: WaitingRead): boolean {
  if (!read.confirmed || read.indices === null) return false;
  if (read.from !== null) {
    core.send(read.from, { kind: "read-index-reply", from: core.self, term: core.term, ask: read.id, indices: read.indices });
    return true;
  }
  const index = read.indices[0]!;
  if (core.applied < index && !(core.broken("index-no-wait") && core.role !== "leader")) return false; // rule 18: apply, then read
  (core.answers ??= []).push({ id: read.id, ok: true, index });
  return true;
}

/** Ends what took too long; other members' questions are dropped, they ask again. */
export function tickReads<C>(core: Core<C>, now: Moment): void {
  const { reads } = core;
  if (reads === null || reads.waiting.length === 0) return;
  const over = reads.waiting.filter((read) => now.monoMs >= read.untilMs);
  if (over.length === 0) return;
  for (const read of over) if (read.from === null) (core.answers ??= []).push({ id: read.id, ok: false, why: "timeout" });
  reads.waiting = reads.waiting.filter((read) => now.monoMs < read.untilMs);
}

export function readsWakeMs<C>(core: Core<C>): number {
  const { reads } = core;
  let wakeMs = Number.POSITIVE_INFINITY;
  if (reads === null) return wakeMs;
  for (const read of reads.waiting) {
    wakeMs = Math.min(wakeMs, read.untilMs);
    if (read.confirmed) continue;
    wakeMs = Math.min(wakeMs, (core.leadership === null ? read.sentAtMs : reads.roundSentAtMs) + core.options.retryMs);
  }
  return wakeMs;
}
