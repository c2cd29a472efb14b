import type { Caller } from "./admin-auth.ts";
import { AdminError } from "./admin-error.ts";
import { BLOCK_OPERATIONS } from "./block-operations.ts";
import { BUCKET_OPERATIONS } from "./bucket-operations.ts";
import { CLUSTER_OPERATIONS } from "./cluster-operations.ts";
import { inputOf, queryNames } from "./input.ts";
import { KEY_OPERATIONS } from "./key-operations.ts";
import { LAYOUT_OPERATIONS } from "./layout-operations.ts";
import { NODE_OPERATIONS } from "./node-operations.ts";
import type { AdminContext, Operation } from "./operation.ts";
import { tokenOperations } from "./token-operations.ts";

/** All admin operations by name: served over HTTP, to the CLI and to `json-api` alike. */
export const ADMIN_OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  [
    ...CLUSTER_OPERATIONS,
    ...LAYOUT_OPERATIONS,
    ...KEY_OPERATIONS,
    ...BUCKET_OPERATIONS,
    ...NODE_OPERATIONS,
    ...BLOCK_OPERATIONS,
    ...tokenOperations(() => operationNames()),
  ].map((one) => [one.name, one]),
);

function operationNames(): ReadonlySet<string> {
  return new Set(ADMIN_OPERATIONS.keys());
}

/**
 * Runs one operation by name with what came over the wire.
 *
 * @param query  the query parameters; @param body  parsed JSON, undefined when there was none.
 * @returns the answer, of the shape of the operation's response schema.
 * @throws AdminError
 */
export async function runOperation(
  base: AdminContext,
  name: string,
  input: { readonly query: Readonly<Record<string, string>>; readonly body: unknown },
  caller: Caller,
): Promise<unknown> {
  const context = { ...base, caller };
  const operation = ADMIN_OPERATIONS.get(name);
  if (!operation) throw new AdminError("InvalidRequest", `there is no operation ${name}`);
  const { query, body } = inputOf(operation, input);
  if (!operation.perNode) return operation.response.encode(await operation.run(context, { query, body }));
  const { id } = context.node;
  const wantedNode = input.query["node"];
  if (wantedNode === undefined || wantedNode === "")
    throw new AdminError("InvalidRequest", "give the query parameter node: an id, the beginning of one, self, or *");
  if (wantedNode !== "*" && wantedNode !== "self" && !id.startsWith(wantedNode))
    throw new AdminError("InvalidRequest", `no node has an id that begins with ${wantedNode}`);
  try {
    return { success: { [id]: operation.response.encode(await operation.run(context, { query, body })) }, error: {} };
  } catch (error) {
    if (error instanceof AdminError) return { success: {}, error: { [id]: error.message } };
    throw error;
  }
}

/**
 * Parts of `hangar json-api NAME JSON`: {"id": …, "body": …} says outright what is what; else the fields that the operation takes
 * as query parameters go there and the rest is the body. Operations on nodes default to this node.
 */
export function splitInput(operation: Operation, input: unknown): { query: Record<string, string>; body: unknown } {
  const query: Record<string, string> = operation.perNode ? { node: "self" } : {};
  if (typeof input !== "object" || input === null || Array.isArray(input)) return { query, body: input };
  const fields = input as Record<string, unknown>;
  const known = new Set(queryNames(operation));
  const rest: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    // A query parameter that is null is one that was left out.
    if (value == null && name !== "body" && (known.has(name) || "body" in fields)) continue;
    if (known.has(name) || ("body" in fields && name !== "body")) query[name] = String(value);
    else rest[name] = value;
  }
  if ("body" in fields) return { query, body: fields["body"] };
  return { query, body: rest };
}
