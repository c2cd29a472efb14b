// Is there one order of the operations on a key, respecting real time, that explains every outcome? Depth-first search after Wing and Gong
// (1993) with Lowe's memo of (operations placed, value) (2017), made to stay linear on what real histories look like:
//   – An operation that only observes, and agrees with the present value, is placed at once: moving it earlier never hurts.
//   – An unknown operation is placed only where the next one needs it (just in time): dropping an unneeded one never hurts, because it
//     may never have happened. Unknown operations of equal effect are interchangeable: the memo counts them per class, and a
//     position that failed with fewer of them used up fails with more.
//   – A value that someone still has to observe, but nobody can write any more, must not be overwritten.
//   – Values that no unplaced operation mentions can't be told apart any more: the memo takes them, and who still might write them, as one.
import { ABSENT, GUARD_IS, GUARD_NONE, NO_EFFECT, type Problem, type Step, UNSEEN, type UnknownClass } from "./problem.ts";

export type Verdict = "linearizable" | "not linearizable" | "undecided";

interface Move {
  /** Classes of unknown operations that happen first, in this order. */
  readonly chain: readonly number[];
  readonly op: number;
}
interface Frame {
  readonly state: number;
  readonly trailLength: number;
  readonly moves: Move[];
  next: number;
}

/** @param maxPositions  positions to visit before the search gives up with "undecided". */
export function search(problem: Problem, maxPositions: number): Verdict {
  return new Search(problem).run(maxPositions);
}

class Search {
  readonly #known: readonly Step[];
  readonly #unknown: Problem["unknown"];
  /** Unplaced known operations as a linked list by invocation; slot `known.length` is the head. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** 16 operations a word, so that a slice of it is a string key. */
  readonly #placed: Uint16Array;
  readonly #used: Uint16Array;
  /** Per value: unplaced operations that write it, and known unplaced ones that need it. */
  readonly #writers: Int32Array;
  readonly #needers: Int32Array;
  /** Per value: unplaced known operations whose guard mentions it (unknown ones count for ever). */
  readonly #mentions: Int32Array;
  readonly #memo = new Map<string, Uint16Array[]>();
  /** What was placed, in order: an operation's index, or ~class. */
  readonly #trail: number[] = [];
  #state = ABSENT;
  #highest = 0;

  constructor(problem: Problem) {
    this.#known = problem.known;
    this.#unknown = problem.unknown;
    const n = problem.known.length;
    this.#next = new Int32Array(n + 1);
    this.#previous = new Int32Array(n + 1);
    for (let i = 0; i <= n; i++) {
      this.#next[i] = i === n ? 0 : i + 1;
      this.#previous[i] = i === 0 ? n : i - 1;
    }
    this.#placed = new Uint16Array((n >> 4) + 1);
    this.#used = new Uint16Array(problem.unknown.length);
    this.#writers = new Int32Array(problem.values);
    this.#needers = new Int32Array(problem.values);
    this.#mentions = new Int32Array(problem.values);
    for (const group of problem.unknown) if (group.guard !== GUARD_NONE) this.#mentions[group.guardValue]!++;
    for (const step of problem.known) {
      if (step.guard !== GUARD_NONE) this.#mentions[step.guardValue]!++;
      if (step.effect !== NO_EFFECT) this.#writers[step.effect]!++;
      if (step.guard === GUARD_IS) this.#needers[step.guardValue]!++;
    }
    for (const group of problem.unknown) this.#writers[group.effect]! += group.invokedAt.length;
  }

