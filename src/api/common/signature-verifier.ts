import type { Clock } from "../../platform/clock.ts";
import type { HttpRequest } from "../../platform/http.ts";
import type { AccessKey } from "../../model/control-service.ts";
import type { ApiError, ProtocolErrorCode } from "./api-error.ts";
import type { PayloadMode } from "./payload-mode.ts";
import type { RequestTarget } from "./request-target.ts";

export interface VerifierOptions {
  /** The service in the credential scope. */
  readonly service: "s3" | "k2v";
  /** The configured region; compared only with `strictRegion`, and named in AuthorizationHeaderMalformed. */
  readonly region: string;
  readonly strictRegion: boolean;
}

export interface VerifierParts {
  readonly clock: Clock;
  /** This node's copy; undefined = unknown here. (A caller that must confirm a negative answer elsewhere does so and verifies again.) */
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

export interface AuthFailure {
  readonly ok: false;
  /** Ready to be answered: code, message and AWS's extra elements. */
  readonly error: ApiError<ProtocolErrorCode>;
  /** For the debug log when the signature is wrong; they hold nothing secret. */
  readonly canonicalRequest?: string;
  readonly stringToSign?: string;
}

/**
 * Verifies AWS Signature Version 4 (header and query form) before a body byte is read. Synchronous, bounded memory; one per API server.
 * Rules: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 */
export class SignatureVerifier {
  constructor(_options: VerifierOptions, _parts: VerifierParts) {}

  /** `target` is the parsed `request.target`. */
  verify(_request: HttpRequest, _target: RequestTarget): Authenticated | AuthFailure {
    throw new Error("in the making");
  }

  /** A POST form's policy signature over the policy field as received. `fields`: names lower-case. */
  verifyPolicy(_fields: ReadonlyMap<string, string>): Authenticated | AuthFailure {
    throw new Error("in the making");
  }
}
