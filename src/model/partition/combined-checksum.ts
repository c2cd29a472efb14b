import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { assert } from "../../util/assert.ts";
import { CrcCombiner, isCrc } from "../../util/crc-combine.ts";
import type { UploadChecksum } from "../commands.ts";
import type { ChecksumAlgorithm, StoredChecksum } from "../object-service.ts";

/** What a part contributes to its object's checksum. */
export interface PartChecksum {
  readonly sizeBytes: number;
  readonly checksum: StoredChecksum | undefined;
}

/**
 * The checksum of a multipart object from those of its parts: the algorithm over their raw values ("…-N"), or, for the full
 * object, the CRC that the parts' CRCs combine to. Undefined when a part has none of this algorithm (then none is kept).
 */
export function combinedChecksum(upload: UploadChecksum, parts: readonly PartChecksum[]): StoredChecksum | undefined {
  const { algorithm, type } = upload;
  const values: Buffer[] = [];
  for (const { checksum } of parts) {
    if (checksum?.algorithm !== algorithm) return undefined;
    values.push(Buffer.from(checksum.value, "base64"));
  }
  if (type === "COMPOSITE") {
    const value = digestOf(algorithm, Buffer.concat(values)).toString("base64");
    return { algorithm, type, value: `${value}-${parts.length}` };
  }
  if (!isCrc(algorithm)) return undefined;
  const combiner = new CrcCombiner(algorithm);
  let sum: Uint8Array = values[0] as Buffer;
  for (let at = 1; at < values.length; at++)
    sum = combiner.combine(sum, values[at] as Buffer, (parts[at] as PartChecksum).sizeBytes);
  return { algorithm, type, value: Buffer.from(sum).toString("base64") };
}

/** MD5 over the parts' raw MD5s, and their number. */
export function combinedEtag(etags: readonly string[]): string {
  const hash = createHash("md5");
  for (const etag of etags) hash.update(etag.slice(0, 32), "hex");
  return `${hash.digest("hex")}-${etags.length}`;
}

function digestOf(algorithm: ChecksumAlgorithm, bytes: Buffer): Buffer {
  switch (algorithm) {
    case "SHA1":
      return createHash("sha1").update(bytes).digest();
    case "SHA256":
      return createHash("sha256").update(bytes).digest();
    case "CRC32":
      return numberBytes(crc32(bytes));
    case "CRC32C":
      return numberBytes(crc32c(bytes));
    case "CRC64NVME":
      assert(false, "a CRC64NVME of parts is always the full object's");
  }
}

function numberBytes(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/**
 * Bit by bit: at most 40 KB (10,000 parts of 4 bytes), once per completion, and the state machine may not call native add-ons.
 */
function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1));
  }
  return ~crc >>> 0;
}
