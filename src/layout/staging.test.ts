import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type LayoutFailureCode, LayoutError } from "./failures.ts";
import { MAX_ROLES } from "./roles.ts";
import { hasStagedChanges, type LayoutChange, nextParameters, nextRoles, revert, stage, stageAll } from "./staging.ts";
import { emptyLayout, type LayoutState } from "./state.ts";
import { appliedCluster, assignments, nodeId } from "./testing/clusters.ts";

const TB = 1e12;
const three = appliedCluster({ replicationFactor: 3 }, [
  { n: 1, zone: "paris", capacity: TB, tags: ["old"] },
  { n: 2, zone: "lyon", capacity: TB },
  { n: 3, zone: "home", capacity: TB },
]);

function refused(state: LayoutState, change: LayoutChange, code: LayoutFailureCode, sentence: RegExp): void {
  assert.throws(
    () => stage(state, change),
    (error) => error instanceof LayoutError && error.code === code && error.failure.code === code && sentence.test(error.message),
  );
}

test("a new node needs a zone, and a capacity or to be a gateway", () => {
  const empty = emptyLayout({ replicationFactor: 1 });
  refused(empty, { kind: "assign", node: nodeId(1) }, "layout.incomplete-role", /zone and capacity must be given/);
  refused(empty, { kind: "assign", node: nodeId(1), zone: "a" }, "layout.incomplete-role", /capacity must be given/);
  refused(empty, { kind: "assign", node: nodeId(1), capacity: null }, "layout.incomplete-role", /zone must be given/);
  const staged = stage(empty, { kind: "assign", node: nodeId(1), zone: "a", capacity: null });
  assert.deepEqual(staged.stagedRoles, [{ id: nodeId(1), zone: "a", capacity: null, tags: [] }]);
  assert.deepEqual(staged.roles, []);
});

test("omitted values keep the staged ones, else the present ones", () => {
  let state = stage(three, { kind: "assign", node: nodeId(1), capacity: 2 * TB });
  assert.deepEqual(state.stagedRoles, [{ id: nodeId(1), zone: "paris", capacity: 2 * TB, tags: ["old"] }]);
  state = stage(state, { kind: "assign", node: nodeId(1), zone: "nice", tags: ["a,b", "c"] });
  assert.deepEqual(state.stagedRoles, [{ id: nodeId(1), zone: "nice", capacity: 2 * TB, tags: ["a,b", "c"] }]);
  state = stage(state, { kind: "assign", node: nodeId(1), tags: [] });
  assert.deepEqual(state.stagedRoles, [{ id: nodeId(1), zone: "nice", capacity: 2 * TB, tags: [] }]);
});

test("a wish that equals the present layout takes back what was staged", () => {
  let state = stage(three, { kind: "assign", node: nodeId(1), capacity: 2 * TB });
  state = stage(state, { kind: "assign", node: nodeId(1), capacity: TB });
  assert.deepEqual(state, three);
  state = stage(three, { kind: "remove", node: nodeId(2) });
  state = stage(state, { kind: "assign", node: nodeId(2) });
  assert.deepEqual(state, three);
  state = stage(three, { kind: "config", zoneRedundancy: { atLeast: 2 } });
  assert.equal(hasStagedChanges(state), true);
  assert.deepEqual(stage(state, { kind: "config", zoneRedundancy: "maximum" }), three);
});

test("removal: of a present node, of a staged one, of an unknown one", () => {
  const removed = stage(three, { kind: "remove", node: nodeId(2) });
  assert.deepEqual(removed.stagedRoles, [{ id: nodeId(2), remove: true }]);
  assert.deepEqual(
    nextRoles(removed).map((role) => role.id),
    [nodeId(1), nodeId(3)],
  );
  const added = stageAll(three, assignments([{ n: 9, zone: "z", capacity: TB }]));
  assert.deepEqual(stage(added, { kind: "remove", node: nodeId(9) }), three);
  refused(three, { kind: "remove", node: nodeId(9) }, "layout.unknown-node", /has no role/);
});

