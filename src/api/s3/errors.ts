import {
  type CompleteOutcome,
  type DeleteOutcome,
  type PutOutcome,
  type PutPartOutcome,
  ServiceError,
  type UploadRefusal,
} from "../../model/object-service.ts";
import type { ControlService, CreateBucketOutcome } from "../../model/control-service.ts";
import { HttpBodyError } from "../../platform/http.ts";
import {
  ApiError,
  type ApiErrorOptions,
  type ErrorElements,
  type ErrorTable,
  type ProtocolErrorCode,
} from "../common/api-error.ts";
import { MIN_PART_BYTES } from "./limits.ts";

/**
 * The one place that decides HTTP status and S3 code of every failure: refusals of the protocol layer, refusals of this API, the
 * store's own trouble, and the unknown. Codes and texts: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
export const ERRORS = {
  AccessDenied: { status: 403, message: "Access Denied" },
  AccessForbidden: { status: 403, message: "CORSResponse: CORS is not enabled for this bucket." },
  AuthorizationHeaderMalformed: { status: 400, message: "The authorization header is malformed." },
  AuthorizationQueryParametersError: { status: 400, message: "The authorization query parameters are malformed." },
  BadDigest: {
    status: 400,
    message: "The Content-MD5 or checksum value that you specified did not match what the server received.",
  },
  BadRequest: { status: 400, message: "An error occurred when parsing the HTTP request." },
  BucketAlreadyExists: {
    status: 409,
    message:
      "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Select a different name.",
  },
  BucketAlreadyOwnedByYou: {
    status: 409,
    message: "Your previous request to create the named bucket succeeded and you already own it.",
  },
  BucketNotEmpty: { status: 409, message: "The bucket you tried to delete is not empty." },
  ConditionalRequestConflict: {
    status: 409,
    message:
      "The conditional request cannot succeed due to a conflicting operation against this resource. Look at the object, then try again.",
  },
  EntityTooLarge: { status: 400, message: "Your proposed upload exceeds the maximum allowed size" },
  EntityTooSmall: { status: 400, message: "Your proposed upload is smaller than the minimum allowed size" },
  IncompleteBody: {
    status: 400,
    message: "You did not provide the number of bytes specified by the Content-Length HTTP header.",
  },
  InternalError: { status: 500, message: "We encountered an internal error. Please try again." },
  InvalidAccessKeyId: { status: 403, message: "The access key ID that you provided does not exist in our records." },
  InvalidArgument: { status: 400, message: "Invalid Argument" },
  InvalidBucketName: { status: 400, message: "The specified bucket is not valid." },
  InvalidChunkSizeError: { status: 400, message: "Only the last chunk is allowed to have a size less than 8192 bytes." },
  InvalidDigest: { status: 400, message: "The Content-MD5 or checksum value that you specified is not valid." },
  InvalidLocationConstraint: { status: 400, message: "The specified location constraint is not valid." },
  InvalidPart: {
    status: 400,
    message:
      "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
  },
  InvalidPartNumber: { status: 416, message: "The requested partnumber is not satisfiable." },
  InvalidPartOrder: {
    status: 400,
    message: "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
  },
  InvalidPolicyDocument: {
    status: 400,
    message: "The content of the form does not meet the conditions specified in the policy document.",
  },
  InvalidRange: { status: 416, message: "The requested range is not satisfiable." },
  InvalidRedirectLocation: {
    status: 400,
    message: "The website redirect location must begin with '/', 'http://' or 'https://'.",
  },
  InvalidRequest: { status: 400, message: "Invalid Request" },
  InvalidToken: { status: 400, message: "The provided token is malformed or otherwise invalid." },
  InvalidURI: { status: 400, message: "The specified URI couldn't be parsed." },
  KeyTooLongError: { status: 400, message: "Your key is too long." },
  MalformedPOSTRequest: { status: 400, message: "The body of your POST request is not well-formed multipart/form-data." },
  MalformedTrailerError: {
    status: 400,
    message: "The request contained trailing data that was not well-formed or did not conform to our published schema.",
  },
  MalformedXML: {
    status: 400,
    message: "The XML that you provided was not well-formed or did not validate against our published schema.",
  },
  MaxMessageLengthExceeded: { status: 400, message: "Your request was too large." },
  MaxPostPreDataLengthExceededError: {
    status: 400,
    message: "Your POST request fields preceding the upload file were too large.",
  },
  MetadataTooLarge: { status: 400, message: "Your metadata headers exceed the maximum allowed metadata size." },
  MethodNotAllowed: { status: 405, message: "The specified method is not allowed against this resource." },
  MissingContentLength: { status: 411, message: "You must provide the Content-Length HTTP header." },
  MissingRequestBodyError: { status: 400, message: "Request Body is empty" },
  MissingSecurityHeader: { status: 400, message: "Your request was missing a required header." },
  NoSuchBucket: { status: 404, message: "The specified bucket does not exist" },
  NoSuchBucketPolicy: { status: 404, message: "The bucket policy does not exist" },
  NoSuchConfiguration: { status: 404, message: "The specified configuration does not exist." },
  NoSuchCORSConfiguration: { status: 404, message: "The CORS configuration does not exist" },
  NoSuchKey: { status: 404, message: "The specified key does not exist." },
  NoSuchLifecycleConfiguration: { status: 404, message: "The lifecycle configuration does not exist" },
  NoSuchPublicAccessBlockConfiguration: { status: 404, message: "The public access block configuration was not found" },
  NoSuchTagSet: { status: 404, message: "The TagSet does not exist" },
  NoSuchUpload: {
    status: 404,
    message:
      "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
  },
  NoSuchVersion: { status: 404, message: "The specified version does not exist." },
  NoSuchWebsiteConfiguration: { status: 404, message: "The specified bucket does not have a website configuration" },
  NotImplemented: { status: 501, message: "A header you provided implies functionality that is not implemented" },
  ObjectLockConfigurationNotFoundError: { status: 404, message: "Object Lock configuration does not exist for this bucket" },
  OperationAborted: {
    status: 409,
    message: "A conflicting conditional operation is currently in progress against this resource. Try again.",
  },
  PreconditionFailed: { status: 412, message: "At least one of the pre-conditions you specified did not hold" },
  ReplicationConfigurationNotFoundError: { status: 404, message: "The replication configuration was not found" },
  RequestHeaderSectionTooLarge: { status: 431, message: "Your request header section exceeds the maximum allowed size." },
  RequestTimeTooSkewed: { status: 403, message: "The difference between the request time and the current time is too large." },
  RequestTimeout: {
    status: 400,
    message: "Your socket connection to the server was not read from or written to within the timeout period.",
  },
  ServerSideEncryptionConfigurationNotFoundError: {
    status: 404,
    message: "The server side encryption configuration was not found",
  },
  ServiceUnavailable: { status: 503, message: "Service is unable to handle request. Please try again." },
  SignatureDoesNotMatch: {
    status: 403,
    message: "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
  },
  SlowDown: { status: 503, message: "Please reduce your request rate." },
  XAmzContentSHA256Mismatch: {
    status: 400,
    message: "The provided 'x-amz-content-sha256' header does not match what was computed.",
  },
} as const satisfies ErrorTable<ProtocolErrorCode> & ErrorTable<string>;

export type S3ErrorCode = keyof typeof ERRORS;

/** An error with the code checked against this API's table. `message` "" = the table's. */
export function s3Error(
  code: S3ErrorCode,
  message = "",
  elements: ErrorElements = [],
  options: ApiErrorOptions = {},
): ApiError<S3ErrorCode> {
  return new ApiError(code, message, { ...options, elements });
}

