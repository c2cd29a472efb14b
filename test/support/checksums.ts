import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { crc32c } from "@node-rs/crc32";
import { createCRC64 } from "hash-wasm";
import type { ChecksumAlgorithm, StoredChecksum } from "../../src/model/object-service.ts";

const crc64 = await createCRC64("9a6c9329ac4bc9b5");

/** Checksum of bytes as S3 writes it. */
export function full(algorithm: ChecksumAlgorithm, bytes: Uint8Array): StoredChecksum {
  return { algorithm, type: "FULL_OBJECT", value: raw(algorithm, bytes).toString("base64") };
}

function raw(algorithm: ChecksumAlgorithm, bytes: Uint8Array): Buffer {
  switch (algorithm) {
    case "CRC32":
      return fourBytes(crc32(bytes));
    case "CRC32C":
      return fourBytes(crc32c(Buffer.from(bytes)));
    case "CRC64NVME":
      return Buffer.from(crc64.init().update(bytes).digest("hex"), "hex");
    case "SHA1":
      return createHash("sha1").update(bytes).digest();
    case "SHA256":
      return createHash("sha256").update(bytes).digest();
  }
}

function fourBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
