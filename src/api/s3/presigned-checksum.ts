import type { HttpRequest } from "../../platform/http.ts";
import { checksumHeader } from "../common/checksum-headers.ts";
import { CHECKSUM_ALGORITHMS } from "./checksum-answer.ts";
import { withoutHeaders } from "./without-headers.ts";

/** Checksums of no bytes at all. */
const OF_NOTHING: ReadonlyMap<string, string> = new Map([
  ["CRC32", "AAAAAA=="],
  ["CRC32C", "AAAAAA=="],
  ["CRC64NVME", "AAAAAAAAAAA="],
  ["SHA1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="],
  ["SHA256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="],
]);

/**
 * A presigned request without the checksum of nothing in its query. The JavaScript SDK (since 3.729) presigns a PUT whose body it
 * does not know with x-amz-checksum-crc32=AAAAAA==, so no upload could ever match; AWS ignores checksums in the query of
 * presigned URLs. Any other value was put there on purpose and is verified.
 * @param received  as it came, without what the query adds.
 */
export function withoutChecksumOfNothing(request: HttpRequest, received: HttpRequest): HttpRequest {
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    const header = checksumHeader(algorithm);
    if (request.header(header) !== OF_NOTHING.get(algorithm) || received.header(header) !== undefined) continue;
    return withoutHeaders(request, (name) => name === header || name === "x-amz-sdk-checksum-algorithm");
  }
  return request;
}
