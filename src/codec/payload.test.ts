import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { ETAG_BYTES, readEtag, writeEtag } from "./etag.ts";
import { MAX_U48, readU48, writeU48 } from "./slices.ts";

type Field = {
  [K in "u8" | "u16" | "u32" | "u48" | "hex4" | "text8" | "text16"]: [K, K extends "hex4" | "text8" | "text16" ? string : number];
}["u8" | "u16" | "u32" | "u48" | "hex4" | "text8" | "text16"];

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.tuple(fc.constant("u8" as const), fc.nat(0xff)),
  fc.tuple(fc.constant("u16" as const), fc.nat(0xffff)),
  fc.tuple(fc.constant("u32" as const), fc.nat(0xffff_ffff)),
  fc.tuple(fc.constant("u48" as const), fc.integer({ min: 0, max: MAX_U48 })),
  fc.tuple(
    fc.constant("hex4" as const),
    fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes).toString("hex")),
  ),
  fc.tuple(fc.constant("text8" as const), fc.string({ unit: "grapheme", maxLength: 15 })),
  fc.tuple(fc.constant("text16" as const), fc.string({ unit: "grapheme", maxLength: 400 })),
);

test("fields come back as they were written, at any place in a buffer, and reading beyond them throws", () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 12 }), (fields) => {
      const writer = new ByteWriter(4);
      for (const [kind, value] of fields) {
        if (kind === "hex4") writer.hex(value, 4);
        else writer[kind](value as never);
      }
      const row = Buffer.concat([Buffer.from("before"), writer.finish(), Buffer.from("behind")]);
      const reader = new ByteReader(row, 6, row.length - 6);
      for (const [kind, value] of fields) assert.equal(kind === "hex4" ? reader.hex(4) : reader[kind](), value);
      assert.equal(reader.left, 0);
      assert.throws(() => reader.u8(), RangeError);
    }),
  );
});

test("values that a field can't hold are refused, not cut", () => {
  const writer = new ByteWriter(8);
  assert.throws(() => writer.u16(0x1_0000));
  assert.throws(() => writer.u32(2 ** 32));
  assert.throws(() => writer.u48(2 ** 48));
  assert.throws(() => writer.u48(-1));
  assert.throws(() => writer.text8("x".repeat(256)));
  assert.throws(() => writer.text16("x".repeat(65_536)));
  assert.throws(() => writer.hex("abcd", 4));
  assert.throws(() => writer.hex("zz", 1));
});

test("48-bit numbers", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: MAX_U48 }), (value) => {
      const bytes = Buffer.alloc(8, 0xee);
      assert.equal(writeU48(bytes, value, 1), 7);
      assert.equal(readU48(bytes, 1), value);
      assert.equal(bytes.readUIntBE(1, 6), value);
      assert.deepEqual([bytes[0], bytes[7]], [0xee, 0xee]);
    }),
  );
});

test("ETags with and without a number of parts", () => {
  const hex = "0123456789abcdef".repeat(2);
  for (const etag of [hex, `${hex}-1`, `${hex}-10000`]) {
    const writer = new ByteWriter(0);
    writeEtag(writer, etag);
    const row = writer.finish();
    assert.equal(row.length, ETAG_BYTES);
    assert.equal(readEtag(row, 0), etag);
  }
  for (const etag of ["", hex.slice(1), `${hex}-`, `${hex}-0`, `${hex}-99999`, `"${hex}"`, `${hex}x1`])
    assert.throws(() => writeEtag(new ByteWriter(0), etag), etag);
});
