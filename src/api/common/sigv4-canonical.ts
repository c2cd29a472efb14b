import { createHash } from "node:crypto";
import type { HttpRequest } from "../../platform/http.ts";
import { uriDecode, uriEncode, uriEncodePath } from "../../util/uri-encoding.ts";
import { ALGORITHM, type SignatureClaim } from "./sigv4-credential.ts";
import { parseQuery, Query, type QueryParameter, type RequestTarget } from "./request-target.ts";

/** The parts of a canonical request that don't depend on how a client encodes. */
export interface CanonicalInput {
  readonly request: HttpRequest;
  readonly target: RequestTarget;
  readonly claim: SignatureClaim;
  /** Last line of the canonical request. */
  readonly payloadHash: string;
  /** Services other than S3 encode the path twice; both forms are tried for them. */
  readonly doubleEncodes: boolean;
}

/** One form, and the query as that form reads it: who signed this form has signed these parameters. */
export interface CanonicalRequest {
  readonly text: string;
  readonly query: Query;
}

/**
 * Canonical requests that this request may have been signed as, the documented one first. Clients disagree about what they escape
 * ("~", "@", "+", "*") and about spaces inside header values. All forms below describe the same request but for "+" in the query,
 * which is a space or a plus: the parameters that count are those of the form that fits.
 */
export function* canonicalRequests(input: CanonicalInput): Generator<CanonicalRequest> {
  const { request, claim } = input;
  const headers = headerForms(request, claim.signedHeaders);
  for (const path of pathForms(input))
    for (const { canonical, query } of queryForms(input))
      for (const header of headers)
        yield {
          text: `${request.method}\n${path}\n${canonical}\n${header}\n${claim.signedHeaders}\n${input.payloadHash}`,
          query,
        };
}

/** `canonical` is a byte string (latin1): header values are the bytes that came. */
export function stringToSign(claim: SignatureClaim, canonical: string): string {
  const digest = createHash("sha256").update(canonical, "latin1").digest("hex");
  return `${ALGORITHM}\n${claim.amzDate}\n${claim.credential.scope}\n${digest}`;
}

function* pathForms({ target, doubleEncodes }: CanonicalInput): Generator<string> {
  const raw = target.rawPath;
  const decoded = uriDecode(raw);
  const encoded = decoded === undefined ? raw : uriEncodePath(decoded);
  yield encoded;
  if (raw !== encoded) yield raw;
  if (doubleEncodes) {
    const twice = uriEncodePath(encoded);
    if (twice !== encoded) yield twice;
  }
}

function* queryForms({ target, claim }: CanonicalInput): Generator<{ canonical: string; query: Query }> {
  const { rawQuery, query } = target;
  if (rawQuery === "") return yield { canonical: "", query };
  const hidden = claim.form === "presigned" ? "X-Amz-Signature" : undefined;
  yield { canonical: canonicalQuery(query.parameters, hidden), query };
  if (!rawQuery.includes("+")) return;
  // A client that sends a plus for a plus, and not for a space.
  const literal = new Query(parseQuery(rawQuery, uriDecode));
  yield { canonical: canonicalQuery(literal.parameters, hidden), query: literal };
}

function canonicalQuery(parameters: readonly QueryParameter[], hidden: string | undefined): string {
  const parts: { name: string; value: string }[] = [];
  for (const { name, value } of parameters) if (name !== hidden) parts.push({ name: uriEncode(name), value: uriEncode(value) });
  if (parts.length > 1) parts.sort((a, b) => compare(a.name, b.name) || compare(a.value, b.value));
  let text = "";
  for (const { name, value } of parts) text += `${text === "" ? "" : "&"}${name}=${value}`;
  return text;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** "name:value\n" for each signed header; the second form leaves runs of spaces alone. */
function headerForms(request: HttpRequest, signedHeaders: string): string[] {
  let folded = "";
  let trimmed = "";
  // Made once, and only where a header may be repeated: looking each of thousands of names up in thousands of headers would take
  // half a second.
  let repeated: ReadonlyMap<string, readonly string[]> | undefined;
  for (const name of signedHeaders.split(";")) {
    const lower = name.toLowerCase();
    const joined = request.header(lower) ?? "";
    const single = !joined.includes(",");
    if (!single) repeated ??= valuesByName(request.rawHeaders);
    // Repeated headers are joined by "," without a space. One that is absent counts as empty, as it does at AWS.
    const value = single ? joined.trim() : (repeated?.get(lower)?.join(",") ?? joined.trim());
    trimmed += `${name}:${value}\n`;
    folded += `${name}:${value.includes("  ") || value.includes("\t") ? value.replace(/[ \t]+/g, " ") : value}\n`;
  }
  return folded === trimmed ? [folded] : [folded, trimmed];
}

/** Trimmed, in order. */
function valuesByName(raw: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const all = new Map<string, string[]>();
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const values = all.get(name);
    if (values === undefined) all.set(name, [raw[at + 1]!.trim()]);
    else values.push(raw[at + 1]!.trim());
  }
  return all;
}
