// The question a test asks: does this history of calls on any number of keys look like one atomic register per key?
import type { Operation } from "./operation.ts";
import { toProblem } from "./problem.ts";
import { search, type Verdict } from "./search.ts";
import { shrink } from "./shrink.ts";

/** Positions the search may visit per key before it answers "undecided"; ordinary histories need a few per operation. */
export const MAX_POSITIONS = 2_000_000;

const QUICK_POSITIONS = 5_000;

export interface Violation {
  readonly key: string;
  readonly verdict: "not linearizable" | "undecided";
  /** The few operations that contradict each other (all of the key's when undecided). */
  readonly operations: readonly Operation[];
}

/** Operations on one key; every key starts absent. */
export function checkKey(operations: readonly Operation[], maxPositions = MAX_POSITIONS): Verdict {
  return search(toProblem(operations), maxPositions);
}

/** Splits by key (linearizability is local: a history is linearizable if each key's part is) and names the first key that is not. */
export function checkHistory(operations: readonly Operation[], maxPositions = MAX_POSITIONS): Violation | null {
  const keys = new Map<string, Operation[]>();
  for (const operation of operations) {
    const list = keys.get(operation.key);
    if (list === undefined) keys.set(operation.key, [operation]);
    else list.push(operation);
  }
  for (const [key, list] of keys) {
    const verdict = checkKey(list, maxPositions);
    if (verdict === "undecided") return { key, verdict, operations: list };
    if (verdict === "linearizable") continue;
    // A part that can't be decided quickly is kept as it was.
    const isBad = (part: readonly Operation[], effort: "full" | "quick"): boolean =>
      checkKey(part, effort === "full" ? maxPositions : Math.min(maxPositions, QUICK_POSITIONS)) === "not linearizable";
    return { key, verdict, operations: shrink(list, isBad) };
  }
  return null;
}
