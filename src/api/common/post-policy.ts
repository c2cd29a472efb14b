import type { ByteSource } from "../../util/byte-source.ts";

export interface PolicyVerdict {
  /** Range for the file's size; enforce with `limitLength`. */
  readonly minBytes: number;
  readonly maxBytes: number;
}

/**
 * Decides a POST policy: document well-formed, not expired, every condition true of the form, every field covered by a condition
 * (except policy, x-amz-signature, file and x-ignore-*).
 *
 * @param policy  the field as received (base64).
 * @param bucket  the bucket of the request, which conditions on "bucket" see.
 * @throws ApiError InvalidPolicyDocument when it can't be understood, AccessDenied when it forbids.
 */
export function checkPolicy(
  _policy: string,
  _about: { fields: ReadonlyMap<string, string>; bucket: string; nowMs: number },
): PolicyVerdict {
  throw new Error("in the making");
}

/** The same source, failing with EntityTooLarge as soon as it is too long and with EntityTooSmall at its end. */
export function limitLength(_source: ByteSource, _range: { minBytes: number; maxBytes: number }): ByteSource {
  throw new Error("in the making");
}
