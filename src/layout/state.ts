// The layout as one plain value: it lives in the control group's rows and is sent to every node.
import { assert } from "../util/assert.ts";
import type { NodeId } from "../util/ids.ts";
import {
  checkParameters,
  checkPartitions,
  DEFAULT_PARTITIONS,
  type LayoutParameters,
  type NodeRole,
  type ZoneRedundancy,
} from "./roles.ts";

/** Which nodes hold which partition. A plain value; equal inputs give equal values on every machine. */
export interface Assignment {
  /** Copies of each partition. */
  readonly replicationFactor: number;
  /** Storage nodes, sorted by id; `members` points into it. */
  readonly nodes: readonly NodeId[];
  /**
   * partitions × replicationFactor indexes into `nodes`, partition after partition, ascending within one. Empty before version 1.
   */
  readonly members: readonly number[];
}

/** One version of the layout. Immutable once applied. */
export interface LayoutVersion {
  /** 0: nothing applied yet. */
  readonly version: number;
  /** Sorted by id. */
  readonly roles: readonly NodeRole[];
  readonly parameters: LayoutParameters;
  readonly assignment: Assignment;
  /** Bytes that each partition may hold so that all copies fit; 0 before version 1. */
  readonly partitionSize: number;
}

/** A staged wish for one node: its whole new role, or its removal. */
export type StagedRole = (NodeRole & { readonly remove?: never }) | { readonly id: NodeId; readonly remove: true };

/**
 * All that is known about the layout: the present version, what is staged, and earlier versions. Arrays are sorted, so equal
 * states encode equally.
 */
export interface LayoutState extends LayoutVersion {
  /** A power of two, fixed at bootstrap. */
  readonly partitions: number;
  /** Sorted by id; never holds a wish that changes nothing. */
  readonly stagedRoles: readonly StagedRole[];
  /** Null: no change wished. */
  readonly stagedParameters: LayoutParameters | null;
  /** Earlier versions, oldest first; at most HISTORY_LIMIT. */
  readonly history: readonly LayoutVersion[];
}

/** Earlier versions that are remembered. */
export const HISTORY_LIMIT = 5;

/**
 * The layout before the first one is applied: version 0, no roles.
 *
 * @param partitions         64 ..= 4,096, a power of two.
 * @param replicationFactor  1 ..= 7.
 * @throws layout.invalid-partitions · layout.invalid-replication-factor · layout.invalid-zone-redundancy
 */
export function emptyLayout(options: {
  readonly replicationFactor: number;
  readonly partitions?: number;
  readonly zoneRedundancy?: ZoneRedundancy;
}): LayoutState {
  const { replicationFactor, zoneRedundancy = "maximum", partitions = DEFAULT_PARTITIONS } = options;
  return {
    version: 0,
    roles: [],
    parameters: checkParameters({ replicationFactor, zoneRedundancy }),
    assignment: { replicationFactor, nodes: [], members: [] },
    partitionSize: 0,
    partitions: checkPartitions(partitions),
    stagedRoles: [],
    stagedParameters: null,
    history: [],
  };
}

/** The nodes that hold a partition: replicationFactor ids, sorted; none before version 1. @param partition  0 ..< partitions. */
export function membersOf(assignment: Assignment, partition: number): NodeId[] {
  const { replicationFactor, members, nodes } = assignment;
  if (members.length === 0) return [];
  const from = partition * replicationFactor;
  assert(partition >= 0 && from < members.length, "a partition of this layout");
  return members.slice(from, from + replicationFactor).map((index) => nodes[index]!);
}

/** How many partitions each node holds, by node id; 0 for a storage node that holds none. */
export function storedPartitions(assignment: Assignment): Map<NodeId, number> {
  const loads = new Array<number>(assignment.nodes.length).fill(0);
  for (const index of assignment.members) loads[index]!++;
  return new Map(assignment.nodes.map((id, index) => [id, loads[index]!]));
}