/** 400 InvalidArgument naming the argument, as AWS does. */
export function invalidArgument(message: string, name: string, value: string): ApiError<S3ErrorCode> {
  return s3Error("InvalidArgument", message, [
    ["ArgumentName", name],
    ["ArgumentValue", value],
  ]);
}

export function noSuchKey(key: string): ApiError<S3ErrorCode> {
  return s3Error("NoSuchKey", "", [["Key", key]]);
}

export function noSuchBucket(name: string): ApiError<S3ErrorCode> {
  return s3Error("NoSuchBucket", "", [["BucketName", name]]);
}

export function noSuchUpload(upload: string): ApiError<S3ErrorCode> {
  return s3Error("NoSuchUpload", "", [["UploadId", upload]]);
}

export function preconditionFailed(condition: string): ApiError<S3ErrorCode> {
  return s3Error("PreconditionFailed", "", [["Condition", condition]]);
}

/** Of a Range header; Content-Range tells what there is (RFC 9110 §15.5.17). */
export function invalidRange(range: string, sizeBytes: number): ApiError<S3ErrorCode> {
  return s3Error(
    "InvalidRange",
    "",
    [
      ["RangeRequested", range],
      ["ActualObjectSize", String(sizeBytes)],
    ],
    { headers: ["Content-Range", `bytes */${sizeBytes}`] },
  );
}

