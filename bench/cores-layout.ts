// CPU time of layout computations, as part of the cores' bench. By itself: tools/run node bench/cores-layout.ts
import process from "node:process";
import { apply } from "../src/layout/apply.ts";
import { isStorage } from "../src/layout/roles.ts";
import { type LayoutChange, stageAll } from "../src/layout/staging.ts";
import { emptyLayout, type LayoutState } from "../src/layout/state.ts";
import { chooseVoters } from "../src/layout/voters.ts";

export interface BenchValue {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Each value is the median of several runs of the whole computation (assignment, checks, report). */
export async function benchLayout(): Promise<BenchValue[]> {
  const hundred = staged(100, 10, 1024);
  const three = staged(3, 3, 256);
  // The process's first computation, before anything is compiled: what a daemon pays for its first layout.
  const cold = cpuMs(() => apply(hundred, 1));
  const applied = apply(hundred, 1).next;
  const grown = stageAll(applied, [assignment(1000, 7, 2.345e12)]);
  const shrunk = stageAll(applied, [{ kind: "remove", node: nodeId(42) }]);
  const reshuffled = stageAll(
    applied,
    applied.roles.map((role, i) => ({ kind: "assign", node: role.id, capacity: 1e12 + ((i * 104_729) % 4001) * 1e9 })),
  );
  const added = apply(grown, 2).report.statistics;
  const share = (3 * 1024 * 2.345e12) / added.totalCapacity;
  const candidates = applied.roles.filter(isStorage);
  return [
    { name: "layout: 100 nodes, 10 zones, 1,024 partitions, cold", value: cold, unit: "CPU-ms" },
    { name: "layout: 100 nodes, 10 zones, 1,024 partitions", value: median(() => apply(hundred, 1)), unit: "CPU-ms" },
    { name: "layout: 3 nodes, 256 partitions", value: median(() => apply(three, 1)), unit: "CPU-ms" },
    { name: "layout: a node added to 100", value: median(() => apply(grown, 2)), unit: "CPU-ms" },
    { name: "layout: moved by it, over its share", value: added.totalMovedPartitions! / share, unit: "ratio" },
    { name: "layout: a node removed from 100", value: median(() => apply(shrunk, 2)), unit: "CPU-ms" },
    { name: "layout: all capacities of 100 changed", value: median(() => apply(reshuffled, 2)), unit: "CPU-ms" },
    { name: "layout: 5 control voters among 100", value: median(() => chooseVoters(candidates, [], 5)), unit: "CPU-ms" },
  ];
}

function staged(nodes: number, zones: number, partitions: number): LayoutState {
  const empty = emptyLayout({ replicationFactor: 3, partitions });
  return stageAll(
    empty,
    Array.from({ length: nodes }, (_, n) => assignment(n, n % zones, 5e11 + ((n * 7919 + 13) % 3001) * 1e9)),
  );
}

function assignment(n: number, zone: number, capacity: number): LayoutChange {
  return { kind: "assign", node: nodeId(n), zone: `zone${zone}`, capacity };
}

function nodeId(n: number): string {
  return n.toString(16).padStart(64, "0");
}

function median(run: () => unknown, runs = 9): number {
  const times = Array.from({ length: runs }, () => cpuMs(run)).sort((a, b) => a - b);
  return times[runs >> 1]!;
}

function cpuMs(run: () => unknown): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

if (import.meta.main) {
  for (const { name, value, unit } of await benchLayout()) console.log(`${name}: ${value.toFixed(2)} ${unit}`);
}
