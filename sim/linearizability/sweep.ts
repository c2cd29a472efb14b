// Just-in-time linearization (Lowe 2017) breadth first: walks through the moments of a history and carries along every
// configuration that some order of the operations so far can leave, without those that leave no more than others (frontier.ts).
// Nothing is placed before it must be: when an operation returns that is still due, other operations are placed only as far as
// they bring about a value that somebody under way asks for. Why no order is missed:
//   – An order of all operations can be cut after the first operation to return; what follows there can be placed at later moments.
//   – An operation that only observes, and agrees with the present value, is placed at once: moving it earlier never hurts.
//   – A write that nobody observes can be moved to right before the next unconditional write. So each unconditional write that is placed covers
//     all unconditional ones under way, and one conditional one whose condition holds: they are due no longer, and may still be placed where
//     they are seen. A write of the value that is there already is never due; it may be placed in order to cover others.
//   – An unknown operation is placed only to be observed: where nobody does, it may as well not have happened.
//   – A conditional write that is due and not covered may be placed wherever its condition holds.
//   – Of two ways to write the same value here, one is enough if whatever the other could do later, it could too: see `#isWorse`.
//   – A value that is still needed and that nobody can write any more must not be overwritten.
import { APPEARED, INVOKED, type Timeline } from "./timeline.ts";
import { ABSENT, GUARD_IS, GUARD_NONE, NO_EFFECT, type Problem, type Step, UNSEEN } from "./problem.ts";
import { type Configuration, Frontier } from "./frontier.ts";
import { allows, bitOf, lowestSlot, Pending, wordOf } from "./pending.ts";

export interface SweepResult {
  /** Does a configuration reach the end? */
  readonly reached: boolean;
  /** No configuration was left out for lack of width: `reached: false` then says that there is no order at all. */
  readonly exact: boolean;
  /** Configurations from which others were sought. */
  readonly positions: number;
  /** If not reached: values that were needed when the last configurations failed. */
  readonly missed: ReadonlySet<number>;
}

export interface SweepLimits {
  /** Configurations carried from one moment to the next, at most; the most promising ones. */
  readonly width: number;
  readonly maxPositions: number;
  /**
   * Per class of unknown operations: what using one up counts when configurations are compared for promise. 0: as many as you
   * like. With such classes a sweep finds more than there is, but what it does not find is not there.
   */
  readonly prices: readonly number[];
}

export function sweep(problem: Problem, timeline: Timeline, limits: SweepLimits): SweepResult {
  return new Sweep(problem, timeline, limits).run();
}

/** Configurations yet to be looked at in one moment, those with the fewest unknown operations first. */
class Agenda {
  readonly #byCost: Configuration[][] = [];
  #least = 0;

