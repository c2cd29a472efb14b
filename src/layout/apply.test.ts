import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { apply, layoutHistory, preview } from "./apply.ts";
import { countMoved, findDefect } from "./assignment.ts";
import { LayoutError, type LayoutFailure } from "./failures.ts";
import { type LayoutChange, stage, stageAll } from "./staging.ts";
import { emptyLayout, HISTORY_LIMIT, type LayoutState, membersOf, storedPartitions } from "./state.ts";
import { appliedCluster, assignments, type ClusterNode, nodeId } from "./testing/clusters.ts";

const TB = 1e12;

/** Nodes whose capacities differ without chance: 0.5 to 3.5 TB. */
function variedNodes(count: number, zones: number): ClusterNode[] {
  return Array.from({ length: count }, (_, n) => ({
    n,
    zone: `zone${n % zones}`,
    capacity: 5e11 + ((n * 7919 + 13) % 3001) * 1e9,
  }));
}

function failureOf(state: LayoutState): LayoutFailure & { message: string } {
  try {
    preview(state);
  } catch (error) {
    assert.ok(error instanceof LayoutError, String(error));
    return { ...error.failure, message: error.message };
  }
  return assert.fail("a wish that can't be met");
}

function next(state: LayoutState, ...changes: LayoutChange[]): ReturnType<typeof apply> {
  return apply(stageAll(state, changes), state.version + 1);
}

test("one node, replication factor 1: everything lies there", () => {
  const staged = stageAll(
    emptyLayout({ replicationFactor: 1 }),
    assignments([{ n: 1, zone: "dc1", capacity: TB, tags: ["default"] }]),
  );
  const { next: state, report } = apply(staged, 1);
  assert.equal(state.version, 1);
  assert.equal(state.partitionSize, Math.floor(TB / 256));
  assert.deepEqual(
    [...Array(256).keys()].map((p) => membersOf(state.assignment, p)),
    Array(256).fill([nodeId(1)]),
  );
  assert.deepEqual([state.stagedRoles, state.stagedParameters, state.history], [[], null, []]);
  assert.equal(report.statistics.effectiveCapacity, 256 * state.partitionSize);
  assert.equal(report.statistics.totalMovedPartitions, null);
  assert.deepEqual(preview(staged), { next: state, report });
});

test("the version to apply is the present one + 1", () => {
  const staged = stageAll(emptyLayout({ replicationFactor: 1 }), assignments([{ n: 1, zone: "a", capacity: TB }]));
  for (const version of [0, 2, -1, 1.5, Number.NaN]) {
    assert.throws(() => apply(staged, version), {
      code: "layout.wrong-version",
      failure: { code: "layout.wrong-version", given: version, expected: 1 },
    });
  }
  const { next: state } = apply(staged, 1);
  assert.throws(() => apply(state, 1), /next version is 2/);
});

test("applying again without a change moves nothing", () => {
  const state = appliedCluster({ replicationFactor: 3 }, variedNodes(9, 4));
  const { next: again, report } = apply(state, 2);
  assert.deepEqual(again.assignment, state.assignment);
  assert.equal(report.statistics.totalMovedPartitions, 0);
  assert.deepEqual(report.movement, []);
  assert.ok(report.message.includes("No data is moved."));
});

test("history: limited, newest first, with status", () => {
  let state = appliedCluster({ replicationFactor: 1, partitions: 64 }, [{ n: 1, zone: "a", capacity: TB }]);
  assert.deepEqual(layoutHistory(emptyLayout({ replicationFactor: 1 }), 0), []);
  for (let n = 2; n <= HISTORY_LIMIT + 4; n++)
    state = next(state, ...assignments([{ n, zone: "a", capacity: n % 2 === 0 ? null : TB }])).next;
  const rows = layoutHistory(state, state.version - 2);
  assert.deepEqual(
    rows.map((row) => row.version),
    Array.from({ length: HISTORY_LIMIT + 1 }, (_, i) => state.version - i),
  );
  assert.deepEqual(
    rows.slice(0, 4).map((row) => row.status),
    ["Current", "Draining", "Draining", "Historical"],
  );
  assert.deepEqual([rows[0]!.storageNodes, rows[0]!.gatewayNodes], [5, 4]);
  assert.deepEqual(state.history[0]!.version, state.version - HISTORY_LIMIT);
});

