import { z } from "zod";
import { AdminError } from "./admin-error.ts";
import type { Operation } from "./operation.ts";

/** Faults of one request that are told. */
const MAX_FAULTS = 5;

/**
 * What an operation is given of what came over the wire, for all operations alike: fields and query parameters that it doesn't
 * know are ignored, and optional ones that are null or empty text count as left out. Tools are written in languages where that is
 * how a missing value is spelt, and Garage takes it so.
 *
 * @throws AdminError InvalidRequest, with each field and what is wrong with it
 */
export function inputOf(
  operation: Operation,
  input: { readonly query: Readonly<Record<string, string>>; readonly body: unknown },
): { readonly query: unknown; readonly body: unknown } {
  return {
    query: checked(operation.query ?? z.object({}), input.query, "query parameter"),
    body: operation.body ? checked(operation.body, input.body ?? {}, "body") : undefined,
  };
}

/** Names of the query parameters that an operation knows. */
export function queryNames(operation: Operation): readonly string[] {
  const own = operation.query instanceof z.ZodObject ? Object.keys(operation.query.shape) : [];
  return operation.perNode ? ["node", ...own] : own;
}

function checked(schema: z.ZodType, value: unknown, what: string): unknown {
  const result = schema.safeParse(withoutAbsent(schema, value));
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, MAX_FAULTS).map((issue) => {
    const { path, message } = clearest(issue);
    return `${path.length > 0 ? `${what} ${path.join(".")}` : what}: ${message}`;
  });
  throw new AdminError("InvalidRequest", faults.join("; "));
}

/** The value without fields that the schema does not know, and without optional ones that are null or empty; at every depth. */
function withoutAbsent(schema: z.core.$ZodType, value: unknown): unknown {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return withoutAbsent(schema.def.innerType, value);
  if (schema instanceof z.ZodArray)
    return Array.isArray(value) ? value.map((item) => withoutAbsent(schema.def.element, item)) : value;
  if (schema instanceof z.ZodUnion) {
    for (const option of schema.def.options) {
      const tried = withoutAbsent(option, value);
      if (z.safeParse(option, tried).success) return tried;
    }
    return value;
  }
  if (!(schema instanceof z.ZodObject) || !isObject(value)) return value;
  const known = Object.entries(schema.shape as Record<string, z.ZodType>).filter(([name]) => Object.hasOwn(value, name));
  return Object.fromEntries(
    known
      .filter(([name, field]) => !(field.isOptional() && (value[name] === null || value[name] === "")))
      .map(([name, field]) => [name, withoutAbsent(field, value[name])]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

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
