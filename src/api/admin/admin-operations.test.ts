import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { versionKey } from "../../model/partition/row-keys.ts";
import { Placement } from "../../model/placement.ts";
import type { UploadId } from "../../util/ids.ts";
import { ADMIN_STATUS } from "./admin-error.ts";
import { ADMIN_OPERATIONS } from "./admin-operations.ts";
import { openApiDocument } from "./openapi.ts";
import { AdminNode, type Answer, BLOCK, type Json, NODE_ID, sourceOf } from "./testing/admin-node.ts";
import { ReferenceApi } from "./testing/reference-schema.ts";

let api: AdminNode;
before(async () => {
  api = await AdminNode.start();
});
after(() => api.stop());

const PART_BLOCKS = (5 * 2 ** 20) / BLOCK;

/** Every good answer of this file, to be compared with the reference at the end. */
const answers = new Map<string, unknown[]>();

async function good(name: string, input: { query?: Record<string, string>; body?: unknown } = {}) {
  const answer =
    ADMIN_OPERATIONS.get(name)?.method === "GET"
      ? await api.get(name, input.query)
      : await api.post(name, input.body, input.query);
  assert.equal(answer.status, 200, answer.text);
  answers.set(name, [...(answers.get(name) ?? []), answer.json ?? null]);
  return answer.json;
}
/** The answer of the only node. */
async function here(name: string, body?: unknown) {
  const json = await good(name, { query: { node: "self" }, body });
  assert.deepEqual(json.error, {}, JSON.stringify(json.error));
  return json.success[NODE_ID];
}
async function bad(
  name: string,
  input: { query?: Record<string, string>; body?: unknown },
  code: string,
  message?: RegExp,
): Promise<void> {
  const answer: Answer =
    ADMIN_OPERATIONS.get(name)?.method === "GET"
      ? await api.get(name, input.query)
      : await api.post(name, input.body, input.query);
  assert.equal(answer.json?.code, code, `${name}: ${answer.text}`);
  if (message) assert.match(answer.json.message, message);
}
async function badHere(name: string, body: unknown, message: RegExp): Promise<void> {
  const answer = await (ADMIN_OPERATIONS.get(name)?.method === "GET"
    ? api.get(name, { node: "self" })
    : api.post(name, body, { node: "self" }));
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.json.error[NODE_ID] ?? "", message);
}
const newBucket = async (globalAlias: string): Promise<string> => (await good("CreateBucket", { body: { globalAlias } })).id;
const newKey = async (name: string): Promise<string> => (await good("CreateKey", { body: { name } })).accessKeyId;

describe("keys", () => {
  test("create, list, info, update, delete", async () => {
    const made = await good("CreateKey", {
      body: { name: "first", allow: { createBucket: true }, expiration: "2099-01-01T00:00:00+02:00" },
    });
    assert.match(made.accessKeyId, /^GK[0-9a-f]{24}$/);
    assert.match(made.secretAccessKey, /^[0-9a-f]{64}$/);
    assert.deepEqual(
      [made.name, made.expiration, made.expired, made.permissions],
      ["first", "2098-12-31T22:00:00.000Z", false, { createBucket: true }],
    );
    const id = made.accessKeyId;
    assert.ok((await good("ListKeys")).some((key: { id: string }) => key.id === id));
    for (const query of [{ id }, { search: "first" }, { search: id.slice(0, 10) }] as Record<string, string>[]) {
      const info = await good("GetKeyInfo", { query });
      assert.deepEqual([info.accessKeyId, "secretAccessKey" in info], [id, false]);
    }
    assert.equal((await good("GetKeyInfo", { query: { id, showSecretKey: "true" } })).secretAccessKey, made.secretAccessKey);
    const changed = await good("UpdateKey", {
      query: { id },
      body: { name: "second", neverExpires: true, deny: { createBucket: true } },
    });
    assert.deepEqual([changed.name, changed.expiration, changed.permissions.createBucket], ["second", null, false]);
    assert.deepEqual((await good("UpdateKey", { query: { id }, body: {} })).name, "second");
    const past = await good("UpdateKey", { query: { id }, body: { expiration: "2001-01-01T00:00:00Z" } });
    assert.equal(past.expired, true);
    assert.equal(await good("DeleteKey", { query: { id } }), null);
    for (const name of ["GetKeyInfo", "UpdateKey", "DeleteKey"])
      await bad(name, { query: { id } }, "NoSuchAccessKey", new RegExp(id));
    await bad(
      "ImportKey",
      { body: { accessKeyId: id, secretAccessKey: "s".repeat(16) } },
      "KeyAlreadyExists",
      /never used twice/,
    );
  });

  test("what can't be", async () => {
    await bad("GetKeyInfo", { query: {} }, "InvalidRequest", /either/);
    await bad("GetKeyInfo", { query: { id: "a", search: "b" } }, "InvalidRequest", /either/);
    await bad("GetKeyInfo", { query: { search: "" } }, "InvalidRequest", /either/);
    await newKey("twin");
    await newKey("twin");
    await bad("GetKeyInfo", { query: { search: "twin" } }, "InvalidRequest", /2 access keys/);
    await bad("CreateKey", { body: { expiration: "soon" } }, "InvalidRequest", /expiration/);
    await bad("CreateKey", { body: { expiration: "2099-01-01T00:00:00Z", neverExpires: true } }, "InvalidRequest", /either/);
    await bad("CreateKey", { body: { name: "n".repeat(257) } }, "InvalidRequest", /256/);
    await bad("UpdateKey", { query: {}, body: {} }, "InvalidRequest", /id/);
  });

  test("import: ids and secrets of other stores, odd names of ids included", async () => {
    for (const accessKeyId of ["constructor", "__proto__", "a.b-c_d9", "GK" + "0".repeat(24)]) {
      const secretAccessKey = "visible!ascii~secret";
      const made = await good("ImportKey", { body: { accessKeyId, secretAccessKey, name: `n ${accessKeyId}` } });
      assert.deepEqual([made.accessKeyId, made.secretAccessKey, made.buckets], [accessKeyId, secretAccessKey, []]);
      const bucket = await newBucket(`odd-${accessKeyId.replaceAll(/[^a-z0-9]/gi, "").toLowerCase()}`);
      const rights = { read: true, write: true, owner: true };
      await good("AllowBucketKey", { body: { bucketId: bucket, accessKeyId, permissions: rights } });
      assert.deepEqual((await good("GetKeyInfo", { query: { id: accessKeyId } })).buckets[0].permissions, rights);
      await bad("ImportKey", { body: { accessKeyId, secretAccessKey } }, "KeyAlreadyExists", /exists/);
      await good("DeleteKey", { query: { id: accessKeyId } });
      assert.deepEqual((await good("GetBucketInfo", { query: { id: bucket } })).keys, []);
    }
    for (const [accessKeyId, secretAccessKey] of [
      ["short", "s".repeat(16)],
      ["with blank", "s".repeat(16)],
      ["long-enough", "s".repeat(15)],
      ["long-enough", "with blank in the middle"],
      ["long-enough", "ünsichtbares-geheimnis"],
    ])
      await bad("ImportKey", { body: { accessKeyId, secretAccessKey } }, "InvalidRequest", /characters/);
  });
});

