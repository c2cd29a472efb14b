// What happens next: a binary heap by (virtual time, order of scheduling), so that equal times are not left to chance.

interface Scheduled {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class EventQueue {
  readonly #heap: Scheduled[] = [];
  #order = 0;
  #now = 0;

  /** Virtual time, ms. */
  get now(): number {
    return this.#now;
  }
  get size(): number {
    return this.#heap.length;
  }

  /** Runs `run` once `delayMs` (≥ 0) have passed. There is no cancelling: what is out of date must notice by itself. */
  after(delayMs: number, run: () => void): void {
    const heap = this.#heap;
    const event: Scheduled = { at: this.#now + delayMs, order: this.#order++, run };
    let i = heap.length;
    heap.push(event);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = event;
  }

  /** Moves time to the next event and runs it; false if there is none at or before `untilMs`. */
  step(untilMs: number): boolean {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined || first.at > untilMs) return false;
    const last = heap.pop()!;
    const length = heap.length;
    if (length > 0) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= length) break;
        if (child + 1 < length && before(heap[child + 1]!, heap[child]!)) child++;
        if (!before(heap[child]!, last)) break;
        heap[i] = heap[child]!;
        i = child;
      }
      heap[i] = last;
    }
    this.#now = first.at;
    first.run();
    return true;
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
