import { equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formDecode, uriDecode, uriEncode, uriEncodePath } from "./uri-encoding.ts";

test("AWS's unreserved characters stay, all else is escaped in upper case", () => {
  equal(uriEncode("AZaz09-._~"), "AZaz09-._~");
  equal(uriEncode("a b+c/d%*!'()😀\u0000"), "a%20b%2Bc%2Fd%25%2A%21%27%28%29%F0%9F%98%80%00");
  equal(uriEncodePath("a b/c~d/../e"), "a%20b/c~d/../e");
  equal(uriEncode("\ud800"), "%EF%BF%BD");
});

test("decoding is strict UTF-8; plus is a space only in forms", () => {
  equal(uriDecode("a%20b+c%2f"), "a b+c/");
  equal(formDecode("a%20b+c%2B"), "a b c+");
  equal(uriDecode("%00"), "\u0000");
  for (const broken of ["%", "a%2", "%zz", "%ff", "%C3", "%ED%A0%80", "%C0%AF"]) equal(uriDecode(broken), undefined, broken);
});

test("raw bytes above 0x7F, as a target may hold them, are UTF-8 as well", () => {
  equal(uriDecode(Buffer.from("ключ/é%20", "utf8").toString("latin1")), "ключ/é ");
  equal(uriDecode("\u00e9"), undefined);
  equal(uriDecode("\u0101"), undefined);
});

test("what is encoded is decoded again", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      fc.pre(text.isWellFormed());
      equal(uriDecode(uriEncode(text)), text);
      equal(uriDecode(uriEncodePath(text)), text);
      equal(formDecode(uriEncode(text)), text);
    }),
  );
});
