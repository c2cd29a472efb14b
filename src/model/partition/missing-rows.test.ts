import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Tree } from "../../platform/kv.ts";
import type { Body, CompleteResult, PutResult, ResolveClaimResult } from "../commands.ts";
import { readHeadVersion } from "./read-version.ts";
import { pageKey, partKey, ROW, versionKey } from "./row-keys.ts";
import { allClaims, bucketRef, claimOf, hashOf, PartitionWorld, uploadOf } from "./testing/partition-world.ts";

const BUCKET = bucketRef(1, 1);
const ETAG = "d41d8cd98f00b204e9800998ecf8427e";
const HEADERS = { system: [], user: [] };

function blocks(count: number, first: number): Body {
  const list = Array.from({ length: count }, (_, at) => ({ hash: hashOf(first + at), size: 10, storedSize: 10 }));
  return { kind: "blocks", size: count * 10, blocks: list };
}

async function open() {
  const world = await PartitionWorld.open();
  await world.makeBucket(BUCKET);
  const group = world.placement.ofKey(BUCKET, "k");
  const { id: bucket } = BUCKET;
  const put = async (body: Body, claim: number) => {
    const result = await world.propose<PutResult>(group, {
      ...{ op: "put", bucket, key: "k", claim: claimOf(claim), headers: HEADERS, etag: ETAG, body },
    });
    assert.ok(result.ok);
    return result.version;
  };
  const resolution = (claim: number, part?: number) =>
    world.propose<ResolveClaimResult>(group, {
      ...{ op: "resolve-claim", bucket, key: "k", claim: claimOf(claim) },
      ...(part === undefined ? {} : { upload: uploadOf(1), part }),
    });
  const take = (tree: Tree, key: Buffer) => world.disk.write(tree, key.toString("latin1"), null);
  const claims = () => world.read((rows) => allClaims(rows, world));
  return { world, group, bucket, put, resolution, take, claims };
}

/** Whose claim it was nobody knows any more. */
const WAIT = { live: true, wait: true };

describe("a row that another one names and that is gone is lost by damage: no reference is given up for it", () => {
  test("a version row", async () => {
    const { group, bucket, put, resolution, take, claims } = await open();
    const version = await put(blocks(3, 1), 7);
    assert.equal((await claims()).length, 3);
    take("bodies", versionKey(group, bucket, "k", version));
    assert.deepEqual(await resolution(7), WAIT);
    assert.deepEqual(await resolution(8), WAIT, "nobody knows whose claim it was");
    assert.equal((await claims()).length, 0);
    await put(blocks(1, 9), 10);
    assert.deepEqual(await resolution(7), { live: false }, "once it is replaced, what it named may go");
    assert.equal((await claims()).length, 1);
  });

  test("a page of blocks", async () => {
    const { group, bucket, put, resolution, take, claims } = await open();
    await put(blocks(1_500, 1), 7);
    take("bodies", pageKey(group, ROW.blockPage, { bucket, key: "k", owner: claimOf(7), page: 1 }));
    assert.deepEqual(await resolution(7), { live: true });
    assert.equal((await claims()).length, 1_024);
  });

  test("a part, and a page of parts", async () => {
    for (const count of [3, 200]) {
      const { world, group, bucket, resolution, take, claims } = await open();
      const place = { bucket, key: "k", upload: uploadOf(1) };
      await world.propose(group, { op: "create-upload", ...place, headers: HEADERS });
      for (let part = 1; part <= count + 1; part++) {
        const body = blocks(1, part);
        await world.propose(group, { op: "put-part", ...place, part, claim: claimOf(part), etag: ETAG, body });
      }
      const parts = Array.from({ length: count }, (_, at) => ({ part: at + 1, etag: ETAG }));
      assert.ok((await world.propose<CompleteResult>(group, { op: "complete-upload", ...place, parts, minPartSize: 0 })).ok);
      assert.deepEqual(await resolution(2, 2), { live: true });
      await claims();
      take("bodies", partKey(group, bucket, "k", place.upload, 2));
      assert.deepEqual(await resolution(2, 2), WAIT);
      assert.deepEqual(await resolution(3, 3), { live: true }, "the others are whole");
      assert.deepEqual(await resolution(count + 1, count + 1), { live: false }, "left out of the version");
      if (count <= 128) continue;
      take("bodies", pageKey(group, ROW.partPage, { bucket, key: "k", owner: place.upload, page: 0 }));
      assert.deepEqual(await resolution(3, 3), WAIT);
      assert.ok(await world.read((rows) => readHeadVersion(rows, group, bucket, "k")));
    }
  });
});