describe("buckets", () => {
  test("create, list, find, alias, rights, settings, delete", async () => {
    const key = await newKey("bucket user");
    const info = await good("CreateBucket", {
      body: { globalAlias: "photos", localAlias: { accessKeyId: key, alias: "mine", allow: { read: true } } },
    });
    const { id } = info;
    assert.match(id, /^[0-9a-f]{64}$/);
    assert.deepEqual(info.globalAliases, ["photos"]);
    assert.deepEqual(info.keys, [
      {
        accessKeyId: key,
        name: "bucket user",
        permissions: { read: true, write: false, owner: false },
        bucketLocalAliases: ["mine"],
      },
    ]);
    for (const query of [{ id }, { globalAlias: "photos" }, { search: "photos" }, { search: id.slice(0, 12) }] as Record<
      string,
      string
    >[])
      assert.equal((await good("GetBucketInfo", { query })).id, id);
    const listed = (await good("ListBuckets")).find((bucket: { id: string }) => bucket.id === id);
    assert.deepEqual(listed.localAliases, [{ accessKeyId: key, alias: "mine" }]);

    const allowed = await good("AllowBucketKey", {
      body: { bucketId: id, accessKeyId: key, permissions: { write: true, owner: true } },
    });
    assert.deepEqual(allowed.keys[0].permissions, { read: true, write: true, owner: true });
    const denied = await good("DenyBucketKey", {
      body: { bucketId: id, accessKeyId: key, permissions: { read: true, write: true, owner: true } },
    });
    assert.deepEqual(denied.keys[0].permissions, { read: false, write: false, owner: false });

    await good("AddBucketAlias", { body: { bucketId: id, globalAlias: "pictures" } });
    await good("AddBucketAlias", { body: { bucketId: id, globalAlias: "pictures" } });
    await good("RemoveBucketAlias", { body: { bucketId: id, globalAlias: "pictures" } });
    const unnamed = await good("RemoveBucketAlias", { body: { bucketId: id, localAlias: "mine", accessKeyId: key } });
    assert.deepEqual(unnamed.keys, [], "no right and no name: not a key of this bucket");
    await bad("RemoveBucketAlias", { body: { bucketId: id, globalAlias: "photos" } }, "InvalidRequest", /last name/);
    await bad("RemoveBucketAlias", { body: { bucketId: id, globalAlias: "never" } }, "InvalidRequest", /does not have/);

    const set = await good("UpdateBucket", {
      query: { id },
      body: {
        websiteAccess: { enabled: true, indexDocument: "index.html", errorDocument: "e/404.html" },
        quotas: { maxSize: 5, maxObjects: null },
      },
    });
    assert.deepEqual(
      [set.websiteAccess, set.websiteConfig],
      [true, { indexDocument: "index.html", errorDocument: "e/404.html" }],
    );
    assert.deepEqual(set.quotas, { maxSize: 5, maxObjects: null });
    const unset = await good("UpdateBucket", { query: { id }, body: { websiteAccess: { enabled: false }, corsRules: [] } });
    assert.deepEqual([unset.websiteAccess, unset.websiteConfig, unset.quotas.maxSize], [false, null, 5]);
    assert.equal((await good("UpdateBucket", { query: { id }, body: { quotas: {} } })).quotas.maxSize, null);

    await api.put(id, "object", Buffer.from("x"));
    assert.deepEqual(
      [(await good("GetBucketInfo", { query: { id } })).objects, (await good("GetBucketInfo", { query: { id } })).bytes],
      [1, 1],
    );
    await bad("DeleteBucket", { query: { id } }, "BucketNotEmpty", /empty/);
    await api.node.parts.admin.objects.delete({ bucket: api.bucket(id), key: "object" });
    assert.equal(await good("DeleteBucket", { query: { id } }), null);
    await bad("DeleteBucket", { query: { id } }, "NoSuchBucket");
    await bad("GetBucketInfo", { query: { globalAlias: "photos" } }, "NoSuchBucket", /photos/);
  });

  test("what can't be", async () => {
    const key = await newKey("refused");
    const id = await newBucket("taken");
    const other = await newBucket("other");
    await bad("CreateBucket", { body: { globalAlias: "taken" } }, "BucketAlreadyExists", /exists/);
    await bad("CreateBucket", { body: { globalAlias: "No Name" } }, "InvalidBucketName", /characters|letters/);
    await bad("CreateBucket", { body: { localAlias: { accessKeyId: "nobody", alias: "mine" } } }, "NoSuchAccessKey");
    await bad("AddBucketAlias", { body: { bucketId: other, globalAlias: "taken" } }, "BucketAlreadyExists");
    await bad("AddBucketAlias", { body: { bucketId: other, globalAlias: "xn--abc" } }, "InvalidBucketName", /punycode/);
    await bad("AddBucketAlias", { body: { bucketId: other, localAlias: "mine", accessKeyId: "nobody" } }, "NoSuchAccessKey");
    await bad("AddBucketAlias", { body: { bucketId: other } }, "InvalidRequest", /globalAlias/);
    const bothNames = { bucketId: other, globalAlias: "both", localAlias: "mine", accessKeyId: key };
    await bad("AddBucketAlias", { body: bothNames }, "InvalidRequest", /not both/);
    await bad("CreateBucket", { body: { localAlias: { accessKeyId: key } } }, "InvalidRequest", /together/);
    await bad(
      "AllowBucketKey",
      { body: { bucketId: "0".repeat(64), accessKeyId: key, permissions: { read: true } } },
      "NoSuchBucket",
    );
    await bad(
      "AllowBucketKey",
      { body: { bucketId: id, accessKeyId: "nobody", permissions: { read: true } } },
      "NoSuchAccessKey",
    );
    await bad(
      "AllowBucketKey",
      { body: { bucketId: id, accessKeyId: key, permissions: { read: "yes" } } },
      "InvalidRequest",
      /permissions\.read/,
    );
    await bad("GetBucketInfo", { query: {} }, "InvalidRequest", /one of/);
    await bad("GetBucketInfo", { query: { id, search: "x" } }, "InvalidRequest", /one of/);
    await bad("GetBucketInfo", { query: { search: "zz" } }, "NoSuchBucket");
    await bad("GetBucketInfo", { query: { search: "" } }, "InvalidRequest", /one of/);
    const update = (body: object, code: string, message?: RegExp) => bad("UpdateBucket", { query: { id }, body }, code, message);
    await update({ websiteAccess: { enabled: true } }, "InvalidRequest", /indexDocument/);
    await update({ websiteAccess: { enabled: true, indexDocument: "a/b" } }, "InvalidRequest", /slash/);
    await update({ websiteAccess: { enabled: false, indexDocument: "a" } }, "InvalidRequest", /switched off/);
    await update({ websiteAccess: { enabled: true, indexDocument: "a", routingRules: [{}] } }, "NotImplemented", /routingRules/);
    await update({ corsRules: [{}] }, "NotImplemented", /corsRules/);
    await update({ lifecycleRules: [{}] }, "NotImplemented", /lifecycleRules/);
    await update({ quotas: { maxSize: -1 } }, "InvalidRequest", /maxSize/);
    await update({ quotas: { maxSize: 1.5 } }, "InvalidRequest", /maxSize/);
  });

  test("64 rivals for one name and then for its deletion", async () => {
    const made = await Promise.all(Array.from({ length: 64 }, () => api.post("CreateBucket", { globalAlias: "contested" })));
    assert.deepEqual(made.map((answer) => answer.status).sort(), [200, ...Array.from({ length: 63 }, () => 409)]);
    const { id } = made.find((answer) => answer.status === 200)?.json ?? {};
    const gone = await Promise.all(Array.from({ length: 16 }, () => api.post("DeleteBucket", undefined, { id })));
    assert.equal(gone.filter((answer) => answer.status === 200).length, 1);
    for (const answer of gone) assert.ok([200, 404, 503].includes(answer.status), answer.text);
  });

  test("unfinished uploads are counted, and cleaned up by age", async () => {
    const id = await newBucket("uploads");
    const { objects } = api.node.parts.admin;
    const keys = ["a", "a", "b/c"];
    for (const key of keys) {
      const upload = await objects.createUpload({ bucket: api.bucket(id), key, headers: { system: [], user: [] } });
      assert.ok(upload.ok);
      const body = { source: sourceOf(Buffer.alloc(2000)), sizeBytes: 2000, signal: new AbortController().signal };
      assert.ok((await objects.putPart({ bucket: api.bucket(id), key, upload: upload.upload, part: 1, body })).ok);
    }
    const info = await good("GetBucketInfo", { query: { id } });
    assert.deepEqual(
      [
        info.unfinishedUploads,
        info.unfinishedMultipartUploads,
        info.unfinishedMultipartUploadParts,
        info.unfinishedMultipartUploadBytes,
      ],
      [3, 3, 3, 6000],
    );
    assert.equal("ignoredCannedAcl" in info, false);
    api.node.parts.admin.ignoredAcls.note(api.bucket(id).id, "public-read");
    assert.equal((await good("GetBucketInfo", { query: { id } })).ignoredCannedAcl, "public-read");
    assert.deepEqual(await good("CleanupIncompleteUploads", { body: { bucketId: id, olderThanSecs: 3600 } }), {
      uploadsDeleted: 0,
    });
    assert.deepEqual(await good("CleanupIncompleteUploads", { body: { bucketId: id, olderThanSecs: 0 } }), { uploadsDeleted: 3 });
    assert.ok((await objects.createUpload({ bucket: api.bucket(id), key: "d", headers: { system: [], user: [] } })).ok);
    await good("DeleteBucket", { query: { id } });
    await bad("CleanupIncompleteUploads", { body: { bucketId: id, olderThanSecs: 0 } }, "NoSuchBucket");
    await bad("CleanupIncompleteUploads", { body: { bucketId: id, olderThanSecs: -1 } }, "InvalidRequest");
  });
});

