// Minimum-cost maximum flow as in a textbook: explicit edges, Bellman–Ford, one augmenting path after the other. Slow and plain;
// the solver's judge where enumeration would take too long. Shares no code with it.
import type { SmallCluster } from "./enumerate.ts";

interface Edge {
  readonly to: number;
  room: number;
  readonly cost: number;
  readonly back: number;
}

export interface FlowResult {
  readonly flow: number;
  readonly cost: number;
}

/**
 * The network at one partition size. `sinkCost(node, k)`: the cost of a node's k-th copy, k ≥ 1, not falling with k; `moveCost`:
 * of a copy not kept.
 */
export function flowAt(
  cluster: SmallCluster,
  size: number,
  costs: { readonly moveCost: number; readonly sinkCost: (node: number, k: number) => number },
): FlowResult {
  const { partitions, copies, minZones, zoneCount, zoneOf, capacities, kept } = cluster;
  const source = 0;
  const sink = 1;
  let vertices = 2;
  const edges: Edge[][] = [[], []];
  const vertex = (): number => {
    edges.push([]);
    return vertices++;
  };
  const edge = (from: number, to: number, room: number, cost: number): void => {
    if (room === 0) return;
    edges[from]!.push({ to, room, cost, back: edges[to]!.length });
    edges[to]!.push({ to: from, room: 0, cost: -cost, back: edges[from]!.length - 1 });
  };
  const nodes = zoneOf.map(vertex);
  nodes.forEach((node, i) => {
    const places = Math.min(partitions, Math.floor(capacities[i]! / size));
    for (let k = 1; k <= places; k++) edge(node, sink, 1, costs.sinkCost(i, k));
  });
  for (let p = 0; p < partitions; p++) {
    const spread = vertex();
    const any = vertex();
    edge(source, spread, minZones, 0);
    edge(source, any, copies - minZones, 0);
    for (let zone = 0; zone < zoneCount; zone++) {
      const cell = vertex();
      edge(spread, cell, 1, 0);
      edge(any, cell, copies, 0);
      nodes.forEach((node, i) => {
        if (zoneOf[i] === zone) edge(cell, node, 1, kept[i * partitions + p] === 1 ? 0 : costs.moveCost);
      });
    }
  }
  return pushAll(edges, source, sink);
}

function pushAll(edges: Edge[][], source: number, sink: number): FlowResult {
  let flow = 0;
  let cost = 0;
  for (;;) {
    const distance = new Array<number>(edges.length).fill(Number.POSITIVE_INFINITY);
    const via = new Array<readonly [number, Edge] | undefined>(edges.length);
    distance[source] = 0;
    for (let changed = true; changed; ) {
      changed = false;
      edges.forEach((list, from) => {
        if (distance[from] === Number.POSITIVE_INFINITY) return;
        for (const edge of list) {
          if (edge.room === 0 || distance[from]! + edge.cost >= distance[edge.to]!) continue;
          distance[edge.to] = distance[from]! + edge.cost;
          via[edge.to] = [from, edge];
          changed = true;
        }
      });
    }
    if (via[sink] === undefined) return { flow, cost };
    for (let at = sink; at !== source; ) {
      const [from, edge] = via[at]!;
      edge.room--;
      edges[at]![edge.back]!.room++;
      at = from;
    }
    flow++;
    cost += distance[sink]!;
  }
}