  run(maxPositions: number): Verdict {
    const stack: Frame[] = [];
    let positions = 0;
    for (let value = 0; value < this.#needers.length; value++) if (this.#lost(value)) return "not linearizable";
    if (this.#descend(stack)) return "linearizable";
    while (stack.length > 0) {
      const frame = stack.at(-1)!;
      const move = frame.moves[frame.next++];
      if (move === undefined) {
        stack.pop();
        const parent = stack.at(-1);
        if (parent !== undefined) this.#undo(parent);
        continue;
      }
      if (++positions > maxPositions) return "undecided";
      if (this.#play(move) && this.#descend(stack)) return "linearizable";
      if (stack.at(-1) === frame) this.#undo(frame);
    }
    return "not linearizable";
  }

  /** Places what can be placed without choice; pushes the choices that remain. True when everything known is placed. */
  #descend(stack: Frame[]): boolean {
    this.#placeObservers();
    const head = this.#known.length;
    if (this.#next[head] === head) return true;
    if (this.#seen()) return false;
    stack.push({ state: this.#state, trailLength: this.#trail.length, moves: this.#moves(), next: 0 });
    return false;
  }

  #holds(step: { guard: Step["guard"]; guardValue: number }, state: number): boolean {
    return step.guard === GUARD_NONE || (step.guard === GUARD_IS) === (step.guardValue === state);
  }

  #placeObservers(): void {
    const head = this.#known.length;
    let bound = Number.POSITIVE_INFINITY;
    for (let i = this.#next[head]!; i !== head; i = this.#next[i]!) {
      const step = this.#known[i]!;
      if (step.invokedAt > bound) return;
      if (step.effect === NO_EFFECT && this.#holds(step, this.#state)) this.#place(i);
      else if (step.returnedAt < bound) bound = step.returnedAt;
    }
  }

  /** Every way to place one more known operation, the most urgent first. */
  #moves(): Move[] {
    const head = this.#known.length;
    const candidates: number[] = [];
    let bound = Number.POSITIVE_INFINITY;
    for (let i = this.#next[head]!; i !== head; i = this.#next[i]!) {
      const step = this.#known[i]!;
      if (step.invokedAt > bound) break;
      candidates.push(i);
      if (step.returnedAt < bound) bound = step.returnedAt;
    }
    candidates.sort((a, b) => this.#known[a]!.returnedAt - this.#known[b]!.returnedAt);
    const moves: Move[] = [];
    for (const op of candidates) if (this.#holds(this.#known[op]!, this.#state)) moves.push({ chain: [], op });
    if (this.#unknown.length > 0)
      this.#chains({ state: this.#state, chain: [], visited: [this.#state], bound, candidates, moves });
    return moves;
  }

  #chains(at: { state: number; chain: number[]; visited: number[]; bound: number; candidates: number[]; moves: Move[] }): void {
    const { state, chain, visited, bound, candidates, moves } = at;
    const before = visited.length > 1 ? visited[visited.length - 2]! : -1;
    let forgettable = false;
    for (let c = 0; c < this.#unknown.length; c++) {
      const group = this.#unknown[c]!;
      if (this.#isForgettable(group) && forgettable) continue; // one of a kind will do
      if (chain.includes(c) || visited.includes(group.effect) || !this.#holds(group, state)) continue;
      // A second unknown operation is worth placing only if the first made it possible.
      if (chain.length > 0 && this.#holds(group, before)) continue;
      const first = group.invokedAt[this.#used[c]!];
      if (first === undefined || first > bound) continue;
      forgettable ||= this.#isForgettable(group);
      const longer = [...chain, c];
      let observed = false;
      for (const op of candidates) {
        const step = this.#known[op]!;
        if (this.#holds(step, state) || !this.#holds(step, group.effect)) continue;
        if (step.effect === NO_EFFECT) {
          if (observed) continue; // the others follow without choice
          observed = true;
        }
        moves.push({ chain: longer, op });
      }
      this.#chains({ state: group.effect, chain: longer, visited: [...visited, group.effect], bound, candidates, moves });
    }
  }

  /** False when the move leaves behind a value that is still needed and can't come back. */
  #play(move: Move): boolean {
    for (const c of move.chain) {
      const from = this.#state;
      this.#used[c]!++;
      this.#state = this.#unknown[c]!.effect;
      this.#writers[this.#state]!--;
      this.#trail.push(~c);
      if (this.#lost(from)) return false;
    }
    const from = this.#state;
    this.#place(move.op);
    return !this.#lost(from);
  }

  #lost(value: number): boolean {
    return value !== this.#state && this.#writers[value] === 0 && this.#needers[value]! > 0;
  }

  #place(op: number): void {
    const step = this.#known[op]!;
    const before = this.#previous[op]!;
    const after = this.#next[op]!;
    this.#next[before] = after;
    this.#previous[after] = before;
    this.#placed[op >> 4]! |= 1 << (op & 15);
    if (op > this.#highest) this.#highest = op;
    if (step.guard !== GUARD_NONE) this.#mentions[step.guardValue]!--;
    if (step.guard === GUARD_IS) this.#needers[step.guardValue]!--;
    if (step.effect !== NO_EFFECT) {
      this.#writers[step.effect]!--;
      this.#state = step.effect;
    }
    this.#trail.push(op);
  }

  #undo(frame: Frame): void {
    while (this.#trail.length > frame.trailLength) {
      const op = this.#trail.pop()!;
      if (op < 0) {
        this.#used[~op]!--;
        this.#writers[this.#unknown[~op]!.effect]!++;
        continue;
      }
      const step = this.#known[op]!;
      this.#next[this.#previous[op]!] = op;
      this.#previous[this.#next[op]!] = op;
      this.#placed[op >> 4]! &= ~(1 << (op & 15));
      if (step.guard !== GUARD_NONE) this.#mentions[step.guardValue]!++;
      if (step.guard === GUARD_IS) this.#needers[step.guardValue]!++;
      if (step.effect !== NO_EFFECT) this.#writers[step.effect]!++;
    }
    this.#state = frame.state;
  }

  /** Was this position reached before, with no more of the unknown operations used up? Remembers it otherwise. */
  #seen(): boolean {
    const from = this.#next[this.#known.length]! >> 4;
    let to = this.#highest >> 4;
    while (to > from && this.#placed[to] === 0) to--;
    const state = this.#mentions[this.#state] === 0 ? UNSEEN : this.#state;
    let key = String.fromCharCode(state & 0xffff, state >> 16, from & 0xffff, from >> 16);
    for (let word = from; word <= to; word++) key += String.fromCharCode(this.#placed[word]!);
    const used = this.#usedUp();
    const known = this.#memo.get(key);
    if (known === undefined) {
      this.#memo.set(key, [used]);
      return false;
    }
    for (const fewer of known) if (fewer.every((count, c) => count <= used[c]!)) return true;
    known.push(used);
    return false;
  }

  /** How many of each class are used, those that write what nobody will ask for counted together (last slot). */
  #usedUp(): Uint16Array {
    const used = new Uint16Array(this.#used.length + 1);
    for (let c = 0; c < this.#used.length; c++)
      used[this.#isForgettable(this.#unknown[c]!) ? this.#used.length : c]! += this.#used[c]!;
    return used;
  }

  #isForgettable(group: UnknownClass): boolean {
    return group.guard === GUARD_NONE && this.#mentions[group.effect] === 0;
  }
}
