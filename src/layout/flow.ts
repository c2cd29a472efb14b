// The flow network of an assignment at a given partition size, its edges implied by a few arrays, and the search for augmenting
// paths in it.
//
//   source → spread(p) → cell(p, z) → node → sink      spread(p): minZones units, at most one to each zone
//   source → any(p)    → cell(p, z)                    any(p): copies − minZones units
//
// A unit on cell(p, zone of n) → n is a copy of p on n. It costs 0 where the present assignment has that copy (kept), else 1
// (moved). `potential` holds each vertex's cost distance from the source; only edges that the potentials make free ("tight") may
// be used, so that every augmentation follows a cheapest path (Busacker–Gowen; Ahuja, Magnanti, Orlin, Network Flows, §9.7).
import { assert } from "../util/assert.ts";
import type { Capacities } from "./partition-size.ts";

export interface PlacementProblem extends Capacities {
  /** Per node: how many copies it can take. */
  readonly slots: readonly number[];
  /** [node × partitions + partition] = 1 where the present assignment has a copy. */
  readonly kept: Uint8Array;
}

/** Vertex that leads nowhere any more: the source does not reach it before the potentials change. */
const DEAD = 0x7fffffff;

export class PlacementNetwork {
  readonly problem: PlacementProblem;
  readonly nodeCount: number;
  /** Vertices: nodes, then cells (partition × zoneCount + zone), then spread(p), then any(p). */
  readonly firstCell: number;
  readonly firstSpread: number;
  readonly firstAny: number;
  readonly vertexCount: number;
  readonly potential: Int32Array;
  /** The sink's potential: the cost of the present cheapest path. */
  sinkPotential = 0;

  /** [node × partitions + partition]: 1 where a copy lies. */
  readonly used: Uint8Array;
  /** Copies per node. */
  readonly load: Int32Array;
  /** [partition × copies + i], i < memberCount[partition]: the nodes of a partition, in no order. */
  readonly members: Int16Array;
  readonly memberCount: Uint8Array;
  /** [cell]: units that come from spread(p) (0 or 1), and from any(p). */
  readonly spreadFlow: Uint8Array;
  readonly anyFlow: Uint8Array;
  /** [partition]: units into spread(p) and any(p). */
  readonly spreadTotal: Uint8Array;
  readonly anyTotal: Uint8Array;

  readonly #mark: Int32Array;
  readonly #next: Int32Array;
  readonly #queue: Int32Array;
  #round = 0;

  constructor(problem: PlacementProblem) {
    const { partitions, zoneCount, zoneOf, copies } = problem;
    assert((partitions & (partitions - 1)) === 0, "the scan order needs a power of two");
    this.problem = problem;
    this.nodeCount = zoneOf.length;
    this.firstCell = this.nodeCount;
    this.firstSpread = this.firstCell + partitions * zoneCount;
    this.firstAny = this.firstSpread + partitions;
    this.vertexCount = this.firstAny + partitions;
    this.potential = new Int32Array(this.vertexCount);
    this.used = new Uint8Array(this.nodeCount * partitions);
    this.load = new Int32Array(this.nodeCount);
    this.members = new Int16Array(partitions * copies);
    this.memberCount = new Uint8Array(partitions);
    this.spreadFlow = new Uint8Array(partitions * zoneCount);
    this.anyFlow = new Uint8Array(partitions * zoneCount);
    this.spreadTotal = new Uint8Array(partitions);
    this.anyTotal = new Uint8Array(partitions);
    this.#mark = new Int32Array(this.vertexCount);
    this.#next = new Int32Array(this.vertexCount);
    this.#queue = new Int32Array(this.vertexCount);
  }

  /** To be called after the potentials have changed: dead vertices may live again. */
  potentialsChanged(): void {
    this.#mark.fill(0);
    this.#round = 0;
  }

  /**
   * Gives the node one copy more along a path of tight edges, moving others' copies about as needed. False: there is none until
   * the potentials change.
   */
  addCopy(node: number): boolean {
    const start = this.#search(node);
    if (start < 0) return false;
    this.#augment(start);
    this.load[node]!++;
    return true;
  }

