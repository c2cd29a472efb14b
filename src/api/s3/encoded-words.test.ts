import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeWords, encodeWords } from "./encoded-words.ts";

describe("encoded words", () => {
  it("any text goes out as ASCII words of at most 75 characters, and comes back", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (text) => {
        const sent = encodeWords(text);
        assert.match(sent, /^[\x00-\x7f]*$/);
        if (sent !== text) for (const word of sent.split(" ")) assert.ok(word.length <= 75, word);
        if (!/[\x00-\x1f\x7f]/.test(text) && /[^\x00-\x7f]/.test(text)) assert.equal(decodeWords(sent), text);
      }),
    );
    assert.equal(encodeWords("plain =?text?="), "plain =?text?=");
    assert.equal(encodeWords("grün"), "=?UTF-8?B?Z3LDvG4=?=");
  });

  it("reads the forms that clients write", () => {
    for (const [value, text] of [
      ["=?UTF-8?B?Z3LDvG4=?=", "grün"],
      ["=?utf-8?b?Z3LDvG4=?=", "grün"],
      ["=?UTF-8?Q?gr=C3=BCn_und_rot?=", "grün und rot"],
      ["=?iso-8859-1?q?gr=FCn?=", "grün"],
      ["=?UTF-8*de?Q?gr=C3=BCn?=", "grün"],
      ["a =?UTF-8?B?w7w=?= b", "a ü b"],
      ["=?UTF-8?B?w7w=?=  =?UTF-8?B?w7w=?= c", "üü c"],
    ] as const)
      assert.equal(decodeWords(value), text, value);
  });

  it("leaves alone what it can't read, what is ASCII, and what would break a header apart", () => {
    for (const value of [
      "plain",
      "=?",
      "=?UTF-8?B?Z3LDvG4=",
      "=?UTF-8?B?!!!!?=",
      "=?UTF-8?B?/w==?=",
      "=?koi8-r?B?w7w=?=",
      "=?constructor?B?w7w=?=",
      "=?UTF-8?Q?=C3=B?=",
      "=?UTF-8?B?aGVsbG8=?=",
      "=?UTF-8?Q?gr=C3=BCn=0D=0AX:_y?=",
      "ü =?UTF-8?B?w7w=?=",
    ])
      assert.equal(decodeWords(value), value);
  });
});
