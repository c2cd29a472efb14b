import { z } from "zod";
import type { Caller } from "./admin-auth.ts";
import { AdminError } from "./admin-error.ts";
import { BLOCK_OPERATIONS } from "./block-operations.ts";
import { BUCKET_OPERATIONS } from "./bucket-operations.ts";
import { CLUSTER_OPERATIONS } from "./cluster-operations.ts";
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
  const { node: wantedNode, ...ownQuery } = input.query;
  const query = checked(operation.query ?? z.strictObject({}), operation.perNode ? ownQuery : input.query, "query parameter");
  const body = operation.body ? checked(operation.body, input.body === undefined ? {} : input.body, "body") : undefined;
  if (!operation.body && !isNothing(input.body)) throw new AdminError("InvalidRequest", `${name} takes no body`);
  if (!operation.perNode) return operation.response.encode(await operation.run(context, { query, body }));
  const { id } = context.node;
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

/** Clients send {} or null where there is nothing to say. */
function isNothing(body: unknown): boolean {
  return body == null || (typeof body === "object" && Object.keys(body).length === 0);
}

function checked(schema: z.ZodType, value: unknown, what: string): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, MAX_FAULTS).map((issue) => {
    const { path, message } = clearest(issue);
    return `${path.length > 0 ? `${what} ${path.join(".")}` : what}: ${message}`;
  });
  throw new AdminError("InvalidRequest", faults.join("; "));
}

/** Faults of one request that are told. */
const MAX_FAULTS = 5;

type Issue = z.core.$ZodIssue;

/** Of several forms that a value may have, what is wrong with the one that it comes closest to: the fault that lies deepest. */
function clearest(issue: Issue): { readonly path: readonly PropertyKey[]; readonly message: string } {
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const inner = issue.errors.flatMap((branch) => (branch[0] ? [clearest(branch[0])] : []));
  const deepest = Math.max(...inner.map((one) => one.path.length));
  const found = inner.filter((one) => one.path.length === deepest);
  return {
    path: [...issue.path, ...(found.length === 1 ? (found[0]?.path ?? []) : [])],
    message: [
      ...new Set(found.map((one) => (found.length === 1 ? one.message : [...one.path.map(String), one.message].join(": ")))),
    ].join(", or "),
  };
}

/**
 * Parts of `hangar json-api NAME JSON`: {"id": …, "body": …} says outright what is what; else the fields that the operation takes as
 * query parameters go there and the rest is the body. Operations on nodes default to this node.
 */
export function splitInput(operation: Operation, input: unknown): { query: Record<string, string>; body: unknown } {
  const query: Record<string, string> = operation.perNode ? { node: "self" } : {};
  if (typeof input !== "object" || input === null || Array.isArray(input)) return { query, body: input };
  const fields = input as Record<string, unknown>;
  const known = new Set(["node", ...Object.keys((operation.query as z.ZodObject | undefined)?.shape ?? {})]);
  const rest: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    // A query parameter that is null is one that was left out.
    if (value == null && name !== "body" && (known.has(name) || "body" in fields)) continue;
    if (known.has(name) || ("body" in fields && name !== "body")) query[name] = String(value);
    else rest[name] = value;
  }
  if ("body" in fields) return { query, body: fields["body"] };
  if (!operation.body) {
    for (const [name, value] of Object.entries(rest)) if (value != null) query[name] = String(value);
    return { query, body: undefined };
  }
  return { query, body: rest };
}