  push(configuration: Configuration): void {
    (this.#byCost[configuration.cost] ??= []).push(configuration);
    if (configuration.cost < this.#least) this.#least = configuration.cost;
  }

  pop(): Configuration | undefined {
    for (; this.#least < this.#byCost.length; this.#least++) {
      const next = this.#byCost[this.#least]?.pop();
      if (next !== undefined) return next;
    }
    return undefined;
  }
}

class Sweep {
  readonly #problem: Problem;
  readonly #timeline: Timeline;
  readonly #limits: SweepLimits;
  readonly #pending: Pending;
  readonly #words: number;
  /** Per class of unknown operations: how many were invoked so far. */
  readonly #invoked: number[];
  /** Per value: the classes that write it, those that need it, and those that may happen when it is there. */
  readonly #classesTo: readonly number[][];
  readonly #classesOn: readonly number[][];
  readonly #classesAt: readonly number[][];
  #positions = 0;
  #exact = true;
  #missed = new Set<number>();

  constructor(problem: Problem, timeline: Timeline, limits: SweepLimits) {
    this.#problem = problem;
    this.#timeline = timeline;
    this.#limits = limits;
    this.#pending = new Pending(problem, timeline.slots);
    this.#words = this.#pending.words;
    this.#invoked = problem.unknown.map(() => 0);
    const perValue = (): number[][] => Array.from({ length: problem.values }, () => []);
    this.#classesTo = perValue();
    this.#classesOn = perValue();
    this.#classesAt = perValue();
    for (const [index, group] of problem.unknown.entries()) {
      this.#classesTo[group.effect]!.push(index);
      if (group.guard === GUARD_IS) this.#classesOn[group.guardValue]!.push(index);
      for (const [state, classes] of this.#classesAt.entries()) if (allows(group, state)) classes.push(index);
    }
  }

  run(): SweepResult {
    const lacks = new Array<number>(2 * this.#words).fill(0);
    const used = new Array<number>(this.#problem.unknown.length).fill(0);
    let carried: Configuration[] = [{ state: ABSENT, lacks, used, cost: 0, dominated: false }];
    for (const { kind, index } of this.#timeline.moments) {
      if (kind === APPEARED) {
        this.#invoked[index]!++;
        continue;
      }
      const slot = this.#timeline.slotOf[index]!;
      if (kind === INVOKED) {
        this.#pending.open(slot, this.#problem.known[index]!);
        const due = this.#words + wordOf(slot);
        for (const { lacks, state } of carried) if (this.#pending.isDueAt(state, slot)) lacks[due]! |= bitOf(slot);
        continue;
      }
      carried = this.#atReturn(carried, slot);
      this.#pending.close(slot);
      if (this.#positions > this.#limits.maxPositions)
        return { reached: false, exact: false, positions: this.#positions, missed: this.#missed };
      if (carried.length === 0) break;
    }
    return { reached: carried.length > 0, exact: this.#exact, positions: this.#positions, missed: this.#missed };
  }

  /**
   * What the configurations can become by placing the operation in `slot`, which returns now, and whatever must come before it.
   */
  #atReturn(carried: readonly Configuration[], slot: number): Configuration[] {
    const step = this.#pending.steps[slot]!;
    const isWrite = step.effect !== NO_EFFECT;
    const after = new Frontier();
    const found = new Frontier();
    const agenda = new Agenda();
    for (const configuration of carried) {
      const due = this.#isDue(configuration, slot);
      if (!due) after.add(this.#without(configuration, slot));
      if (!due && (!isWrite || this.#isSpent(configuration, slot))) continue;
      if (found.add(configuration)) agenda.push(configuration);
    }
    this.#missed.clear();
    if (step.guard === GUARD_IS) this.#missed.add(step.guardValue);
    let looks = 0;
    for (let from = agenda.pop(); from !== undefined; from = agenda.pop()) {
      if (from.dominated) continue;
      if (++looks > LOOKS_PER_WIDTH * this.#limits.width) {
        this.#exact = false;
        break;
      }
      if (isWrite && allows(step, from.state)) {
        const last = this.#placeKnown(from, slot);
        if (last !== null) after.add(this.#without(last, slot));
      }
      for (const next of this.#steps(from, slot)) {
        if (!isWrite && !this.#isDue(next, slot)) after.add(this.#without(next, slot));
        else if (found.add(next)) agenda.push(next);
      }
    }
    this.#positions += looks;
    return this.#mostPromising(after.all());
  }

  #mostPromising(configurations: Configuration[]): Configuration[] {
    if (configurations.length <= this.#limits.width) return configurations;
    this.#exact = false;
    const scored = configurations.map((configuration) => ({ configuration, lack: lackOf(configuration) }));
    scored.sort((a, b) => a.lack - b.lack);
    return scored.slice(0, this.#limits.width).map(({ configuration }) => configuration);
  }

  /** All ways worth a look to place one more write, other than the one in `slot`. */
  #steps(from: Configuration, slot: number): Configuration[] {
    const { steps, unconditional, conditionalOn } = this.#pending;
    const all: Configuration[] = [];
    for (let w = 0; w < this.#words; w++) {
      let open = (unconditional[w]! | conditionalOn[from.state]![w]!) & ~from.lacks[w]!;
      for (; open !== 0; open &= open - 1) {
        const other = lowestSlot(w, open);
        const step = steps[other]!;
        if (other === slot || this.#isWorse(from, step, other)) continue;
        const next = this.#placeKnown(from, other);
        // One that has a condition and is due can't be left to be covered.
        if (next !== null && ((step.guard === GUARD_IS && this.#isDue(from, other)) || this.#isAskedFor(from, next)))
          all.push(next);
      }
    }
    for (const c of this.#classesAt[from.state]!) {
      if (!this.#isLeft(from, c) || this.#isWorse(from, this.#problem.unknown[c]!, null)) continue;
      const next = this.#placeUnknown(from, c);
      if (next !== null && this.#isAskedFor(from, next)) all.push(next);
    }
    return all;
  }

  /**
   * Is another write better here than this one? The other has the same effect, needs no less, must be placed no later, is due
   * only if this one is too, and covers as much. Then, in any order that begins with this one, the two can change places.
   *
   * @param slot  of the write, null for an unknown one.
   */
  #isWorse(from: Configuration, write: Pick<Step, "guard" | "effect">, slot: number | null): boolean {
    const { steps, writing } = this.#pending;
    for (let w = 0; w < this.#words; w++) {
      let open = writing[write.effect]![w]! & ~from.lacks[w]!;
      for (; open !== 0; open &= open - 1) {
        const other = lowestSlot(w, open);
        const step = steps[other]!;
        if (other === slot) continue;
        if (step.guard === GUARD_NONE ? write.guard !== GUARD_NONE : step.guardValue !== from.state) continue;
        if (slot !== null) {
          const { returnedAt } = steps[slot]!;
          if (step.returnedAt > returnedAt || (step.returnedAt === returnedAt && step.guard === write.guard && other > slot))
            continue;
          if (this.#isDue(from, slot) && !this.#isDue(from, other)) continue;
        }
        if (step.guard === write.guard || !this.#wouldCover(from, slot, other)) return true;
      }
    }
    if (slot !== null || write.guard !== GUARD_NONE || this.#wouldCover(from, null, null)) return false;
    const { unknown } = this.#problem;
    return this.#classesOn[from.state]!.some((c) => unknown[c]!.effect === write.effect && this.#isLeft(from, c));
  }

  /** Is there a write, other than these two, that an unconditional one could cover now? */
  #wouldCover({ state, lacks }: Configuration, one: number | null, two: number | null): boolean {
    const { unconditional, conditionalOn } = this.#pending;
    for (let w = 0; w < this.#words; w++) {
      let covered = lacks[this.#words + w]! & (unconditional[w]! | conditionalOn[state]![w]!);
      if (one !== null && wordOf(one) === w) covered &= ~bitOf(one);
      if (two !== null && wordOf(two) === w) covered &= ~bitOf(two);
      if (covered !== 0) return true;
    }
    return false;
  }

  /**
   * Does the new value serve anyone: somebody observes it, or a conditional write needs it? The old one written again: does that
   * cover a write?
   */
  #isAskedFor(before: Configuration, now: Configuration): boolean {
    const { observers, conditionalOn } = this.#pending;
    const isNew = now.state !== before.state;
    for (let w = 0; w < this.#words; w++) {
      const settled = before.lacks[this.#words + w]! & ~now.lacks[this.#words + w]!;
      if ((isNew ? settled & observers[w]! : settled) !== 0) return true;
      if (isNew && (conditionalOn[now.state]![w]! & ~now.lacks[w]!) !== 0) return true;
    }
    return isNew && this.#classesOn[now.state]!.some((c) => this.#isLeft(now, c));
  }

  #placeKnown(from: Configuration, slot: number): Configuration | null {
    const lacks = from.lacks.slice();
    lacks[wordOf(slot)]! |= bitOf(slot);
    lacks[this.#words + wordOf(slot)]! &= ~bitOf(slot);
    return this.#arrive(from, this.#pending.steps[slot]!, { lacks, used: from.used, cost: from.cost });
  }

  #placeUnknown(from: Configuration, index: number): Configuration | null {
    const price = this.#limits.prices[index]!;
    const used = price === 0 ? from.used : from.used.with(index, from.used[index]! + 1);
    return this.#arrive(from, this.#problem.unknown[index]!, { lacks: from.lacks.slice(), used, cost: from.cost + price });
  }

  /** Null when the write left behind a value that is still needed and can't come back. */
  #arrive(
    from: Configuration,
    write: Pick<Step, "guard" | "effect">,
    { lacks, used, cost }: Pick<Configuration, "lacks" | "used" | "cost">,
  ): Configuration | null {
    const { unconditional } = this.#pending;
    if (write.guard === GUARD_NONE) {
      for (let w = 0; w < this.#words; w++) lacks[this.#words + w]! &= ~unconditional[w]!;
      this.#coverConditional(lacks, from.state);
    }
    for (let w = 0; w < this.#words; w++) lacks[this.#words + w]! &= ~this.#pending.settledAt(write.effect, w);
    const to: Configuration = { state: write.effect, lacks, used, cost, dominated: false };
    if (to.state === from.state || !this.#isLost(to, from.state)) return to;
    this.#missed.add(from.state);
    return null;
  }

  /**
   * One conditional write could have come right before an unconditional one; if there are several, that is left to the search.
   */
  #coverConditional(lacks: number[], state: number): void {
    let word = -1;
    let bit = 0;
    for (let w = 0; w < this.#words; w++) {
      const could = this.#pending.conditionalOn[state]![w]! & ~lacks[w]! & lacks[this.#words + w]!;
      if (could === 0) continue;
      if (word !== -1 || (could & (could - 1)) !== 0) return;
      word = w;
      bit = could;
    }
    if (word !== -1) lacks[this.#words + word]! &= ~bit;
  }

  #isLost({ lacks, used }: Configuration, value: number): boolean {
    const { needersToCome, writersToCome, needing, writing } = this.#pending;
    if (writersToCome[value]! > 0) return false;
    let needed = needersToCome[value]! > 0;
    for (let w = 0; w < this.#words; w++) {
      if ((writing[value]![w]! & ~lacks[w]!) !== 0) return false;
      if ((needing[value]![w]! & lacks[this.#words + w]!) !== 0) needed = true;
    }
    return needed && this.#classesTo[value]!.every((c) => this.#problem.unknown[c]!.invokedAt.length === used[c]!);
  }

  /** The configuration when the operation in `slot` has returned. */
  #without(from: Configuration, slot: number): Configuration {
    const lacks = from.lacks.slice();
    lacks[wordOf(slot)]! &= ~bitOf(slot);
    lacks[this.#words + wordOf(slot)]! &= ~bitOf(slot);
    const step = this.#pending.steps[slot]!;
    // Values that nobody will ask about can't be told apart any more.
    const mentions = this.#pending.mentions[from.state]! - (step.guard !== GUARD_NONE && step.guardValue === from.state ? 1 : 0);
    const state = mentions === 0 && this.#classesOn[from.state]!.length === 0 ? UNSEEN : from.state;
    return { state, lacks, used: from.used, cost: from.cost, dominated: false };
  }

  #isSpent({ lacks }: Configuration, slot: number): boolean {
    return (lacks[wordOf(slot)]! & bitOf(slot)) !== 0;
  }

  #isDue({ lacks }: Configuration, slot: number): boolean {
    return (lacks[this.#words + wordOf(slot)]! & bitOf(slot)) !== 0;
  }

  #isLeft({ used }: Configuration, index: number): boolean {
    return used[index]! < this.#invoked[index]!;
  }
}

const LOOKS_PER_WIDTH = 4;

/** Unknown operations are worth more than single slots: they may be needed much later. */
function lackOf({ cost, lacks }: Configuration): number {
  let lack = cost;
  for (let word of lacks) for (; word !== 0; word &= word - 1) lack++;
  return lack;
}
