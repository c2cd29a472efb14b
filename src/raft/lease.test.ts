// Promises between two nodes with their own clocks: a property over random delays, rates and stops, and the manners of
// heartbeats.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Defect } from "./defects.ts";
import { type LeaseEffects, type LeaseMessage, type LeaseOptions, Leases } from "./lease.ts";
import type { Configuration, MemberId, Moment } from "./messages.ts";

const LEASE_MS = 100;

function options(self: MemberId, changes: Partial<LeaseOptions> = {}): LeaseOptions {
  return {
    self,
    leaseMs: LEASE_MS,
    driftFactor: 1.05,
    heartbeatMs: 28,
    maxHeartbeatMs: 200,
    boot: 1,
    firstBoot: true,
    ...changes,
  };
}
function at(ms: number, changes: Partial<Moment> = {}): Moment {
  return { monoMs: ms, bootMs: ms, wallMs: 1_000_000 + ms, jitter: 0.5, ...changes };
}
function beats(effects: LeaseEffects | null): LeaseMessage[] {
  return effects?.messages.map(({ message }) => message) ?? [];
}
const PAIR: Configuration = { voters: ["L", "F"], old: null, learners: [] };

interface Step {
  readonly passMs: number;
  readonly what: "beat" | "carry" | "answer" | "stop" | "restart";
}
const step: fc.Arbitrary<Step> = fc.record({
  passMs: fc.integer({ min: 0, max: 60 }),
  what: fc.constantFrom("beat", "beat", "carry", "carry", "answer", "answer", "stop", "restart"),
});
const world = fc.record({
  fastL: fc.boolean(),
  fastF: fc.boolean(),
  second: fc.constantFrom("boot", "wall"),
  steps: fc.array(step, { minLength: 10, maxLength: 80 }),
});

/**
 * True time goes on; L's and F's clocks run at rates up to 5 % apart, L's ordinary clock sometimes stands still; messages wait as
 * long as they like. Only one other clock of L's tells that it slept: boot time (the wall is being set back), or the wall (the
 * platform has no boot time).
 */
function holderOutlivesGiver(
  draw: { fastL: boolean; fastF: boolean; second: "boot" | "wall"; steps: readonly Step[] },
  defects?: ReadonlySet<Defect>,
): boolean {
  const [rateL, rateF] = [draw.fastL ? 1.05 : 1, draw.fastF ? 1.05 : 1];
  let trueMs = 0;
  let stoppedMs = 0;
  const nowL = (): Moment => {
    const monoMs = (trueMs - stoppedMs) * rateL;
    return draw.second === "boot"
      ? at(trueMs, { monoMs, bootMs: trueMs * rateL, wallMs: 1_000_000 - trueMs })
      : at(trueMs, { monoMs, bootMs: monoMs });
  };
  const nowF = (): Moment => at(trueMs * rateF);
  const planted = defects === undefined ? {} : { defects };
  const holder = new Leases(options("L", planted), nowL());
  let boot = 1;
  let giver = new Leases(options("F", { boot, ...planted }), nowF());
  // What the group's side does: the epoch of F's promise at its last acknowledgement, taken at once whenever F is promised.
  let acknowledged = -1;
  const there: LeaseMessage[] = [];
  const back: LeaseMessage[] = [];
  holder.setPeers(["F"], nowL());
  for (const { passMs, what } of draw.steps) {
    if (what === "stop") stoppedMs += passMs; // L's machine sleeps meanwhile
    trueMs += passMs;
    if (what === "beat") {
      holder.tick(nowL());
      there.push(...beats(holder.drain()));
    } else if (what === "carry" && there.length > 0) {
      giver.step(there.splice((passMs * 7) % there.length, 1)[0]!, nowF());
      back.push(...beats(giver.drain()));
      // One append is accepted now and then, never by itself: the promise before it may have lapsed.
      if (passMs % 3 === 0) acknowledged = giver.epochFor("L");
    } else if (what === "answer" && back.length > 0) holder.step(back.splice((passMs * 5) % back.length, 1)[0]!, nowL());
    else if (what === "restart") {
      boot++;
      giver = new Leases(options("F", { boot, firstBoot: false, ...planted }), nowF());
    }
    const trusts = holder.covers(PAIR, () => acknowledged, nowL());
    const keeps = giver.promisedTo("L", nowF()) || !giver.mayVote(nowF());
    if (trusts && !keeps) return false;
  }
  return true;
}

test("whenever the holder trusts a promise, its giver keeps it (rules 10, 11, 13–15)", () => {
  fc.assert(
    fc.property(world, (draw) => holderOutlivesGiver(draw)),
    { numRuns: 3000, seed: 1 },
  );
});
for (const defect of ["from-receipt", "no-drift", "one-clock", "boot-no-wait"] as const) {
  test(`notices ${defect}`, () => {
    const found = fc.check(
      fc.property(world, (draw) => holderOutlivesGiver(draw, new Set<Defect>([defect]))),
      { numRuns: 20_000, seed: 1, endOnFailure: true },
    );
    assert.ok(found.failed);
  });
}

