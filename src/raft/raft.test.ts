// What scripts can't show: several events within one batch, limits, and assertions that must fire.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mayFollow, nextConfiguration, quorumValue } from "./configuration.ts";
import type { Append, Message, Moment } from "./messages.ts";
import { SCOPE_NONE } from "./messages.ts";
import { concerns } from "./read-index.ts";
import { Leases } from "./lease.ts";
import { raftOptions } from "./options.ts";
import { emptyGroup, bootstrapGroup, Raft } from "./raft.ts";
import { type Member, Rig } from "./testing/rig.ts";

function elected(ids: readonly string[] = ["a", "b", "c"], manual = false): { rig: Rig; a: Member } {
  const rig = Rig.born(ids);
  const a = rig.get("a");
  rig.nowMs = 1000;
  rig.tick(a);
  while (rig.wire.length > 0) rig.deliver(0);
  assert.equal(a.raft.role, "leader");
  for (const id of ids) rig.get(id).manualDisk = manual;
  return { rig, a };
}

test("rule 5: a leader that steps down within a batch sends none of what was proposed in it", () => {
  const { rig, a } = elected();
  const now = rig.now(a);
  assert.equal(typeof a.raft.propose({ data: "x", scope: 1, sizeBytes: 1 }, now), "number");
  a.raft.step({ kind: "vote", from: "b", term: 9, pre: false, force: true, lastIndex: 50, lastTerm: 8 }, now);
  const effects = a.raft.drain(now)!;
  assert.equal(a.raft.role, "follower");
  assert.ok(!effects.messages.some(({ message }) => message.kind === "append"));
  // The entry stays in its log, of the old term, until a leader says otherwise; it goes to disk in the same write as the new
  // term.
  assert.deepEqual([effects.write?.term, effects.write?.vote, effects.write?.entries.length], [9, "b", 1]);
});

test("rule 1: an ack of a term that ended within the same batch is not sent", () => {
  const { rig } = elected(["a", "b", "c"], true);
  const b = rig.get("b");
  const now = rig.now(b);
  const last = b.raft.lastIndex;
  const entry = { index: last + 1, term: 1, stampMs: 2_000_000, scope: SCOPE_NONE, sizeBytes: 1, configuration: null, data: "x" };
  const append: Append<string> = {
    kind: "append",
    from: "a",
    term: 1,
    gen: 0,
    session: 0,
    leaving: false,
    prevIndex: last,
    prevTerm: 1,
    entries: [entry],
    commit: last,
    durable: last,
  };
  b.raft.step(append, now);
  b.raft.step({ ...append, from: "c", term: 5, entries: [{ ...entry, term: 5, data: "y" }], durable: last + 1 }, now);
  const { messages, write } = b.raft.drain(now)!;
  assert.deepEqual(
    messages.map(({ to, message }) => [to, message.kind, message.term]),
    [["c", "append-reply", 5]],
  );
  assert.deepEqual(
    write?.entries.map(({ data }) => data),
    ["y"],
  );
});

test("rule 1: a write that a later one undoes makes nothing durable that is no longer the log", () => {
  const { rig } = elected(["a", "b", "c"], true);
  const b = rig.get("b");
  const now = rig.now(b);
  const last = b.raft.lastIndex;
  const entry = (index: number, term: number): Append<string>["entries"][number] => ({
    index,
    term,
    stampMs: 2_000_000,
    scope: SCOPE_NONE,
    sizeBytes: 1,
    configuration: null,
    data: `${term}`,
  });
  const append = (from: string, term: number, entries: Append<string>["entries"]): Message<string> => ({
    kind: "append",
    from,
    term,
    gen: 0,
    session: 0,
    leaving: false,
    prevIndex: last,
    prevTerm: 1,
    entries,
    commit: last,
    durable: last,
  });
  b.raft.step(append("a", 1, [entry(last + 1, 1), entry(last + 2, 1)]), now);
  const first = b.raft.drain(now)!.write!;
  b.raft.step(append("c", 5, [entry(last + 1, 5)]), now);
  const second = b.raft.drain(now)!.write!;
  b.raft.step(append("a", 6, [entry(last + 1, 5), entry(last + 2, 6)]), now);
  const third = b.raft.drain(now)!.write!;
  assert.equal(second.truncateFrom, last + 1);
  b.raft.stored(first.seq, now);
  assert.equal(b.raft.durableIndex, last, "what the first write held was replaced");
  b.raft.stored(second.seq, now);
  assert.equal(b.raft.durableIndex, last + 1);
  b.raft.stored(third.seq, now);
  assert.equal(b.raft.durableIndex, last + 2);
});

