import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { emptyLayout } from "../../layout/state.ts";
import type { BucketId } from "../../util/ids.ts";
import { bucketKey, objectKey, ROW } from "../partition/row-keys.ts";
import { type Kind, localAliasId, rowKey } from "./rows.ts";
import { ControlWorld } from "./testing/control-world.ts";

/**
 * Two keys, a token, a bucket with a global and a local name, another one with its own; then the row is damaged, or gone, and the
 * node starts again.
 */
async function worldWithout(kind: Kind, id: (ids: Ids) => string, how: "damaged" | "gone" = "damaged") {
  const world = await ControlWorld.open();
  for (const key of ["key-1", "key-2"]) await world.addKey(key);
  const token = { id: "t", name: "t", hash: "h", scope: ["*"] };
  await world.control.command({ op: "create-token", token });
  await world.control.command({ op: "create-token", token: { ...token, id: "u" } });
  await world.control.changeLayout(() => emptyLayout({ replicationFactor: 1, partitions: 64 }));
  const photos = await world.control.createBucket({ globalAlias: "photos" });
  const music = await world.control.createBucketFor({ keyId: "key-1", name: "music" });
  assert.ok(photos.ok && music.ok);
  await world.control.command({ op: "add-alias", bucket: photos.id, alias: "pictures", keyId: "key-1" });
  const ids = { photos: photos.id, music: music.id };
  const at = rowKey(kind, id(ids));
  if (how === "damaged") world.disk.damage("rows", at, 21);
  else world.disk.write("rows", at.toString("latin1"), null);
  return { world, ids, restarted: world.crash() };
}

interface Ids {
  readonly photos: BucketId;
  readonly music: BucketId;
}

const damage = { code: "kv.damaged" };

describe("a damaged control row keeps nothing from working that does not need it:", () => {
  test("key", async () => {
    const { world, ids, restarted } = await worldWithout("key", () => "key-1");
    await restarted;
    assert.equal(world.control.accessKey("key-1"), undefined, "refused as an unknown one");
    assert.equal(world.control.accessKey("key-2")?.secret, "key-2-secret");
    assert.equal(world.control.resolveBucket("photos", "key-2")?.id, ids.photos);
    assert.ok(world.log.lines.some(({ level, message }) => level === "error" && /access key key-1/.test(message)));
    await assert.rejects(world.addKey("key-1"), damage, "and not made anew over it");
    assert.ok((await world.control.command({ op: "delete-key", id: "key-2" })).ok);
  });

  test("token", async () => {
    const { world, restarted } = await worldWithout("token", () => "t");
    await restarted;
    assert.deepEqual([...world.control.view.tokens.keys()], ["u"]);
    assert.ok(world.log.lines.some(({ message }) => /admin token t,/.test(message)));
  });

  for (const how of ["damaged", "gone"] as const)
    test(`bucket (${how})`, async () => {
      const { world, ids, restarted } = await worldWithout("bucket", ({ photos }) => photos, how);
      await restarted;
      const { control } = world;
      for (const ask of [
        () => control.resolveBucket("photos", "key-2"),
        () => control.resolveBucket("pictures", "key-1"),
        () => control.resolveBucket(ids.photos, "key-2"),
        () => control.bucket(ids.photos),
        () => control.view.buckets.get(ids.photos),
      ])
        assert.throws(ask, { code: "kv.damaged", message: new RegExp(ids.photos) }, "never taken for absent");
      assert.ok(world.log.lines.some(({ level, message }) => level === "error" && message.includes(`bucket ${ids.photos}`)));
      await assert.rejects(control.createBucket({ globalAlias: "photos" }), damage);
      await assert.rejects(control.createBucketFor({ keyId: "key-2", name: "photos" }), damage);
      await assert.rejects(control.deleteBucket(ids.photos), damage);
      assert.equal(control.resolveBucket("music", "key-1")?.id, ids.music);
      assert.deepEqual(
        control.bucketsOf("key-1").map(({ name }) => name),
        ["music"],
      );
      assert.equal(await control.recover(), 0);
      assert.ok((await control.createBucket({ globalAlias: "other" })).ok);
      assert.ok((await control.command({ op: "delete-key", id: "key-1" })).ok, "a key can be taken back all the same");
      assert.throws(() => control.bucket(ids.photos), damage);
    });

  test("names: the bucket's own row has them too", async () => {
    const { world, ids, restarted } = await worldWithout("alias", () => "photos");
    await restarted;
    assert.equal(world.control.resolveBucket("photos", "key-2")?.id, ids.photos);
    await assert.rejects(world.control.createBucket({ globalAlias: "photos" }), damage);
    const other = await worldWithout("localAlias", () => localAliasId("key-1", "music"));
    await other.restarted;
    assert.equal(other.world.control.resolveBucket("music", "key-1")?.id, other.ids.music);
    assert.deepEqual(await other.world.control.deleteBucket(other.ids.music), { ok: true });
    assert.equal(other.world.control.resolveBucket("music", "key-1"), undefined);
    assert.ok((await other.world.control.createBucketFor({ keyId: "key-1", name: "music" })).ok, "free again");
  });

  test("a name and its bucket's row: the name is not free", async () => {
    const { world, ids, restarted } = await worldWithout("alias", () => "photos");
    await restarted;
    world.disk.damage("rows", rowKey("bucket", ids.photos), 9);
    world.disk.damage("rows", rowKey("localAlias", localAliasId("key-1", "pictures")), 9);
    await world.crash();
    for (const [name, key] of [
      ["photos", "key-2"],
      ["pictures", "key-1"],
    ] as const)
      assert.throws(() => world.control.resolveBucket(name, key), damage);
    assert.equal(world.control.resolveBucket("pictures", "key-2"), undefined, "the name of another key");
    await assert.rejects(world.control.createBucket({ globalAlias: "photos" }), damage);
    await assert.rejects(world.control.createBucketFor({ keyId: "key-1", name: "pictures" }), damage);
  });
});

test("a bucket with a damaged object is not empty, and takes writes after the attempt to delete it", async () => {
  const world = await ControlWorld.open();
  const made = await world.control.createBucket({ globalAlias: "photos" });
  assert.ok(made.ok);
  const bucket = world.control.bucket(made.id);
  assert.ok(bucket);
  const [key = "", ...others] = world.keysOf(bucket);
  assert.ok((await world.put(bucket, key)).ok);
  const group = world.placement.ofKey(bucket, key);
  world.disk.damage("rows", objectKey(group, made.id, key), 9);
  world.disk.damage("rows", bucketKey(group, ROW.usage, made.id), 9);
  // As if the look at the counters had come before the object.
  assert.ok((await world.control.command({ op: "begin-delete", id: made.id })).ok);
  assert.equal(await world.control.recover(), 0);
  assert.equal(world.control.bucket(made.id)?.row.phase, "live");
  for (const other of others) assert.ok((await world.put(bucket, other)).ok);
  assert.deepEqual(await world.control.deleteBucket(made.id), { ok: false, code: "not-empty" });
});

for (const [kind, what] of [
  ["settings", /ffff40 .*cluster's id.*no safe default: .*backup of metadata_dir/],
  ["layout", /ffff46 .*layout.*no safe default: .*backup of metadata_dir/],
] as const)
  test(`without its ${kind} a store does not start, and says what to do`, async () => {
    const { restarted } = await worldWithout(kind, () => "");
    await assert.rejects(restarted, { code: "kv.damaged", message: what });
  });
