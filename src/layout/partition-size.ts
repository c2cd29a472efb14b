// The first aim of an assignment: the most usable capacity, that is the largest partition size at which all copies find a place.

/** Who can take copies, as numbers: node i lies in zone zoneOf[i]. */
export interface Capacities {
  readonly partitions: number;
  /** Copies of each partition. */
  readonly copies: number;
  /** Zones that each partition must touch. */
  readonly minZones: number;
  readonly zoneCount: number;
  /** Per node, 0 ..< zoneCount. */
  readonly zoneOf: readonly number[];
  /** Per node, bytes. */
  readonly capacities: readonly number[];
}

/** What stops partitions of one size from fitting: null when they fit. */
export type Obstacle =
  | null
  /**
   * Together the nodes have too few places. `full`: nodes that already take one copy of everything, so that more capacity there
   * is of no use.
   */
  | { readonly kind: "total"; readonly places: number; readonly needed: number; readonly full: readonly number[] }
  /** Too few zones can hold their copy of each partition; `zones`: those which can't. */
  | { readonly kind: "zones"; readonly zones: readonly number[] };

/**
 * The largest whole number of bytes at which all copies find a place; 0 when not even one byte does.
 * The larger the partitions, the fewer the places, so bisection finds it exactly, in at most 53 steps of O(nodes).
 */
export function largestPartitionSize(cluster: Capacities): number {
  let fits = 0;
  let fails = Math.max(0, ...cluster.capacities) + 1;
  while (fails - fits > 1) {
    const middle = fits + Math.floor((fails - fits) / 2);
    if (obstacleAt(cluster, middle) === null) fits = middle;
    else fails = middle;
  }
  return fits;
}

/**
 * Whether partitions of `size` bytes fit, and if not, why.
 *
 * The network whose maximum flow decides it: source → (partition, "one of the spread copies": minZones units; "any copy": copies
 * − minZones units)
 * → (partition, zone), at most one spread copy each → node of the zone, at most one copy of a partition → sink, as many units as
 * the node has
 * places. All partitions look alike, so a fractional flow may be averaged over them, and a whole flow of the same value exists.
 * The average is decided by two cuts: each zone Z offers U(Z) places, of which at most `partitions` serve spread copies, so
 *     Σ min(partitions, U(Z)) ≥ minZones × partitions      and      Σ U(Z) ≥ copies × partitions.
 * The tests compare this with an ordinary maximum flow and with plain enumeration.
 */
export function obstacleAt(cluster: Capacities, size: number): Obstacle {
  const { partitions, copies, minZones, zoneCount, zoneOf, capacities } = cluster;
  const places = new Array<number>(zoneCount).fill(0);
  const full: number[] = [];
  let total = 0;
  capacities.forEach((capacity, node) => {
    const slots = placesAt(capacity, size, partitions);
    if (slots === partitions) full.push(node);
    places[zoneOf[node]!]! += slots;
    total += slots;
  });
  const spread = places.reduce((sum, inZone) => sum + Math.min(partitions, inZone), 0);
  if (spread < minZones * partitions) {
    return { kind: "zones", zones: places.flatMap((inZone, zone) => (inZone < partitions ? [zone] : [])) };
  }
  if (total < copies * partitions) return { kind: "total", places: total, needed: copies * partitions, full };
  return null;
}

/** How many partitions of `size` bytes a node can take: at most one copy of each. Exact for all safe integers. */
export function placesAt(capacity: number, size: number, partitions: number): number {
  return Math.min(partitions, (capacity - (capacity % size)) / size);
}
