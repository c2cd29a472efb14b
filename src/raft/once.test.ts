import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Defect } from "./defects.ts";
import { Once, type OnceOptions } from "./once.ts";

const W = 5000;

/** What rules 28–30 say, in the plainest form: everything is kept for ever, expiry is looked at when asked. */
class Model {
  timeMs = 0;
  readonly all: { id: string; expiresMs: number; result: number }[] = [];
  judge(id: string, expiresMs: number): string {
    const known = this.all.find((one) => one.id === id && one.expiresMs >= this.timeMs);
    if (known !== undefined) return `known ${known.result}`;
    if (expiresMs < this.timeMs) return "refused expired";
    return expiresMs > this.timeMs + W ? "refused too-far" : "new";
  }
}

interface Step {
  readonly id: number;
  readonly forwardMs: number;
  readonly lifeMs: number;
  readonly copy: boolean;
}
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    id: fc.nat(20),
    forwardMs: fc.oneof(fc.constant(0), fc.nat(900), fc.nat(2 * W)),
    lifeMs: fc.integer({ min: -1500, max: W + 500 }),
    copy: fc.nat(9).map((n) => n === 0),
  }),
  { maxLength: 120 },
);

/** Plays the steps on the real one and the model; a command's expiry is the same in every retry. Returns the first difference. */
function play(list: readonly Step[], options: OnceOptions): string | null {
  let once = new Once<number>(options);
  const model = new Model();
  const expiries = new Map<number, number>();
  let applied = 0;
  let timeMs = 1_700_000_000_000;
  for (const step of list) {
    timeMs += step.forwardMs;
    once.advance(timeMs);
    model.timeMs = Math.max(model.timeMs, timeMs);
    if (step.copy) {
      const state = JSON.parse(JSON.stringify(once.export())) as ReturnType<typeof once.export>;
      once = new Once<number>(options);
      once.import(state);
    }
    // An id is used again for a new command once the old one is past: far past its expiry nothing of it may come back.
    if ((expiries.get(step.id) ?? 0) < timeMs - 3 * W) expiries.set(step.id, timeMs + step.lifeMs);
    const expiresMs = expiries.get(step.id)!;
    const id = `c${step.id}/${expiresMs}`;
    const verdict = once.judge(id, expiresMs);
    const said =
      verdict.kind === "known" ? `known ${verdict.result}` : verdict.kind === "refused" ? `refused ${verdict.why}` : "new";
    const expected = model.judge(id, expiresMs);
    if (said !== expected) return `${said}, not ${expected}`;
    if (once.peek(id) !== (verdict.kind === "known" ? verdict.result : undefined)) return "peek differs";
    if (verdict.kind !== "new") continue;
    once.remember(id, expiresMs, ++applied, applied % 3 !== 0);
    model.all.push({ id, expiresMs, result: applied });
  }
  return null;
}

test("judges as the plain model does, also after export and import", () => {
  fc.assert(
    fc.property(steps, (list) => {
      assert.equal(play(list, { windowMs: W, maxResults: 1000 }), null);
    }),
    { numRuns: 300, seed: 1 },
  );
});

for (const defect of ["no-ids", "ids-no-expiry", "ids-fixed-window", "ids-success-only"] as const) {
  test(`notices ${defect}`, () => {
    const options = { windowMs: W, maxResults: 1000, defects: new Set<Defect>([defect]) };
    const found = fc.check(
      fc.property(steps, (list) => play(list, options) === null),
      { numRuns: 2000, seed: 1, endOnFailure: true },
    );
    assert.ok(found.failed);
  });
}

test("memory is bounded: above the limit commands are refused, and room comes with time", () => {
  const once = new Once<null>({ windowMs: W, maxResults: 10 });
  once.advance(1000);
  for (let k = 0; k < 10; k++) {
    assert.equal(once.judge(`c${k}`, 2000 + k).kind, "new");
    once.remember(`c${k}`, 2000 + k, null);
  }
  assert.deepEqual(once.judge("one more", 3000), { kind: "refused", why: "full" });
  assert.equal(once.judge("c3", 2003).kind, "known", "what is known is answered all the same");
  once.advance(3001);
  assert.equal(once.size, 0);
  assert.equal(once.judge("one more", 3500).kind, "new");
});

test("two replicas hold the same, whichever way they came to the position", () => {
  const options = { windowMs: W, maxResults: 50 };
  const straight = new Once<number>(options);
  let copied = new Once<number>(options);
  for (let k = 0; k < 200; k++) {
    for (const once of [straight, copied]) {
      once.advance(k * 170);
      if (once.judge(`c${k}`, k * 170 + (k % 7) * 600).kind === "new") once.remember(`c${k}`, k * 170 + (k % 7) * 600, k);
    }
    if (k % 13 === 0) {
      const state = copied.export();
      copied = new Once<number>(options);
      copied.import(state);
    }
    assert.deepEqual(copied.export(), straight.export());
    assert.equal(copied.size, straight.size);
  }
});

test("log time does not go back", () => {
  const once = new Once<number>({ windowMs: W, maxResults: 10 });
  once.advance(5000);
  once.advance(100);
  assert.equal(once.timeMs, 5000);
  assert.deepEqual(once.judge("late", 4999), { kind: "refused", why: "expired" });
  assert.deepEqual(once.judge("far", 5000 + W + 1), { kind: "refused", why: "too-far" });
});
