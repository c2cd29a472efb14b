// Reduces a bad history of one key to the operations that contradict each other. Taking a write out could *make* a contradiction
// (someone read its value), so operations are not taken out but freed: a freed write may have happened in its time or not,
// whatever its condition. What still contradicts then does so whatever the freed ones did.
import { describeOperation, type Operation, type Value } from "./operation.ts";

type IsBad = (operations: readonly Operation[]) => boolean;

/** @param isBad  asked for histories of the same operations, known less exactly; false if that is hard to tell. */
export function shrink(operations: readonly Operation[], isBad: IsBad): Operation[] {
  const prefix = shortestBadPrefix(operations, isBad);
  let few = lastFew(prefix, isBad);
  // Halves, quarters …, then one by one, the oldest first. Freeing what could not be freed before does not get easier, so once is
  // enough.
  for (let size = Math.ceil(few.size / 2); ; size = Math.ceil(size / 2)) {
    const indexes = [...few];
    for (let from = 0; from < indexes.length; from += size) {
      const fewer = new Set(few);
      for (const index of indexes.slice(from, from + size)) fewer.delete(index);
      if (isBad(onlyKnowing(prefix, fewer))) few = fewer;
    }
    if (size === 1) break;
  }
  const culprits = [...few].map((index) => prefix[index]!);
  return [...culprits, ...writersOfWhatWasSeen(culprits, operations)].sort((a, b) => a.invokedAt - b.invokedAt);
}

/** Indexes of the operations that returned last, as many as make the history bad; in the order of their return. */
function lastFew(operations: readonly Operation[], isBad: IsBad): Set<number> {
  const known = [...operations.keys()].filter((index) => operations[index]!.outcome !== "unknown");
  known.sort((a, b) => operations[a]!.returnedAt - operations[b]!.returnedAt);
  for (let last = 1; last < known.length; last *= 2) {
    const few = new Set(known.slice(-last));
    if (isBad(onlyKnowing(operations, few))) return few;
  }
  return new Set(known);
}

/** Not part of the contradiction, but a reader wants to know where a value came from: who wrote it last. */
function writersOfWhatWasSeen(few: readonly Operation[], all: readonly Operation[]): Operation[] {
  const writes = (operation: Operation, value: Value): boolean => operation.call.kind === "put" && operation.call.value === value;
  const seenUntil = new Map<Value, number>();
  for (const { call, outcome, returnedAt } of few) {
    const value =
      typeof outcome === "object" ? outcome.value : call.kind !== "get" && typeof call.if === "object" ? call.if.is : null;
    if (value !== null) seenUntil.set(value, Math.max(returnedAt, seenUntil.get(value) ?? returnedAt));
  }
  return [...seenUntil].flatMap(([value, until]) => {
    if (few.some((operation) => writes(operation, value))) return [];
    const writers = all.filter((operation) => writes(operation, value));
    if (writers.length <= MANY_WRITERS) return writers;
    const before = writers.filter(({ invokedAt }) => invokedAt <= until).sort((a, b) => a.invokedAt - b.invokedAt);
    return before.slice(-1);
  });
}

const MANY_WRITERS = 2;

/** The history with all operations but a few freed. A freed get says nothing, nor does a refusal. */
function onlyKnowing(operations: readonly Operation[], few: ReadonlySet<number>): Operation[] {
  return operations.flatMap((operation, index): Operation[] => {
    const { call, outcome } = operation;
    if (few.has(index) || outcome === "unknown") return [operation];
    if (call.kind === "get" || outcome === "refused") return [];
    return [
      { ...operation, call: call.kind === "put" ? { kind: "put", value: call.value } : { kind: "delete" }, outcome: "unknown" },
    ];
  });
}

/** What was known at a moment: later calls are not there, calls under way are unknown. Bad at a moment, bad ever after. */
function asOf(operations: readonly Operation[], moment: number): Operation[] {
  return operations.flatMap((operation): Operation[] => {
    if (operation.invokedAt > moment) return [];
    return operation.returnedAt <= moment
      ? [operation]
      : [{ ...operation, outcome: "unknown", returnedAt: Number.POSITIVE_INFINITY }];
  });
}

function shortestBadPrefix(operations: readonly Operation[], isBad: IsBad): Operation[] {
  const moments = operations
    .map((operation) => operation.returnedAt)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  let low = 0;
  let high = moments.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBad(asOf(operations, moments[middle]!))) high = middle;
    else low = middle + 1;
  }
  const prefix = asOf(operations, moments[high] ?? Number.POSITIVE_INFINITY);
  return isBad(prefix) ? prefix : [...operations];
}

/**
 * The contradiction as text: one line an operation, by invocation, with a bar showing which overlap (order only, not to scale).
 *
 *     c1  |--|        put 1 → done
 *     c2       |--|   get → absent
 */
export function describeContradiction(operations: readonly Operation[]): string {
  const moments = [...new Set(operations.flatMap((o) => [o.invokedAt, o.returnedAt]))]
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const column = (moment: number): number => moments.indexOf(moment) * 2;
  const width = moments.length * 2 + 1;
  const names = Math.max(...operations.map((o) => o.client.length));
  return operations
    .map((operation) => {
      const from = column(operation.invokedAt);
      const ends = Number.isFinite(operation.returnedAt);
      const to = ends ? column(operation.returnedAt) : width - 1;
      const bar = (" ".repeat(from) + "|" + "-".repeat(Math.max(0, to - from - 1)) + (ends ? "|" : ">")).padEnd(width + 1);
      const times = `${operation.invokedAt.toFixed(1)} … ${ends ? operation.returnedAt.toFixed(1) : "?"}`;
      return `${operation.client.padEnd(names)}  ${bar}  ${describeOperation(operation)}   (${times})`;
    })
    .join("\n");
}