test("rule 12: a promised follower keeps its term whatever it is sent, but for its leader and a forced vote", () => {
  const { rig, a } = elected();
  const b = rig.get("b");
  rig.beat(a, b);
  const now = rig.now(b);
  const term = b.raft.term;
  const vote = { kind: "vote", from: "c", term: term + 7, pre: false, force: false, lastIndex: 99, lastTerm: 99 } as const;
  for (const message of [
    vote,
    { kind: "vote-reply", from: "c", term: term + 7, pre: false, granted: false, wallMs: 0 },
    { kind: "append-reply", from: "c", term: term + 7, session: 0, ok: false, match: 0, refused: 0, epoch: -1, commit: 0 },
    { kind: "confirm-reply", from: "c", term: term + 7, round: 1 },
    { kind: "lead-answer", from: "c", term: term + 7, leads: true, gen: 9 },
    { kind: "campaign-now", from: "c", term: term + 7 },
    // Late words of its own leader, from before it led in this term: that it did not lead then, or wished to.
    { kind: "lead-answer", from: "a", term: term - 1, leads: false, gen: 9 },
    { ...vote, from: "a", term },
    { ...vote, from: "a", term, pre: true },
  ] satisfies Message<string>[]) {
    b.raft.step(message, now);
    assert.equal(b.raft.term, term, message.kind);
    assert.equal(b.raft.leader, "a");
  }
  b.raft.step({ ...vote, force: true }, now);
  assert.equal(b.raft.term, term + 7);
});

test("log matching: of what storage gives, only what can't have been replaced meanwhile goes to a member", () => {
  const { rig, a } = elected();
  rig.cut.add("a→c");
  for (const data of ["w", "x", "y"]) rig.propose(a, data, 1);
  while (rig.wire.length > 0) rig.deliver(0);
  rig.cut.add("a→b");
  rig.propose(a, "mine", 1);
  rig.wire = [];
  rig.trim(a, 3, 0);
  assert.deepEqual([a.raft.commitIndex, a.raft.lastIndex, a.raft.anchor.index], [4, 5, 3]);
  const now = rig.now(a);
  const refusal = {
    kind: "append-reply",
    from: "c",
    term: 1,
    session: 0,
    ok: false,
    match: 1,
    refused: 5,
    epoch: -1,
    commit: 1,
  } as const;
  a.raft.step(refusal, now);
  const fetch = a.raft.drain(now)?.fetches[0];
  assert.deepEqual([fetch?.to, fetch?.from], ["c", 2]);
  // Read from storage under an earlier leadership of a's; entry 5 was uncommitted and another leader has replaced it since.
  const stored = [2, 3, 4, 5].map((index) => ({
    index,
    term: 1,
    stampMs: 2_000_000,
    scope: 1,
    sizeBytes: 1,
    configuration: null,
    data: index === 5 ? "replaced" : "wxy"[index - 2]!,
  }));
  a.raft.fetched("c", 1, stored, now);
  const sent = a.raft.drain(now)!.messages.flatMap(({ message }) => (message.kind === "append" ? message.entries : []));
  assert.deepEqual(
    sent.map(({ index, data }) => `${index}:${data}`),
    ["2:w", "3:x", "4:y", "5:mine"],
  );
});

test("limits: flight, uncommitted entries, reads", () => {
  const rig = new Rig({
    tune: { maxFlightEntries: 4, maxAppendEntries: 2, maxUncommittedEntries: 8, maxReads: 3, earlyCommit: false },
  });
  const configuration = { voters: ["a", "b"], old: null, learners: [] };
  for (const id of ["a", "b"]) rig.drain(rig.add(id, bootstrapGroup(configuration)));
  const a = rig.get("a");
  rig.nowMs = 1000;
  rig.tick(a);
  while (rig.wire.length > 0) rig.deliver(0);
  for (let k = 0; k < 8; k++) assert.equal(typeof a.raft.propose({ data: `${k}`, scope: k, sizeBytes: 1 }, rig.now(a)), "number");
  assert.equal(a.raft.propose({ data: "9", scope: 9, sizeBytes: 1 }, rig.now(a)), "busy");
  rig.drain(a);
  const sent = rig.wire.map(({ message }) => (message.kind === "append" ? message.entries.length : 0));
  assert.deepEqual(
    sent.filter((n) => n > 0),
    [2, 2],
    "four entries are under way, two a message",
  );
  for (let id = 1; id <= 4; id++) rig.read(a, id, 1);
  assert.deepEqual(a.answers, [{ id: 4, ok: false, why: "busy" }]);
  while (rig.wire.length > 0) rig.deliver(0);
  assert.equal(a.raft.commitIndex, a.raft.lastIndex);
  assert.equal(rig.get("b").rows.length, a.rows.length);
});

