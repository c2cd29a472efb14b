// Ids and staged clusters for tests.
import { preview } from "../apply.ts";
import { type LayoutChange, stageAll } from "../staging.ts";
import { emptyLayout, type LayoutState } from "../state.ts";

/** A node id whose order follows the number. */
export function nodeId(n: number): string {
  return n.toString(16).padStart(8, "0").padEnd(64, "ab");
}

export interface ClusterNode {
  readonly n: number;
  readonly zone: string;
  readonly capacity: number | null;
  readonly tags?: readonly string[];
}

export function assignments(nodes: readonly ClusterNode[]): LayoutChange[] {
  return nodes.map(({ n, zone, capacity, tags }) => ({
    kind: "assign",
    node: nodeId(n),
    zone,
    capacity,
    ...(tags ? { tags } : {}),
  }));
}

/** Version 1 of a cluster of these nodes. */
export function appliedCluster(options: Parameters<typeof emptyLayout>[0], nodes: readonly ClusterNode[]): LayoutState {
  return preview(stageAll(emptyLayout(options), assignments(nodes))).next;
}
