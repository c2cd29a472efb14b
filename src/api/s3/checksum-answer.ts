import type { ChecksumAlgorithm, StoredChecksum } from "../../model/object-service.ts";
import { checksumHeader } from "../common/checksum-headers.ts";

/** Stored checksums as answers carry them: headers and XML elements. */

/** Appends x-amz-checksum-<algorithm> and x-amz-checksum-type. */
export function pushChecksum(out: string[], checksum: StoredChecksum | undefined): void {
  if (checksum !== undefined) out.push(checksumHeader(checksum.algorithm), checksum.value, "x-amz-checksum-type", checksum.type);
}

/** `<ChecksumCRC32>…</ChecksumCRC32>`; "" when there is none. Base64 and "-N" need no escaping. */
export function checksumXml(checksum: StoredChecksum | undefined): string {
  if (checksum === undefined) return "";
  return `<Checksum${checksum.algorithm}>${checksum.value}</Checksum${checksum.algorithm}>`;
}

/** The same, followed by ChecksumType. */
export function typedChecksumXml(checksum: StoredChecksum | undefined): string {
  return checksum === undefined ? "" : `${checksumXml(checksum)}<ChecksumType>${checksum.type}</ChecksumType>`;
}

export const CHECKSUM_ALGORITHMS: readonly ChecksumAlgorithm[] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];