test("flight is bounded by bytes, and one entry always goes", () => {
  const rig = new Rig({ tune: { maxFlightBytes: 100, maxAppendBytes: 50 } });
  const configuration = { voters: ["a", "b"], old: null, learners: [] };
  for (const id of ["a", "b"]) rig.drain(rig.add(id, bootstrapGroup(configuration)));
  const a = rig.get("a");
  rig.nowMs = 1000;
  rig.tick(a);
  while (rig.wire.length > 0) rig.deliver(0);
  for (const sizeBytes of [400, 20, 20, 40, 20]) a.raft.propose({ data: "x", scope: 1, sizeBytes }, rig.now(a));
  rig.drain(a);
  const counts = (): number[] =>
    rig.wire.flatMap(({ message }) => (message.kind === "append" && message.entries.length > 0 ? [message.entries.length] : []));
  assert.deepEqual(counts(), [1], "too large for any limit, alone");
  while (counts().length > 0 && a.raft.progress("b")!.match < 3) rig.deliver(0);
  while (rig.wire.length > 0) rig.deliver(0);
  assert.equal(a.raft.commitIndex, a.raft.lastIndex);
});

test("a single voter decides alone, once its write is durable", () => {
  const { rig, a } = elected(["a"], true);
  rig.propose(a, "x", 1);
  assert.equal(a.raft.commitIndex, 1);
  rig.store(a);
  assert.equal(a.raft.commitIndex, 2);
  assert.ok(a.raft.mayRead(1, rig.now(a)), "nobody else's promise is needed");
});

test("rule 18: a confirmation counts in its own term only, whatever its number", () => {
  const { rig, a } = elected();
  rig.read(a, 1, 1);
  const round = rig.wire.flatMap(({ message }) => (message.kind === "confirm" ? [message.round] : []))[0]!;
  rig.wire = [];
  const reply = { kind: "confirm-reply", from: "b", term: a.raft.term, round } as const;
  // Of an earlier leadership of a's, perhaps in an earlier process: rounds are counted anew there.
  a.raft.step({ ...reply, term: reply.term - 1, round: round + 9 }, rig.now(a));
  rig.drain(a);
  assert.deepEqual(a.answers, []);
  a.raft.step({ ...reply, round: round - 1 }, rig.now(a));
  rig.drain(a);
  assert.deepEqual(a.answers, [], "nor a round begun before the read");
  a.raft.step(reply, rig.now(a));
  rig.drain(a);
  assert.deepEqual(a.answers, [{ id: 1, ok: true, index: 1 }]);
});

test("rule 26: who forgot a group is silent until its log is as long as it was, whatever configurations pass by", () => {
  let ms = 1000;
  const now = (): Moment => ({ monoMs: ms, bootMs: ms, wallMs: ms, jitter: 0 });
  const leases = new Leases(
    { self: "c", leaseMs: 100, driftFactor: 1.05, heartbeatMs: 28, maxHeartbeatMs: 200, boot: 1, firstBoot: true },
    now(),
  );
  const c = new Raft<string>(raftOptions("c", leases), emptyGroup({ term: 2, vote: "b", silentBelow: 5 }), now());
  const alone = { voters: ["c"], old: null, learners: [] };
  const entries = [1, 2, 3, 4, 5].map((index) => ({
    index,
    term: 1,
    stampMs: 0,
    scope: SCOPE_NONE,
    sizeBytes: 1,
    configuration: index === 3 ? alone : null,
    data: index === 3 ? null : "x",
  }));
  const append = (from: number, to: number): Message<string> => ({
    kind: "append",
    from: "a",
    term: 2,
    gen: 0,
    session: 9,
    leaving: false,
    prevIndex: from - 1,
    prevTerm: from === 1 ? 0 : 1,
    entries: entries.slice(from - 1, to),
    commit: 5,
    durable: 5,
  });
  const vote = { kind: "vote", from: "b", term: 3, pre: false, force: false, lastIndex: 9, lastTerm: 2 } as const;
  c.step(append(1, 4), now());
  c.drain(now());
  assert.deepEqual([c.configuration, c.isVoter, c.commitIndex], [alone, true, 4]);
  assert.equal(c.remains.silentBelow, 5, "forgetting again, half filled, makes it no less silent");
  ms += 1000;
  c.tick(now());
  c.step(vote, now());
  c.step({ ...vote, pre: true }, now());
  c.step({ ...vote, force: true }, now());
  assert.equal(c.drain(now()), null, "it neither votes nor campaigns, and keeps its term");
  assert.deepEqual([c.role, c.term], ["follower", 2]);
  c.step(append(5, 5), now());
  c.drain(now());
  ms += 1000;
  c.tick(now());
  assert.equal(c.role, "candidate", "filled, it counts again");
});

