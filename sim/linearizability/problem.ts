// Translates the operations on one key into what the search works on: numbered values, and per operation a guard (what the value
// must be for the operation to have had its outcome) and an effect (what it becomes). Every kind of operation is such a pair.
import assert from "node:assert/strict";
import type { Condition, Operation, Value } from "./operation.ts";

/** The key does not exist. */
export const ABSENT = 0;
/** Every value that no guard mentions: such values can't be told apart by anyone, so one number does for all. */
export const UNSEEN = 1;

export const GUARD_NONE = 0;
export const GUARD_IS = 1;
export const GUARD_IS_NOT = 2;
export const NO_EFFECT = -1;

export interface Step {
  readonly invokedAt: number;
  readonly returnedAt: number;
  readonly guard: typeof GUARD_NONE | typeof GUARD_IS | typeof GUARD_IS_NOT;
  readonly guardValue: number;
  /** A value number, or NO_EFFECT for an operation that only observes. */
  readonly effect: number;
  /** May never have happened. */
  readonly isOptional: boolean;
}

/**
 * Unknown steps of one class have the same guard and effect; once invoked they are interchangeable, so a count says which are
 * used.
 */
export interface UnknownClass {
  readonly guard: Step["guard"];
  readonly guardValue: number;
  readonly effect: number;
  /** Ascending. */
  readonly invokedAt: readonly number[];
}

export interface Problem {
  /** Operations with a known outcome, and unknown ones that end, by ascending invocation. */
  readonly known: readonly Step[];
  readonly unknown: readonly UnknownClass[];
  readonly values: number;
}

/**
 * Unknown calls that change nothing say nothing and are left out. The order of `operations` does not matter; all must be of one
 * key.
 */
export function toProblem(operations: readonly Operation[]): Problem {
  const numbers = new Map<Value, number>();
  const numbered = (value: Value | null): number => {
    if (value === null) return ABSENT;
    let number = numbers.get(value);
    if (number === undefined) numbers.set(value, (number = numbers.size + 2));
    return number;
  };
  for (const { call, outcome } of operations) {
    if (typeof outcome === "object") numbered(outcome.value);
    if (call.kind !== "get" && typeof call.if === "object") numbered(call.if.is);
  }
  const known: Step[] = [];
  const classes = new Map<string, { guard: Step["guard"]; guardValue: number; effect: number; invokedAt: number[] }>();
  for (const operation of operations) {
    const { call, outcome, invokedAt, returnedAt } = operation;
    if (call.kind === "get") {
      if (outcome === "unknown") continue;
      assert(typeof outcome === "object", "a get learns a value");
      known.push({
        invokedAt,
        returnedAt,
        guard: GUARD_IS,
        guardValue: numbered(outcome.value),
        effect: NO_EFFECT,
        isOptional: false,
      });
      continue;
    }
    assert(typeof outcome === "string", "a put or delete learns done, refused or unknown");
    const guardValue = call.if === undefined ? ABSENT : conditionValue(call.if, numbered);
    const effect = call.kind === "delete" ? ABSENT : (numbers.get(call.value) ?? UNSEEN);
    if (outcome === "refused") {
      assert(call.if !== undefined, "only a conditional call is refused");
      known.push({ invokedAt, returnedAt, guard: GUARD_IS_NOT, guardValue, effect: NO_EFFECT, isOptional: false });
      continue;
    }
    const guard = call.if === undefined ? GUARD_NONE : GUARD_IS;
    const changesNothing = guard === GUARD_IS && guardValue === effect;
    if (outcome === "done") {
      known.push({ invokedAt, returnedAt, guard, guardValue, effect: changesNothing ? NO_EFFECT : effect, isOptional: false });
      continue;
    }
    if (changesNothing) continue;
    if (returnedAt < Number.POSITIVE_INFINITY) {
      known.push({ invokedAt, returnedAt, guard, guardValue, effect, isOptional: true });
      continue;
    }
    const name = `${guard},${guardValue},${effect}`;
    const group = classes.get(name) ?? { guard, guardValue, effect, invokedAt: [] };
    classes.set(name, group);
    group.invokedAt.push(invokedAt);
  }
  known.sort((a, b) => a.invokedAt - b.invokedAt);
  for (const group of classes.values()) group.invokedAt.sort((a, b) => a - b);
  return { known, unknown: [...classes.values()], values: numbers.size + 2 };
}

function conditionValue(condition: Condition, numbered: (value: Value) => number): number {
  return condition === "absent" ? ABSENT : numbered(condition.is);
}
