// The definition of linearizability, tried literally: every order of every choice of unknown operations. For histories of a few
// operations; the search is tested against it. Shares no code with it.
import type { Operation, Value } from "./operation.ts";

export function linearizableByBruteForce(operations: readonly Operation[]): boolean {
  return tryFrom(operations, new Set(), null);
}

function tryFrom(operations: readonly Operation[], done: ReadonlySet<Operation>, state: Value | null): boolean {
  const open = operations.filter((o) => !done.has(o));
  if (open.every((o) => o.outcome === "unknown")) return true;
  for (const next of open) {
    if (open.some((o) => o !== next && o.outcome !== "unknown" && o.returnedAt < next.invokedAt)) continue;
    const after = apply(next, state);
    if (after === "contradiction") continue;
    const missed = open.filter((o) => o.returnedAt < next.invokedAt);
    if (tryFrom(operations, new Set([...done, ...missed, next]), after.state)) return true;
  }
  return false;
}

function apply(operation: Operation, state: Value | null): { state: Value | null } | "contradiction" {
  const { call, outcome } = operation;
  if (call.kind === "get")
    return outcome === "unknown" || (typeof outcome === "object" && outcome.value === state) ? { state } : "contradiction";
  const holds = call.if === undefined || (call.if === "absent" ? state === null : state === call.if.is);
  if (outcome === "done" && !holds) return "contradiction";
  if (outcome === "refused" && holds) return "contradiction";
  if (!holds) return { state };
  return { state: call.kind === "put" ? call.value : null };
}
