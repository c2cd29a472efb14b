// The second aim: the least data moved. Copies are placed along cheapest paths, so after each step no assignment of as many
// copies moves fewer.
import { assert } from "../util/assert.ts";
import type { PlacementNetwork } from "./flow.ts";

const FAR = 0x7fffffff;

/**
 * Raises the potentials to the distances from the source in the present residual network, measured in moved copies (Dial's
 * buckets over reduced costs). Returns false when no node with a free place can be reached: no more copies fit.
 */
export function raisePotentials(network: PlacementNetwork): boolean {
  const { problem, potential, vertexCount, firstCell, firstSpread, firstAny } = network;
  const { partitions, copies, minZones, zoneCount, zoneOf, kept, slots } = problem;
  const { used, spreadFlow, anyFlow, spreadTotal, anyTotal, load } = network;
  const inZone = nodesByZone(zoneOf, zoneCount);
  const distance = new Int32Array(vertexCount).fill(FAR);
  const buckets: number[][] = [[]];
  let sinkDistance = FAR;

  const relax = (vertex: number, to: number): void => {
    if (to >= distance[vertex]! || to >= sinkDistance) return;
    distance[vertex] = to;
    (buckets[to] ??= []).push(vertex);
  };
  const edge = (from: number, to: number, cost: number): void => {
    const reduced = potential[from]! + cost - potential[to]!;
    assert(reduced >= 0, "potentials never make an edge of the residual network cheaper than free");
    relax(to, distance[from]! + reduced);
  };

  for (let p = 0; p < partitions; p++) {
    if (spreadTotal[p]! < minZones) relax(firstSpread + p, 0);
    if (anyTotal[p]! < copies - minZones) relax(firstAny + p, 0);
  }
  for (let at = 0; at < buckets.length && at < sinkDistance; at++) {
    const bucket = buckets[at];
    // The bucket grows while it is walked: free edges lead back into it.
    for (let i = 0; bucket !== undefined && i < bucket.length; i++) {
      const vertex = bucket[i]!;
      if (distance[vertex] !== at) continue;
      if (vertex < firstCell) {
        // A node with a free place has always had one, so its potential has risen with the sink's: the edge between them is free.
        if (load[vertex]! < slots[vertex]!) sinkDistance = at;
        const row = vertex * partitions;
        for (let p = 0; p < partitions; p++) {
          if (used[row + p] === 1) edge(vertex, firstCell + p * zoneCount + zoneOf[vertex]!, kept[row + p]! - 1);
        }
      } else if (vertex < firstSpread) {
        const cell = vertex - firstCell;
        const p = (cell / zoneCount) | 0;
        if (spreadFlow[cell] === 1) edge(vertex, firstSpread + p, 0);
        if (anyFlow[cell]! > 0) edge(vertex, firstAny + p, 0);
        for (const node of inZone[cell - p * zoneCount]!) {
          const here = node * partitions + p;
          if (used[here] === 0) edge(vertex, node, 1 - kept[here]!);
        }
      } else {
        const isSpread = vertex < firstAny;
        const p = vertex - (isSpread ? firstSpread : firstAny);
        for (let zone = 0, cell = p * zoneCount; zone < zoneCount; zone++, cell++) {
          if (!isSpread || spreadFlow[cell] === 0) edge(vertex, firstCell + cell, 0);
        }
      }
    }
  }
  if (sinkDistance === FAR) return false;
  for (let vertex = 0; vertex < vertexCount; vertex++) potential[vertex]! += Math.min(distance[vertex]!, sinkDistance);
  network.sinkPotential += sinkDistance;
  network.potentialsChanged();
  return true;
}

function nodesByZone(zoneOf: readonly number[], zoneCount: number): number[][] {
  const inZone: number[][] = Array.from({ length: zoneCount }, () => []);
  zoneOf.forEach((zone, node) => {
    inZone[zone]!.push(node);
  });
  return inZone;
}
