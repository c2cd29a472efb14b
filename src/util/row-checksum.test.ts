import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { rowChecksum } from "./row-checksum.ts";

function sum(key: Uint8Array, value: Uint8Array): number {
  return rowChecksum(key, 0, key.length, value, 0, value.length);
}
function pattern(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => (at * 7 + 3) & 0xff);
}

test("the stored format: these values never change", () => {
  const key = Buffer.from("key");
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 260, 1024, 1025, 16384].map((size) => sum(key, pattern(size))),
    GOLDEN,
  );
});

test("any damage within one aligned word of the value is found", () => {
  const value = fc.uint8Array({ minLength: 1, maxLength: 1200 });
  fc.assert(
    fc.property(value, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(3), (bytes, at, flip, more) => {
      const key = Buffer.from("some key");
      const damaged = Uint8Array.from(bytes);
      const place = at % bytes.length;
      damaged[place]! ^= flip;
      const beside = (place & ~3) + more;
      if (beside < bytes.length && beside !== place) damaged[beside]! ^= flip >>> 1;
      return sum(key, damaged) !== sum(key, bytes);
    }),
    { numRuns: 500 },
  );
});

test("missing bytes, other keys, and bytes that moved between key and value are found", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 2, maxLength: 1100 }),
      fc.uint8Array({ minLength: 2, maxLength: 40 }),
      (value, key) => {
        const whole = sum(key, value);
        assert.notEqual(sum(key, value.subarray(0, -1)), whole);
        assert.notEqual(sum(key.subarray(1), value), whole);
        assert.notEqual(sum(key.subarray(0, -1), value), whole);
        assert.notEqual(sum(key.subarray(0, -1), Buffer.concat([key.subarray(-1), value])), whole);
      },
    ),
    { numRuns: 300 },
  );
});

test("positions: what lies around does not matter", () => {
  for (const size of [0, 3, 100, 2000]) {
    const [key, value] = [pattern(17), pattern(size)];
    const around = Buffer.concat([Buffer.from("xyz"), key, Buffer.from("--"), value, Buffer.from("!")]);
    assert.equal(rowChecksum(around, 3, 20, around, 22, 22 + size), sum(key, value));
  }
});

const GOLDEN = [
  3801901636, 3717738474, 3729527071, 4211944992, 2662643670, 329097098, 1502193091, 743067246, 631761416, 213757898,
];
