import type { ByteSource } from "../../util/byte-source.ts";
import { protocolError } from "./api-error.ts";
import { parseIsoDate } from "./dates.ts";

export interface PolicyVerdict {
  /** Range for the file's size; enforce with `limitLength`. */
  readonly minBytes: number;
  readonly maxBytes: number;
}

/** Largest body of one POST: 5 GiB, as for PUT. */
const MAX_FILE_BYTES = 5 * 1024 ** 3;
const MAX_CONDITIONS = 1000;

/** Fields that need no condition: they carry the policy and its signature. */
const UNCOVERED: readonly string[] = ["policy", "x-amz-signature", "file"];
const IGNORED_PREFIX = "x-ignore-";

type Condition =
  | { readonly kind: "eq" | "starts-with"; readonly field: string; readonly value: string; readonly shown: string }
  | { readonly kind: "size"; readonly minBytes: number; readonly maxBytes: number };

/**
 * Decides a POST policy: document well-formed, not expired, every condition true of the form, every field covered by a condition
 * (except policy, x-amz-signature, file and x-ignore-*). The bucket is one, whether or not the form names it: a policy that does
 * not say which one it is for would be good for every bucket of its key.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
 *
 * @param policy  the field as received (base64).
 * @param about   `fields`: names lower-case, "${filename}" expanded; `bucket`: of the request, which conditions on "bucket" see.
 * @throws ApiError InvalidPolicyDocument when it can't be understood, AccessDenied when it forbids.
 */
export function checkPolicy(
  policy: string,
  { fields, bucket, nowMs }: { fields: ReadonlyMap<string, string>; bucket: string; nowMs: number },
): PolicyVerdict {
  const document = decodePolicy(policy);
  const expiration = document["expiration"];
  const endMs = typeof expiration === "string" ? parseIsoDate(expiration) : undefined;
  if (endMs === undefined) throw invalid("Policy 'expiration' must be a date like 2007-12-01T12:00:00.000Z.");
  const conditions = readConditions(document["conditions"]);
  for (const name of Object.keys(document))
    if (name !== "expiration" && name !== "conditions") throw invalid(`Unexpected: '${name.slice(0, 100)}'.`);
  if (endMs <= nowMs) throw forbidden("Policy expired.");
  let minBytes = 0;
  let maxBytes = MAX_FILE_BYTES;
  const covered = new Set<string>();
  for (const condition of conditions) {
    if (condition.kind === "size") {
      minBytes = Math.max(minBytes, condition.minBytes);
      maxBytes = Math.min(maxBytes, condition.maxBytes);
      continue;
    }
    covered.add(condition.field);
    const value = condition.field === "bucket" ? bucket : fields.get(condition.field);
    if (value === undefined || !holds(condition, value)) throw forbidden(`Policy Condition failed: ${condition.shown}`);
  }
  if (fields.get("bucket") !== undefined && fields.get("bucket") !== bucket)
    throw forbidden("The field 'bucket' names another bucket than the request.");
  const extra = [...new Set(["bucket", ...fields.keys()])].filter(
    (name) => !covered.has(name) && !UNCOVERED.includes(name) && !name.startsWith(IGNORED_PREFIX),
  );
  if (extra.length > 0) throw forbidden(`Extra input fields: ${extra.join(", ")}`);
  return { minBytes, maxBytes };
}

/** The same source, failing with EntityTooLarge as soon as it is too long and with EntityTooSmall at its end. */
export function limitLength(source: ByteSource, { minBytes, maxBytes }: { minBytes: number; maxBytes: number }): ByteSource {
  let seen = 0;
  return {
    async read() {
      const piece = await source.read();
      if (piece !== null) {
        seen += piece.byteLength;
        if (seen <= maxBytes) return piece;
        source.cancel();
        throw protocolError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", {
          elements: [
            ["ProposedSize", String(seen)],
            ["MaxSizeAllowed", String(maxBytes)],
          ],
        });
      }
      if (seen < minBytes)
        throw protocolError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", {
          elements: [
            ["ProposedSize", String(seen)],
            ["MinSizeAllowed", String(minBytes)],
          ],
        });
      return null;
    },
    cancel: () => source.cancel(),
    sender: source.sender,
  };
}

function decodePolicy(policy: string): Readonly<Record<string, unknown>> {
  const compact = policy.replace(/\s+/g, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(compact)) throw invalid("It must be base64.");
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(compact, "base64")));
  } catch {
    throw invalid("Invalid JSON.");
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) throw invalid("It must be a JSON object.");
  return document as Record<string, unknown>;
}

function readConditions(conditions: unknown): Condition[] {
  if (!Array.isArray(conditions)) throw invalid("Policy 'conditions' must be a list.");
  if (conditions.length > MAX_CONDITIONS) throw invalid(`It has more than ${MAX_CONDITIONS} conditions.`);
  return conditions.map(readCondition);
}

function readCondition(condition: unknown): Condition {
  if (Array.isArray(condition)) return readListCondition(condition);
  if (typeof condition !== "object" || condition === null) throw invalid("A condition must be a list or an object.");
  const [entry, ...more] = Object.entries(condition);
  if (entry === undefined || more.length > 0) throw invalid("Simple-Conditions must have exactly one property specified.");
  if (typeof entry[1] !== "string") throw invalid("The value of a condition must be a string.");
  return { kind: "eq", field: entry[0].toLowerCase(), value: entry[1], shown: shown(["eq", `$${entry[0]}`, entry[1]]) };
}

function readListCondition(list: readonly unknown[]): Condition {
  const [operator, first, second] = list;
  const name = typeof operator === "string" ? operator.toLowerCase() : "";
  if (list.length !== 3) throw invalid("A condition in list form must have three elements.");
  if (name === "content-length-range") return { kind: "size", minBytes: readBound(first), maxBytes: readBound(second) };
  if (name !== "eq" && name !== "starts-with") throw invalid(`Unknown operator ${JSON.stringify(operator)?.slice(0, 100)}.`);
  if (typeof first !== "string" || !first.startsWith("$")) throw invalid("The field of a condition must begin with $.");
  if (typeof second !== "string") throw invalid("The value of a condition must be a string.");
  return { kind: name, field: first.slice(1).toLowerCase(), value: second, shown: shown(list) };
}

/** As AWS writes a condition in its refusal. */
function shown(list: readonly unknown[]): string {
  return `[${list.map((value) => JSON.stringify(value)).join(", ")}]`;
}

function readBound(value: unknown): number {
  const bound = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof bound !== "number" || !Number.isSafeInteger(bound) || bound < 0)
    throw invalid("content-length-range needs two numbers of bytes.");
  return bound;
}

function holds(condition: Extract<Condition, { kind: "eq" | "starts-with" }>, value: string): boolean {
  if (condition.kind === "eq") return value === condition.value;
  // A form may offer several types at once; each of them must fit.
  if (condition.field === "content-type") return value.split(",").every((part) => part.trim().startsWith(condition.value));
  return value.startsWith(condition.value);
}

function invalid(detail: string): Error {
  return protocolError("InvalidPolicyDocument", `Invalid Policy: ${detail}`);
}
function forbidden(detail: string): Error {
  return protocolError("AccessDenied", `Invalid according to Policy: ${detail}`);
}