test("a promise in another epoch, or acknowledged in none, covers nothing (rule 14)", () => {
  const holder = new Leases(options("L"), at(0));
  const giver = new Leases(options("F", { boot: 3 }), at(0));
  holder.setPeers(["F"], at(0));
  const exchange = (ms: number): void => {
    holder.tick(at(ms));
    for (const beat of beats(holder.drain())) {
      giver.step(beat, at(ms));
      for (const reply of beats(giver.drain())) holder.step(reply, at(ms));
    }
  };
  exchange(0);
  const first = giver.epochFor("L");
  assert.ok(holder.covers(PAIR, () => first, at(50)));
  assert.ok(!holder.covers(PAIR, () => -1, at(50)) && !holder.covers(PAIR, () => first - 1, at(50)));
  exchange(90);
  assert.equal(giver.epochFor("L"), first, "renewed in time: the same epoch");
  exchange(300);
  assert.ok(giver.epochFor("L") > first);
  assert.ok(!holder.covers(PAIR, () => first, at(301)) && holder.covers(PAIR, () => giver.epochFor("L"), at(301)));
  // A reply of an older epoch that comes late changes nothing.
  assert.equal(holder.supportEpoch("F"), giver.epochFor("L"));
});

test("while two configurations are joint, a lease needs a majority of both (rules 10, 21)", () => {
  const joint: Configuration = { voters: ["L", "A", "B"], old: ["L", "C", "D"], learners: ["E"] };
  const covered = (givers: readonly MemberId[]): boolean => {
    const holder = new Leases(options("L"), at(0));
    holder.setPeers(givers, at(0));
    const epochs = new Map<MemberId, number>();
    // Heartbeats leave at times of their own within the interval.
    for (let ms = 0; ms <= 60; ms += 5) {
      holder.tick(at(ms));
      for (const { to, message } of holder.drain()?.messages ?? []) {
        const giver = new Leases(options(to), at(ms));
        giver.step(message, at(ms));
        epochs.set(to, giver.epochFor("L"));
        for (const reply of beats(giver.drain())) holder.step(reply, at(ms));
      }
    }
    return holder.covers(joint, (member) => epochs.get(member) ?? -1, at(61));
  };
  assert.equal(covered(["A", "C"]), true);
  assert.equal(covered(["A", "B"]), false, "only the new half promises");
  assert.equal(covered(["C", "D"]), false, "only the old half promises");
  assert.equal(covered(["E", "A"]), false, "a learner's promise counts nowhere");
});

test("heartbeats to a silent peer get rarer, and come at once when it is heard of again", () => {
  const node = new Leases(options("L"), at(0));
  node.setPeers(["F"], at(0));
  const sent: number[] = [];
  for (let ms = 0; ms < 4000; ms++) {
    node.tick(at(ms));
    if (beats(node.drain()).length > 0) sent.push(ms);
  }
  const gaps = sent.slice(1).map((ms, k) => ms - sent[k]!);
  assert.ok(gaps[0]! < 35 && gaps[gaps.length - 1]! >= 180 && gaps[gaps.length - 1]! <= 221, `${gaps}`);
  assert.ok(
    gaps.every((gap, k) => k === 0 || gap >= gaps[k - 1]! * 0.8),
    "ever rarer, but for the jitter",
  );
  node.step({ kind: "heartbeat", from: "F", sentMonoMs: 1, sentBootMs: 1, sentWallMs: 1, boot: 1, gen: 1 }, at(4000));
  node.drain();
  assert.equal(node.nextWakeMs(), 4000);
});

test("heartbeats to several peers don't fall together", () => {
  const node = new Leases(options("L"), at(0));
  node.setPeers(["a", "b", "c", "d"], at(0));
  node.tick(at(0));
  node.drain();
  const times = new Set<number>();
  for (let ms = 0; ms < 40; ms += 0.5) {
    node.tick(at(ms));
    for (const { to } of node.drain()?.messages ?? []) times.add(ms * 10 + to.charCodeAt(0) / 1000);
  }
  assert.equal(new Set([...times].map(Math.floor)).size, 4);
});

test("generation: grows with step-downs and boots, is heard once (rule 19)", () => {
  const node = new Leases(options("L"), at(0));
  const before = node.gen;
  node.steppedDown();
  assert.ok(node.gen > before);
  assert.ok(new Leases(options("L", { boot: 2 }), at(0)).gen > node.gen);
  const other = new Leases(options("F"), at(0));
  const beat = { kind: "heartbeat", from: "L", sentMonoMs: 0, sentBootMs: 0, sentWallMs: 0, boot: 1, gen: node.gen } as const;
  other.step(beat, at(0));
  assert.deepEqual(other.drain()?.events, [{ kind: "generation-grew", peer: "L" }]);
  other.step(beat, at(1));
  assert.deepEqual(other.drain()?.events, []);
});
