import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Body, CompleteResult } from "../commands.ts";
import { releasedBlocks } from "./data-reads.ts";
import { readOutbox } from "./outbox-row.ts";
import { bucketRef, checkRows, claimOf, hashOf, PartitionWorld, uploadOf } from "./testing/partition-world.ts";

const BUCKET = bucketRef(1, 1);
const PLACE = { bucket: BUCKET.id, key: "k", upload: uploadOf(1) } as const;
const HEADERS = { system: [], user: [] };
const etagOf = (part: number): string => createHash("md5").update(`part ${part}`).digest("hex");

/** An upload of parts 1 to 3, each one block of 10 bytes. */
async function uploaded() {
  const world = await PartitionWorld.open();
  await world.makeBucket(BUCKET);
  const group = world.placement.ofKey(BUCKET, PLACE.key);
  await world.propose(group, { op: "create-upload", ...PLACE, headers: HEADERS });
  for (const part of [1, 2, 3]) {
    const body: Body = { kind: "blocks", size: 10, blocks: [{ hash: hashOf(part), size: 10, storedSize: 10 }] };
    await world.propose(group, { op: "put-part", ...PLACE, part, claim: claimOf(part), etag: etagOf(part), body });
  }
  const complete = (parts: readonly { readonly part: number; readonly etag: string }[]) =>
    world.propose<CompleteResult>(group, { op: "complete-upload", ...PLACE, parts, minPartSize: 0 });
  return { world, group, complete };
}

const named = (...parts: number[]) => parts.map((part) => ({ part, etag: etagOf(part) }));

test("parts that a completion leaves out are released, and count no more", async () => {
  const { world, group, complete } = await uploaded();
  assert.ok((await complete(named(1, 3))).ok);
  await world.read((rows) => checkRows(rows, world));
  const entries = await world.read((rows) => readOutbox(rows, group, { after: 0, limit: 10 }));
  const released = await world.read((rows) => entries.flatMap((entry) => releasedBlocks(rows, group, entry, undefined).blocks));
  assert.deepEqual(
    released.map(({ hash, claim }) => [hash, claim]),
    [[hashOf(2), claimOf(2)]],
  );
});

test("the ETag is the MD5 of the parts' raw MD5s, and their number", async () => {
  const { complete } = await uploaded();
  const result = await complete(named(1, 2, 3));
  const raw = Buffer.from([1, 2, 3].map(etagOf).join(""), "hex");
  assert.equal(result.ok && result.etag, `${createHash("md5").update(raw).digest("hex")}-3`);
});

test("a completion that is asked for again has the same answer, and only for the same parts", async () => {
  const { complete } = await uploaded();
  const result = await complete(named(1, 2));
  assert.ok(result.ok);
  assert.deepEqual(await complete(named(1, 2)), result);
  const otherEtag = [...named(1), { part: 2, etag: etagOf(3) }];
  for (const other of [otherEtag, named(1), named(1, 2, 3), named(1, 3)])
    assert.deepEqual(await complete(other), { ok: false, refused: "no-such-upload" });
});
