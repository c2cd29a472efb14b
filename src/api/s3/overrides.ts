import type { Query } from "../common/request-target.ts";
import { invalidArgument } from "./errors.ts";
import { checkHeaderText } from "./object-headers.ts";

/** Headers that response-* parameters of a read may set. */
export const OVERRIDABLE: readonly string[] = [
  "content-type",
  "content-language",
  "expires",
  "cache-control",
  "content-disposition",
  "content-encoding",
];
const PREFIX = "response-";

/**
 * The response-* parameters of a read, by header name; undefined when there are none. (Only signed requests come here, as AWS
 * demands.)
 * @throws ApiError InvalidArgument for one that sets another header, or that is written in another case: AWS refuses both.
 */
export function overridesOf(query: Query): ReadonlyMap<string, string> | undefined {
  let overrides: Map<string, string> | undefined;
  for (const { name, value } of query.parameters) {
    if (name.length < PREFIX.length || name.slice(0, PREFIX.length).toLowerCase() !== PREFIX) continue;
    const header = name.slice(PREFIX.length);
    if (!name.startsWith(PREFIX) || !OVERRIDABLE.includes(header))
      throw invalidArgument(
        `${name} is not in the set of overridable response headers. They are ${OVERRIDABLE.join(", ")}.`,
        name,
        value,
      );
    if (value === "") continue;
    checkHeaderText(name, value);
    overrides ??= new Map();
    overrides.set(header, value);
  }
  return overrides;
}
