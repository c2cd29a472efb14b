// The solver against enumeration and against a textbook flow. More runs: HANGAR_RUNS=20000 (about 15 s).
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { compareProducts } from "./balance.ts";
import { largestPartitionSize, obstacleAt } from "./partition-size.ts";
import { type Placement, place } from "./placement.ts";
import { bestByEnumeration, rate, type SmallCluster } from "./testing/enumerate.ts";
import { flowAt } from "./testing/textbook-flow.ts";

const RUNS = Number(process.env["HANGAR_RUNS"] ?? 1000);

/** Clusters with nodes ≥ copies and zones ≥ minZones; the present assignment is anything, also one no solver would make. */
function clusters(limits: {
  nodes: number;
  copies: number;
  partitions: number[];
  capacities: fc.Arbitrary<number>;
}): fc.Arbitrary<SmallCluster> {
  return fc
    .record({
      copies: fc.integer({ min: 1, max: limits.copies }),
      extra: fc.nat({ max: limits.nodes }),
      partitions: fc.constantFrom(...limits.partitions),
      zoneWish: fc.integer({ min: 1, max: 5 }),
      spreadWish: fc.integer({ min: 1, max: limits.copies }),
    })
    .chain(({ copies, extra, partitions, zoneWish, spreadWish }) => {
      const nodes = Math.min(limits.nodes, copies + extra);
      const zoneCount = Math.min(zoneWish, nodes);
      return fc
        .record({
          // The first nodes make sure that no zone is empty.
          zones: fc.array(fc.nat({ max: zoneCount - 1 }), { minLength: nodes, maxLength: nodes }),
          capacities: fc.array(limits.capacities, { minLength: nodes, maxLength: nodes }),
          kept: fc.oneof(
            fc.constant(new Array<number>(nodes * partitions).fill(0)),
            fc.array(fc.constantFrom(0, 1, 1), { minLength: nodes * partitions, maxLength: nodes * partitions }),
            fc.array(fc.constantFrom(0, 0, 1), { minLength: nodes * partitions, maxLength: nodes * partitions }),
          ),
        })
        .map(({ zones, capacities, kept }) => ({
          partitions,
          copies,
          minZones: Math.min(spreadWish, copies, zoneCount),
          zoneCount,
          zoneOf: zones.map((zone, i) => (i < zoneCount ? i : zone)),
          capacities,
          kept: Uint8Array.from(kept),
        }));
    });
}

const tiny = clusters({ nodes: 5, copies: 3, partitions: [1, 2, 4], capacities: fc.integer({ min: 1, max: 40 }) });
const wide = clusters({ nodes: 6, copies: 4, partitions: [1, 2], capacities: fc.integer({ min: 1, max: 40 }) });
/** Capacities that divide 2,520, so that the textbook's costs are whole numbers. */
const middling = clusters({
  nodes: 9,
  copies: 4,
  partitions: [4, 8, 16],
  capacities: fc.constantFrom(36, 40, 42, 45, 56, 60, 63, 70, 72, 84, 90),
});

function loadsOf(cluster: SmallCluster, placement: Placement): number[] {
  const loads = new Array<number>(cluster.zoneOf.length).fill(0);
  for (const node of placement.members) loads[node]!++;
  return loads;
}

function movedBy(cluster: SmallCluster, placement: Placement): number {
  const { partitions, copies, kept } = cluster;
  return placement.members.filter((node, i) => kept[node * partitions + Math.floor(i / copies)] === 0).length;
}

function checkConstraints(cluster: SmallCluster, placement: Placement): void {
  const { partitions, copies, minZones, zoneOf, capacities } = cluster;
  assert.equal(placement.members.length, partitions * copies);
  for (let p = 0; p < partitions; p++) {
    const members = placement.members.slice(p * copies, (p + 1) * copies);
    assert.equal(new Set(members).size, copies, "different nodes");
    assert.deepEqual(
      members,
      [...members].sort((a, b) => a - b),
    );
    assert.ok(new Set(members.map((node) => zoneOf[node])).size >= minZones, "enough zones");
  }
  loadsOf(cluster, placement).forEach((load, node) => {
    assert.ok(load * placement.partitionSize <= capacities[node]!, "fits");
  });
}

