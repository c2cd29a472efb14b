import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeGroupRow, groupRowKey } from "../../group/group-row.ts";
import { sourceOf } from "../../util/byte-source.ts";
import type { BucketId, GroupId } from "../../util/ids.ts";
import { rowChecksum } from "../../util/row-checksum.ts";
import type { PartitionCommand, PutResult } from "../commands.ts";
import { type ListEntry, type ListRequest, ServiceError, type WriteCondition } from "../object-service.ts";
import { readOutbox } from "../partition/outbox-row.ts";
import { readHeadVersion } from "../partition/read-version.ts";
import { bucketKey, objectKey, outboxKey, partKey, ROW, uploadKey, versionKey } from "../partition/row-keys.ts";
import { bucketRef, checkRows, claimOf, outboxLength, PartitionWorld } from "../partition/testing/partition-world.ts";
import { createObjectService } from "./object-store.ts";
import { hastyClock } from "./testing/hasty-clock.ts";
import { PlainDataPath } from "./testing/plain-data-path.ts";

const HEADERS = { system: [], user: [] };
const signal = new AbortController().signal;

async function open(indexShards: number) {
  const world = await PartitionWorld.open();
  const bucket = bucketRef(1, indexShards);
  await world.makeBucket(bucket);
  const data = new PlainDataPath(world);
  let drawn = 0;
  const random = {
    below: () => 0,
    bytes: (count: number) => {
      const bytes = Buffer.alloc(count);
      bytes.writeUInt32BE(++drawn);
      return bytes;
    },
  };
  const { host: groups, placement } = world;
  const service = createObjectService(
    { minPartSize: 1 },
    { groups, placement, writing: data, reading: data, clock: hastyClock(), random },
  );
  const put = (key: string, text: string, condition?: WriteCondition) => {
    const upload = { source: sourceOf(Buffer.from(text)), signal };
    return service.put({ bucket, key, headers: HEADERS, upload, ...(condition ? { condition } : {}) });
  };
  const text = async (key: string): Promise<string | undefined> => {
    const source = (await service.lookup({ bucket, key }))?.open();
    if (source === undefined) return undefined;
    const all: Buffer[] = [];
    for (let piece = await source.read(); piece !== null; piece = await source.read()) all.push(Buffer.from(piece));
    return Buffer.concat(all).toString();
  };
  const pages = async (request: Pick<ListRequest, "prefix" | "delimiter" | "limit">): Promise<readonly ListEntry[]> => {
    const all: ListEntry[] = [];
    for (let next = { after: "", skipPrefix: false }; ; ) {
      const page = await service.list({ bucket, ...request, ...next });
      all.push(...page.entries);
      if (page.next === undefined) return all;
      next = page.next;
    }
  };
  const damageObjectRow = (key: string, how: "damaged" | "gone" = "damaged"): void => {
    const at = objectKey(placement.ofKey(bucket, key), bucket.id, key);
    if (how === "damaged") world.disk.damage("rows", at, 77);
    else world.disk.write("rows", at.toString("latin1"), null);
  };
  const damageVersionRow = async (key: string, how: "damaged" | "missing" = "damaged"): Promise<void> => {
    const group = placement.ofKey(bucket, key);
    const head = await world.read((rows) => readHeadVersion(rows, group, bucket.id, key));
    assert.ok(head);
    const at = versionKey(group, bucket.id, key, head.version);
    if (how === "damaged") world.disk.damage("bodies", at, 99);
    else world.disk.write("bodies", at.toString("latin1"), null);
  };
  return { world, bucket, data, service, put, text, pages, damageObjectRow, damageVersionRow };
}

function inlinePut(bucket: BucketId, key: string): PartitionCommand {
  const body = { kind: "inline", bytes: Buffer.from("z") } as const;
  return { op: "put", bucket, key, claim: claimOf(1), headers: HEADERS, etag: "00".repeat(16), body };
}

