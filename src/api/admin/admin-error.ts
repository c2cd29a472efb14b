/** HTTP status of each error code of the Admin API; the only place where they are decided. */
export const ADMIN_STATUS = {
  InvalidRequest: 400,
  InvalidBucketName: 400,
  AccessDenied: 403,
  NoSuchBucket: 404,
  NoSuchAccessKey: 404,
  NoSuchAdminToken: 404,
  NoSuchKey: 404,
  NoSuchBlock: 404,
  NoSuchWorker: 404,
  BucketAlreadyExists: 409,
  BucketNotEmpty: 409,
  KeyAlreadyExists: 409,
  TooManyRequests: 429,
  NotImplemented: 501,
  InternalError: 500,
  ServiceUnavailable: 503,
} as const;

export type AdminErrorCode = keyof typeof ADMIN_STATUS;

/** A refusal of an admin operation: code, and a sentence that says what to change. */
export class AdminError extends Error {
  readonly code: AdminErrorCode;
  constructor(code: AdminErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AdminError";
    this.code = code;
  }
}
