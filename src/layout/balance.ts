// The third aim: even load. Among assignments of the largest size that move the least, Σ load² / capacity is least. Of the nodes
// that may take the next copy without moving more, the one goes first for which this sum grows least; loads that a network can
// carry form a polymatroid, where this greedy choice is optimal (Federgruen and Groenevelt 1986; Fujishige, Submodular Functions
// and Optimization, §8).

/** Nodes in the order in which they shall take the next copy; a binary heap. Exact: no rounding decides. */
export class LeastLoadedFirst {
  readonly #capacities: readonly number[];
  readonly #load: Int32Array;
  readonly #heap: number[] = [];

  /** @param load  copies per node; read anew at each step. A node's load may only change while it is not in here. */
  constructor(capacities: readonly number[], load: Int32Array) {
    this.#capacities = capacities;
    this.#load = load;
  }

  add(node: number): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(node);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(node, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = node;
  }

  /** The node whose next copy adds least; of equal ones the first by number. */
  take(): number | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const moved = heap.pop();
    if (first === undefined || moved === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#before(heap[child]!, moved)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
    return first;
  }

  /**
   * (2 load(a) + 1) / capacity(a) < (2 load(b) + 1) / capacity(b), ties by number. The difference of (n + 1)² and n² is 2n + 1.
   */
  #before(a: number, b: number): boolean {
    const order = compareProducts(2 * this.#load[a]! + 1, this.#capacities[b]!, 2 * this.#load[b]! + 1, this.#capacities[a]!);
    return order !== 0 ? order < 0 : a < b;
  }
}

/** Sign of a·b − c·d for safe integers; exact. */
export function compareProducts(a: number, b: number, c: number, d: number): number {
  const left = a * b;
  const right = c * d;
  if (left <= Number.MAX_SAFE_INTEGER && right <= Number.MAX_SAFE_INTEGER) return left - right;
  const difference = BigInt(a) * BigInt(b) - BigInt(c) * BigInt(d);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