const isDamaged = (error: unknown) => error instanceof ServiceError && error.code === "object.damaged";
/** Longer than any commit of a kv in memory. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a damaged object row", () => {
  test("changes nothing that a list or a lookup says, and is written anew", async () => {
    const { put, pages, text, damageObjectRow, world } = await open(4);
    const key = fc.stringMatching(/^[ab/\0é]{1,5}$/);
    const keys = fc.sample(fc.uniqueArray(key, { minLength: 60, maxLength: 60 }), { numRuns: 1, seed: 4 })[0] as string[];
    for (const one of keys) assert.ok((await put(one, one.length % 2 === 0 ? `inline ${one}` : `blocks of ${one}`.repeat(9))).ok);
    for (const prefix of ["", "a", "a/", "b\0"])
      for (const delimiter of ["", "/", "b/"])
        for (const limit of [1, 2, 7, 1_000]) {
          const whole = await pages({ prefix, delimiter, limit });
          for (const one of keys) if ((one.length + limit) % 3 !== 0) damageObjectRow(one);
          assert.deepEqual(await pages({ prefix, delimiter, limit }), whole, JSON.stringify({ prefix, delimiter, limit }));
          for (const one of keys) assert.ok((await text(one))?.includes(one));
          await settled();
          const { damagedRows } = world.kv.stats();
          await world.read((rows) => checkRows(rows, world));
          assert.equal(world.kv.stats().damagedRows, damagedRows, "all are whole again");
        }
  });

  for (const how of ["damaged", "gone"] as const)
    test(`is judged by conditions, read, replaced and deleted like any other (${how})`, async () => {
      const { put, damageObjectRow, service, bucket, text, world, data } = await open(1);
      const first = await put("k", "x".repeat(100));
      assert.ok(first.ok);
      damageObjectRow("k", how);
      assert.equal(await text("k"), "x".repeat(100));
      await settled();
      await world.read((rows) => checkRows(rows, world));
      damageObjectRow("k", how);
      assert.deepEqual(await put("k", "no", { ifNoneMatch: "*" }), { ok: false, code: "precondition-failed" });
      assert.ok((await put("k", "y".repeat(100), { ifMatch: [first.etag] })).ok);
      assert.equal(await text("k"), "y".repeat(100));
      damageObjectRow("k", how);
      assert.deepEqual(await service.delete({ bucket, key: "k" }), { ok: true, existed: true });
      assert.equal(await text("k"), undefined);
      await world.read((rows) => checkRows(rows, world));
      await data.drain();
      await data.release();
      assert.deepEqual(await data.references(), []);
    });
});

test("a damaged row of counters is counted anew, and stored by the next write", async () => {
  const { put, service, bucket, world } = await open(2);
  for (let n = 0; n < 20; n++) await put(`k${n}`, "x".repeat(n));
  for (const key of ["u1", "u2"]) {
    const created = await service.createUpload({ bucket, key, headers: HEADERS });
    assert.ok(created.ok);
    const body = { source: sourceOf(Buffer.from("part")), signal };
    await service.putPart({ bucket, key, upload: created.upload, part: 1, body });
  }
  const usage = await service.usage(bucket);
  assert.deepEqual([usage.objects, usage.uploads, usage.partBytes], [20, 2, 8]);
  for (const group of world.placement.groupsOf(bucket)) world.disk.damage("rows", bucketKey(group, ROW.usage, bucket.id), 30);
  assert.deepEqual(await service.usage(bucket), usage);
  for (let n = 0; n < 20; n++) await put(`more${n}`, "y");
  const { damagedRows } = world.kv.stats();
  assert.deepEqual(await service.usage(bucket), { ...usage, objects: 40, versions: 40, bytes: usage.bytes + 20 });
  await world.read((rows) => checkRows(rows, world));
  assert.equal(world.kv.stats().damagedRows, damagedRows);
});

describe("counters that are not what the rows say", () => {
  const lies = (bucket: { id: BucketId }, group: GroupId, world: PartitionWorld, how: "gone" | "too small") => {
    const at = bucketKey(group, ROW.usage, bucket.id);
    if (how === "gone") world.disk.write("rows", at.toString("latin1"), null);
    else {
      const value = Buffer.alloc(37);
      value[0] = 1;
      const stored = Buffer.concat([value, Buffer.alloc(4)]);
      stored.writeUInt32LE(rowChecksum(at, 0, at.byteLength, value, 0, value.byteLength), value.byteLength);
      world.disk.write("rows", at.toString("latin1"), stored);
    }
  };
  for (const how of ["gone", "too small"] as const)
    test(`never end the process: they are counted anew (${how})`, async () => {
      const { put, service, bucket, world } = await open(1);
      const group = world.placement.ofKey(bucket, "k");
      for (const key of ["a", "k", "z"]) assert.ok((await put(key, key.repeat(50))).ok);
      const created = await service.createUpload({ bucket, key: "u", headers: HEADERS });
      assert.ok(created.ok);
      const body = { source: sourceOf(Buffer.from("part")), signal };
      assert.ok((await service.putPart({ bucket, key: "u", upload: created.upload, part: 1, body })).ok);
      lies(bucket, group, world, how);
      assert.deepEqual(await service.delete({ bucket, key: "k" }), { ok: true, existed: true });
      await world.read((rows) => checkRows(rows, world));
      lies(bucket, group, world, how);
      assert.ok((await put("a", "shorter")).ok);
      await world.read((rows) => checkRows(rows, world));
      lies(bucket, group, world, how);
      assert.deepEqual(await service.abortUpload({ bucket, key: "u", upload: created.upload }), { ok: true });
      await world.read((rows) => checkRows(rows, world));
      assert.equal((await service.usage(bucket)).objects, 2);
    });

  test("are counted past damaged objects and uploads: every other key takes writes", async () => {
    const { put, service, bucket, world, damageObjectRow, damageVersionRow, text } = await open(1);
    const group = world.placement.ofKey(bucket, "k");
    for (const key of ["a", "b", "k", "z"]) assert.ok((await put(key, key.repeat(50))).ok);
    const created = await service.createUpload({ bucket, key: "u", headers: HEADERS });
    assert.ok(created.ok);
    const body = { source: sourceOf(Buffer.from("part")), signal };
    assert.ok((await service.putPart({ bucket, key: "u", upload: created.upload, part: 1, body })).ok);
    const usage = await service.usage(bucket);
    await damageVersionRow("b");
    for (const key of ["a", "b", "k"]) damageObjectRow(key);
    world.disk.damage("rows", uploadKey(group, bucket.id, "u", created.upload), 9);
    world.disk.damage("rows", bucketKey(group, ROW.usage, bucket.id), 30);
    assert.deepEqual(await service.usage(bucket), { ...usage, bytes: usage.bytes - 50 }, "nobody knows the size of b any more");
    assert.ok((await put("z", "zz")).ok);
    assert.ok((await put("new", "n")).ok);
    assert.deepEqual(await service.delete({ bucket, key: "z" }), { ok: true, existed: true });
    assert.equal(await text("k"), "k".repeat(50));
    assert.deepEqual(await service.usage(bucket), { ...usage, bytes: 101 });
    assert.deepEqual(
      await service.abortUpload({ bucket, key: "u", upload: created.upload }),
      { ok: true },
      "its owner may drop it",
    );
    const { uploads, parts, partBytes } = await service.usage(bucket);
    assert.deepEqual([uploads, parts, partBytes], [0, 0, 0]);
  });
});

test("a damaged row of a group does not keep the store from opening: indexes and stamps go on above all that rows show", async () => {
  const { put, service, bucket, world } = await open(1);
  await put("first", "x".repeat(100));
  for (let n = 0; n < 5; n++) await put("k", "y".repeat(100 + n));
  const before = await service.lookup({ bucket, key: "k" });
  assert.ok(before);
  const outbox = await world.read((rows) => outboxLength(rows, world));
  world.wall.now -= 1_000;
  for (const group of world.placement.groupsOf(bucket)) world.disk.damage("rows", groupRowKey(group), 20);
  await world.restart();
  const after = await world.propose<PutResult>(world.placement.ofKey(bucket, "k"), inlinePut(bucket.id, "k"));
  assert.ok(after.ok && after.version > before.version && after.stampMs >= before.stampMs);
  assert.equal(await world.read((rows) => outboxLength(rows, world)), outbox + 1);
  await world.read((rows) => checkRows(rows, world));
  await world.restart();
});

test("nor do damaged rows beside it: their keys tell indexes, and an index gap keeps off what they may hide", async () => {
  const { put, bucket, world } = await open(1);
  const group = world.placement.ofKey(bucket, "k");
  for (let n = 0; n < 5; n++) assert.ok((await put("k", "y".repeat(100 + n))).ok);
  const before = await world.read((rows) => readHeadVersion(rows, group, bucket.id, "k"));
  assert.ok(before);
  const outbox = await world.read((rows) => readOutbox(rows, group, { after: 0, limit: 9 }));
  world.disk.damage("rows", groupRowKey(group), 20);
  world.disk.damage("bodies", versionKey(group, bucket.id, "k", before.version), 99);
  for (const { sequence } of outbox) world.disk.damage("rows", outboxKey(group, sequence), 5);
  await world.restart();
  const after = await world.propose<PutResult>(group, inlinePut(bucket.id, "k"));
  assert.ok(after.ok && after.version > before.version);
  const { index } = decodeGroupRow((await world.read((rows) => rows.get("rows", groupRowKey(group)))) as Buffer);
  assert.ok(index > Number.parseInt(before.version.slice(0, 16), 16) + 1_000_000);
});

test("an upload with a damaged part can be aborted, and the counters are right afterwards", async () => {
  const { service, bucket, world, data } = await open(1);
  const begin = async (key: string, sizes: readonly number[]) => {
    const created = await service.createUpload({ bucket, key, headers: HEADERS });
    assert.ok(created.ok);
    const { upload } = created;
    for (const [at, size] of sizes.entries()) {
      const body = { source: sourceOf(Buffer.alloc(size, at)), signal };
      assert.ok((await service.putPart({ bucket, key, upload, part: at + 1, body })).ok);
    }
    return upload;
  };
  const kept = await begin("kept", [100, 5]);
  const doomed = await begin("doomed", [100, 90, 3]);
  const group = world.placement.ofKey(bucket, "doomed");
  world.disk.damage("bodies", partKey(group, bucket.id, "doomed", doomed, 2), 90);
  assert.deepEqual(await service.abortUpload({ bucket, key: "doomed", upload: doomed }), { ok: true });
  const { uploads, parts, partBytes } = await service.usage(bucket);
  assert.deepEqual([uploads, parts, partBytes], [1, 2, 105]);
  await data.release();
  await world.read((rows) => checkRows(rows, world));
  assert.equal(world.kv.stats().rows.bodies, 3, "two parts, and the damaged row as it was");
  assert.deepEqual(await service.abortUpload({ bucket, key: "kept", upload: kept }), { ok: true });
});

describe("a damaged version row", () => {
  for (const how of ["damaged", "missing"] as const)
    test(`is never served, named by its key, and stops nothing else (${how})`, async () => {
      const { put, text, pages, damageVersionRow, service, bucket, world } = await open(1);
      for (const key of ["a", "k", "z"]) await put(key, key.repeat(100));
      await damageVersionRow("k", how);
      await assert.rejects(text("k"), (error) => isDamaged(error) && /"k" in bucket/.test((error as Error).message));
      const all = { prefix: "", delimiter: "", limit: 2 };
      assert.deepEqual(
        (await pages(all)).map(({ key }) => key),
        ["a", "k", "z"],
      );
      assert.equal(await text("z"), "z".repeat(100));
      const { etag } = (await pages(all))[1] as ListEntry;
      assert.deepEqual(await put("k", "no", { ifNoneMatch: "*" }), { ok: false, code: "precondition-failed" });
      assert.ok((await put("k", "new", { ifMatch: [etag] })).ok, "its owner may replace it");
      assert.equal(await text("k"), "new");
      await damageVersionRow("a", how);
      assert.deepEqual(await service.delete({ bucket, key: "a" }), { ok: true, existed: true });
      assert.equal(await text("a"), undefined);
      await world.read((rows) => checkRows(rows, world));
      assert.equal(await world.read((rows) => outboxLength(rows, world)), 0, "nobody knows which blocks it had");
      assert.equal((await service.usage(bucket)).objects, 2);
    });

  for (const how of ["damaged", "missing"] as const)
    test(`and its object row damaged too is lost but for its key: it is refused by name, and lists tell the others (${how})`, async () => {
      const { put, pages, text, service, bucket, world, damageObjectRow, damageVersionRow } = await open(1);
      for (const key of ["a", "k", "z"]) await put(key, key.repeat(100));
      await damageVersionRow("k", how);
      damageObjectRow("k");
      const all = { prefix: "", delimiter: "", limit: 1_000 };
      assert.deepEqual(
        (await pages(all)).map(({ key }) => key),
        ["a", "z"],
      );
      await assert.rejects(text("k"), (error) => isDamaged(error) && /"k" in bucket.*overwrite or delete/.test(String(error)));
      assert.deepEqual(await put("k", "no", { ifNoneMatch: "*" }), { ok: false, code: "precondition-failed" });
      await assert.rejects(put("k", "no", { ifMatch: ["0".repeat(32)] }), isDamaged, "its ETag is not known");
      await world.read((rows) => checkRows(rows, world));
      assert.deepEqual(await service.delete({ bucket, key: "k" }), { ok: true, existed: true });
      assert.equal(await text("k"), undefined);
      await world.read((rows) => checkRows(rows, world));
    });
});
