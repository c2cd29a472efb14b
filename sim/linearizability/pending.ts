// The known operations that are under way at one moment of the sweep, as bit sets over their slots, and what the rest of the
// history will still ask for and write.
import { GUARD_IS, GUARD_IS_NOT, GUARD_NONE, NO_EFFECT, type Problem, type Step } from "./problem.ts";
import { WORD_BITS } from "./frontier.ts";

type Bits = number[];

export class Pending {
  readonly words: number;
  /** Per slot. */
  readonly steps: (Step | undefined)[] = [];
  readonly observers: Bits;
  readonly unconditional: Bits;
  /** Per value: conditional writes that need it; everything known under way that needs it; writes of it. */
  readonly conditionalOn: readonly Bits[];
  readonly needing: readonly Bits[];
  readonly writing: readonly Bits[];
  /** Operations not invoked yet that need the value (not: optional ones), and that write it. */
  readonly needersToCome: number[];
  readonly writersToCome: number[];
  /** Known operations that have not returned and whose guard mentions the value. */
  readonly mentions: number[];
  readonly #settledAt: readonly Bits[];
  readonly #refusedAnywhere: Bits;
  readonly #refusedUnless: readonly Bits[];

  constructor(problem: Problem, slots: number) {
    this.words = Math.max(1, Math.ceil(slots / WORD_BITS));
    const bits = (): Bits => new Array<number>(this.words).fill(0);
    const perValue = (): Bits[] => Array.from({ length: problem.values }, bits);
    const counts = (): number[] => new Array<number>(problem.values).fill(0);
    this.observers = bits();
    this.unconditional = bits();
    this.conditionalOn = perValue();
    this.needing = perValue();
    this.writing = perValue();
    this.#settledAt = perValue();
    this.#refusedAnywhere = bits();
    this.#refusedUnless = perValue();
    this.needersToCome = counts();
    this.writersToCome = counts();
    this.mentions = counts();
    for (const step of problem.known) {
      if (step.guard !== GUARD_NONE) this.mentions[step.guardValue]!++;
      if (step.guard === GUARD_IS && !step.isOptional) this.needersToCome[step.guardValue]!++;
      if (step.effect !== NO_EFFECT) this.writersToCome[step.effect]!++;
    }
  }

  open(slot: number, step: Step): void {
    this.steps[slot] = step;
    if (step.guard === GUARD_IS && !step.isOptional) this.needersToCome[step.guardValue]!--;
    if (step.effect !== NO_EFFECT) this.writersToCome[step.effect]!--;
    for (const set of this.#setsOf(step)) set[wordOf(slot)]! |= bitOf(slot);
  }

  close(slot: number): void {
    const step = this.steps[slot]!;
    this.steps[slot] = undefined;
    if (step.guard !== GUARD_NONE) this.mentions[step.guardValue]!--;
    for (const set of this.#setsOf(step)) set[wordOf(slot)]! &= ~bitOf(slot);
  }

  /** Must the operation that starts now still be placed? Not if it may never happen or the value settles it. */
  isDueAt(state: number, slot: number): boolean {
    return !this.steps[slot]!.isOptional && (this.settledAt(state, wordOf(slot)) & bitOf(slot)) === 0;
  }

  /**
   * Word `w` of the slots that are due no longer once the register holds `value`: who observes that, and unconditional writes of
   * it.
   */
  settledAt(value: number, w: number): number {
    return this.#settledAt[value]![w]! | (this.#refusedAnywhere[w]! & ~this.#refusedUnless[value]![w]!);
  }

  #setsOf(step: Step): Bits[] {
    const { guard, guardValue, effect } = step;
    const sets: Bits[] = [];
    if (guard === GUARD_IS) sets.push(this.needing[guardValue]!);
    if (effect === NO_EFFECT) {
      sets.push(this.observers);
      if (guard === GUARD_IS) sets.push(this.#settledAt[guardValue]!);
      if (guard === GUARD_IS_NOT) sets.push(this.#refusedAnywhere, this.#refusedUnless[guardValue]!);
    } else {
      sets.push(this.writing[effect]!);
      if (guard === GUARD_NONE) sets.push(this.unconditional, this.#settledAt[effect]!);
      else sets.push(this.conditionalOn[guardValue]!);
    }
    return sets;
  }
}

export function wordOf(slot: number): number {
  return Math.floor(slot / WORD_BITS);
}

export function bitOf(slot: number): number {
  return 1 << (slot % WORD_BITS);
}

/** The first slot in a word that is not empty. */
export function lowestSlot(word: number, bits: number): number {
  return word * WORD_BITS + 31 - Math.clz32(bits & -bits);
}

/** Guards of writes: none, or "is". */
export function allows(write: { guard: Step["guard"]; guardValue: number }, state: number): boolean {
  return write.guard === GUARD_NONE || write.guardValue === state;
}