describe("objects and blocks", () => {
  test("what is stored of a key: inline, blocks, a multipart object, an upload under way", async () => {
    const id = await newBucket("inspected");
    const inspect = async (key: string) => (await good("InspectObject", { query: { bucketId: id, key } })).versions;
    await api.put(id, "small", Buffer.from("tiny"), [["colour", "blau"]]);
    const [small] = await inspect("small");
    assert.deepEqual([small.inline, small.size, small.blocks], [true, 4, []]);
    assert.deepEqual(small.headers, [
      ["content-type", "text/plain"],
      ["x-amz-meta-colour", "blau"],
    ]);
    const bytes = Buffer.from(Array.from({ length: 2 * BLOCK + 452 }, (_, n) => n % 251));
    await api.put(id, "größe\0", bytes);
    const [large] = await inspect("größe\0");
    assert.deepEqual(
      large.blocks.map(({ partNumber, offset, size }: { partNumber: number; offset: number; size: number }) => [
        partNumber,
        offset,
        size,
      ]),
      [
        [1, 0, BLOCK],
        [1, BLOCK, BLOCK],
        [1, 2 * BLOCK, 452],
      ],
    );

    const { objects } = api.node.parts.admin;
    const bucket = api.bucket(id);
    const upload = await objects.createUpload({ bucket, key: "multi", headers: { system: [["content-type", "a/b"]], user: [] } });
    assert.ok(upload.ok);
    const parts: { part: number; etag: string }[] = [];
    for (const part of [2, 7]) {
      const body = { source: sourceOf(Buffer.alloc(5 * 2 ** 20, part)), signal: new AbortController().signal };
      const put = await objects.putPart({ bucket, key: "multi", upload: upload.upload, part, body });
      assert.ok(put.ok);
      parts.push({ part, etag: put.etag });
    }
    const [under] = await inspect("multi");
    assert.deepEqual(
      [under.uuid, under.uploading, under.size, under.blocks.length],
      [upload.upload, true, null, 2 * PART_BLOCKS],
    );
    assert.ok((await objects.completeUpload({ bucket, key: "multi", upload: upload.upload as UploadId, parts })).ok);
    const versions = await inspect("multi");
    assert.equal(versions.length, 1);
    const [multi] = versions;
    assert.deepEqual(
      [multi.uploading, multi.size, multi.blocks.length, multi.headers],
      [false, 10 * 2 ** 20, 2 * PART_BLOCKS, [["content-type", "a/b"]]],
    );
    const places = multi.blocks.map(
      ({ partNumber, offset }: { partNumber: number; offset: number }) => `${partNumber}:${offset}`,
    );
    assert.deepEqual(
      [places[0], places[PART_BLOCKS - 1], places[PART_BLOCKS], places[2 * PART_BLOCKS - 1]],
      ["2:0", `2:${5 * 2 ** 20 - BLOCK}`, "7:0", `7:${5 * 2 ** 20 - BLOCK}`],
    );

    await bad("InspectObject", { query: { bucketId: id, key: "none" } }, "NoSuchKey", /none/);
    await bad("InspectObject", { query: { bucketId: id, key: "k".repeat(1025) } }, "InvalidRequest", /1024/);
    await bad("InspectObject", { query: { bucketId: "0".repeat(64), key: "k" } }, "NoSuchBucket");
    await bad("InspectObject", { query: { bucketId: id } }, "InvalidRequest", /key/);
  });

  test("who needs a block, and the purge of it", async () => {
    const id = await newBucket("purged");
    const bucket = api.bucket(id);
    const shared = Buffer.alloc(BLOCK, 1);
    await api.put(id, "one", shared);
    await api.put(id, "two", Buffer.concat([shared, Buffer.alloc(500, 2)]));
    await api.put(id, "three", Buffer.alloc(1024, 3));
    const { objects } = api.node.parts.admin;
    const upload = await objects.createUpload({ bucket, key: "four", headers: { system: [], user: [] } });
    assert.ok(upload.ok);
    const body = { source: sourceOf(shared), signal: new AbortController().signal };
    assert.ok((await objects.putPart({ bucket, key: "four", upload: upload.upload, part: 3, body })).ok);

    const [{ uuid, blocks }] = (await good("InspectObject", { query: { bucketId: id, key: "one" } })).versions;
    const hash: string = blocks[0].hash;
    const info = await here("GetBlockInfo", { blockHash: hash.slice(0, 12).toUpperCase() });
    assert.deepEqual([info.blockHash, info.refcount], [hash, 3]);
    const byKey = new Map(
      info.versions.map((one: { backlink: { object?: { key: string }; upload?: { key: string } } }) => [
        (one.backlink.object ?? one.backlink.upload)?.key,
        one,
      ]),
    ) as Map<string, Json>;
    assert.deepEqual(byKey.get("one"), {
      versionId: uuid,
      refDeleted: false,
      versionDeleted: false,
      garbageCollected: false,
      backlink: { object: { bucketId: id, key: "one" } },
    });
    assert.deepEqual(byKey.get("four").backlink.upload, {
      uploadId: upload.upload,
      uploadDeleted: false,
      uploadGarbageCollected: false,
      bucketId: id,
      key: "four",
    });

    await badHere("GetBlockInfo", { blockHash: "abc" }, /4 hex/);
    await badHere("GetBlockInfo", { blockHash: "xyzx" }, /4 hex/);
    await badHere("GetBlockInfo", { blockHash: "0".repeat(64) }, /no block/);
    await badHere("PurgeBlocks", [hash.slice(0, 12)], /all 64/);
    await badHere("PurgeBlocks", ["0".repeat(64)], /no object needs/);
    await badHere("RetryBlockResync", { all: true }, /nowhere to fetch/);

    assert.deepEqual(await here("PurgeBlocks", [hash]), {
      blocksPurged: 1,
      blockRefsPurged: 3,
      versionsDeleted: 2,
      objectsDeleted: 2,
      uploadsDeleted: 1,
    });
    for (const key of ["one", "two", "four"]) await bad("InspectObject", { query: { bucketId: id, key } }, "NoSuchKey");
    assert.equal((await good("GetBucketInfo", { query: { id } })).objects, 1, "the third does not need it");
  });

  test("damaged blocks are listed with what needs them", async () => {
    const id = await newBucket("damaged");
    await api.put(id, "rotten", Buffer.from(Array.from({ length: 1000 }, (_, n) => (n * n) % 256)));
    const [{ blocks }] = (await good("InspectObject", { query: { bucketId: id, key: "rotten" } })).versions;
    const { hash } = blocks[0];
    const folder = join(api.home, "data", hash.slice(0, 2), hash.slice(2, 4));
    for (const name of [hash, `${hash}.zst`]) writeFileSync(join(folder, name), "not these bytes");
    const found = await api.node.parts.admin.objects.lookup({ bucket: api.bucket(id), key: "rotten" });
    await assert.rejects(async () => {
      const source = found?.open();
      while (await source?.read());
    });
    const errors = await here("ListBlockErrors");
    assert.deepEqual(
      errors.map((one: { blockHash: string; refcount: number }) => [one.blockHash, one.refcount]),
      [[hash, 1]],
    );
    assert.match(errors[0].message, /damaged/);
  });
});

