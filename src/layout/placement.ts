// Puts the copies on nodes: the largest partition size first (partition-size.ts), then the least data moved (movement.ts), then
// even load (balance.ts).
import { assert } from "../util/assert.ts";
import { LeastLoadedFirst } from "./balance.ts";
import { PlacementNetwork } from "./flow.ts";
import { raisePotentials } from "./movement.ts";
import { type Capacities, largestPartitionSize, placesAt } from "./partition-size.ts";

export interface Placement {
  /** Bytes; the largest possible. 0: nothing fits, and `members` is empty. */
  readonly partitionSize: number;
  /** partitions × copies node numbers, ascending within a partition. */
  readonly members: readonly number[];
  /** Copies that the present assignment does not have on their node. */
  readonly moved: number;
}

/**
 * The optimal placement; a pure function of its arguments, the same on every machine.
 *
 * @param cluster  partitions must be a power of two.
 * @param kept     [node × partitions + partition] = 1 where the present assignment has a copy; not changed.
 */
export function place(cluster: Capacities, kept: Uint8Array): Placement {
  const partitionSize = largestPartitionSize(cluster);
  if (partitionSize === 0) return { partitionSize, members: [], moved: 0 };
  const slots = cluster.capacities.map((capacity) => placesAt(capacity, partitionSize, cluster.partitions));
  const network = new PlacementNetwork({ ...cluster, slots, kept });
  const wanted = cluster.partitions * cluster.copies;
  let moved = 0;
  for (let placed = 0; placed < wanted; ) {
    assert(raisePotentials(network), "the partition size was chosen so that all copies fit");
    const before = placed;
    const order = new LeastLoadedFirst(cluster.capacities, network.load);
    for (let node = 0; node < slots.length; node++) if (hasPlace(network, node)) order.add(node);
    for (let node = order.take(); node !== undefined; node = order.take()) {
      if (!network.addCopy(node)) continue;
      placed++;
      if (hasPlace(network, node)) order.add(node);
    }
    assert(placed > before, "a node with a free place could be reached, so a copy is placed");
    moved += (placed - before) * network.sinkPotential;
  }
  return { partitionSize, members: sortedMembers(network), moved };
}

function hasPlace(network: PlacementNetwork, node: number): boolean {
  return network.load[node]! < network.problem.slots[node]!;
}

function sortedMembers(network: PlacementNetwork): number[] {
  const { partitions, copies } = network.problem;
  const members: number[] = [];
  for (let p = 0; p < partitions; p++) {
    assert(network.memberCount[p] === copies, "every partition has all its copies");
    members.push(...[...network.members.subarray(p * copies, (p + 1) * copies)].sort((a, b) => a - b));
  }
  return members;
}
