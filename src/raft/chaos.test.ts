// Property: whatever the order of events, the invariants hold (asserted in the code and in testing/chaos.ts), and calm brings
// progress. CHAOS_RUNS=n for longer runs, CHAOS_SEED=s to begin elsewhere, CHAOS_SHRINK=1 to have a failure made small.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Defect } from "./defects.ts";
import { type Action, chaos, type ChaosOptions } from "./testing/chaos.ts";

const runs = Number(process.env["CHAOS_RUNS"] ?? 60);
const seed = Number(process.env["CHAOS_SEED"] ?? 1);
const action: fc.Arbitrary<Action> = fc.tuple(fc.nat(99), fc.nat(4095));
// No bias towards small numbers: a schedule needs variety, not corner cases of integers.
const actions = fc.noBias(fc.array(action, { minLength: 150, maxLength: 600, size: "max" }));
const endOnFailure = process.env["CHAOS_SHRINK"] !== "1";

function holds(options: ChaosOptions): void {
  let commits = 0;
  let reads = 0;
  fc.assert(
    fc.property(actions, (list) => {
      const did = chaos(list, options);
      commits += did.commits;
      reads += did.reads;
    }),
    { numRuns: runs, seed, endOnFailure },
  );
  assert.ok(
    commits > runs * 5 && reads > runs / 2,
    `the schedules do something: ${commits} commits, ${reads} reads in ${runs} runs`,
  );
}

test("three voters", () => holds({ voters: 3, membership: false, crashes: true }));
test("three voters, members change", () => holds({ voters: 3, membership: true, crashes: true }));
test("four and five voters", () => {
  holds({ voters: 4, membership: false, crashes: true });
  holds({ voters: 5, membership: true, crashes: true });
});
test("one and two voters", () => {
  holds({ voters: 1, membership: true, crashes: true });
  holds({ voters: 2, membership: true, crashes: true });
});

// A test that can't fail is none: planted defects must be noticed. (Those of leases need rarer schedules: the simulator's.)
const planted: readonly Defect[] = [
  "ack-unsynced",
  "leader-unsynced",
  "commit-unverified",
  "early-no-flag",
  "early-volatile",
  "read-commit",
  "read-own-term",
  "index-no-wait",
];
for (const defect of planted) {
  test(`notices ${defect}`, () => {
    const options = { voters: 3, membership: false, crashes: true, defects: new Set<Defect>([defect]) };
    const found = fc.check(
      fc.property(actions, (list) => {
        chaos(list, options);
      }),
      { numRuns: 2000, seed, endOnFailure: true },
    );
    assert.ok(found.failed, `${defect} stays unnoticed`);
  });
}
