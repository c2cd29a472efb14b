// What a layout change means, in numbers: capacities, partitions per zone and node, data that moves. Shown before the change is
// applied.
import type { NodeId } from "../util/ids.ts";
import { capacitiesOf } from "./assignment.ts";
import { obstacleAt } from "./partition-size.ts";
import { byId, byText, effectiveRedundancy, isStorage, storageZones } from "./roles.ts";
import { type Assignment, type LayoutVersion, membersOf, storedPartitions } from "./state.ts";

/** Field names as the Admin API shows them; sizes in bytes. */
export interface LayoutStatistics {
  readonly replicationFactor: number;
  /** Zones that each partition touches at least, with "maximum" worked out. */
  readonly effectiveZoneRedundancy: number;
  readonly partitionSize: number;
  /** Null for a first layout. */
  readonly previousPartitionSize: number | null;
  /** Below LOW_PARTITION_SIZE_BYTES: a unit was probably forgotten in a capacity. */
  readonly lowPartitionSize: boolean;
  /** Bytes of the nodes that the layout can fill, all copies counted. */
  readonly usableCapacity: number;
  readonly totalCapacity: number;
  /** Bytes of data that fit: usable capacity over replication factor. */
  readonly effectiveCapacity: number;
  /** Less than LOW_USABLE_PERCENT of the total capacity can be used. */
  readonly lowUsableCapacity: boolean;
  /** Copies that must be sent to a node that does not have them; null for a first layout, which has no data. */
  readonly totalMovedPartitions: number | null;
  /** Sorted by name. */
  readonly zones: readonly ZoneStatistics[];
}

export interface ZoneStatistics {
  readonly name: string;
  /** Sorted by id. */
  readonly nodes: readonly NodeStatistics[];
  /** Copies in this zone. */
  readonly totalReplicatedPartitions: number;
  /** Partitions with at least one copy in this zone. */
  readonly uniquePartitions: number;
  readonly totalCapacity: number;
  readonly usableCapacity: number;
}

export interface NodeStatistics {
  readonly id: NodeId;
  readonly tags: readonly string[];
  readonly storedPartitions: number;
  /** Of these, how many it does not have yet. */
  readonly newPartitions: number;
  readonly totalCapacity: number;
  readonly usableCapacity: number;
}

/** What one node receives and gives away; leaving nodes too. Nodes that neither receive nor give are left out. */
export interface NodeMovement {
  readonly id: NodeId;
  readonly partitionsIn: number;
  readonly partitionsOut: number;
  /** Upper bounds, as if every partition were full: the layout does not know how much is stored. */
  readonly maxBytesIn: number;
  readonly maxBytesOut: number;
}

/** Why the usable capacity is not larger. */
export type CapacityLimit =
  /** The nodes are filled as far as whole partitions allow. */
  | { readonly kind: "total" }
  /** These nodes hold a copy of everything already; the others are too small to use what is free there. */
  | { readonly kind: "nodes"; readonly full: readonly NodeId[] }
  /** These zones can't hold more, and the zone redundancy needs them. */
  | { readonly kind: "zones"; readonly zones: readonly string[] };

export const LOW_PARTITION_SIZE_BYTES = 100_000_000;
export const LOW_USABLE_PERCENT = 80;