describe("cluster, layout, node", () => {
  test("status, health, statistics, node", async () => {
    const status = await good("GetClusterStatus");
    assert.equal(status.layoutVersion, 1);
    assert.deepEqual(
      status.nodes.map((node: { id: string; isUp: boolean }) => [node.id, node.isUp]),
      [[NODE_ID, true]],
    );
    assert.deepEqual(status.nodes[0].dataPartition, { available: 4e11, total: 1e12 });
    assert.equal((await good("GetClusterHealth")).status, "healthy");
    const statistics = await good("GetClusterStatistics");
    assert.equal(statistics.bucketCount, (await good("ListBuckets")).length);
    assert.ok(statistics.freeform.includes("Buckets:"));
    const node = await here("GetNodeInfo");
    assert.equal(node.nodeId, NODE_ID);
    // Tools compare the one with the releases of Garage whose API they speak; people want to know the other.
    for (const facts of [node, status.nodes[0]])
      assert.deepEqual([facts.garageVersion, facts.hangarVersion], ["v2.3.0", "0.0.0-test"]);
    assert.match((await here("GetNodeStatistics")).freeform, /Database engine: memory/);
    await bad("ConnectClusterNodes", { body: ["x@y:1"] }, "NotImplemented", /one node/);
    await badHere("CreateMetadataSnapshot", undefined, /metadata_dir and data_dir as they were at one moment/);
  });

  test("layout: stage, preview, revert, apply, history", async () => {
    const staged = await good("UpdateClusterLayout", {
      body: {
        roles: [{ id: NODE_ID, zone: "attic", tags: ["a"], capacity: 5e9 }],
        parameters: { zoneRedundancy: { atLeast: 1 } },
      },
    });
    assert.deepEqual(staged.stagedRoleChanges, [{ id: NODE_ID, zone: "attic", tags: ["a"], capacity: 5e9 }]);
    const preview = await good("PreviewClusterLayoutChanges");
    assert.equal(preview.newLayout.version, 2);
    assert.equal((await good("RevertClusterLayout")).stagedRoleChanges.length, 0);
    await good("UpdateClusterLayout", { body: { roles: [{ id: NODE_ID, remove: true }] } });
    assert.match((await good("PreviewClusterLayoutChanges")).error, /\S/);
    await bad("ApplyClusterLayout", { body: { version: 2 } }, "InvalidRequest");
    await good("RevertClusterLayout");
    await good("UpdateClusterLayout", { body: { roles: [{ id: NODE_ID, zone: "attic", tags: [], capacity: 7e9 }] } });
    await bad("ApplyClusterLayout", { body: { version: 9 } }, "InvalidRequest", /version/);
    const applied = await good("ApplyClusterLayout", { body: { version: 2 } });
    assert.deepEqual([applied.layout.version, applied.layout.roles[0].capacity], [2, 7e9]);
    assert.equal((await good("GetClusterLayout")).version, 2);
    assert.equal((await good("GetClusterLayoutHistory")).currentVersion, 2);
    for (const role of [
      { id: "zz", zone: "a", capacity: 5e9 },
      { id: NODE_ID, zone: "a", capacity: 3 },
      { id: NODE_ID, zone: "", capacity: 5e9 },
      { id: NODE_ID, remove: false },
    ])
      await bad("UpdateClusterLayout", { body: { roles: [role] } }, "InvalidRequest");
    await bad("UpdateClusterLayout", { body: { parameters: { zoneRedundancy: { atLeast: 9 } } } }, "InvalidRequest");
    await bad("ClusterLayoutSkipDeadNodes", { body: { version: 2, allowMissingData: false } }, "NotImplemented");
  });

  test("a bucket goes with all its names, or keeps them all", async () => {
    const key = await newKey("names");
    const id = await newBucket("first-name");
    await good("AddBucketAlias", { body: { bucketId: id, globalAlias: "second-name" } });
    await good("AddBucketAlias", { body: { bucketId: id, localAlias: "third-name", accessKeyId: key } });
    await api.put(id, "k", Buffer.from("x"));
    await bad("DeleteBucket", { query: { id } }, "BucketNotEmpty");
    const kept = await good("GetBucketInfo", { query: { id } });
    assert.deepEqual([kept.globalAliases, kept.keys[0].bucketLocalAliases], [["first-name", "second-name"], ["third-name"]]);
    await api.node.parts.admin.objects.delete({ bucket: api.bucket(id), key: "k" });
    assert.equal(await good("DeleteBucket", { query: { id } }), null);
    for (const globalAlias of ["first-name", "second-name"])
      await bad("GetBucketInfo", { query: { globalAlias } }, "NoSuchBucket");
    await newBucket("second-name");
    assert.deepEqual((await good("GetKeyInfo", { query: { id: key } })).buckets, []);
  });

  test("a directory that can't be read leaves the rest of the state to be seen", async () => {
    let gone = false;
    const space = { availableBytes: 1, totalBytes: 2 };
    const node = await AdminNode.start({
      space: () => {
        if (gone) throw new Error("ENOENT");
        return { data: space, metadata: space };
      },
    });
    try {
      gone = true;
      const status = await node.get("GetClusterStatus");
      assert.equal(status.status, 200, status.text);
      assert.deepEqual([status.json.nodes[0].isUp, status.json.nodes[0].metadataPartition], [true, null]);
      const statistics = (await node.get("GetClusterStatistics")).json;
      assert.deepEqual([statistics.dataAvail, statistics.incompleteAvailInfo], [null, true]);
      assert.match(statistics.freeform, /Available: unknown/);
    } finally {
      await node.stop();
    }
  });

  test("references that a damaged row left are dropped once nothing is damaged any more", async () => {
    const node = await AdminNode.start();
    try {
      const { id } = (await node.post("CreateBucket", { globalAlias: "rotten" })).json;
      await node.put(id, "a", Buffer.alloc(2 * BLOCK, "a"));
      const { objects } = node.node.parts.admin;
      const placement = new Placement(node.node.parts.groups.partitions);
      const bucket = node.bucket(id);
      const found = await objects.lookup({ bucket, key: "a" });
      assert.ok(found);
      node.kv.disk.damage("bodies", versionKey(placement.ofKey(bucket, "a"), bucket.id, "a", found.version), 9);
      const repair = async () => (await node.post("LaunchRepairOperation", { repairType: "blockRefs" }, { node: "self" })).json;
      assert.match((await repair()).error[NODE_ID], /nothing was dropped.*overwrite or delete.*damaged-row: row /);
      await objects.delete({ bucket, key: "a" });
      const broken = async () => (await node.post("AuditNode", undefined, { node: "self" })).json.success[NODE_ID].broken;
      assert.ok((await broken()).length > 0, "the blocks of the row that nobody can read");
      assert.deepEqual((await repair()).error, {});
      assert.deepEqual(await broken(), []);
    } finally {
      await node.stop();
    }
  });

  test("workers, variables, repairs, audit", async () => {
    const workers = await here("ListWorkers", {});
    assert.ok(workers.length > 2);
    assert.deepEqual((await here("ListWorkers", { errorOnly: true })).length, 0);
    const { id } = workers[0];
    assert.equal((await here("GetWorkerInfo", { id })).id, id);
    await badHere("GetWorkerInfo", { id: 1e6 }, /no worker/);
    assert.ok("scrub-tranquility" in (await here("GetWorkerVariable", {})));
    assert.deepEqual(await here("SetWorkerVariable", { variable: "scrub-tranquility", value: "7" }), {
      variable: "scrub-tranquility",
      value: "7",
    });
    assert.deepEqual(await here("GetWorkerVariable", { variable: "scrub-tranquility" }), { "scrub-tranquility": "7" });
    await badHere("GetWorkerVariable", { variable: "constructor" }, /no variable/);
    await badHere("SetWorkerVariable", { variable: "constructor", value: "1" }, /no variable/);
    await badHere("SetWorkerVariable", { variable: "scrub-next-run", value: "1" }, /only be read/);
    await badHere("SetWorkerVariable", { variable: "scrub-tranquility", value: "fast" }, /fast|whole|number/);
    for (const repairType of ["rebalance", { scrub: "start" }, { scrub: "cancel" }])
      assert.equal(await here("LaunchRepairOperation", { repairType }), null);
    await badHere("LaunchRepairOperation", { repairType: "tables" }, /nothing to repair/);
    assert.equal(await here("LaunchRepairOperation", { repairType: "blockRefs" }), null);
    const audit = await here("AuditNode");
    assert.ok(Array.isArray(audit.broken) && Array.isArray(audit.unfinished));
  });

  test("admin tokens", async () => {
    const made = await good("CreateAdminToken", { body: { name: "t", scope: ["ListKeys", "ListKeys", "Metrics"] } });
    assert.deepEqual(made.scope, ["ListKeys", "Metrics"]);
    const { id } = made;
    const everything = await good("CreateAdminToken", { body: {} });
    assert.deepEqual([everything.scope, everything.expiration], [["*"], null]);
    assert.deepEqual(
      (await good("ListAdminTokens")).map((token: { id: string | null }) => token.id),
      [null, id, everything.id],
    );
    for (const query of [{ id }, { search: id.slice(0, 8) }, { search: "t" }] as Record<string, string>[])
      assert.equal((await good("GetAdminTokenInfo", { query })).id, id);
    assert.equal((await good("GetCurrentAdminTokenInfo")).id, null);
    // Rivals that change different things: both hold.
    await Promise.all([
      good("UpdateAdminToken", { query: { id }, body: { name: "renamed" } }),
      good("UpdateAdminToken", { query: { id }, body: { scope: ["Metrics"] } }),
    ]);
    const both = await good("GetAdminTokenInfo", { query: { id } });
    assert.deepEqual([both.name, both.scope], ["renamed", ["Metrics"]]);
    await bad("CreateAdminToken", { body: { scope: ["NoSuchCall"] } }, "InvalidRequest", /NoSuchCall/);
    await bad("GetAdminTokenInfo", { query: {} }, "InvalidRequest", /either/);
    await bad("GetAdminTokenInfo", { query: { search: "" } }, "InvalidRequest", /either/);
    await bad("DeleteAdminToken", { query: { id: "0".repeat(24) } }, "NoSuchAdminToken");
    assert.equal(await good("DeleteAdminToken", { query: { id } }), null);
    for (const name of ["DeleteAdminToken", "UpdateAdminToken", "GetAdminTokenInfo"])
      await bad(name, { query: { id }, body: name === "UpdateAdminToken" ? {} : undefined }, "NoSuchAdminToken");
  });
});

