// From roles and parameters to an assignment: checks that the wish can be met, and turns names into the solver's numbers and
// back.
import { assert } from "../util/assert.ts";
import { LayoutError } from "./failures.ts";
import { type Capacities, obstacleAt } from "./partition-size.ts";
import { place } from "./placement.ts";
import { effectiveRedundancy, isStorage, type LayoutParameters, type NodeRole, type StorageRole, storageZones } from "./roles.ts";
import type { Assignment } from "./state.ts";

export interface AssignmentWish {
  readonly partitions: number;
  /** Sorted by id, gateways included. */
  readonly roles: readonly NodeRole[];
  readonly parameters: LayoutParameters;
  /** The assignment in force, from which as little as possible is moved; may have other nodes and another replication factor. */
  readonly present: Assignment;
}

export interface Assigned {
  readonly assignment: Assignment;
  /** Bytes, at least 1. */
  readonly partitionSize: number;
}

/**
 * The optimal assignment: most usable capacity under the zone constraint, then least data moved, then even load relative to
 * capacity. A pure function, the same on every machine.
 *
 * @throws layout.too-few-nodes · layout.too-few-zones · layout.zone-too-small · layout.capacity-too-small
 */
export function assign(wish: AssignmentWish): Assigned {
  const storage = wish.roles.filter(isStorage);
  const cluster = capacitiesOf(wish, storage);
  checkFeasible(wish, storage, cluster);
  const { partitionSize, members, moved } = place(cluster, keptCopies(wish, storage));
  const assignment: Assignment = { replicationFactor: cluster.copies, nodes: storage.map((role) => role.id), members };
  const finding = findDefect({ ...wish, assignment, partitionSize });
  assert(finding === null, `the assignment keeps every constraint: ${finding}`);
  assert(moved === countMoved(assignment, wish.present, wish.partitions), "the cost of the flow is the number of moved copies");
  return { assignment, partitionSize };
}

/** The cluster as the solver sees it; nodes and zones numbered in order of their names. */
export function capacitiesOf(wish: Omit<AssignmentWish, "present">, storage: readonly StorageRole[]): Capacities {
  const zones = storageZones(storage);
  const numberOf = new Map(zones.map((zone, number) => [zone, number]));
  return {
    partitions: wish.partitions,
    copies: wish.parameters.replicationFactor,
    minZones: effectiveRedundancy(wish.parameters, zones.length),
    zoneCount: zones.length,
    zoneOf: storage.map((role) => numberOf.get(role.zone)!),
    capacities: storage.map((role) => role.capacity),
  };
}

/**
 * What is wrong with an assignment, as a phrase for a log, or null. Each partition has replicationFactor different storage nodes
 * in enough zones, and no node more partitions than fit into its capacity.
 */
export function findDefect(made: Omit<AssignmentWish, "present"> & Assigned): string | null {
  const { assignment, partitionSize, parameters, partitions } = made;
  const storage = made.roles.filter(isStorage);
  const copies = parameters.replicationFactor;
  if (assignment.replicationFactor !== copies) return "another replication factor than wished";
  if (assignment.members.length !== partitions * copies) return "not one place for each copy";
  if (assignment.nodes.length !== storage.length || assignment.nodes.some((id, i) => id !== storage[i]!.id))
    return "other nodes than the roles say";
  const minZones = effectiveRedundancy(parameters, storageZones(storage).length);
  const loads = new Array<number>(storage.length).fill(0);
  for (let p = 0; p < partitions; p++) {
    const members = assignment.members.slice(p * copies, (p + 1) * copies);
    if (members.some((index, i) => storage[index] === undefined || (i > 0 && index <= members[i - 1]!)))
      return `partition ${p} has no ${copies} different nodes`;
    if (new Set(members.map((index) => storage[index]!.zone)).size < minZones)
      return `partition ${p} lies in fewer than ${minZones} zones`;
    for (const index of members) loads[index]!++;
  }
  const crowded = storage.findIndex((role, index) => BigInt(loads[index]!) * BigInt(partitionSize) > BigInt(role.capacity));
  return crowded < 0 ? null : `node ${storage[crowded]!.id} has more partitions than fit`;
}

/** How many copies of `next` are not where `present` has them: what must be sent. */
export function countMoved(next: Assignment, present: Assignment, partitions: number): number {
  let moved = 0;
  for (let p = 0; p < partitions; p++) {
    const had = new Set(slice(present, p).map((index) => present.nodes[index]!));
    for (const index of slice(next, p)) if (!had.has(next.nodes[index]!)) moved++;
  }
  return moved;
}

function slice(assignment: Assignment, p: number): readonly number[] {
  return assignment.members.slice(p * assignment.replicationFactor, (p + 1) * assignment.replicationFactor);
}

function keptCopies(wish: AssignmentWish, storage: readonly StorageRole[]): Uint8Array {
  const { present, partitions } = wish;
  const numberOf = new Map(storage.map((role, number) => [role.id, number]));
  const kept = new Uint8Array(storage.length * partitions);
  present.members.forEach((index, i) => {
    const node = numberOf.get(present.nodes[index]!);
    if (node !== undefined) kept[node * partitions + Math.floor(i / present.replicationFactor)] = 1;
  });
  return kept;
}

function checkFeasible(wish: AssignmentWish, storage: readonly StorageRole[], cluster: Capacities): void {
  const { replicationFactor, zoneRedundancy } = wish.parameters;
  if (storage.length < replicationFactor) {
    const gateways = wish.roles.length - storage.length;
    throw new LayoutError({ code: "layout.too-few-nodes", replicationFactor, storageNodes: storage.length, gateways });
  }
  const zones = storageZones(storage);
  if (zoneRedundancy !== "maximum" && zones.length < zoneRedundancy.atLeast) {
    throw new LayoutError({ code: "layout.too-few-zones", zoneRedundancy: zoneRedundancy.atLeast, zones });
  }
  const obstacle = obstacleAt(cluster, 1);
  if (obstacle === null) return;
  const capacityOf = (roles: readonly StorageRole[]): number => roles.reduce((sum, role) => sum + role.capacity, 0);
  if (obstacle.kind === "total") {
    const totalCapacity = capacityOf(storage);
    throw new LayoutError({ code: "layout.capacity-too-small", replicationFactor, partitions: wish.partitions, totalCapacity });
  }
  const small = obstacle.zones.map((number) => ({
    name: zones[number]!,
    capacity: capacityOf(storage.filter((role) => role.zone === zones[number])),
  }));
  throw new LayoutError({
    code: "layout.zone-too-small",
    zoneRedundancy: cluster.minZones,
    partitions: wish.partitions,
    zones: small,
  });
}