/** @param previous  the version in force; version 0 for a first layout. */
export function layoutStatistics(next: LayoutVersion, previous: LayoutVersion, partitions: number): LayoutStatistics {
  const { replicationFactor } = next.parameters;
  const { partitionSize } = next;
  const storage = next.roles.filter(isStorage);
  const first = previous.version === 0;
  const stored = storedPartitions(next.assignment);
  const incoming = arrivals(next.assignment, previous.assignment, partitions);
  const zones = storageZones(storage).map((name): ZoneStatistics => {
    const inZone = storage.filter((role) => role.zone === name);
    const nodes = inZone.map(
      (role): NodeStatistics => ({
        id: role.id,
        tags: role.tags,
        storedPartitions: stored.get(role.id)!,
        newPartitions: incoming.get(role.id) ?? 0,
        totalCapacity: role.capacity,
        usableCapacity: stored.get(role.id)! * partitionSize,
      }),
    );
    const copies = sum(nodes.map((node) => node.storedPartitions));
    return {
      name,
      nodes,
      totalReplicatedPartitions: copies,
      uniquePartitions: uniqueIn(next.assignment, new Set(inZone.map((role) => role.id)), partitions),
      totalCapacity: sum(inZone.map((role) => role.capacity)),
      usableCapacity: product(copies, partitionSize),
    };
  });
  const usableCapacity = product(partitions * replicationFactor, partitionSize);
  const totalCapacity = sum(storage.map((role) => role.capacity));
  return {
    replicationFactor,
    effectiveZoneRedundancy: effectiveRedundancy(next.parameters, zones.length),
    partitionSize,
    previousPartitionSize: first ? null : previous.partitionSize,
    lowPartitionSize: partitionSize < LOW_PARTITION_SIZE_BYTES,
    usableCapacity,
    totalCapacity,
    effectiveCapacity: product(partitions, partitionSize),
    lowUsableCapacity: usableCapacity < (totalCapacity / 100) * LOW_USABLE_PERCENT,
    totalMovedPartitions: first ? null : sum([...incoming.values()]),
    zones,
  };
}

/** Who receives and who gives, sorted by id; empty for a first layout. */
export function layoutMovement(next: LayoutVersion, previous: LayoutVersion, partitions: number): NodeMovement[] {
  if (previous.version === 0) return [];
  const incoming = arrivals(next.assignment, previous.assignment, partitions);
  const outgoing = arrivals(previous.assignment, next.assignment, partitions);
  // A partition can't hold more than it could before the change.
  const size = previous.partitionSize;
  return [...new Set([...incoming.keys(), ...outgoing.keys()])].sort(byText).map((id) => {
    const partitionsIn = incoming.get(id) ?? 0;
    const partitionsOut = outgoing.get(id) ?? 0;
    return {
      id,
      partitionsIn,
      partitionsOut,
      maxBytesIn: product(partitionsIn, size),
      maxBytesOut: product(partitionsOut, size),
    };
  });
}

/** What stands in the way of partitions one byte larger. */
export function capacityLimit(next: LayoutVersion, partitions: number): CapacityLimit {
  const storage = next.roles.filter(isStorage).sort(byId);
  const obstacle = obstacleAt(capacitiesOf({ ...next, partitions }, storage), next.partitionSize + 1);
  if (obstacle?.kind === "zones") {
    const zones = storageZones(storage);
    return { kind: "zones", zones: obstacle.zones.map((number) => zones[number]!) };
  }
  const full = obstacle?.full ?? [];
  return full.length === 0 ? { kind: "total" } : { kind: "nodes", full: full.map((node) => storage[node]!.id) };
}

/** Per node: the partitions that it holds in `to` and not in `from`. Nodes without any are left out. */
function arrivals(to: Assignment, from: Assignment, partitions: number): Map<NodeId, number> {
  const incoming = new Map<NodeId, number>();
  for (let p = 0; p < partitions; p++) {
    const had = new Set(membersOf(from, p));
    for (const id of membersOf(to, p)) if (!had.has(id)) incoming.set(id, (incoming.get(id) ?? 0) + 1);
  }
  return incoming;
}

function uniqueIn(assignment: Assignment, nodes: ReadonlySet<NodeId>, partitions: number): number {
  let unique = 0;
  for (let p = 0; p < partitions; p++) if (membersOf(assignment, p).some((id) => nodes.has(id))) unique++;
  return unique;
}

/** Totals may pass 2⁵³ (9 PB): added exactly and rounded once, so that the result does not depend on the order. */
function sum(values: readonly number[]): number {
  return Number(values.reduce((total, value) => total + BigInt(value), 0n));
}

function product(a: number, b: number): number {
  return Number(BigInt(a) * BigInt(b));
}
