import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { ChecksumAlgorithm } from "../../model/object-service.ts";

/** Base64 checksum of a small body (≤ 1 MiB: XML documents), on the calling thread. Objects' bytes go through the data path instead. */
export function smallChecksum(algorithm: ChecksumAlgorithm, bytes: Uint8Array): string {
  switch (algorithm) {
    case "SHA1":
    case "SHA256":
      return createHash(algorithm).update(bytes).digest("base64");
    case "CRC32":
      return base64Of([crc32(bytes)]);
    case "CRC32C":
      return base64Of([crc32c(bytes)]);
    case "CRC64NVME":
      return base64Of(crc64nvme(bytes));
  }
}

function base64Of(words: readonly number[]): string {
  const buffer = Buffer.alloc(words.length * 4);
  for (const [i, word] of words.entries()) buffer.writeUInt32BE(word >>> 0, i * 4);
  return buffer.toString("base64");
}

/** Reflected polynomials, high and low half (CRC32C has no high half). */
const CRC32C_POLYNOMIAL = 0x82f63b78;
const CRC64NVME_HIGH = 0x9a6c9329;
const CRC64NVME_LOW = 0xac4bc9b5;

const CRC32C_TABLE = Int32Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
  return crc;
});

function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.byteLength; i++) crc = CRC32C_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Entry i: high half at 2i, low half at 2i + 1. */
const CRC64_TABLE = Int32Array.from({ length: 512 }, (_, index) => {
  let high = 0;
  let low = index >> 1;
  for (let bit = 0; bit < 8; bit++) {
    const odd = low & 1;
    low = (low >>> 1) | (high << 31);
    high = high >>> 1;
    if (odd) {
      high ^= CRC64NVME_HIGH;
      low ^= CRC64NVME_LOW;
    }
  }
  return index & 1 ? low : high;
});

function crc64nvme(bytes: Uint8Array): [high: number, low: number] {
  let high = -1;
  let low = -1;
  for (let i = 0; i < bytes.byteLength; i++) {
    const entry = ((low ^ bytes[i]!) & 0xff) * 2;
    low = ((low >>> 8) | (high << 24)) ^ CRC64_TABLE[entry + 1]!;
    high = (high >>> 8) ^ CRC64_TABLE[entry]!;
  }
  return [~high >>> 0, ~low >>> 0];
}
