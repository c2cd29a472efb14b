import type { ChecksumAlgorithm } from "../../model/object-service.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { protocolError } from "./api-error.ts";

/** What a client announced about a body. */
export interface AnnouncedChecksums {
  /** Undefined: none announced. */
  readonly algorithm: ChecksumAlgorithm | undefined;
  /** Base64 from a header; undefined when it comes in the trailer. */
  readonly value: string | undefined;
  /** Lower-case name of the trailer that will bring it. */
  readonly trailer: string | undefined;
  /** Content-MD5, 16 bytes. */
  readonly md5: Uint8Array | undefined;
}

/** Digest lengths in bytes. */
const LENGTHS: Readonly<Record<ChecksumAlgorithm, number>> = { CRC32: 4, CRC32C: 4, CRC64NVME: 8, SHA1: 20, SHA256: 32 };
const HEADERS: Readonly<Record<ChecksumAlgorithm, string>> = {
  CRC32: "x-amz-checksum-crc32",
  CRC32C: "x-amz-checksum-crc32c",
  CRC64NVME: "x-amz-checksum-crc64nvme",
  SHA1: "x-amz-checksum-sha1",
  SHA256: "x-amz-checksum-sha256",
};
const BY_HEADER: ReadonlyMap<string, ChecksumAlgorithm> = new Map(
  (Object.keys(HEADERS) as ChecksumAlgorithm[]).map((algorithm) => [HEADERS[algorithm], algorithm]),
);
const PREFIX = "x-amz-checksum-";
/** They begin like checksums, and are none. */
const NO_CHECKSUMS: readonly string[] = ["x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode"];

/** "x-amz-checksum-crc32" and so on. */
export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return HEADERS[algorithm];
}

/** Name in any case → algorithm; undefined when unknown. */
export function parseChecksumAlgorithm(name: string): ChecksumAlgorithm | undefined {
  const upper = name.toUpperCase();
  return Object.hasOwn(LENGTHS, upper) ? (upper as ChecksumAlgorithm) : undefined;
}

/** Whether `value` is canonical base64 of the algorithm's length. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, value: string): boolean {
  return decodeExactly(value, LENGTHS[algorithm]) !== undefined;
}

/** The algorithm of a header or trailer by lower-case name. */
export function algorithmOfHeader(lowerName: string): ChecksumAlgorithm | undefined {
  return BY_HEADER.get(lowerName);
}

/**
 * Reads x-amz-checksum-*, x-amz-sdk-checksum-algorithm, x-amz-trailer and Content-MD5. (x-amz-checksum-algorithm, -type and -mode
 * belong to operations, not to bodies.)
 *
 * @throws ApiError InvalidRequest for two checksums, an unknown algorithm, one that contradicts the header, a wrong length or no
 *         base64; InvalidDigest for such a Content-MD5.
 */
export function parseChecksums(request: Pick<HttpRequest, "header" | "rawHeaders">): AnnouncedChecksums {
  const header = findHeader(request.rawHeaders);
  const trailer = parseTrailerNames(request.header("x-amz-trailer"));
  if (header !== undefined && trailer !== undefined) throw invalid(SINGLE);
  const algorithm = header?.algorithm ?? (trailer === undefined ? undefined : BY_HEADER.get(trailer));
  const named = request.header("x-amz-sdk-checksum-algorithm");
  if (named !== undefined) {
    if (parseChecksumAlgorithm(named) === undefined)
      throw invalid(`x-amz-sdk-checksum-algorithm names no known algorithm: ${KNOWN}`);
    if (algorithm === undefined)
      throw invalid(
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
      );
    if (parseChecksumAlgorithm(named) !== algorithm)
      throw invalid("x-amz-sdk-checksum-algorithm names another algorithm than the checksum that is sent.");
  }
  return { algorithm, value: header?.value, trailer, md5: parseMd5(request.header("content-md5")) };
}

const KNOWN = `${Object.keys(LENGTHS).join(", ")}.`;
const SINGLE = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";

function findHeader(raw: readonly string[]): { algorithm: ChecksumAlgorithm; value: string } | undefined {
  let found: { algorithm: ChecksumAlgorithm; value: string } | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    // Most headers are ruled out without a lower-case copy.
    if (name.length <= PREFIX.length || (name.charCodeAt(6) | 0x20) !== 0x63) continue;
    const lower = name.toLowerCase();
    if (!lower.startsWith(PREFIX) || NO_CHECKSUMS.includes(lower)) continue;
    const algorithm = BY_HEADER.get(lower);
    if (algorithm === undefined) throw invalid(`${lower} is no checksum known here. Known are ${KNOWN}`);
    if (found !== undefined) throw invalid(SINGLE);
    const value = raw[i + 1]!.trim();
    if (!isChecksumValue(algorithm, value)) throw invalid(`Value for ${lower} header is invalid.`);
    found = { algorithm, value };
  }
  return found;
}

function parseTrailerNames(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const names = value
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  if (names.length > 1) throw invalid(SINGLE);
  const name = names[0];
  if (name === undefined || !BY_HEADER.has(name))
    throw invalid("The value specified in the x-amz-trailer header is not supported");
  return name;
}

function parseMd5(value: string | undefined): Uint8Array | undefined {
  if (value === undefined) return undefined;
  const digest = decodeExactly(value.trim(), 16);
  if (digest === undefined) throw protocolError("InvalidDigest", "The Content-MD5 you specified is not valid.");
  return digest;
}

/** Canonical base64 of exactly this many bytes; undefined for anything else. */
function decodeExactly(text: string, bytes: number): Uint8Array | undefined {
  if (text.length !== Math.ceil(bytes / 3) * 4) return undefined;
  const decoded = Buffer.from(text, "base64");
  return decoded.byteLength === bytes && decoded.toString("base64") === text ? decoded : undefined;
}

function invalid(message: string): Error {
  return protocolError("InvalidRequest", message);
}