test("infeasible wishes name the wish and what would make it feasible", () => {
  const two: ClusterNode[] = [
    { n: 1, zone: "a", capacity: TB },
    { n: 2, zone: "a", capacity: TB },
    { n: 3, zone: "b", capacity: null },
  ];
  const staged = stageAll(emptyLayout({ replicationFactor: 3 }), assignments(two));
  const fewNodes = failureOf(staged);
  assert.deepEqual(
    { ...fewNodes, message: "" },
    { code: "layout.too-few-nodes", replicationFactor: 3, storageNodes: 2, gateways: 1, message: "" },
  );
  assert.match(
    fewNodes.message,
    /needs at least 3 storage nodes.*would have 2 \(1 gateway not counted.*Assign 1 more storage node, or lower the replication factor to 2\./,
  );
  assert.match(
    failureOf(emptyLayout({ replicationFactor: 1 })).message,
    /needs at least 1 storage node; this layout would have 0\. Assign 1 more storage node\.$/,
  );

  const zoned = stage(stage(staged, { kind: "config", zoneRedundancy: { atLeast: 2 } }), {
    kind: "assign",
    node: nodeId(4),
    zone: "a",
    capacity: TB,
  });
  const fewZones = failureOf(zoned);
  assert.equal(fewZones.code, "layout.too-few-zones");
  assert.match(
    fewZones.message,
    /Zone redundancy 2 needs storage nodes in at least 2 zones; this layout would have 1 \(a\)\. Assign storage nodes in 1 more zone, or lower .* to 1 or "maximum"/,
  );
  assert.equal(preview(stage(zoned, { kind: "config", zoneRedundancy: "maximum" })).report.statistics.effectiveZoneRedundancy, 1);

  const small = stageAll(
    emptyLayout({ replicationFactor: 2, partitions: 4096 }),
    assignments([
      { n: 1, zone: "a", capacity: 1024 },
      { n: 2, zone: "b", capacity: TB },
    ]),
  );
  assert.match(
    failureOf(small).message,
    /Zone redundancy 2 needs 2 zones that can hold .* 4096 partitions; too small: a \(1\.0 kB \(1\.0 KiB\)\)\. Give the nodes there at least 4096 bytes/,
  );
  const cramped = stageAll(
    emptyLayout({ replicationFactor: 2, partitions: 4096, zoneRedundancy: { atLeast: 1 } }),
    assignments([
      { n: 1, zone: "a", capacity: 4095 },
      { n: 2, zone: "b", capacity: TB },
    ]),
  );
  assert.deepEqual(failureOf(cramped).code, "layout.capacity-too-small");
});

test("a removed node's partitions go elsewhere, the others stay; a replaced node's too", () => {
  const state = appliedCluster({ replicationFactor: 3 }, variedNodes(12, 4));
  const held = storedPartitions(state.assignment).get(state.roles[5]!.id)!;
  const { report } = next(state, {
    kind: "assign",
    node: nodeId(99),
    zone: "zone1",
    capacity: state.roles[5]!.capacity,
    replace: [nodeId(5)],
  });
  assert.equal(report.statistics.totalMovedPartitions, held);
  assert.deepEqual(
    report.movement.map(({ id, partitionsIn, partitionsOut }) => [id, partitionsIn, partitionsOut]),
    [
      [nodeId(5), 0, held],
      [nodeId(99), held, 0],
    ],
  );
});

test("replication factor and zone redundancy change with the least movement", () => {
  const state = appliedCluster({ replicationFactor: 3 }, variedNodes(10, 5));
  const raised = next(state, { kind: "config", replicationFactor: 5 });
  // Two copies more of each partition at least; every old copy can stay only where the room allows.
  assert.ok(raised.report.statistics.totalMovedPartitions! >= 2 * 256);
  const lowered = next(raised.next, { kind: "config", replicationFactor: 1 });
  assert.equal(lowered.next.assignment.members.length, 256);
  assert.equal(lowered.report.statistics.replicationFactor, 1);
});

test("random changes one after the other keep every constraint, whatever the order of the wishes", () => {
  const node = fc.record({
    n: fc.nat({ max: 14 }),
    zone: fc.constantFrom("a", "b", "c", "d"),
    capacity: fc.oneof(fc.integer({ min: 1024, max: 4e12 }), fc.constant(null)),
  });
  const step = fc.record({
    nodes: fc.uniqueArray(node, { selector: (n) => n.n, minLength: 1, maxLength: 8 }),
    remove: fc.array(fc.nat({ max: 14 }), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (replicationFactor, steps, salt) => {
        let state = emptyLayout({ replicationFactor, partitions: 64 });
        for (const { nodes, remove } of steps) {
          const gone = remove.filter(
            (n) => state.roles.some((role) => role.id === nodeId(n)) && !nodes.some((other) => other.n === n),
          );
          const wishes = [
            ...assignments(nodes),
            ...[...new Set(gone)].map((n): LayoutChange => ({ kind: "remove", node: nodeId(n) })),
          ];
          const staged = stageAll(state, wishes);
          const turned = stageAll(
            state,
            [...wishes.slice(salt % wishes.length), ...wishes.slice(0, salt % wishes.length)].reverse(),
          );
          assert.deepEqual(staged, turned);
          let made: LayoutState;
          try {
            made = preview(staged).next;
          } catch (error) {
            assert.ok(error instanceof LayoutError, String(error));
            continue;
          }
          assert.equal(findDefect(made), null);
          // A copy through JSON, as another machine would have it, gives the same to the last index.
          assert.deepEqual(preview(JSON.parse(JSON.stringify(staged)) as LayoutState).next, made);
          state = made;
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("the algorithm has not changed: members of a release compute the same", () => {
  // A digest over three versions of a cluster. If it must change, a cluster's feature level has to guard the new algorithm
  // (replicas of different releases would disagree on who holds what).
  let state = appliedCluster({ replicationFactor: 3, partitions: 512 }, variedNodes(40, 6));
  const hash = createHash("sha256").update(JSON.stringify(state.assignment));
  state = next(state, ...assignments([{ n: 77, zone: "zone9", capacity: 3 * TB }]), { kind: "remove", node: nodeId(3) }).next;
  hash.update(JSON.stringify(state.assignment));
  state = next(state, { kind: "config", replicationFactor: 4, zoneRedundancy: { atLeast: 2 } }).next;
  hash.update(JSON.stringify(state.assignment));
  assert.equal(hash.digest("hex"), "23d30d2ff2f3ba64ffcd02f0e86656e1d9b7317030b0199bed4889626db3c1af");
});

test("adding a node to 100 in 10 zones moves at most 1.1 times its share", () => {
  for (const [name, nodes] of [
    ["varied", variedNodes(100, 10)],
    ["alike", Array.from({ length: 100 }, (_, n) => ({ n, zone: `zone${n % 10}`, capacity: 4 * TB }))],
  ] as const) {
    const state = appliedCluster({ replicationFactor: 3, partitions: 1024 }, nodes);
    for (const [zone, capacity] of [
      ["zone0", TB],
      ["zone7", 3 * TB],
      ["new", 2.345 * TB],
    ] as const) {
      const { next: made, report } = next(state, ...assignments([{ n: 1000, zone, capacity }]));
      const share = (3 * 1024 * capacity) / report.statistics.totalCapacity;
      const moved = report.statistics.totalMovedPartitions!;
      assert.equal(moved, countMoved(made.assignment, state.assignment, 1024));
      assert.ok(moved <= 1.1 * share, `${name}, ${zone}: ${moved} moved, share ${share}`);
    }
  }
});
