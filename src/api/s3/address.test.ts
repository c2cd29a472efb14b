import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { uriEncodePath } from "../../util/uri-encoding.ts";
import { ApiError } from "../common/api-error.ts";
import { addressOf, rootDomainOf, vhostBucketOf } from "./address.ts";

describe("addresses", () => {
  it("path style, nothing normalized", () => {
    assert.deepEqual(addressOf("/", undefined), { bucket: "", key: "" });
    assert.deepEqual(addressOf("/b", undefined), { bucket: "b", key: "" });
    assert.deepEqual(addressOf("/b/", undefined), { bucket: "b", key: "" });
    assert.deepEqual(addressOf("//b/k", undefined), { bucket: "b", key: "k" });
    assert.deepEqual(addressOf("/b//k", undefined), { bucket: "b", key: "/k" });
    assert.deepEqual(addressOf("/b/a/../k/.", undefined), { bucket: "b", key: "a/../k/." });
    assert.deepEqual(addressOf("/b/a%2Fb+c%20d%00", undefined), { bucket: "b", key: "a/b+c d\0" });
    assert.throws(() => addressOf("/b/%ff", undefined), ApiError);
    assert.throws(() => addressOf("/b/%2", undefined), ApiError);
  });

  it("virtual-host style", () => {
    assert.deepEqual(addressOf("/k/l", "b"), { bucket: "b", key: "k/l" });
    assert.deepEqual(addressOf("/", "b"), { bucket: "b", key: "" });
    assert.deepEqual(addressOf("//k", "b"), { bucket: "b", key: "/k" });
    const root = rootDomainOf("s3.example.com");
    assert.equal(rootDomainOf(".s3.example.com"), root);
    assert.equal(vhostBucketOf("photos.s3.example.com", root), "photos");
    assert.equal(vhostBucketOf("My.Photos.S3.example.com:3900", root), "my.photos");
    assert.equal(vhostBucketOf("photos.s3.example.com.", root), "photos");
    assert.equal(vhostBucketOf("photos.s3.example.com..:3900", root), "photos", "no bucket is met by path instead");
    assert.equal(vhostBucketOf("PHOTOS.S3.Example.COM.:3900", root), "photos");
    assert.equal(vhostBucketOf("photos.s3.example.com", rootDomainOf("s3.example.com.")), "photos");
    assert.equal(vhostBucketOf("s3.example.com", root), undefined);
    assert.equal(vhostBucketOf("s3.example.com.", root), undefined);
    assert.equal(vhostBucketOf("xs3.example.com", root), undefined);
    assert.equal(vhostBucketOf("[::1]:3900", root), undefined);
    assert.equal(vhostBucketOf("photos.s3.example.com", undefined), undefined);
  });

  it("any key survives the way through a path", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (text) => {
        const key = text.toWellFormed();
        assert.deepEqual(addressOf("/bucket/" + uriEncodePath(key), undefined), { bucket: "bucket", key });
      }),
    );
  });
});
