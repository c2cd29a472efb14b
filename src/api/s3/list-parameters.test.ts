import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ApiError } from "../common/api-error.ts";
import { Query } from "../common/request-target.ts";
import { continuationToken, endsCommonPrefix, pageSize, placeOfToken, urlEncoded } from "./list-parameters.ts";

const query = (name: string, value: string): Query => new Query([{ name, value }]);

describe("parameters of listings", () => {
  it("tokens come back as the place they were made of", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.boolean(), (text, skipPrefix) => {
        const place = { after: text.toWellFormed(), skipPrefix };
        const token = continuationToken(place);
        assert.match(token, /^[A-Za-z0-9_-]+$/);
        assert.deepEqual(placeOfToken(token), place);
      }),
    );
  });

  it("foreign tokens are refused", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String().map((text) => `1${text}`),
        ),
        (token) => {
          try {
            placeOfToken(token);
          } catch (error) {
            assert.ok(error instanceof ApiError && error.code === "InvalidArgument");
          }
        },
      ),
    );
    assert.throws(() => placeOfToken("1_____w"), ApiError);
  });

  it("page sizes", () => {
    assert.equal(pageSize(new Query([]), "max-keys"), 1000);
    assert.equal(pageSize(query("max-keys", ""), "max-keys"), 1000);
    assert.equal(pageSize(query("max-keys", "0"), "max-keys"), 0);
    assert.equal(pageSize(query("max-keys", "5000"), "max-keys"), 1000);
    for (const value of ["-1", "a", "1.5", "2147483648", "99999999999", "0x10"])
      assert.throws(() => pageSize(query("max-keys", value), "max-keys"), ApiError, value);
  });

  it("markers that are common prefixes of the same listing", () => {
    assert.equal(endsCommonPrefix("a/", "", "/"), true);
    assert.equal(endsCommonPrefix("a/b/", "a/", "/"), true);
    assert.equal(endsCommonPrefix("a/b/", "", "/"), false);
    assert.equal(endsCommonPrefix("a/b", "", "/"), false);
    assert.equal(endsCommonPrefix("a/", "", ""), false);
    assert.equal(endsCommonPrefix("a--", "", "--"), true);
    assert.equal(endsCommonPrefix("", "", "/"), false);
    assert.equal(endsCommonPrefix("x/", "a", "/"), false);
  });

  it("encoding-type", () => {
    assert.equal(urlEncoded(new Query([])), false);
    assert.equal(urlEncoded(query("encoding-type", "url")), true);
    assert.throws(() => urlEncoded(query("encoding-type", "xml")), ApiError);
  });
});
