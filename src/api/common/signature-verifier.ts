import type { AccessKey } from "../../model/control-service.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { ApiError, type ErrorElements, type ProtocolErrorCode, protocolError } from "./api-error.ts";
import { HoistedRequest, hoistedHeaders } from "./hoisted-request.ts";
import { type PayloadMode, parsePayloadMode } from "./payload-mode.ts";
import type { Query, RequestTarget } from "./request-target.ts";
import { canonicalRequests, stringToSign } from "./sigv4-canonical.ts";
import {
  ALGORITHM,
  type Credential,
  parseCredential,
  readClaim,
  type SignatureClaim,
  signatureVersion2,
} from "./sigv4-credential.ts";
import { parseAmzDate } from "./dates.ts";
import { ChunkChain, equalSignatures, SigningKeys, sign } from "./signing-keys.ts";

/** How far a client's clock may be off. */
export const MAX_SKEW_MS = 15 * 60_000;

export interface VerifierOptions {
  /** The service in the credential scope. */
  readonly service: "s3" | "k2v";
  /** The configured region; compared only with `strictRegion`, and named in AuthorizationHeaderMalformed. */
  readonly region: string;
  readonly strictRegion: boolean;
}

export interface VerifierModules {
  readonly clock: Clock;
  /**
   * This node's copy; undefined = unknown here. (A caller that must confirm a negative answer elsewhere does so and verifies
   * again.)
   */
  readonly accessKey: (id: string) => AccessKey | undefined;
}

/** Who sent a request, and in what form its body comes. */
export interface Authenticated {
  readonly ok: true;
  /** Undefined: the request carries no credentials at all (anonymous). Never expired. */
  readonly key: AccessKey | undefined;
  readonly form: "header" | "presigned" | "anonymous" | "post-policy";
  readonly payload: PayloadMode;
}

/** As `verify` gives it. */
export interface AuthenticatedRequest extends Authenticated {
  /** The request as the API must read it from here on: x-amz-* parameters of a presigned URL count as headers. */
  readonly request: HttpRequest;
  /** The parameters that were signed: `target.query` itself, but for a client that sends "+" for a plus another one. */
  readonly query: Query;
}

export interface AuthFailure {
  readonly ok: false;
  /** Ready to be answered: code, message and AWS's extra elements. */
  readonly error: ApiError<ProtocolErrorCode>;
  /** For the debug log when the signature is wrong; they hold nothing secret. */
  readonly canonicalRequest?: string;
  readonly stringToSign?: string;
}

const ANONYMOUS_PAYLOAD: PayloadMode = { kind: "unsigned" };

/**
 * Verifies AWS Signature Version 4 (header and query form) before a body byte is read. Synchronous, bounded memory; one per API
 * server. Rules: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 */
export class SignatureVerifier {
  readonly #options: VerifierOptions;
  readonly #modules: VerifierModules;
  readonly #keys = new SigningKeys();

  constructor(options: VerifierOptions, modules: VerifierModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** `target` is the parsed `request.target`. */
  verify(request: HttpRequest, target: RequestTarget): AuthenticatedRequest | AuthFailure {
    try {
      const claim = readClaim(request, target);
      return claim === undefined ? anonymous(request, target) : this.#verifyClaim(request, target, claim);
    } catch (error) {
      return failure(error);
    }
  }

  /**
   * A POST form's policy signature over the policy field as received. `fields`: names lower-case. Without credentials: anonymous.
   */
  verifyPolicy(fields: ReadonlyMap<string, string>): Authenticated | AuthFailure {
    try {
      if (fields.has("awsaccesskeyid")) throw signatureVersion2();
      const names = ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];
      const missing = names.find((name) => !fields.has(name));
      if (missing !== undefined) {
        if (!names.some((name) => fields.has(name)))
          return { ok: true, key: undefined, form: "anonymous", payload: ANONYMOUS_PAYLOAD };
        throw protocolError("InvalidArgument", `Bucket POST must contain a field named '${missing}'.`, {
          elements: [["ArgumentName", missing]],
        });
      }
      return this.#verifyPolicy((name) => fields.get(name) ?? "");
    } catch (error) {
      return failure(error);
    }
  }

