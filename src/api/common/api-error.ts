/**
 * What the protocol layer itself refuses, in AWS's words. Every API's own table must cover these: `satisfies ErrorTable<…>`
 * proves it.
 */
export type ProtocolErrorCode =
  | "AccessDenied"
  | "AuthorizationHeaderMalformed"
  | "AuthorizationQueryParametersError"
  | "BadDigest"
  | "EntityTooLarge"
  | "EntityTooSmall"
  | "IncompleteBody"
  | "InvalidAccessKeyId"
  | "InvalidArgument"
  | "InvalidChunkSizeError"
  | "InvalidDigest"
  | "InvalidPolicyDocument"
  | "InvalidRequest"
  | "InvalidToken"
  | "InvalidURI"
  | "MalformedPOSTRequest"
  | "MalformedTrailerError"
  | "MalformedXML"
  | "MaxMessageLengthExceeded"
  | "MaxPostPreDataLengthExceededError"
  | "MissingContentLength"
  | "MissingRequestBodyError"
  | "MissingSecurityHeader"
  | "NotImplemented"
  | "RequestTimeTooSkewed"
  | "RequestTimeout"
  | "SignatureDoesNotMatch"
  | "XAmzContentSHA256Mismatch";

/**
 * Status and default message of each code. Each API has exactly one such table, in one file; nothing else names a status for an
 * error.
 */
export type ErrorTable<Code extends string> = Readonly<Record<Code, { readonly status: number; readonly message: string }>>;

/** Further elements of an error's XML (ArgumentName, Expires, StringToSign …), in order. */
export type ErrorElements = readonly (readonly [name: string, value: string])[];

export interface ApiErrorOptions {
  readonly elements?: ErrorElements;
  /** Of the answer, beside those that every answer has: name, value, name, value … */
  readonly headers?: readonly string[];
  readonly cause?: unknown;
}

/**
 * A refusal on its way to the client: code, and a message that says what to change ("" = the table's message). The HTTP status
 * comes from the API's table. Never carries secrets: what is in it is shown to the client.
 */
export class ApiError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly elements: ErrorElements;
  readonly headers: readonly string[];

  constructor(code: Code, message = "", { elements = [], headers = [], cause }: ApiErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ApiError";
    this.code = code;
    this.elements = elements;
    this.headers = headers;
  }
}

/** For the one place in this layer's files where a refusal is thrown: the code is checked against the closed union. */
export function protocolError(code: ProtocolErrorCode, message: string, options?: ApiErrorOptions): ApiError<ProtocolErrorCode> {
  return new ApiError(code, message, options);
}