test("rule 14: the epoch is that of accepting the append, though the answer leaves after the promise lapsed and was renewed", () => {
  const { rig, a } = elected();
  const b = rig.get("b");
  rig.beat(a, b);
  const before = b.leases.epochFor("a");
  const entry = { prevIndex: 1, prevTerm: 1, entries: [], commit: 1, durable: 1 };
  b.raft.step({ kind: "append", from: "a", term: 1, gen: 0, session: 0, leaving: false, ...entry }, rig.now(b));
  // Not drained yet. In between b is free, and no longer follows a in this group.
  rig.nowMs += 300;
  rig.lapse(b);
  b.raft.tick(rig.now(b));
  rig.nowMs += 300;
  b.raft.tick(rig.now(b));
  assert.deepEqual([b.raft.role, b.raft.term], ["pre-candidate", 1]);
  rig.beat(a, b);
  assert.ok(b.leases.epochFor("a") > before);
  const acks = b.raft
    .drain(rig.now(b))!
    .messages.flatMap(({ message }) => (message.kind === "append-reply" ? [message.epoch] : []));
  assert.deepEqual(acks, [before]);
});

test("rule 15: after a restart not even 'campaign now' is heeded, nor a forced vote given, for one lease", () => {
  const { rig } = elected();
  const b = rig.get("b");
  rig.crash(b);
  rig.start(b);
  rig.drain(b);
  const entry = { prevIndex: 1, prevTerm: 1, entries: [], commit: 1, durable: 1 };
  b.raft.step({ kind: "append", from: "a", term: 1, gen: 0, session: 0, leaving: false, ...entry }, rig.now(b));
  assert.equal(b.raft.leader, "a");
  const term = 2;
  b.raft.step({ kind: "campaign-now", from: "a", term: 1 }, rig.now(b));
  b.raft.step({ kind: "vote", from: "c", term, pre: false, force: true, lastIndex: 9, lastTerm: 1 }, rig.now(b));
  assert.deepEqual([b.raft.role, b.raft.term], ["follower", 1]);
  rig.nowMs += 90;
  b.raft.tick(rig.now(b)); // its election timer has run out, and no promise of this process holds it back
  assert.equal(b.raft.role, "follower");
  rig.nowMs += 11;
  b.raft.step({ kind: "campaign-now", from: "a", term: 1 }, rig.now(b));
  assert.deepEqual([b.raft.role, b.raft.term], ["candidate", 2]);
});

test("rule 4: log time comes with a snapshot", () => {
  const { rig, a } = elected();
  const c = rig.get("c");
  rig.cut.add("a→c");
  a.wallOffsetMs = rig.get("b").wallOffsetMs = 5000; // c's clock is far behind theirs
  for (const id of ["b"]) rig.beat(a, rig.get(id));
  rig.propose(a, "x", 1);
  while (rig.wire.length > 0) rig.deliver(0);
  const stampMs = a.raft.logTimeMs;
  rig.trim(a, 2, 2);
  rig.cut.clear();
  rig.nowMs += 50;
  rig.beat(a, c);
  rig.tick(a);
  while (rig.wire.length > 0) rig.deliver(0);
  for (const to of [...a.wantSnapshot]) rig.shipSnapshot(a, to);
  while (rig.wire.length > 0) rig.deliver(0);
  assert.equal(c.raft.anchor.index, 2, "it was filled by a snapshot");
  assert.equal(c.raft.logTimeMs, stampMs);
});