/** Fields of ours that the reference does not have, on purpose. */
const OURS = new Set([
  "InspectObject $.versions[].blocksTruncated",
  "ListBlockErrors $.success.*[].message",
  "GetNodeInfo $.success.*.hostname",
  "GetNodeInfo $.success.*.hangarVersion",
  "GetClusterStatus $.nodes[].hangarVersion",
  "GetClusterStatus $.nodes[].problems",
  "GetBucketInfo $.ignoredCannedAcl",
]);
/** Operations of ours. */
const OUR_OPERATIONS = new Set(["AuditNode", "ListQuarantine", "RestoreQuarantine"]);

test("every answer has the reference's fields, and no others but ours", (t) => {
  const reference = ReferenceApi.load();
  if (!reference) return t.skip("the reference document does not lie beside this checkout");
  for (const name of ADMIN_OPERATIONS.keys())
    if (!OUR_OPERATIONS.has(name)) assert.ok(reference.operations.has(name), `${name} is in the reference`);
  const missing = [...reference.operations.keys()].filter((name) => /^[A-Z]/.test(name) && !ADMIN_OPERATIONS.has(name));
  assert.deepEqual(missing, []);
  const unseen: string[] = [];
  for (const [name, { method, response, parameters, body }] of reference.operations) {
    const operation = ADMIN_OPERATIONS.get(name);
    if (!operation) continue;
    assert.equal(operation.method, method, name);
    const own = openApiDocument("0")["paths"] as Record<string, Record<string, Json>>;
    const ours = own[`/v2/${name}`]?.[method.toLowerCase()];
    for (const parameter of parameters)
      assert.ok(
        ours.parameters.some((one: { name: string }) => one.name === parameter),
        `${name}?${parameter}`,
      );
    const fields = JSON.stringify(ours.requestBody ?? {});
    for (const field of body ? reference.fieldsOf(body) : []) assert.ok(fields.includes(`"${field}"`), `${name} {${field}}`);
    const given = answers.get(name) ?? [];
    if (given.length === 0) unseen.push(name);
    for (const answer of response ? given : []) {
      const { faults, extra } = reference.compare(answer, response as never);
      assert.deepEqual(faults, [], `${name}: ${JSON.stringify(answer).slice(0, 300)}`);
      assert.deepEqual(
        [...new Set(extra)].filter((field) => !OURS.has(`${name} ${field}`)),
        [],
        name,
      );
    }
  }
  assert.deepEqual(unseen.sort(), [
    "ClusterLayoutSkipDeadNodes",
    "ConnectClusterNodes",
    "CreateMetadataSnapshot",
    "RetryBlockResync",
  ]);
});