  #verifyPolicy(field: (name: string) => string): Authenticated | AuthFailure {
    const argument = (name: string, message: string): Error =>
      protocolError("InvalidArgument", message, {
        elements: [
          ["ArgumentName", name],
          ["ArgumentValue", field(name)],
        ],
      });
    if (field("x-amz-algorithm") !== ALGORITHM) throw argument("x-amz-algorithm", `X-Amz-Algorithm only supports "${ALGORITHM}"`);
    const credential = parseCredential(field("x-amz-credential"));
    if (credential === undefined)
      throw argument(
        "x-amz-credential",
        'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
      );
    const amzDate = field("x-amz-date");
    if (parseAmzDate(amzDate) === undefined || !amzDate.startsWith(credential.day))
      throw argument(
        "x-amz-date",
        `X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'", on the credential's day`,
      );
    this.#checkScope(credential, "AuthorizationQueryParametersError");
    const key = this.#findKey(credential.keyId);
    const text = Buffer.from(field("policy"), "utf8").toString("latin1");
    if (!equalSignatures(field("x-amz-signature"), sign(this.#keys.get(key.secret, credential, { keep: false }), text)))
      return {
        ok: false,
        error: signatureError({ keyId: key.id, signature: field("x-amz-signature"), text, canonical: undefined }),
        stringToSign: text,
      };
    this.#keys.get(key.secret, credential, { keep: true });
    return { ok: true, key, form: "post-policy", payload: ANONYMOUS_PAYLOAD };
  }

  #verifyClaim(request: HttpRequest, target: RequestTarget, claim: SignatureClaim): AuthenticatedRequest | AuthFailure {
    const { credential } = claim;
    this.#checkScope(credential, claim.form === "header" ? "AuthorizationHeaderMalformed" : "AuthorizationQueryParametersError");
    if (request.header("x-amz-security-token") !== undefined || target.query.has("X-Amz-Security-Token"))
      throw protocolError("InvalidToken", "Session tokens are not issued here; sign without x-amz-security-token.");
    this.#checkTime(claim);
    const headerHash = request.header("x-amz-content-sha256");
    const queryHash = claim.form === "presigned" ? target.query.get("X-Amz-Content-Sha256") : undefined;
    // What the query says is signed; the header is not. A URL made for one body must not carry another.
    if (queryHash !== undefined && headerHash !== undefined && headerHash !== queryHash)
      throw protocolError(
        "InvalidRequest",
        "The header x-amz-content-sha256 differs from X-Amz-Content-Sha256 in the signed query.",
      );
    const payloadHash = claim.form === "header" ? headerHash : (queryHash ?? headerHash ?? "UNSIGNED-PAYLOAD");
    if (payloadHash === undefined)
      throw protocolError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", {
        elements: [["MissingHeaderName", "x-amz-content-sha256"]],
      });
    checkSignedHeaders(request, claim.signedHeaders);
    const key = this.#findKey(credential.keyId);
    const signingKey = this.#keys.get(key.secret, credential, { keep: false });
    // A presigned URL is signed as UNSIGNED-PAYLOAD even when its user adds a digest of what is sent.
    const hashes =
      claim.form === "presigned" && payloadHash !== "UNSIGNED-PAYLOAD" ? [payloadHash, "UNSIGNED-PAYLOAD"] : [payloadHash];
    const proof = findProof(hashes, { request, target, claim, doubleEncodes: this.#options.service !== "s3" }, signingKey);
    if (!proof.ok)
      return {
        ok: false,
        error: signatureError({ keyId: key.id, signature: claim.signature, text: proof.text, canonical: proof.canonical }),
        canonicalRequest: proof.canonical,
        stringToSign: proof.text,
      };
    this.#keys.get(key.secret, credential, { keep: true });
    const hoisted = claim.form === "presigned" ? hoistedHeaders(request, proof.query) : undefined;
    const payload = parsePayloadMode(
      queryHash ?? headerHash ?? payloadHash,
      claim.form === "header" ? () => new ChunkChain(signingKey, claim) : undefined,
    );
    return {
      ok: true,
      key,
      form: claim.form,
      payload,
      request: hoisted === undefined ? request : new HoistedRequest(request, hoisted),
      query: proof.query,
    };
  }

  #findKey(keyId: string): AccessKey {
    const key = this.#modules.accessKey(keyId);
    if (key === undefined)
      throw protocolError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", {
        elements: [["AWSAccessKeyId", keyId]],
      });
    if (key.expiresMs !== undefined && key.expiresMs <= this.#modules.clock.wallMs())
      throw protocolError("AccessDenied", "The access key has expired.");
    return key;
  }

  #checkScope({ region, service }: Credential, code: "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError"): void {
    const what =
      code === "AuthorizationHeaderMalformed"
        ? "The authorization header is malformed"
        : "Error parsing the X-Amz-Credential parameter";
    const right = this.#options;
    if (service !== right.service)
      throw protocolError(code, `${what}; incorrect service "${service}". This endpoint belongs to "${right.service}".`);
    if (right.strictRegion && region !== right.region)
      throw protocolError(code, `${what}; the region '${region}' is wrong; expecting '${right.region}'`, {
        elements: [["Region", right.region]],
      });
  }

  #checkTime({ timeMs, amzDate, expiresSeconds }: SignatureClaim): void {
    const nowMs = this.#modules.clock.wallMs();
    if (expiresSeconds === undefined) {
      if (Math.abs(nowMs - timeMs) <= MAX_SKEW_MS) return;
      throw protocolError("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", {
        elements: [
          ["RequestTime", amzDate],
          ["ServerTime", new Date(nowMs).toISOString()],
          ["MaxAllowedSkewMilliseconds", String(MAX_SKEW_MS)],
        ],
      });
    }
    if (timeMs - nowMs > MAX_SKEW_MS) throw protocolError("AccessDenied", "Request is not yet valid");
    const endMs = timeMs + expiresSeconds * 1000;
    if (nowMs > endMs)
      throw protocolError("AccessDenied", "Request has expired", {
        elements: [
          ["X-Amz-Expires", String(expiresSeconds)],
          ["Expires", new Date(endMs).toISOString()],
          ["ServerTime", new Date(nowMs).toISOString()],
        ],
      });
  }
}

