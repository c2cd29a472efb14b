// Finds the best placement by trying them all. For clusters of a few nodes and partitions; shares no code with the solver.

export interface SmallCluster {
  readonly partitions: number;
  readonly copies: number;
  readonly minZones: number;
  readonly zoneCount: number;
  readonly zoneOf: readonly number[];
  readonly capacities: readonly number[];
  readonly kept: Uint8Array;
}

/**
 * What counts, in order of importance: size most, moved least, imbalance least (Σ load² / capacity, times the product of all
 * capacities).
 */
export interface Quality {
  readonly size: number;
  readonly moved: number;
  readonly imbalance: bigint;
}

/** Null when no placement exists with partitions of at least one byte. */
export function bestByEnumeration(cluster: SmallCluster): Quality | null {
  const { partitions, copies, minZones, zoneOf } = cluster;
  const choices = subsets(zoneOf.length, copies).filter((set) => new Set(set.map((node) => zoneOf[node])).size >= minZones);
  const loads = new Array<number>(zoneOf.length).fill(0);
  let best: Quality | null = null;
  const visit = (p: number, moved: number): void => {
    if (p === partitions) {
      const quality = rate(cluster, loads, moved);
      if (quality.size >= 1 && (best === null || compareQuality(quality, best) < 0)) best = quality;
      return;
    }
    for (const set of choices) {
      let newHere = 0;
      for (const node of set) {
        loads[node]!++;
        newHere += 1 - cluster.kept[node * partitions + p]!;
      }
      visit(p + 1, moved + newHere);
      for (const node of set) loads[node]!--;
    }
  };
  visit(0, 0);
  return best;
}

/** The quality of one placement; asserts nothing about its constraints. */
export function rate(cluster: SmallCluster, loads: readonly number[], moved: number): Quality {
  const { capacities } = cluster;
  const size = Math.min(
    ...loads.map((load, node) => (load === 0 ? Number.POSITIVE_INFINITY : Math.floor(capacities[node]! / load))),
  );
  const product = capacities.reduce((all, capacity) => all * BigInt(capacity), 1n);
  const imbalance = loads.reduce((sum, load, node) => sum + (BigInt(load * load) * product) / BigInt(capacities[node]!), 0n);
  return { size, moved, imbalance };
}

/** Below 0: a is better. */
export function compareQuality(a: Quality, b: Quality): number {
  if (a.size !== b.size) return b.size - a.size;
  if (a.moved !== b.moved) return a.moved - b.moved;
  return a.imbalance < b.imbalance ? -1 : a.imbalance > b.imbalance ? 1 : 0;
}

/** All subsets of {0 … n − 1} with k members. */
export function subsets(n: number, k: number): number[][] {
  if (k === 0) return [[]];
  if (n < k) return [];
  return [...subsets(n - 1, k), ...subsets(n - 1, k - 1).map((set) => [...set, n - 1])];
}
