import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { ChecksumAlgorithm } from "../../model/object-service.ts";

/** A checksum of a small body (XML documents), on the calling thread. Objects' bytes go through the data path instead. */
export interface SmallChecksum {
  /** The next bytes: a piece of the body at a time, so that no body holds up the event loop for long. */
  update(bytes: Uint8Array): unknown;
  /** Base64, once. */
  digest(): string;
}

export function startChecksum(algorithm: ChecksumAlgorithm): SmallChecksum {
  switch (algorithm) {
    case "SHA1":
    case "SHA256": {
      const hash = createHash(algorithm);
      return { update: (bytes) => hash.update(bytes), digest: () => hash.digest("base64") };
    }
    case "CRC32": {
      let crc = 0;
      return { update: (bytes) => (crc = crc32(bytes, crc)), digest: () => base64Of([crc]) };
    }
    case "CRC32C": {
      let crc = -1;
      return { update: (bytes) => (crc = crc32c(bytes, crc)), digest: () => base64Of([~crc]) };
    }
    case "CRC64NVME": {
      let crc: Crc64 = [-1, -1];
      return { update: (bytes) => (crc = crc64nvme(bytes, crc)), digest: () => base64Of([~crc[0], ~crc[1]]) };
    }
  }
}

type Crc64 = readonly [high: number, low: number];

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

function crc32c(bytes: Uint8Array, start: number): number {
  let crc = start;
  for (let i = 0; i < bytes.byteLength; i++) crc = CRC32C_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return crc;
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

function crc64nvme(bytes: Uint8Array, [startHigh, startLow]: Crc64): Crc64 {
  let high = startHigh;
  let low = startLow;
  for (let i = 0; i < bytes.byteLength; i++) {
    const entry = ((low ^ bytes[i]!) & 0xff) * 2;
    low = ((low >>> 8) | (high << 24)) ^ CRC64_TABLE[entry + 1]!;
    high = (high >>> 8) ^ CRC64_TABLE[entry]!;
  }
  return [high, low];
}