function checkAgainstEnumeration(cluster: SmallCluster): void {
  const placement = place(cluster, cluster.kept);
  const best = bestByEnumeration(cluster);
  if (best === null) {
    assert.deepEqual(placement, { partitionSize: 0, members: [], moved: 0 });
    return;
  }
  checkConstraints(cluster, placement);
  const moved = movedBy(cluster, placement);
  assert.equal(placement.moved, moved);
  assert.equal(placement.partitionSize, best.size);
  assert.deepEqual(rate(cluster, loadsOf(cluster, placement), moved), best);
}

for (const [name, arbitrary] of [
  ["few nodes", tiny],
  ["more nodes, fewer partitions", wide],
] as const) {
  test(`best of all placements in size, then movement, then balance: ${name}`, () => {
    fc.assert(fc.property(arbitrary, checkAgainstEnumeration), { numRuns: RUNS });
  });
}

test("clusters where a copy placed on the way must be moved once more to keep a better one; random runs meet these once in thousands", () => {
  const shared = { copies: 3, minZones: 2, zoneCount: 2 };
  checkAgainstEnumeration({
    ...shared,
    partitions: 2,
    zoneOf: [0, 1, 0, 1, 1],
    capacities: [161, 210, 166, 175, 184],
    kept: Uint8Array.from([0, 0, 1, 0, 1, 0, 0, 1, 0, 1]),
  });
  checkAgainstEnumeration({
    ...shared,
    partitions: 4,
    zoneOf: [0, 1, 0, 1, 0, 0],
    capacities: [147, 147, 69, 89, 181, 56],
    kept: Uint8Array.from([0, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1]),
  });
});

test("the two cuts that decide the size are the maximum flow", () => {
  const free = { moveCost: 0, sinkCost: () => 0 };
  fc.assert(
    fc.property(middling, fc.integer({ min: 1, max: 45 }), (cluster, size) => {
      const wanted = cluster.partitions * cluster.copies;
      assert.equal(obstacleAt(cluster, size) === null, flowAt(cluster, size, free).flow === wanted);
    }),
    { numRuns: RUNS / 4 },
  );
});

test("as good as the textbook's minimum-cost flow in movement and balance, for more partitions than can be enumerated", () => {
  fc.assert(
    fc.property(middling, (cluster) => {
      const placement = place(cluster, cluster.kept);
      if (placement.partitionSize === 0) return;
      checkConstraints(cluster, placement);
      const weight = (node: number): number => 2520 / cluster.capacities[node]!;
      const worstBalance = cluster.capacities.reduce((sum, _, node) => sum + weight(node) * cluster.partitions ** 2, 1);
      const best = flowAt(cluster, placement.partitionSize, {
        moveCost: worstBalance,
        sinkCost: (node, k) => (2 * k - 1) * weight(node),
      });
      assert.equal(best.flow, cluster.partitions * cluster.copies);
      const balance = loadsOf(cluster, placement).reduce((sum, load, node) => sum + load * load * weight(node), 0);
      assert.equal(movedBy(cluster, placement) * worstBalance + balance, best.cost);
    }),
    { numRuns: RUNS / 4 },
  );
});

test("the size is exact for capacities near 2^53 and below the number of partitions", () => {
  const largest = Number.MAX_SAFE_INTEGER;
  const alone = { partitions: 4096, copies: 1, minZones: 1, zoneCount: 1, zoneOf: [0] };
  assert.equal(largestPartitionSize({ ...alone, capacities: [largest] }), Number(BigInt(largest) / 4096n));
  assert.equal(largestPartitionSize({ ...alone, capacities: [4096] }), 1);
  assert.equal(largestPartitionSize({ ...alone, capacities: [4095] }), 0);
  const three = { partitions: 64, copies: 3, minZones: 3, zoneCount: 3, zoneOf: [0, 1, 2] };
  assert.equal(largestPartitionSize({ ...three, capacities: [64 * 1000 + 63, largest, largest] }), 1000);
});

test("products are compared exactly beyond 2^53", () => {
  const safe = fc.oneof(
    fc.maxSafeNat(),
    fc.integer({ min: Number.MAX_SAFE_INTEGER - 100, max: Number.MAX_SAFE_INTEGER }),
    fc.nat({ max: 9000 }),
  );
  fc.assert(
    fc.property(safe, safe, safe, safe, (a, b, c, d) => {
      const exact = BigInt(a) * BigInt(b) - BigInt(c) * BigInt(d);
      assert.equal(Math.sign(compareProducts(a, b, c, d)), exact < 0n ? -1 : exact > 0n ? 1 : 0);
    }),
  );
});