export function entityTooLarge(limit: number, proposed?: number): ApiError<S3ErrorCode> {
  const elements: [string, string][] = [["MaxSizeAllowed", String(limit)]];
  if (proposed !== undefined) elements.unshift(["ProposedSize", String(proposed)]);
  return s3Error("EntityTooLarge", "", elements);
}

type Refused<T> = Exclude<T, { readonly ok: true }>;

/**
 * Why the store did not do what an operation on an object or upload asked.
 *
 * @param about  what AWS names beside the key, where the operation has it: the upload, the header that held the condition, and
 *             the part that is to blame, with the ETag that the client gave for it and the size that it has.
 */
export function refusal(
  outcome: Refused<PutOutcome | DeleteOutcome | PutPartOutcome | CompleteOutcome>,
  { bucketName, key }: { readonly bucketName: string; readonly key: string },
  { upload = "", condition = "", part = {} }: Blamed = {},
): ApiError<S3ErrorCode> {
  switch (outcome.code) {
    case "no-such-bucket":
      return noSuchBucket(bucketName);
    case "no-such-key":
      return noSuchKey(key);
    case "no-such-upload":
      return noSuchUpload(upload);
    case "precondition-failed":
      return preconditionFailed(condition);
    case "quota-exceeded":
      // AWS has no quotas; Garage answers AccessDenied.
      return s3Error(
        "AccessDenied",
        `The bucket's quota is reached${outcome.detail === undefined ? "" : `: ${outcome.detail}`}.`,
      );
    case "too-large":
      return entityTooLarge(outcome.limit);
    case "incomplete-body":
      return s3Error(
        "IncompleteBody",
        `You did not provide the number of bytes specified by the Content-Length HTTP header: ${outcome.expected} announced, ${outcome.received} received.`,
      );
    case "bad-digest":
      return "which" in outcome
        ? badDigest(outcome)
        : s3Error(
            "BadDigest",
            outcome.detail ?? "The checksum you specified did not match the calculated checksum of the object.",
          );
    case "checksum-type-mismatch":
      return s3Error(
        "InvalidRequest",
        `Checksum Type mismatch occurred${outcome.detail === undefined ? "" : `, ${outcome.detail}`}.`,
      );
    case "wrong-object-size":
      return s3Error(
        "InvalidRequest",
        outcome.detail ?? "The x-amz-mp-object-size you specified did not match the sum of the part sizes.",
      );
    case "invalid-part":
      return s3Error("InvalidPart", "", [
        ["UploadId", upload],
        ["PartNumber", String(outcome.part)],
        ...(part.etag === undefined ? [] : [["ETag", part.etag] as const]),
      ]);
    case "part-too-small":
      return s3Error("EntityTooSmall", "", [
        ...(part.sizeBytes === undefined ? [] : [["ProposedSize", String(part.sizeBytes)] as const]),
        ["MinSizeAllowed", String(MIN_PART_BYTES)],
        ["PartNumber", String(outcome.part)],
        ...(part.etag === undefined ? [] : [["ETag", part.etag] as const]),
      ]);
  }
}

interface Blamed {
  readonly upload?: string;
  readonly condition?: string;
  readonly part?: { readonly etag?: string; readonly sizeBytes?: number };
}

function badDigest(outcome: Extract<UploadRefusal, { code: "bad-digest" }>): ApiError<S3ErrorCode> {
  if (outcome.which === "sha256")
    return s3Error("XAmzContentSHA256Mismatch", "", [
      ["ClientComputedContentSHA256", outcome.expected],
      ["S3ComputedContentSHA256", outcome.computed],
    ]);
  const what = outcome.which === "md5" ? "Content-MD5" : outcome.which;
  const found = outcome.which === "md5" ? "what we received" : "the calculated checksum";
  return s3Error("BadDigest", `The ${what} you specified did not match ${found}.`, [
    ["ExpectedDigest", outcome.expected],
    ["CalculatedDigest", outcome.computed],
  ]);
}

