import type { BucketCall, Call, FormCall, Services } from "./call.ts";

/**
 * What the S3 door must know of one operation: how a request names it, who may ask for it, which headers and parameters it
 * understands, and what runs it. The file of each operation exports its record; operations.ts lists them all.
 */
export type S3Operation = Facts & (OfKey | OfBucket | OfForm);

interface Facts {
  readonly scope: "service" | "bucket" | "object";
  readonly route: OperationRoute;
  /** Whether it may change anything: then what it does not understand must not be ignored (screen.ts). */
  readonly writes: boolean;
  readonly support: Support;
  /** Query parameters that it reads. */
  readonly params: ReadonlySet<string>;
  /** Headers of refused families that it obeys, lower-case. */
  readonly understood: ReadonlySet<string>;
}

/**
 * done: implemented · not-set: a read of a feature that can't be set yet, answered as AWS answers when it is not set · absent:
 * 501 NotImplemented.
 */
export type Support = "done" | "not-set" | "absent";

/** What a caller must hold. `signed`: any valid key · `create`: the key's flag · the others: the key's right on the bucket. */
export type Right = KeyRight | BucketRight;
export type KeyRight = "signed" | "create";
export type BucketRight = "read" | "write" | "owner";

type Run<C> = (call: C, services: Services) => Promise<void> | void;

/** Needs no bucket that exists. `run` undefined: absent. */
interface OfKey {
  readonly right: KeyRight;
  readonly form?: undefined;
  readonly run: Run<Call> | undefined;
}

/** Runs on a bucket that exists, for a key that has the right on it. */
interface OfBucket {
  readonly right: BucketRight;
  readonly form?: undefined;
  readonly run: Run<BucketCall> | undefined;
}

/** Its caller is known only from its body: it judges signature and right itself. */
interface OfForm {
  readonly right: BucketRight;
  readonly form: true;
  readonly run: Run<FormCall>;
}

/** How a request names an operation of its scope. */
export interface OperationRoute {
  readonly method: Method;
  /** The keyword in the query; left out: the service, bucket or object itself. */
  readonly subresource?: string;
  /**
   * What sets it apart from the operation of the same method and sub-resource that has no mark: a query parameter (of any value
   * unless told), the header x-amz-copy-source, or the Content-Type of a browser's form.
   */
  readonly mark?: QueryMark | "copy-source" | "form";
  /** A path of its own, where others have a bucket. */
  readonly path?: string;
}

export interface QueryMark {
  readonly param: string;
  readonly value?: string;
}

/** In the order in which a refusal lists what is allowed. */
export const METHODS = ["GET", "HEAD", "PUT", "DELETE", "POST"] as const;
export type Method = (typeof METHODS)[number];

type Given = Pick<Facts, "scope" | "route"> & {
  readonly support?: Support;
  /** Left out: whatever is neither GET nor HEAD. */
  readonly writes?: boolean;
  /** Besides those that name it. */
  readonly params?: readonly string[];
  readonly understood?: readonly string[];
} & (OfKey | OfBucket | OfForm);

/** Makes the record of an operation. */
export function operation(given: Given): S3Operation {
  const { scope, route, right, form, run, support = "done", params = [], understood = [] } = given;
  const { method, subresource, mark } = route;
  const writes = given.writes ?? (method !== "GET" && method !== "HEAD");
  const named = ["x-id", ...(subresource === undefined ? [] : [subresource]), ...(typeof mark === "object" ? [mark.param] : [])];
  // Field by field, so that all records have one shape: the door reads one per request. What belongs together in `given` still
  // does.
  return {
    scope,
    route,
    writes,
    support,
    params: new Set([...named, ...params]),
    understood: new Set(understood),
    right,
    form,
    run,
  } as S3Operation;
}
