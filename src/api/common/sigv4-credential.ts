import type { HttpRequest } from "../../platform/http.ts";
import { parseAmzDate, parseHttpDate, formatAmzDate } from "./dates.ts";
import { protocolError } from "./api-error.ts";
import type { Query, RequestTarget } from "./request-target.ts";

export const ALGORITHM = "AWS4-HMAC-SHA256";
export const MAX_EXPIRES_SECONDS = 604_800;
const SCOPE_END = "aws4_request";

export interface Credential {
  readonly keyId: string;
  /** yyyymmdd */
  readonly day: string;
  readonly region: string;
  readonly service: string;
  /** "day/region/service/aws4_request" as received. */
  readonly scope: string;
}

/** What a request says about its signature, understood but not yet believed. */
export interface SignatureClaim {
  readonly form: "header" | "presigned";
  readonly credential: Credential;
  /** As received: lower-case names, ";" between. */
  readonly signedHeaders: string;
  readonly signature: string;
  /** "20130524T000000Z", as it stands in the string to sign. */
  readonly amzDate: string;
  readonly timeMs: number;
  /** Presigned only. */
  readonly expiresSeconds: number | undefined;
}

/**
 * Finds and understands the signature of a request.
 *
 * @returns undefined when it carries none (anonymous).
 * @throws ApiError in AWS's codes for one that can't be understood.
 */
export function readClaim(request: HttpRequest, { query }: RequestTarget): SignatureClaim | undefined {
  const authorization = request.header("authorization");
  const presigned = query.has("X-Amz-Algorithm") || query.has("X-Amz-Signature") || query.has("X-Amz-Credential");
  if (query.has("Signature") && query.has("AWSAccessKeyId")) throw signatureVersion2();
  if (authorization === undefined) return presigned ? readQueryClaim(query) : undefined;
  if (presigned)
    throw protocolError(
      "InvalidArgument",
      "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
      { elements: [["ArgumentName", "Authorization"]] },
    );
  return readHeaderClaim(request, authorization);
}

/** Parses "id/day/region/service/aws4_request" from the right: ids may hold slashes. Undefined when it is none. */
export function parseCredential(text: string): Credential | undefined {
  const match = /^(.+)\/((\d{8})\/([^/]*)\/([^/]*)\/aws4_request)$/.exec(text);
  if (match === null) return undefined;
  const [, keyId = "", scope = "", day = "", region = "", service = ""] = match;
  return { keyId, scope, day, region, service };
}

export function signatureVersion2(): Error {
  return protocolError(
    "InvalidRequest",
    `The authorization mechanism you have provided is not supported. Please use ${ALGORITHM}.`,
  );
}

function malformed(detail: string): Error {
  return protocolError("AuthorizationHeaderMalformed", `The authorization header is malformed; ${detail}`);
}

const FIELD = /^(Credential|SignedHeaders|Signature)=(.*)$/;

function readHeaderClaim(request: HttpRequest, authorization: string): SignatureClaim {
  const space = authorization.indexOf(" ");
  const scheme = space < 0 ? authorization : authorization.slice(0, space);
  if (scheme === "AWS" || scheme.startsWith("AWS4-ECDSA")) throw signatureVersion2();
  if (scheme !== ALGORITHM)
    throw protocolError("InvalidArgument", "Unsupported Authorization Type", { elements: [["ArgumentName", "Authorization"]] });
  const fields = new Map<string, string>();
  for (const part of authorization.slice(scheme.length).split(",")) {
    const match = FIELD.exec(part.trim());
    if (match === null || fields.has(match[1]!))
      throw malformed(`it must consist of Credential, SignedHeaders and Signature, each once.`);
    fields.set(match[1]!, match[2]!);
  }
  const [credentialText, signedHeaders, signature] = [
    fields.get("Credential"),
    fields.get("SignedHeaders"),
    fields.get("Signature"),
  ];
  if (credentialText === undefined) throw malformed("missing Credential.");
  if (signedHeaders === undefined || signedHeaders === "") throw malformed("missing SignedHeaders.");
  if (signature === undefined || signature === "") throw malformed("missing Signature.");
  const credential = parseCredential(credentialText);
  if (credential === undefined)
    throw malformed(`the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/${SCOPE_END}".`);
  const { amzDate, timeMs } = readDate(request);
  if (!amzDate.startsWith(credential.day))
    throw malformed(
      `Invalid credential date "${credential.day}". This date is not the same as X-Amz-Date: "${amzDate.slice(0, 8)}".`,
    );
  return { form: "header", credential, signedHeaders, signature, amzDate, timeMs, expiresSeconds: undefined };
}

/** x-amz-date, else Date. */
function readDate(request: HttpRequest): { amzDate: string; timeMs: number } {
  const text = request.header("x-amz-date") ?? request.header("date");
  if (text !== undefined) {
    const compact = parseAmzDate(text);
    if (compact !== undefined) return { amzDate: text, timeMs: compact };
    const timeMs = parseHttpDate(text);
    if (timeMs !== undefined && Number.isSafeInteger(timeMs) && timeMs >= 0) return { amzDate: formatAmzDate(timeMs), timeMs };
  }
  throw protocolError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
}

function queryError(message: string): Error {
  return protocolError("AuthorizationQueryParametersError", message);
}

const QUERY_PARAMETERS = [
  "X-Amz-Algorithm",
  "X-Amz-Credential",
  "X-Amz-Signature",
  "X-Amz-Date",
  "X-Amz-SignedHeaders",
  "X-Amz-Expires",
] as const;

function readQueryClaim(query: Query): SignatureClaim {
  for (const name of QUERY_PARAMETERS)
    if (query.count(name) !== 1 || query.get(name) === "")
      throw queryError(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters, each once.",
      );
  if (query.get("X-Amz-Algorithm") !== ALGORITHM) throw queryError(`X-Amz-Algorithm only supports "${ALGORITHM}"`);
  const credential = parseCredential(query.get("X-Amz-Credential") ?? "");
  if (credential === undefined)
    throw queryError(
      `Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/${SCOPE_END}".`,
    );
  const amzDate = query.get("X-Amz-Date") ?? "";
  const timeMs = parseAmzDate(amzDate);
  if (timeMs === undefined) throw queryError(`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`);
  if (!amzDate.startsWith(credential.day))
    throw queryError(
      `Invalid credential date "${credential.day}". This date is not the same as X-Amz-Date: "${amzDate.slice(0, 8)}".`,
    );
  return {
    form: "presigned",
    credential,
    signedHeaders: query.get("X-Amz-SignedHeaders") ?? "",
    signature: query.get("X-Amz-Signature") ?? "",
    amzDate,
    timeMs,
    expiresSeconds: readExpires(query.get("X-Amz-Expires") ?? ""),
  };
}

function readExpires(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw queryError("X-Amz-Expires should be a number");
  const seconds = Number(text);
  if (seconds < 0) throw queryError("X-Amz-Expires must be non-negative");
  if (seconds > MAX_EXPIRES_SECONDS)
    throw queryError(
      `X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than ${MAX_EXPIRES_SECONDS} seconds`,
    );
  return seconds;
}
