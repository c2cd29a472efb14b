import assert from "node:assert/strict";
import { test } from "node:test";
import { apply, preview } from "./apply.ts";
import { sizeText } from "./size-text.ts";
import { stageAll } from "./staging.ts";
import { emptyLayout } from "./state.ts";
import { appliedCluster, assignments, nodeId } from "./testing/clusters.ts";

const TB = 1e12;

test("sizes in SI and IEC", () => {
  assert.deepEqual([0, 999, 1000, 1024, 999_949, 999_950, 1e12, 2 ** 53 - 1].map(sizeText), [
    "0 B",
    "999 B",
    "1.0 kB (1000 B)",
    "1.0 kB (1.0 KiB)",
    "999.9 kB (976.5 KiB)",
    "1.0 MB (976.5 KiB)",
    "1.0 TB (931.3 GiB)",
    "9.0 PB (8.0 PiB)",
  ]);
});

test("the statistics of a first layout and of a fourth node", () => {
  const staged = stageAll(
    emptyLayout({ replicationFactor: 3 }),
    assignments([
      { n: 1, zone: "a", capacity: TB, tags: ["t"] },
      { n: 2, zone: "b", capacity: 2 * TB },
      { n: 3, zone: "c", capacity: 3 * TB },
      { n: 9, zone: "gw", capacity: null },
    ]),
  );
  const first = apply(staged, 1);
  const size = Math.floor(TB / 256);
  const alone = (n: number, tags: string[], capacity: number): object => ({
    id: nodeId(n),
    tags,
    storedPartitions: 256,
    newPartitions: 256,
    totalCapacity: capacity,
    usableCapacity: 256 * size,
  });
  const zone = (name: string, nodes: object[], capacity: number): object => ({
    name,
    nodes,
    totalReplicatedPartitions: 256,
    uniquePartitions: 256,
    totalCapacity: capacity,
    usableCapacity: 256 * size,
  });
  assert.deepEqual(first.report.statistics, {
    replicationFactor: 3,
    effectiveZoneRedundancy: 3,
    partitionSize: size,
    previousPartitionSize: null,
    lowPartitionSize: false,
    usableCapacity: 3 * 256 * size,
    totalCapacity: 6 * TB,
    effectiveCapacity: 256 * size,
    lowUsableCapacity: true,
    totalMovedPartitions: null,
    zones: [
      zone("a", [alone(1, ["t"], TB)], TB),
      zone("b", [alone(2, [], 2 * TB)], 2 * TB),
      zone("c", [alone(3, [], 3 * TB)], 3 * TB),
    ],
  });
  assert.deepEqual(first.report.limit, { kind: "zones", zones: ["a"] });
  assert.deepEqual(first.report.movement, []);

  const second = apply(stageAll(first.next, assignments([{ n: 4, zone: "a", capacity: TB }])), 2);
  assert.equal(second.report.statistics.partitionSize, Math.floor(TB / 128));
  assert.equal(second.report.statistics.previousPartitionSize, size);
  assert.equal(second.report.statistics.totalMovedPartitions, 128);
  assert.deepEqual(
    second.report.statistics.zones[0]!.nodes.map((node) => [node.storedPartitions, node.newPartitions]),
    [
      [128, 0],
      [128, 128],
    ],
  );
  assert.deepEqual(
    second.report.statistics.zones.map((stat) => [stat.totalReplicatedPartitions, stat.uniquePartitions]),
    [
      [256, 256],
      [256, 256],
      [256, 256],
    ],
  );
  const bytes = 128 * size;
  assert.deepEqual(second.report.movement, [
    { id: nodeId(1), partitionsIn: 0, partitionsOut: 128, maxBytesIn: 0, maxBytesOut: bytes },
    { id: nodeId(4), partitionsIn: 128, partitionsOut: 0, maxBytesIn: bytes, maxBytesOut: 0 },
  ]);
});

test("the report as text", () => {
  const state = appliedCluster({ replicationFactor: 2, partitions: 64 }, [
    { n: 0x1111, zone: "attic", capacity: TB, tags: ["ssd", "fast"] },
    { n: 0x2222, zone: "cellar", capacity: TB },
  ]);
  const { report } = preview(stageAll(state, assignments([{ n: 0x3333, zone: "cellar", capacity: 2 * TB }])));
  assert.deepEqual(report.message, [
    "Each partition is kept 2 times, in at least 2 zones.",
    "",
    "Partition size:      15.6 GB (14.6 GiB), previously 15.6 GB (14.6 GiB)",
    "Usable capacity:     2.0 TB (1.8 TiB) of 4.0 TB (3.6 TiB) in total, 50.0 %",
    "Effective capacity:  1.0 TB (931.3 GiB) of data, with replication factor 2",
    "",
    "Warning: only 50.0 % of the capacity can be used.",
    "The limit is zone redundancy 2 with what there is in zone attic: more capacity there would help.",
    "No partition goes to node 00003333abababab: the usable capacity would not grow by it, and nothing is moved without need.",
    "",
    "No data is moved.",
    "",
    "  Node              Tags      Partitions      Capacity            Usable capacity",
    "attic",
    "  00001111abababab  ssd,fast  64 (0 new)      1.0 TB (931.3 GiB)  1.0 TB (931.3 GiB), 100.0 %",
    "  all of attic                64 (64 unique)  1.0 TB (931.3 GiB)  1.0 TB (931.3 GiB), 100.0 %",
    "cellar",
    "  00002222abababab            64 (0 new)      1.0 TB (931.3 GiB)  1.0 TB (931.3 GiB), 100.0 %",
    "  00003333abababab            0 (0 new)       2.0 TB (1.8 TiB)    0 B, 0.0 %",
    "  all of cellar               64 (64 unique)  3.0 TB (2.7 TiB)    1.0 TB (931.3 GiB), 33.3 %",
  ]);
});

test("hints: a forgotten unit, a node that holds everything already, totals beyond 2^53", () => {
  const tiny = preview(stageAll(emptyLayout({ replicationFactor: 1 }), assignments([{ n: 1, zone: "a", capacity: 4000 }])));
  assert.equal(tiny.report.statistics.lowPartitionSize, true);
  assert.ok(tiny.report.message.some((line) => line.includes("Was a unit (GB, TB) forgotten")));
  const uneven = preview(
    stageAll(
      emptyLayout({ replicationFactor: 2 }),
      assignments([
        { n: 1, zone: "a", capacity: 10 * TB },
        { n: 2, zone: "a", capacity: TB },
        { n: 3, zone: "a", capacity: TB },
      ]),
    ),
  );
  assert.deepEqual(uneven.report.limit, { kind: "nodes", full: [nodeId(1)] });
  assert.ok(
    uneven.report.message.some((line) =>
      line.startsWith("The limit is the replication factor: node 00000001abababab already keeps"),
    ),
  );
  const huge = preview(
    stageAll(
      emptyLayout({ replicationFactor: 3 }),
      assignments([1, 2, 3, 4].map((n) => ({ n, zone: `z${n}`, capacity: Number.MAX_SAFE_INTEGER }))),
    ),
  );
  assert.equal(huge.report.statistics.totalCapacity, 4 * Number.MAX_SAFE_INTEGER);
  assert.equal(huge.report.statistics.zones.length, 4);
});
