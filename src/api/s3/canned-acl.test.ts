import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryLog } from "../../../sim/platform/memory-log.ts";
import type { BucketId } from "../../util/ids.ts";
import { ApiError } from "../common/api-error.ts";
import { IgnoredAcls } from "../common/ignored-acls.ts";
import type { Services } from "./call.ts";
import { cannedAcl, noteIgnoredAcl } from "./canned-acl.ts";

describe("canned ACLs", () => {
  it("AWS's are taken, an empty one is none, any other is an invalid argument", () => {
    assert.equal(cannedAcl(undefined), "");
    assert.equal(cannedAcl(" "), "");
    assert.equal(cannedAcl("public-read"), "public-read");
    for (const acl of ["everyone", "Public-Read", "toString"])
      assert.throws(
        () => cannedAcl(acl),
        (error) => error instanceof ApiError && error.code === "InvalidArgument",
      );
  });

  it("those that would grant something are logged once per bucket, and remembered for its information", () => {
    const log = new MemoryLog();
    const ignoredAcls = new IgnoredAcls();
    const services = { log, ignoredAcls } as unknown as Services;
    const [photos, films] = ["1", "2"].map((digit) => ({ id: digit.repeat(64) as BucketId, name: `bucket-${digit}` }));
    assert.ok(photos !== undefined && films !== undefined);
    for (const acl of ["", "private", "bucket-owner-full-control"]) noteIgnoredAcl(acl, photos, services);
    assert.deepEqual([log.lines.length, ignoredAcls.latest(photos.id)], [0, undefined]);
    for (const acl of ["public-read", "public-read", "authenticated-read"]) noteIgnoredAcl(acl, photos, services);
    noteIgnoredAcl("public-read-write", films, services);
    assert.deepEqual(
      log.lines.map(({ level, fields }) => [level, fields["bucket"], fields["acl"]]),
      [
        ["warn", "bucket-1", "public-read"],
        ["warn", "bucket-2", "public-read-write"],
      ],
    );
    assert.equal(ignoredAcls.latest(photos.id), "authenticated-read");
    assert.equal(ignoredAcls.latest("3".repeat(64) as BucketId), undefined);
  });
});
