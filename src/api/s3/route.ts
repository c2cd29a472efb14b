import { assert } from "../../util/assert.ts";
import type { Query } from "../common/request-target.ts";
import { METHODS, type QueryMark, type S3Operation } from "./operation.ts";
import { OPERATIONS, type Operation } from "./operations.ts";

/**
 * Names the operation of a request: a pure function of method, path, query and two headers, by tables made of the operations'
 * records. Knows all of S3's operations, also those that are not there, so that a newer sub-resource never falls back to a
 * plainer one (GET ?attributes is not GET, PUT ?renameObject is not PUT).
 */
export interface RouteInput {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: Query;
  /** x-amz-copy-source is present. */
  readonly copySource: boolean;
  /** Content-Type is multipart/form-data. */
  readonly form: boolean;
}

export type Route =
  | Found
  /** AWS: 405 MethodNotAllowed. `resource`: what the method was tried on; `allowed`: the methods it has. */
  | { readonly ok: false; readonly why: "method"; readonly resource: string; readonly allowed: readonly string[] }
  /** AWS: 400 InvalidArgument "Conflicting query string parameters". */
  | { readonly ok: false; readonly why: "conflict"; readonly first: string; readonly second: string };

interface Found {
  readonly ok: true;
  readonly operation: Operation;
}

/**
 * The operations of one method on one resource: what each mark chooses, and what none does. The answers are made once: routing
 * allocates nothing on the way of a plain GET or PUT.
 */
interface Choice {
  readonly plain: Found | undefined;
  readonly copySource: Found | undefined;
  readonly form: Found | undefined;
  readonly byQuery: (QueryMark & { readonly found: Found }) | undefined;
}

type Methods = ReadonlyMap<string, Choice>;

interface Resource {
  /** As AWS names it in a refusal. */
  readonly name: string;
  /** Without a sub-resource. */
  readonly plain: Methods;
  readonly subresources: ReadonlyMap<string, Methods>;
}

const NO_CHOICE: Choice = { plain: undefined, copySource: undefined, form: undefined, byQuery: undefined };
const ENTRIES = Object.entries(OPERATIONS) as [Operation, S3Operation][];
const SERVICE = resource("SERVICE", "service");
const BUCKET = resource("BUCKET", "bucket");
const OBJECT = resource("OBJECT", "object");
const PATHS: ReadonlyMap<string, Methods> = new Map(
  [...new Set(ENTRIES.flatMap(([, { route }]) => route.path ?? []))].map((path) => [
    path,
    methodsOf(ENTRIES.filter(([, { route }]) => route.path === path)),
  ]),
);

/** Every sub-resource keyword, for the screen: on the other kind of resource it is unknown, and a write must not ignore it. */
export function isSubResource(name: string): boolean {
  return BUCKET.subresources.has(name) || OBJECT.subresources.has(name);
}

export function route(input: RouteInput): Route {
  const { method, bucket, key, query } = input;
  const { name, plain, subresources } = bucket === "" ? SERVICE : key === "" ? BUCKET : OBJECT;
  if (key === "") {
    const found = PATHS.get(bucket)?.get(method)?.plain;
    if (found !== undefined) return found;
  }

  let word = "";
  let methods = plain;
  for (const parameter of query.parameters) {
    const candidate = subresources.get(parameter.name);
    if (candidate === undefined) continue;
    if (word !== "" && word !== parameter.name) return { ok: false, why: "conflict", first: word, second: parameter.name };
    word = parameter.name;
    methods = candidate;
  }

  const choice = methods.get(method);
  const found = choice === undefined ? undefined : choose(choice, input);
  if (found !== undefined) return found;
  // A browser's form makes POST a method of buckets; one that is no form is refused all the same.
  const allowed = [...methods.keys()].filter((other) => other !== method);
  return { ok: false, why: "method", resource: word !== "" ? word : name, allowed };
}

function choose({ plain, copySource, form, byQuery }: Choice, input: RouteInput): Found | undefined {
  if (input.copySource && copySource !== undefined) return copySource;
  if (input.form && form !== undefined) return form;
  if (byQuery !== undefined) {
    const value = input.query.get(byQuery.param);
    if (value !== undefined && (byQuery.value === undefined || byQuery.value === value)) return byQuery.found;
  }
  return plain;
}

function resource(name: string, scope: S3Operation["scope"]): Resource {
  const own = ENTRIES.filter(([, operation]) => operation.scope === scope && operation.route.path === undefined);
  const named = (word: string | undefined): Methods => methodsOf(own.filter(([, { route }]) => route.subresource === word));
  const words = new Set(own.flatMap(([, { route }]) => route.subresource ?? []));
  return { name, plain: named(undefined), subresources: new Map([...words].map((word) => [word, named(word)])) };
}

function methodsOf(entries: readonly [Operation, S3Operation][]): Methods {
  const methods = new Map<string, Choice>();
  for (const method of METHODS) {
    let choice = NO_CHOICE;
    for (const [operation, { route }] of entries) {
      if (route.method !== method) continue;
      const more = choiceOf({ ok: true, operation }, route.mark);
      const taken = Object.keys(more).some((mark) => choice[mark as keyof Choice] !== undefined);
      assert(!taken, `${operation} and another operation would answer the same requests`);
      choice = { ...choice, ...more };
    }
    if (choice !== NO_CHOICE) methods.set(method, choice);
  }
  return methods;
}

function choiceOf(found: Found, mark: S3Operation["route"]["mark"]): Partial<Choice> {
  switch (mark) {
    case undefined:
      return { plain: found };
    case "copy-source":
      return { copySource: found };
    case "form":
      return { form: found };
    default:
      return { byQuery: { ...mark, found } };
  }
}