test("replace stages the removal of the old node beside the new role", () => {
  const change: LayoutChange = { kind: "assign", node: nodeId(4), zone: "paris", capacity: TB, replace: [nodeId(1)] };
  assert.deepEqual(
    nextRoles(stage(three, change)).map((role) => role.id),
    [nodeId(2), nodeId(3), nodeId(4)],
  );
  refused(three, { ...change, replace: [nodeId(8)] }, "layout.unknown-node", /has no role/);
  refused(three, { ...change, replace: [nodeId(4)] }, "layout.replaces-itself", /can't replace itself/);
  refused(three, { kind: "assign", node: nodeId(4), replace: [nodeId(1)] }, "layout.incomplete-role", /zone and capacity/);
});

test("config keeps what is omitted and refuses a redundancy above the replication factor", () => {
  const state = stage(three, { kind: "config", zoneRedundancy: { atLeast: 2 } });
  assert.deepEqual(state.stagedParameters, { replicationFactor: 3, zoneRedundancy: { atLeast: 2 } });
  assert.deepEqual(nextParameters(stage(state, { kind: "config", replicationFactor: 5 })), {
    replicationFactor: 5,
    zoneRedundancy: { atLeast: 2 },
  });
  refused(
    state,
    { kind: "config", replicationFactor: 1 },
    "layout.invalid-zone-redundancy",
    /2 is not possible with replication factor 1/,
  );
  refused(three, { kind: "config", zoneRedundancy: { atLeast: 4 } }, "layout.invalid-zone-redundancy", /from 1 to 3/);
  refused(three, { kind: "config", zoneRedundancy: { atLeast: 0 } }, "layout.invalid-zone-redundancy", /from 1 to 3/);
  refused(three, { kind: "config", replicationFactor: 8 }, "layout.invalid-replication-factor", /from 1 to 7/);
  refused(three, { kind: "config", replicationFactor: 1.5 }, "layout.invalid-replication-factor", /whole number/);
});

test("values from outside are checked", () => {
  const role = { kind: "assign", node: nodeId(5), zone: "a", capacity: TB } as const;
  refused(three, { ...role, node: "abc" }, "layout.invalid-node-id", /64 lower-case/);
  refused(three, { ...role, node: nodeId(5).toUpperCase() }, "layout.invalid-node-id", /64 lower-case/);
  for (const zone of ["", " a", "a\n", "x".repeat(129)]) refused(three, { ...role, zone }, "layout.invalid-zone", /1 to 128/);
  for (const capacity of [0, 1023, -1]) refused(three, { ...role, capacity }, "layout.invalid-capacity", /too small.*gateway/);
  for (const capacity of [2 ** 53, 1024.5, Number.NaN])
    refused(three, { ...role, capacity }, "layout.invalid-capacity", /whole number/);
  refused(three, { ...role, tags: [""] }, "layout.invalid-tags", /can't be a tag/);
  refused(three, { ...role, tags: new Array<string>(33).fill("t") }, "layout.invalid-tags", /at most 32 tags/);
  for (const partitions of [0, 32, 100, 8192]) {
    assert.throws(() => emptyLayout({ replicationFactor: 1, partitions }), { code: "layout.invalid-partitions" });
  }
});

test("the number of roles is bounded, and several wishes are all staged or none", () => {
  const many = assignments(Array.from({ length: MAX_ROLES - 3 }, (_, n) => ({ n: n + 10, zone: "z", capacity: null })));
  const full = stageAll(three, many);
  refused(full, { kind: "assign", node: nodeId(5), zone: "a", capacity: TB }, "layout.too-many-roles", /limit/);
  assert.equal(
    nextRoles(stage(full, { kind: "assign", node: nodeId(5), zone: "a", capacity: TB, replace: [nodeId(1)] })).length,
    MAX_ROLES,
  );
  assert.throws(() => stageAll(three, [...many.slice(0, 2), { kind: "remove", node: nodeId(9999) }]), {
    code: "layout.unknown-node",
  });
  assert.deepEqual(three.stagedRoles, []);
});

const change: fc.Arbitrary<LayoutChange> = fc.oneof(
  fc.record(
    {
      kind: fc.constant("assign" as const),
      node: fc.integer({ min: 1, max: 6 }).map(nodeId),
      zone: fc.constantFrom("paris", "lyon", "home"),
      capacity: fc.constantFrom(null, TB, 2 * TB),
      tags: fc.constantFrom([], ["old"]),
      replace: fc.constantFrom([], [nodeId(2)]),
    },
    { requiredKeys: ["kind", "node"] },
  ),
  fc.record({ kind: fc.constant("remove" as const), node: fc.integer({ min: 1, max: 6 }).map(nodeId) }),
  fc.record({
    kind: fc.constant("config" as const),
    zoneRedundancy: fc.constantFrom("maximum" as const, { atLeast: 1 }, { atLeast: 2 }),
  }),
);

test("whatever is staged: the present version stays, staged wishes are sorted, unique, change something; revert and JSON bring back the same", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      let state = three;
      for (const wish of changes) {
        try {
          state = stage(state, wish);
        } catch (error) {
          assert.ok(error instanceof LayoutError);
        }
      }
      const ids = state.stagedRoles.map((role) => role.id);
      assert.deepEqual(ids, [...new Set(ids)].sort());
      for (const staged of state.stagedRoles) {
        const present = three.roles.find((role) => role.id === staged.id);
        if (staged.remove) assert.ok(present);
        else assert.notDeepEqual(present, staged);
      }
      assert.deepEqual(revert(state), three);
      assert.deepEqual(JSON.parse(JSON.stringify(state)), state);
    }),
  );
});