test("the OpenAPI document names every operation with its method, parameters and answer", () => {
  const document = openApiDocument("1.2.3") as {
    openapi: string;
    info: { version: string };
    paths: Record<string, Record<string, Json>>;
  };
  assert.equal(document.openapi, "3.1.0");
  assert.equal(document.info.version, "1.2.3");
  assert.deepEqual(
    Object.keys(document.paths).sort(),
    ["/check", "/health", "/metrics", ...[...ADMIN_OPERATIONS.keys()].map((name) => `/v2/${name}`)].sort(),
  );
  for (const [name, operation] of ADMIN_OPERATIONS) {
    const described = document.paths[`/v2/${name}`]?.[operation.method.toLowerCase()];
    assert.equal(described.operationId, name);
    assert.ok(described.responses["200"].content["application/json"].schema, name);
    assert.equal("requestBody" in described, operation.body !== undefined, name);
    assert.equal(
      described.parameters.some((one: { name: string }) => one.name === "node"),
      operation.perNode === true,
      name,
    );
  }
});

test("docs/admin-api.md lists exactly the operations and error codes there are", () => {
  const text = readFileSync(new URL("../../../docs/admin-api.md", import.meta.url), "utf8");
  const table = text.slice(text.indexOf("## Operations"));
  const named = [...table.matchAll(/`([A-Z][A-Za-z]+)`/g)].map((match) => match[1]);
  assert.deepEqual(named.sort(), [...ADMIN_OPERATIONS.keys()].sort());
  for (const code of Object.keys(ADMIN_STATUS)) assert.ok(code === "InternalError" || text.includes(code), code);
});