test("rule 18: a question that waits for its proof when leadership ends is not answered by a later one: its index is of before", () => {
  const { rig, a } = elected();
  const told: Message<string>[] = [];
  rig.onEffects = (at, effects) => {
    if (at === a) told.push(...effects.messages.map(({ message }) => message));
  };
  a.raft.step({ kind: "read-index", from: "c", term: 1, ask: 7, scopes: [1] }, rig.now(a));
  rig.drain(a);
  rig.wire = [];
  a.raft.step({ kind: "vote", from: "b", term: 2, pre: false, force: true, lastIndex: 1, lastTerm: 1 }, rig.now(a));
  rig.drain(a);
  rig.wire = [];
  rig.nowMs += 100; // an election timer, not yet the timeout of reads
  rig.tick(a);
  while (rig.wire.length > 0) rig.deliver(0);
  assert.deepEqual([a.raft.role, a.raft.term], ["leader", 3]);
  rig.read(a, 1, 1);
  while (rig.wire.length > 0) rig.deliver(0);
  assert.deepEqual(a.answers, [{ id: 1, ok: true, index: 2 }]);
  assert.ok(!told.some(({ kind }) => kind === "read-index-reply"));
});

test("nothing leaves memory before it is durable", () => {
  const { rig, a } = elected();
  const b = rig.get("b");
  b.manualDisk = true;
  rig.cut.add("b→a");
  rig.propose(a, "x", 1);
  while (rig.wire.length > 0) rig.deliver(0);
  rig.nowMs += 50;
  rig.beat(a, b);
  rig.tick(a);
  while (rig.wire.length > 0) rig.deliver(0);
  assert.deepEqual([b.raft.appliedIndex, b.raft.durableIndex], [2, 1]);
  b.raft.trim(2, 0);
  assert.equal(b.raft.anchor.index, 1);
  rig.store(b);
  b.raft.trim(2, 0);
  assert.equal(b.raft.anchor.index, 2);
});

test("quorums of both halves", () => {
  const joint = { voters: ["a", "d", "e"], old: ["a", "b", "c"], learners: [] };
  const match: Record<string, number> = { a: 9, b: 3, c: 5, d: 7, e: 2 };
  assert.equal(
    quorumValue(joint, (id) => match[id]!),
    5,
  );
  assert.equal(
    quorumValue({ voters: ["a", "b", "c", "d"], old: null, learners: [] }, (id) => match[id]!),
    5,
  );
});

test("rule 21: one member, or joint", () => {
  const present = { voters: ["a", "b", "c"], old: null, learners: ["d"] };
  assert.deepEqual(nextConfiguration(present, { voters: ["a", "b", "d"], learners: [] })?.old, ["a", "b", "c"]);
  assert.equal(nextConfiguration(present, { voters: ["a", "b", "c", "d"], learners: [] })?.old, null);
  assert.equal(nextConfiguration(present, { voters: ["c", "b", "a"], learners: ["d"] }), null);
  assert.ok(!mayFollow(present, { voters: ["a", "d", "e"], old: null, learners: [] }));
  assert.ok(
    !mayFollow({ voters: ["a", "b", "d"], old: ["a", "b", "c"], learners: [] }, { voters: ["a", "b"], old: null, learners: [] }),
  );
});

test("rule 21: a joint configuration is left before the next change, also in the very moment when it is committed", () => {
  const { rig, a } = elected(["a", "b", "c", "d"]);
  const now = rig.now(a);
  assert.equal(a.raft.reconfigure({ voters: ["a", "b"], learners: [] }, now), 2);
  rig.drain(a);
  rig.wire = [];
  for (const from of ["b", "c"])
    a.raft.step({ kind: "append-reply", from, term: 1, session: 0, ok: true, match: 2, refused: 0, epoch: -1, commit: 1 }, now);
  assert.deepEqual([a.raft.commitIndex, a.raft.configuration.old], [2, ["a", "b", "c", "d"]]);
  assert.equal(a.raft.reconfigure({ voters: ["a"], learners: [] }, now), "in-progress");
  rig.drain(a);
  assert.deepEqual([a.raft.configurationIndex, a.raft.configuration.old], [3, null]);
});

test("rule 9: which entries concern which reads", () => {
  assert.ok(concerns(5, 5) && !concerns(5, 6));
  assert.ok(concerns(-1, 6) && concerns(5, -1) && concerns(-1, -1));
  assert.ok(!concerns(-2, -1) && !concerns(-2, 5));
  assert.ok(
    concerns([4, 5], 5) && concerns(5, [4, 5]) && concerns([1, 5], [5, 9]) && !concerns([1, 2], [3]) && concerns([1, 2], -1),
  );
});
