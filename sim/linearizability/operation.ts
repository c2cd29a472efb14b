// One recorded call of a client on one key, and what is known about its outcome.

/** What a key can hold; `null` in results and states means absent. */
export type Value = string | number;

/** `If-Match: value` or `If-None-Match: *`. */
export type Condition = { readonly is: Value } | "absent";

export type Call =
  | { readonly kind: "get" }
  | { readonly kind: "put"; readonly value: Value; readonly if?: Condition | undefined }
  | { readonly kind: "delete"; readonly if?: Condition | undefined };

/**
 * What the client learned. A get learns `{ value }` (null: absent). A put or delete learns "done" or, when it carries a
 * condition, "refused" (the condition did not hold, nothing changed). "unknown": it may have taken effect at any moment after its
 * invocation, also long after the client gave up, or never.
 */
export type Outcome = { readonly value: Value | null } | "done" | "refused" | "unknown";

/**
 * Times are in any one unit and from one clock that never goes back. For an unknown outcome `returnedAt` is Infinity; if it is
 * not, the operation took effect by then or never.
 */
export interface Operation {
  readonly client: string;
  readonly key: string;
  readonly call: Call;
  readonly invokedAt: number;
  readonly returnedAt: number;
  readonly outcome: Outcome;
}

/** One operation as a line of text: `put "b" if it is "a" → refused`. */
export function describeOperation(operation: Operation): string {
  const { call, outcome } = operation;
  const condition =
    call.kind === "get" || call.if === undefined ? "" : call.if === "absent" ? " if absent" : ` if it is ${show(call.if.is)}`;
  const what = call.kind === "put" ? `put ${show(call.value)}` : call.kind;
  return `${what}${condition} → ${typeof outcome === "object" ? show(outcome.value) : outcome}`;
}

function show(value: Value | null): string {
  return value === null ? "absent" : typeof value === "string" ? JSON.stringify(value) : String(value);
}