  /**
   * Breadth first, backwards from the node to a partition that still lacks copies. Returns spread(p) or any(p), with #next
   * leading to the node; else −1.
   */
  #search(target: number): number {
    const { partitions, copies, minZones, zoneCount, zoneOf, kept } = this.problem;
    const {
      potential,
      used,
      members,
      memberCount,
      spreadFlow,
      anyFlow,
      spreadTotal,
      anyTotal,
      firstCell,
      firstSpread,
      firstAny,
    } = this;
    const anyLimit = copies - minZones;
    const mark = this.#mark;
    const next = this.#next;
    const queue = this.#queue;
    const round = ++this.#round;
    if (mark[target] === DEAD) return -1;
    let tail = 0;
    mark[target] = round;
    next[target] = target;
    queue[tail++] = target;
    for (let head = 0; head < tail; head++) {
      const vertex = queue[head]!;
      const level = potential[vertex]!;
      if (vertex < firstCell) {
        const zone = zoneOf[vertex]!;
        const row = vertex * partitions;
        const { first, step } = scanOrder(vertex, partitions);
        for (let i = 0, p = first; i < partitions; i++, p = (p + step) & (partitions - 1)) {
          if (used[row + p] === 1) continue;
          const cell = firstCell + p * zoneCount + zone;
          if (mark[cell]! >= round || potential[cell]! + 1 - kept[row + p]! !== level) continue;
          mark[cell] = round;
          next[cell] = vertex;
          queue[tail++] = cell;
          // Most searches end here, at a partition that lacks copies: look at once instead of queueing the whole row.
          const spread = firstSpread + p;
          if (
            spreadTotal[p]! < minZones &&
            spreadFlow[cell - firstCell] === 0 &&
            potential[spread] === potential[cell] &&
            mark[spread] !== DEAD
          ) {
            next[spread] = cell;
            return spread;
          }
          const any = firstAny + p;
          if (anyTotal[p]! < anyLimit && potential[any] === potential[cell] && mark[any] !== DEAD) {
            next[any] = cell;
            return any;
          }
        }
      } else if (vertex < firstSpread) {
        const cell = vertex - firstCell;
        const p = (cell / zoneCount) | 0;
        const zone = cell - p * zoneCount;
        const spread = firstSpread + p;
        if (spreadFlow[cell] === 0 && mark[spread]! < round && potential[spread] === level) {
          mark[spread] = round;
          next[spread] = vertex;
          if (spreadTotal[p]! < minZones) return spread;
          queue[tail++] = spread;
        }
        const any = firstAny + p;
        if (anyLimit > 0 && mark[any]! < round && potential[any] === level) {
          mark[any] = round;
          next[any] = vertex;
          if (anyTotal[p]! < anyLimit) return any;
          queue[tail++] = any;
        }
        // A member of the zone may give up its copy and get another partition's instead.
        for (let i = p * copies, end = i + memberCount[p]!; i < end; i++) {
          const node = members[i]!;
          if (zoneOf[node] !== zone || mark[node]! >= round) continue;
          if (potential[node]! - 1 + kept[node * partitions + p]! !== level) continue;
          mark[node] = round;
          next[node] = vertex;
          queue[tail++] = node;
        }
      } else {
        // A unit of this partition may come out of another zone's cell instead.
        const isSpread = vertex < firstAny;
        const p = vertex - (isSpread ? firstSpread : firstAny);
        const flow = isSpread ? spreadFlow : anyFlow;
        for (let i = p * copies, end = i + memberCount[p]!; i < end; i++) {
          const cell = p * zoneCount + zoneOf[members[i]!]!;
          if (flow[cell] === 0 || mark[firstCell + cell]! >= round || potential[firstCell + cell] !== level) continue;
          mark[firstCell + cell] = round;
          next[firstCell + cell] = vertex;
          queue[tail++] = firstCell + cell;
        }
      }
    }
    // The source reaches none of these; augmenting elsewhere never opens a tight way to them.
    for (let i = 0; i < tail; i++) mark[queue[i]!] = DEAD;
    return -1;
  }

  #augment(start: number): void {
    const { zoneCount } = this.problem;
    const { firstCell, firstSpread, firstAny } = this;
    if (start < firstAny) this.spreadTotal[start - firstSpread]!++;
    else this.anyTotal[start - firstAny]!++;
    let from = start;
    for (;;) {
      const to = this.#next[from]!;
      if (from >= firstAny) this.anyFlow[to - firstCell]!++;
      else if (from >= firstSpread) this.spreadFlow[to - firstCell] = 1;
      else if (from < firstCell) this.#drop(((to - firstCell) / zoneCount) | 0, from);
      else if (to >= firstAny) this.anyFlow[from - firstCell]!--;
      else if (to >= firstSpread) this.spreadFlow[from - firstCell] = 0;
      else {
        this.#place(((from - firstCell) / zoneCount) | 0, to);
        // A node at which the path goes on gives up another copy; the path ends at the node that was to get one.
        if (this.#next[to] === to) return;
      }
      from = to;
    }
  }

  #place(p: number, node: number): void {
    const { copies, partitions } = this.problem;
    const count = this.memberCount[p]!;
    assert(count < copies, "a path gives up a copy of a full partition before it adds one");
    this.members[p * copies + count] = node;
    this.memberCount[p] = count + 1;
    this.used[node * partitions + p] = 1;
  }

  #drop(p: number, node: number): void {
    const { copies, partitions } = this.problem;
    const first = p * copies;
    const last = first + this.memberCount[p]! - 1;
    let at = first;
    while (at <= last && this.members[at] !== node) at++;
    assert(at <= last, "only a member gives up its copy");
    this.members[at] = this.members[last]!;
    this.memberCount[p]!--;
    this.used[node * partitions + p] = 0;
  }
}

/**
 * The order in which a node looks at the partitions: its own walk through all of them (odd step, power of two). So two nodes
 * share few partitions, and when one dies, many others have what it held and refill its successor together. Plain 32-bit
 * arithmetic: the same everywhere.
 */
function scanOrder(node: number, partitions: number): { first: number; step: number } {
  let h = Math.imul(node + 1, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca77);
  h ^= h >>> 13;
  return { first: h & (partitions - 1), step: ((h >>> 12) & (partitions - 1)) | 1 };
}
