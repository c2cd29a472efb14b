// The question a test asks: does this history of calls on any number of keys look like one atomic register per key?
import type { Operation } from "./operation.ts";
import { toProblem } from "./problem.ts";
import { search, type Verdict } from "./search.ts";
import { shrink } from "./shrink.ts";

/**
 * Positions the search may visit per key before it answers "undecided"; ordinary histories need some tens per operation, 5 µs
 * each.
 */
export const MAX_POSITIONS = 2_000_000;

/** While a bad history is shrunk: positions for one part of it, and for all of them together. */
const MAX_POSITIONS_PER_PART = 50_000;
const MAX_POSITIONS_TO_SHRINK = 2_000_000;

export interface Violation {
  readonly key: string;
  readonly verdict: "not linearizable" | "undecided";
  /** The few operations that contradict each other, whatever the others did in their time (all of the key's when undecided). */
  readonly operations: readonly Operation[];
}

/** Operations on one key; every key starts absent. */
export function checkKey(operations: readonly Operation[], maxPositions = MAX_POSITIONS): Verdict {
  return search(toProblem(operations), maxPositions).verdict;
}

/**
 * Splits by key (linearizability is local: a history is linearizable if each key's part is) and names the first key that is not.
 */
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
    let left = MAX_POSITIONS_TO_SHRINK;
    // A part that can't be decided quickly counts as not bad: the history stays larger than it could be.
    const isBad = (part: readonly Operation[]): boolean => {
      const result = search(toProblem(part), Math.min(left, MAX_POSITIONS_PER_PART));
      left -= result.positions;
      return result.verdict === "not linearizable";
    };
    return { key, verdict, operations: shrink(list, isBad) };
  }
  return null;
}
