import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crc32 } from "node:zlib";
import { crc32c } from "@node-rs/crc32";
import fc from "fast-check";
import { createCRC64 } from "hash-wasm";
import { type CrcAlgorithm, CrcCombiner, emptyCrc } from "./crc-combine.ts";

const crc64 = await createCRC64("9a6c9329ac4bc9b5");
const whole: Record<CrcAlgorithm, (bytes: Uint8Array) => string> = {
  CRC32: (bytes) => crc32(bytes).toString(16).padStart(8, "0"),
  CRC32C: (bytes) => crc32c(Buffer.from(bytes)).toString(16).padStart(8, "0"),
  CRC64NVME: (bytes) => crc64.init().update(bytes).digest("hex"),
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const raw = (text: string): Uint8Array => Buffer.from(text, "hex");

describe("combining CRCs", () => {
  for (const algorithm of ["CRC32", "CRC32C", "CRC64NVME"] as const) {
    it(`${algorithm} of parts is that of the whole`, () => {
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 8 }), (parts) => {
          const combiner = new CrcCombiner(algorithm);
          let crc = emptyCrc(algorithm);
          for (const part of parts) crc = combiner.combine(crc, raw(whole[algorithm](part)), part.byteLength);
          assert.equal(hex(crc), whole[algorithm](Buffer.concat(parts)));
        }),
      );
    });

    it(`${algorithm} over lengths beyond 32 bits: adding zeros in one step or in many is the same`, () => {
      const combiner = new CrcCombiner(algorithm);
      const start = raw(whole[algorithm](Buffer.from("hangar")));
      const zeros = raw(whole[algorithm](Buffer.alloc(1 << 20)));
      // crc of 2^33 zero bytes by doubling
      let doubled: Uint8Array = zeros;
      let size = 1 << 20;
      while (size < 2 ** 33) {
        doubled = combiner.combine(doubled, doubled, size);
        size *= 2;
      }
      let stepped = start;
      for (let i = 0; i < 2 ** 13; i++) stepped = combiner.combine(stepped, zeros, 1 << 20);
      assert.equal(hex(combiner.combine(start, doubled, 2 ** 33)), hex(stepped));
    });
  }

  it("refuses a CRC of another width", () => {
    assert.throws(() => new CrcCombiner("CRC64NVME").combine(emptyCrc("CRC32"), emptyCrc("CRC64NVME"), 1), RangeError);
  });
});
