// Reduces a bad history of one key to the operations that contradict each other. Taking a write out could *make* a contradiction (someone
// read its value), so operations are not taken out but freed: a freed write may happen at any time or never, and what still contradicts
// then does so whatever the freed ones did.
import { describeOperation, type Operation, type Value } from "./operation.ts";

/** Freeing that many operations in vain ends the shrinking: large histories stay larger than they could be. */
const MAX_FAILED_ATTEMPTS = 400;

type IsBad = (operations: readonly Operation[], effort: "full" | "quick") => boolean;

/** @param isBad  must hold for `operations`; asked for histories of the same operations, known less exactly. */
export function shrink(operations: readonly Operation[], isBad: IsBad): Operation[] {
  const cut = shortestBadPrefix(operations, isBad);
  const freed = new Set<number>();
  const current: Operation[] = [...cut];
  let failedAttempts = 0;
  const attempt = (indexes: readonly number[]): boolean => {
    if (failedAttempts > MAX_FAILED_ATTEMPTS) return false;
    const next = current.flatMap((operation, i) => (freed.has(i) || indexes.includes(i) ? free(cut[i]!) : [operation]));
    if (!isBad(next, "quick")) {
      failedAttempts++;
      return false;
    }
    for (const i of indexes) freed.add(i);
    return true;
  };
  // Mostly the last few operations and the writers of what they saw are enough: that is found out quickly, however long the history.
  for (let last = 2; last < cut.length / 2; last *= 2) {
    const kept = latest(cut, last);
    if (attempt([...cut.keys()].filter((i) => !kept.has(i)))) break;
  }
  // Halves, quarters …, then one by one, the oldest first.
  for (let size = Math.ceil(cut.length / 2); ; size = Math.ceil(size / 2)) {
    for (let from = 0; from < cut.length; from += size) {
      const indexes: number[] = [];
      for (let i = from; i < Math.min(from + size, cut.length); i++) if (!freed.has(i)) indexes.push(i);
      if (indexes.length > 0) attempt(indexes);
    }
    if (size === 1) break;
  }
  // What remains and need not have succeeded is shown as unknown: then only its invocation matters.
  for (let i = 0; i < current.length; i++) {
    const operation = current[i]!;
    if (freed.has(i) || operation.outcome === "unknown" || operation.call.kind === "get") continue;
    current[i] = { ...operation, outcome: "unknown", returnedAt: Number.POSITIVE_INFINITY };
    if (!attempt([])) current[i] = operation;
  }
  const few = current.filter((_, i) => !freed.has(i));
  return [...few, ...writersOfWhatWasSeen(few, operations)].sort((a, b) => a.invokedAt - b.invokedAt);
}

/** Indexes of the operations that returned last, and of those that wrote what these saw. */
function latest(operations: readonly Operation[], count: number): Set<number> {
  const order = [...operations.keys()].filter((i) => Number.isFinite(operations[i]!.returnedAt));
  order.sort((a, b) => operations[b]!.returnedAt - operations[a]!.returnedAt);
  const kept = new Set(order.slice(0, count));
  const few = [...kept].map((i) => operations[i]!);
  const writers = new Set(writersOfWhatWasSeen(few, operations));
  for (const [i, operation] of operations.entries()) if (writers.has(operation)) kept.add(i);
  return kept;
}

/** Not part of the contradiction, but a reader wants to know where a value came from. */
function writersOfWhatWasSeen(few: readonly Operation[], all: readonly Operation[]): Operation[] {
  const writes = (operation: Operation, value: Value): boolean => operation.call.kind === "put" && operation.call.value === value;
  const seen = new Set(
    few.flatMap(({ call, outcome }) => {
      if (typeof outcome === "object") return outcome.value === null ? [] : [outcome.value];
      return call.kind !== "get" && typeof call.if === "object" ? [call.if.is] : [];
    }),
  );
  return [...seen].flatMap((value) => {
    if (few.some((operation) => writes(operation, value))) return [];
    const writers = all.filter((operation) => writes(operation, value));
    return writers.length <= 2 ? writers : [];
  });
}

/** A freed get says nothing; a freed write may take effect whenever it likes, whatever its condition: the search then has few kinds of them. */
function free(operation: Operation): Operation[] {
  const { call } = operation;
  if (call.kind === "get") return [];
  const freed = call.kind === "put" ? { kind: call.kind, value: call.value } : { kind: call.kind };
  return [
    { ...operation, call: freed, outcome: "unknown", invokedAt: Number.NEGATIVE_INFINITY, returnedAt: Number.POSITIVE_INFINITY },
  ];
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
    if (isBad(asOf(operations, moments[middle]!), "full")) high = middle;
    else low = middle + 1;
  }
  const prefix = asOf(operations, moments[high] ?? Number.POSITIVE_INFINITY);
  return isBad(prefix, "full") ? prefix : [...operations];
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
