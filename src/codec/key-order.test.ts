import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { orderedLength, readOrdered, successor, writeOrdered } from "./key-order.ts";

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.string({ unit: fc.constantFrom("\0", "\u0001", "a", "\u00ff", "\uffff", "😀"), maxLength: 8 }),
  fc.constantFrom("", "\0".repeat(1024), "x".repeat(1024)),
);

function ordered(value: string): Buffer {
  const buffer = Buffer.alloc(orderedLength(value));
  assert.equal(writeOrdered(buffer, 0, value), buffer.byteLength);
  return buffer;
}

test("ordered texts come back, whatever follows them", () => {
  fc.assert(
    fc.property(text, fc.uint8Array({ maxLength: 5 }), (value, rest) => {
      const bytes = Buffer.concat([Buffer.from("xy"), ordered(value), rest]);
      assert.deepEqual(readOrdered(bytes, 2), { text: value, end: bytes.byteLength - rest.byteLength });
    }),
  );
});

test("the order of keys is the byte order of UTF-8, whatever follows, and none is the beginning of another", () => {
  fc.assert(
    fc.property(text, text, fc.uint8Array({ maxLength: 3 }), fc.uint8Array({ maxLength: 3 }), (a, b, x, y) => {
      fc.pre(a !== b);
      const plain = Buffer.compare(Buffer.from(a), Buffer.from(b));
      assert.equal(Buffer.compare(Buffer.concat([ordered(a), x]), Buffer.concat([ordered(b), y])), plain);
      assert.notDeepEqual(ordered(a).subarray(0, ordered(b).length), ordered(b));
    }),
  );
});

test("text without an end is refused", () => {
  for (const bytes of [[], [0x61], [0], [0x61, 0, 0xff]]) assert.throws(() => readOrdered(Buffer.from(bytes), 0), RangeError);
});

test("the successor of a prefix is the least key behind all that begin with it", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 4 }), fc.uint8Array({ maxLength: 4 }), (prefix, other) => {
      fc.pre(prefix.some((byte) => byte !== 0xff));
      const next = successor(prefix);
      assert.ok(Buffer.compare(Buffer.concat([prefix, other]), next) < 0);
      const startsWith = Buffer.compare(Buffer.from(other).subarray(0, prefix.length), Buffer.from(prefix)) === 0;
      if (Buffer.compare(Buffer.from(other), Buffer.from(prefix)) >= 0 && !startsWith)
        assert.ok(Buffer.compare(other, next) >= 0);
    }),
  );
  assert.throws(() => successor(Buffer.of(0xff, 0xff)), RangeError);
});