export function createBucketRefusal(outcome: Refused<CreateBucketOutcome>, name: string): ApiError<S3ErrorCode> {
  const named = [["BucketName", name]] as const;
  switch (outcome.code) {
    case "invalid-name":
      return s3Error("InvalidBucketName", `The specified bucket is not valid: ${outcome.message}.`, named);
    case "not-allowed":
      return s3Error("AccessDenied", "This access key may not create buckets.");
    case "owned-by-you":
      return s3Error("BucketAlreadyOwnedByYou", "", named);
    case "exists":
      return s3Error("BucketAlreadyExists", "", named);
  }
}

export function deleteBucketRefusal(
  outcome: Refused<Awaited<ReturnType<ControlService["deleteBucketFor"]>>>,
  name: string,
): ApiError<S3ErrorCode> {
  const named = [["BucketName", name]] as const;
  switch (outcome.code) {
    case "no-such-bucket":
      return noSuchBucket(name);
    case "not-empty":
      return s3Error("BucketNotEmpty", "", named);
    case "busy":
      return s3Error("OperationAborted", "", named);
  }
}

/** What is answered. `log` "error": the store's trouble, whose cause goes to the log · "warn": it passes, and
 * clients could provoke it: one short line · "gone": nobody is there to read an answer. */
export interface FinalError {
  readonly status: number;
  readonly code: S3ErrorCode;
  readonly message: string;
  readonly elements: ErrorElements;
  readonly headers: readonly string[];
  readonly log: "no" | "warn" | "error" | "gone";
}

/** How far the causes of an error are followed: the data path may wrap what a body's source threw. */
const CAUSE_DEPTH = 4;

/**
 * @param conditional  the request carried a write condition: where it may have been applied and nobody knows, the answer is 409,
 *             so that no client repeats it blindly. What was certainly not applied is 503 like any other: clients take 409 for a
 *             lost race.
 */
export function finalErrorOf(thrown: unknown, { conditional }: { readonly conditional: boolean }): FinalError {
  let error: unknown = thrown;
  for (let depth = 0; depth < CAUSE_DEPTH && error instanceof Error; depth++, error = error.cause) {
    if (error instanceof ApiError) return fromApiError(error);
    if (error instanceof HttpBodyError) return fromBody(error);
    if (error instanceof ServiceError) return fromService(error, conditional);
  }
  return final("InternalError", "", "error");
}

/** Of an answer that the HTTP server gives itself, for `HttpListenOptions.renderClientError`. */
export function clientErrorCode(status: number): S3ErrorCode {
  switch (status) {
    case 408:
      return "RequestTimeout";
    case 431:
      return "RequestHeaderSectionTooLarge";
    case 500:
      return "InternalError";
    case 501:
      return "NotImplemented";
    case 503:
      return "SlowDown";
    default:
      return "BadRequest";
  }
}

function fromApiError(error: ApiError): FinalError {
  if (!isKnown(error.code)) return final("InternalError", "", "error");
  const { status, message } = ERRORS[error.code];
  return {
    status,
    code: error.code,
    message: error.message !== "" ? error.message : message,
    elements: error.elements,
    headers: error.headers,
    log: status >= 500 && status !== 501 ? "error" : "no",
  };
}

function fromBody(error: HttpBodyError): FinalError {
  switch (error.code) {
    case "client-gone":
      return final("RequestTimeout", "", "gone");
    case "timeout":
      return final("RequestTimeout", "", "no");
    case "malformed":
      return final("IncompleteBody", `The body could not be read to its end: ${error.message}.`, "no");
    case "shutdown":
      return final("ServiceUnavailable", "The server is stopping. Please try again.", "no");
  }
}

function fromService(error: ServiceError, conditional: boolean): FinalError {
  switch (error.code) {
    case "service.unavailable":
      return final("ServiceUnavailable", "", "warn");
    case "service.unknown-outcome":
      return final(conditional ? "ConditionalRequestConflict" : "ServiceUnavailable", "", "warn");
    case "service.slow-down":
      return final("SlowDown", "", "no");
    case "service.no-space":
      return final("ServiceUnavailable", error.message, "warn");
    case "object.damaged":
      return final(
        "InternalError",
        "The stored data of this object is damaged. It was not served; the damage is recorded.",
        "error",
      );
    case "object.replaced":
      return final("ServiceUnavailable", "The object was replaced while it was being read. Please try again.", "warn");
  }
}

function final(code: S3ErrorCode, message: string, log: FinalError["log"]): FinalError {
  const { status, message: text } = ERRORS[code];
  return { status, code, message: message !== "" ? message : text, elements: [], headers: [], log };
}

function isKnown(code: string): code is S3ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
