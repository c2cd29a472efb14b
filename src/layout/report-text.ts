// The report as lines for an operator, shown by preview and apply.
import { count, short } from "./failures.ts";
import type { CapacityLimit, LayoutStatistics, NodeMovement } from "./report.ts";
import { sizeText } from "./size-text.ts";

/** Zones or nodes named one by one in a sentence; more are counted. */
const NAMED_AT_MOST = 5;

export function reportText(report: {
  readonly statistics: LayoutStatistics;
  readonly movement: readonly NodeMovement[];
  readonly limit: CapacityLimit;
}): string[] {
  const { statistics, movement, limit } = report;
  return [
    ...capacityLines(statistics),
    "",
    ...noteLines(statistics, limit),
    ...movementLines(statistics, movement),
    "",
    ...zoneTable(statistics),
  ];
}

function capacityLines(s: LayoutStatistics): string[] {
  const previous = s.previousPartitionSize === null ? "" : `, previously ${sizeText(s.previousPartitionSize)}`;
  return [
    `Each partition is kept ${count(s.replicationFactor, "time")}, in at least ${count(s.effectiveZoneRedundancy, "zone")}.`,
    "",
    `Partition size:      ${sizeText(s.partitionSize)}${previous}`,
    `Usable capacity:     ${sizeText(s.usableCapacity)} of ${sizeText(s.totalCapacity)} in total, ${percent(s.usableCapacity, s.totalCapacity)}`,
    `Effective capacity:  ${sizeText(s.effectiveCapacity)} of data, with replication factor ${s.replicationFactor}`,
  ];
}

function noteLines(s: LayoutStatistics, limit: CapacityLimit): string[] {
  const lines: string[] = [];
  if (s.lowPartitionSize) lines.push("Warning: the capacity is very small. Was a unit (GB, TB) forgotten in a capacity?");
  if (s.lowUsableCapacity) lines.push(`Warning: only ${percent(s.usableCapacity, s.totalCapacity)} of the capacity can be used.`);
  if (s.lowUsableCapacity || s.zones.some((zone) => zone.nodes.some((node) => node.storedPartitions === 0))) {
    if (limit.kind === "zones") {
      lines.push(
        `The limit is zone redundancy ${s.effectiveZoneRedundancy} with what there is in ${names("zone", limit.zones)}: more capacity there would help.`,
      );
    } else if (limit.kind === "nodes") {
      lines.push(
        `The limit is the replication factor: ${names("node", limit.full.map(short))} already ${limit.full.length === 1 ? "keeps" : "keep"} a copy of everything; more capacity on other nodes would help.`,
      );
    }
  }
  const idle = s.zones.flatMap((zone) => zone.nodes.filter((node) => node.storedPartitions === 0).map((node) => short(node.id)));
  if (idle.length > 0) {
    lines.push(
      `No partition goes to ${names("node", idle)}: the usable capacity would not grow by it, and nothing is moved without need.`,
    );
  }
  return lines.length > 0 ? [...lines, ""] : lines;
}

function movementLines(s: LayoutStatistics, movement: readonly NodeMovement[]): string[] {
  if (s.totalMovedPartitions === null) return ["This is the first layout: there is no data to move."];
  if (movement.length === 0) return ["No data is moved."];
  const rows = movement.map((m) => [
    `  ${short(m.id)}`,
    `+${m.partitionsIn}`,
    `-${m.partitionsOut}`,
    amount(m.maxBytesIn),
    amount(m.maxBytesOut),
  ]);
  return [
    `${count(s.totalMovedPartitions, "copy of a partition is", "copies of partitions are")} sent to new places, at most ${sizeText(s.totalMovedPartitions * (s.previousPartitionSize ?? 0))}:`,
    ...table([["  Node", "In", "Out", "Receives at most", "Frees at most"], ...rows]),
  ];
}

function zoneTable(s: LayoutStatistics): string[] {
  const rows = s.zones.flatMap((zone) => [
    ...zone.nodes.map((node) => [
      `  ${short(node.id)}`,
      node.tags.join(","),
      `${node.storedPartitions} (${node.newPartitions} new)`,
      sizeText(node.totalCapacity),
      `${sizeText(node.usableCapacity)}, ${percent(node.usableCapacity, node.totalCapacity)}`,
    ]),
    [
      `  all of ${zone.name}`,
      "",
      `${zone.totalReplicatedPartitions} (${zone.uniquePartitions} unique)`,
      sizeText(zone.totalCapacity),
      `${sizeText(zone.usableCapacity)}, ${percent(zone.usableCapacity, zone.totalCapacity)}`,
    ],
  ]);
  const lines = table([["  Node", "Tags", "Partitions", "Capacity", "Usable capacity"], ...rows]);
  // The heading of a zone stands before its nodes, outside the columns.
  const out = [lines[0]!];
  let at = 1;
  for (const zone of s.zones) {
    out.push(zone.name, ...lines.slice(at, at + zone.nodes.length + 1));
    at += zone.nodes.length + 1;
  }
  return out;
}

/** Space-aligned columns, two blanks between them. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}

function names(kind: "zone" | "node", list: readonly string[]): string {
  if (list.length > NAMED_AT_MOST) return count(list.length, kind);
  return `${list.length === 1 ? kind : `${kind}s`} ${list.join(", ")}`;
}

function amount(bytes: number): string {
  return bytes === 0 ? "-" : sizeText(bytes);
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} %`;
}