function anonymous(request: HttpRequest, { query }: RequestTarget): AuthenticatedRequest {
  const value = request.header("x-amz-content-sha256");
  const payload = value === undefined ? ANONYMOUS_PAYLOAD : parsePayloadMode(value, undefined);
  return { ok: true, key: undefined, form: "anonymous", payload, request, query };
}

function failure(error: unknown): AuthFailure {
  if (error instanceof ApiError) return { ok: false, error };
  throw error;
}

/** host, and every x-amz-* header that is there, must be signed: else a man in the middle could add a meaning. */
function checkSignedHeaders(request: HttpRequest, signedHeaders: string): void {
  if (request.header("host") === undefined)
    throw protocolError("MissingSecurityHeader", "Your request is missing a required header: host", {
      elements: [["MissingHeaderName", "host"]],
    });
  const signed = `;${signedHeaders.toLowerCase()};`;
  const missing: string[] = signed.includes(";host;") ? [] : ["host"];
  const raw = request.rawHeaders;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    // 0x20: one comparison for both cases of "x"; most headers end here.
    if ((name.charCodeAt(0) | 0x20) !== 0x78 || name.charCodeAt(1) !== 0x2d) continue;
    const lower = name.toLowerCase();
    if (!lower.startsWith("x-amz-") || lower === "x-amz-content-sha256") continue;
    if (!signed.includes(`;${lower};`) && !missing.includes(lower)) missing.push(lower);
  }
  if (missing.length > 0)
    throw protocolError("AccessDenied", "There were headers present in the request which were not signed", {
      elements: [["HeadersNotSigned", missing.join(", ")]],
    });
}

/** The query as the form that fits reads it; when none fits the documented form, for the client to compare with its own. */
function findProof(
  hashes: readonly string[],
  input: { request: HttpRequest; target: RequestTarget; claim: SignatureClaim; doubleEncodes: boolean },
  signingKey: Buffer,
): { ok: true; query: Query } | { ok: false; canonical: string; text: string } {
  let first: { canonical: string; text: string } | undefined;
  for (const payloadHash of hashes)
    for (const { text: canonical, query } of canonicalRequests({ ...input, payloadHash })) {
      const text = stringToSign(input.claim, canonical);
      if (equalSignatures(input.claim.signature, sign(signingKey, text))) return { ok: true, query };
      first ??= { canonical, text };
    }
  return { ok: false, ...(first ?? { canonical: "", text: "" }) };
}

/** Longer canonical requests are shown as text alone: their bytes would make the answer many times as long as the request. */
const MAX_BYTES_SHOWN = 8192;

function signatureError(about: {
  keyId: string;
  signature: string;
  text: string;
  canonical: string | undefined;
}): ApiError<ProtocolErrorCode> {
  const elements: [string, string][] = [
    ["AWSAccessKeyId", about.keyId],
    ["StringToSign", about.text],
    ["SignatureProvided", about.signature],
    ["StringToSignBytes", hexBytes(about.text)],
  ];
  if (about.canonical !== undefined) elements.push(["CanonicalRequest", about.canonical]);
  if (about.canonical !== undefined && about.canonical.length <= MAX_BYTES_SHOWN)
    elements.push(["CanonicalRequestBytes", hexBytes(about.canonical)]);
  return protocolError(
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    { elements: elements satisfies ErrorElements },
  );
}

function hexBytes(text: string): string {
  return (Buffer.from(text, "latin1").toString("hex").match(/../g) ?? []).join(" ");
}
