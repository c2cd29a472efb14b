import type { HttpRequest } from "../../platform/http.ts";
import type { ChecksumAlgorithm } from "../../model/object-service.ts";

/** What a client announced about a body. */
export interface AnnouncedChecksums {
  /** Undefined: none announced. */
  readonly algorithm: ChecksumAlgorithm | undefined;
  /** Base64 from a header; undefined when it comes in the trailer, or only the algorithm was named. */
  readonly value: string | undefined;
  /** Lower-case name of the trailer that will bring it. */
  readonly trailer: string | undefined;
  /** Content-MD5, 16 bytes. */
  readonly md5: Uint8Array | undefined;
}

/** "x-amz-checksum-crc32" and so on. */
export function checksumHeader(_algorithm: ChecksumAlgorithm): string {
  throw new Error("in the making");
}

/** Name in any case → algorithm; undefined when unknown. */
export function parseChecksumAlgorithm(_name: string): ChecksumAlgorithm | undefined {
  throw new Error("in the making");
}

/** Whether `value` is canonical base64 of the algorithm's length. */
export function isChecksumValue(_algorithm: ChecksumAlgorithm, _value: string): boolean {
  throw new Error("in the making");
}

/**
 * Reads x-amz-checksum-*, x-amz-sdk-checksum-algorithm, x-amz-trailer and Content-MD5. (x-amz-checksum-algorithm, -type and -mode belong
 * to operations, not to bodies.)
 *
 * @throws ApiError InvalidRequest for two checksums, an unknown algorithm, one that contradicts the header, a wrong length or no base64;
 *         InvalidDigest for such a Content-MD5.
 */
export function parseChecksums(_request: Pick<HttpRequest, "header" | "rawHeaders">): AnnouncedChecksums {
  throw new Error("in the making");
}
