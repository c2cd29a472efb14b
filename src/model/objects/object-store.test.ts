import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GroupError } from "../../group/groups.ts";
import { sourceOf } from "../../util/byte-source.ts";
import type { UploadId } from "../../util/ids.ts";
import {
  type BucketRef,
  type ObjectService,
  type PutOutcome,
  ServiceError,
  type Upload,
  type WriteCondition,
} from "../object-service.ts";
import { allClaims, bucketRef, checkRows, PartitionWorld, WINDOW_MS } from "../partition/testing/partition-world.ts";
import { serviceFailure } from "../service-failure.ts";
import { createObjectService } from "./object-store.ts";
import { md5 } from "./testing/model-bucket.ts";
import { hastyClock } from "./testing/hasty-clock.ts";
import { PlainDataPath } from "./testing/plain-data-path.ts";

const HEADERS = { system: [], user: [] };
const signal = new AbortController().signal;

function upload(text: string, more: Partial<Upload> = {}): Upload {
  return { source: sourceOf(Buffer.from(text)), signal, ...more };
}

async function open(quotas: BucketRef["quotas"] = {}, clock = hastyClock()) {
  const world = await PartitionWorld.open();
  const bucket = bucketRef(1, 4, quotas);
  await world.makeBucket(bucket);
  const data = new PlainDataPath(world);
  let drawn = 0;
  const make = (): ObjectService =>
    createObjectService(
      { minPartSize: 4 },
      {
        groups: world.host,
        placement: world.placement,
        writing: data,
        reading: data,
        clock,
        random: { bytes: (count) => Buffer.alloc(count, ++drawn), below: () => 0 },
      },
    );
  const service = make();
  const put = (key: string, text: string, condition?: WriteCondition): Promise<PutOutcome> =>
    service.put({ bucket, key, headers: HEADERS, upload: upload(text), ...(condition ? { condition } : {}) });
  const text = async (key: string): Promise<string | null> => {
    const found = await service.lookup({ bucket, key });
    if (found === null) return null;
    const source = found.open();
    let all = "";
    for (let piece = await source.read(); piece !== null; piece = await source.read()) all += Buffer.from(piece).toString();
    return all;
  };
  return { world, bucket, data, service, put, text, make };
}

const failsWith = (code: string) => (error: unknown) => error instanceof ServiceError && error.code === code;
const codeOf = (outcome: { readonly ok: boolean; readonly code?: string }) => (outcome.ok ? "ok" : outcome.code);

describe("conditions", () => {
  test("of 64 rivals exactly one creates, and exactly one replaces what it saw", async () => {
    const { bucket, data, world, put, service, text } = await open();
    for (let round = 0; round < 5; round++) {
      const key = `k${round}`;
      const created = await Promise.all(
        Array.from({ length: 64 }, (_, n) => put(key, `${n}`.padStart(n % 2 ? 3 : 20, "x"), { ifNoneMatch: "*" })),
      );
      assert.deepEqual(created.map(codeOf).sort(), ["ok", ...Array(63).fill("precondition-failed")].sort());
      const { etag } = created.find((outcome) => outcome.ok) as { etag: string };
      const replaced = await Promise.all(
        Array.from({ length: 64 }, (_, n) => put(key, `${round} ${n} replaced`, { ifMatch: [etag] })),
      );
      assert.equal(replaced.filter((outcome) => outcome.ok).length, 1);
      const winner = replaced.findIndex((outcome) => outcome.ok);
      assert.equal(await text(key), `${round} ${winner} replaced`);
      const deleted = await Promise.all(
        Array.from({ length: 8 }, () => service.delete({ bucket, key, condition: { ifMatch: "*" } })),
      );
      assert.deepEqual(deleted.map(codeOf).sort(), [...Array(7).fill("no-such-key"), "ok"].sort());
    }
    await data.drain();
    await data.release();
    assert.deepEqual(await data.references(), [], "the losers' blocks are let go");
    await world.read((rows) => checkRows(rows, world));
  });
});

describe("quotas", () => {
  test("bytes: only growth is refused, the replaced object counts, deletes make room", async () => {
    const { put, service, bucket } = await open({ maxSizeBytes: 100 });
    assert.equal(codeOf(await put("a", "x".repeat(60))), "ok");
    assert.equal(codeOf(await put("b", "x".repeat(41))), "quota-exceeded");
    assert.equal(codeOf(await put("b", "x".repeat(40))), "ok");
    assert.equal(codeOf(await put("c", "")), "ok");
    assert.equal(codeOf(await put("a", "x".repeat(61))), "quota-exceeded");
    assert.equal(codeOf(await put("a", "x".repeat(59))), "ok");
    await service.delete({ bucket, key: "b" });
    assert.equal(codeOf(await put("d", "x".repeat(41))), "ok");
    assert.equal((await service.usage(bucket)).bytes, 100);
  });

  test("objects: exact with many writes under way; refusals leave nothing behind", async () => {
    const { put, service, bucket, data } = await open({ maxObjects: 10 });
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, n) => put(`k${n}`, "some more bytes than inline")));
    assert.equal(outcomes.filter((outcome) => outcome.ok).length, 10);
    for (const outcome of outcomes) if (!outcome.ok) assert.equal(outcome.code, "quota-exceeded");
    assert.equal((await service.usage(bucket)).objects, 10);
    await data.drain();
    const won = outcomes.findIndex((outcome) => outcome.ok);
    assert.equal(codeOf(await put(`k${won}`, "again")), "ok", "replacing needs no room");
    await service.delete({ bucket, key: `k${won}` });
    assert.equal(codeOf(await put("new", "x")), "ok");
  });

  test("bytes: exact with many writes and parts under way", async () => {
    const { put, service, bucket, world } = await open({ maxSizeBytes: 100 });
    const outcomes = await Promise.all(Array.from({ length: 30 }, (_, n) => put(`k${n}`, `${n}`.padStart(10, "x"))));
    assert.deepEqual(outcomes.map(codeOf).sort(), [...Array(10).fill("ok"), ...Array(20).fill("quota-exceeded")].sort());
    assert.equal((await service.usage(bucket)).bytes, 100);
    for (const n of outcomes.keys()) await service.delete({ bucket, key: `k${n}` });
    const created = await service.createUpload({ bucket, key: "m", headers: HEADERS });
    assert.ok(created.ok);
    const parts = await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        service.putPart({ bucket, key: "m", upload: created.upload, part: n + 1, body: upload("p".repeat(10)) }),
      ),
    );
    assert.equal(parts.filter(({ ok }) => ok).length, 10);
    assert.equal((await service.usage(bucket)).partBytes, 100);
    await world.read((rows) => checkRows(rows, world));
  });

  test("writes under way that end well before the limit are all let in, wave after wave", async () => {
    const { put } = await open({ maxObjects: 64 });
    for (let wave = 0; wave < 4; wave++) {
      const outcomes = await Promise.all(Array.from({ length: 16 }, (_, n) => put(`${wave}/${n}`, "x")));
      assert.deepEqual(outcomes.map(codeOf), Array(16).fill("ok"));
    }
    assert.equal(codeOf(await put("more", "x")), "quota-exceeded");
  });

  test("multipart: parts count while they are parts, the object once it is one", async () => {
    const { bucket, service, put } = await open({ maxSizeBytes: 50, maxObjects: 2 });
    const created = await service.createUpload({ bucket, key: "m", headers: HEADERS });
    assert.ok(created.ok);
    const part = (number: number, size: number) =>
      service.putPart({ bucket, key: "m", upload: created.upload, part: number, body: upload("p".repeat(size)) });
    assert.equal(codeOf(await part(1, 30)), "ok");
    assert.equal(codeOf(await part(2, 21)), "quota-exceeded");
    assert.equal(codeOf(await part(2, 20)), "ok");
    assert.equal(codeOf(await put("a", "x")), "ok", "objects are measured without parts");
    const parts = [30, 20].map((size, at) => ({ part: at + 1, etag: md5(Buffer.from("p".repeat(size))) }));
    const complete = () => service.completeUpload({ bucket, key: "m", upload: created.upload, parts });
    assert.equal(codeOf(await complete()), "quota-exceeded");
    await service.delete({ bucket, key: "a" });
    assert.equal(codeOf(await complete()), "ok");
    assert.equal(codeOf(await complete()), "ok", "asked again, it adds nothing");
    const usage = { objects: 1, versions: 1, bytes: 50, uploads: 0, parts: 0, partBytes: 0 };
    assert.deepEqual(await service.usage(bucket), usage);
  });
});

describe("buckets that end", () => {
  test("an attempt to delete the bucket that is given up delays the others' writes and fails none", async () => {
    let looks = 0;
    const { world, bucket, service, put, text, data } = await open(
      {},
      hastyClock(() => {
        if (++looks === 30) void all("unseal");
      }),
    );
    const all = (op: "seal" | "unseal") =>
      Promise.all(world.placement.groupsOf(bucket).map((group) => world.propose(group, { op, bucket: bucket.id, attempt: 1 })));
    await all("seal");
    const long = "more bytes than fit inline";
    const outcomes = await Promise.all([
      put("inline", "x"),
      put("blocks", long),
      service.createUpload({ bucket, key: "m", headers: HEADERS }),
      service.delete({ bucket, key: "absent" }),
    ]);
    assert.deepEqual(outcomes.map(codeOf), ["ok", "ok", "ok", "ok"]);
    assert.ok(looks >= 30, "all of them waited");
    assert.deepEqual([await text("inline"), await text("blocks")], ["x", long]);
    await data.drain();
    await world.read((rows) => checkRows(rows, world));
  });

  test("who waits for the end of such an attempt does not outwait its blocks' claim", async () => {
    let looks = 0;
    const { world, bucket, put, data } = await open(
      {},
      hastyClock(() => {
        looks++;
        world.wall.now += WINDOW_MS / 4;
      }),
    );
    await Promise.all(
      world.placement.groupsOf(bucket).map((group) => world.propose(group, { op: "seal", bucket: bucket.id, attempt: 1 })),
    );
    await assert.rejects(put("k", "more bytes than fit inline"), /is being deleted/);
    assert.ok(looks > 0 && looks <= 4, `${looks} looks`);
    await data.drain();
    await data.release();
    assert.deepEqual(await data.references(), [], "its blocks are let go");
  });

  test("a sealed bucket may live on: 503; one with a tombstone is gone: no such bucket", async () => {
    const { world, bucket, put, service } = await open();
    const all = (command: { op: "seal"; attempt: number } | { op: "set-tombstone"; attempt: number; untilMs: number }) =>
      Promise.all(world.placement.groupsOf(bucket).map((group) => world.propose(group, { ...command, bucket: bucket.id })));
    await all({ op: "seal", attempt: 1 });
    await assert.rejects(put("k", "x"), failsWith("service.unavailable"));
    await assert.rejects(service.delete({ bucket, key: "k" }), failsWith("service.unavailable"));
    await assert.rejects(service.createUpload({ bucket, key: "k", headers: HEADERS }), failsWith("service.unavailable"));
    await all({ op: "set-tombstone", attempt: 1, untilMs: world.wall.now + 1 });
    assert.equal(codeOf(await put("k", "x")), "no-such-bucket");
    assert.equal(codeOf(await service.delete({ bucket, key: "k" })), "no-such-bucket");
    assert.equal(codeOf(await service.createUpload({ bucket, key: "k", headers: HEADERS })), "no-such-bucket");
    assert.equal(await service.lookup({ bucket, key: "k" }), null);
  });
});

describe("writers that lose their rights", () => {
  test("nothing is written when the look right before the command says no, and the blocks go at once", async () => {
    const { world, bucket, service, data, put } = await open();
    await put("source", "bytes that lie in blocks");
    const object = await service.lookup({ bucket, key: "source" });
    assert.ok(object);
    const created = await service.createUpload({ bucket, key: "k", headers: HEADERS });
    assert.ok(created.ok);
    await data.drain();
    const before = await data.references();
    let asked = 0;
    const recheck = () => {
      asked++;
      throw new Error("no longer allowed");
    };
    const source = { bucket, key: "source", object };
    const part = { bucket, key: "k", upload: created.upload, part: 1, recheck };
    const body = () => upload("more bytes that lie in blocks");
    for (const write of [
      () => service.put({ bucket, key: "k", headers: HEADERS, upload: body(), recheck }),
      () => service.put({ bucket, key: "k", headers: HEADERS, upload: upload("small"), recheck }),
      () => service.copy({ source, bucket, key: "k", signal, recheck }),
      () => service.copy({ source, bucket, key: "k", signal, recheck, algorithm: "CRC32" }),
      () => service.putPart({ ...part, body: body() }),
      () => service.copyPart({ ...part, source, signal }),
      () => service.copyPart({ ...part, source, range: { start: 1, end: 20 }, signal }),
    ]) {
      asked = 0;
      await assert.rejects(write(), /no longer allowed/);
      assert.equal(asked, 1);
    }
    await data.drain();
    assert.deepEqual(await data.references(), before);
    assert.equal(await service.lookup({ bucket, key: "k" }), null);
    const { objects, parts } = await service.usage(bucket);
    assert.deepEqual([objects, parts], [1, 0]);
    await world.read((rows) => checkRows(rows, world));
  });
});

describe("trouble below", () => {
  test("an unknown outcome is 503; its blocks are judged later, whichever way it went", async () => {
    const { world, bucket, data, put, text } = await open();
    await put("k", "the first bytes");
    const write = data.write.bind(data);
    // Nobody hears of the put's own command, other than of its references.
    const propose = world.host.propose.bind(world.host);
    data.write = async (...request) => {
      const written = await write(...request);
      world.host.propose = () => Promise.reject(new GroupError("group.unknown-outcome", "nobody knows"));
      return written;
    };
    await assert.rejects(put("k", "bytes of a lost put"), failsWith("service.unknown-outcome"));
    world.host.propose = propose;
    data.write = write;
    assert.equal(await text("k"), "the first bytes");
    await data.drain();
    assert.equal((await data.references()).length, 2 + 3, "kept until its claim is resolved");
    world.wall.now += WINDOW_MS + 1;
    await data.sweep((key) => world.placement.ofKey(bucket, key));
    assert.deepEqual(await data.references(), await world.read((rows) => allClaims(rows, world)));
  });

  test("a step before the write's own command whose outcome nobody knows leaves nothing unknown: not written", async () => {
    const { world, data, put, service, bucket, text } = await open();
    world.host.propose = () => Promise.reject(new GroupError("group.unknown-outcome", "nobody knows"));
    // As the real data path tells of its own commands.
    data.write = (_upload, target) =>
      world.propose(target.group, { op: "add-refs", refs: [] }).catch((error: unknown) => {
        throw serviceFailure(error);
      }) as never;
    await assert.rejects(put("k", "new"), failsWith("service.unavailable"));
    await assert.rejects(service.delete({ bucket, key: "k" }), failsWith("service.unknown-outcome"));
    assert.equal(await text("k"), null);
  });

  test("a node that has stopped has written nothing, and says so", async () => {
    const { world, service, bucket } = await open();
    await world.host.stop();
    await assert.rejects(service.delete({ bucket, key: "k" }), failsWith("service.unavailable"));
  });

  test("a full store is told so, and what was written for the put goes at once", async () => {
    const { world, data, put, text } = await open();
    await put("k", "old");
    const write = data.write.bind(data);
    data.write = async (...request) => {
      const written = await write(...request);
      world.disk.capacityBytes = 0;
      return written;
    };
    await assert.rejects(put("k", "bytes that find no room"), failsWith("service.no-space"));
    world.disk.capacityBytes = Number.POSITIVE_INFINITY;
    await data.drain();
    assert.deepEqual(await data.references(), []);
    assert.equal(await text("k"), "old");
  });

  test("a stopping node answers 503; a damaged row is never shown", async () => {
    const { world, bucket, put, service } = await open();
    await put("k", "x");
    const { Found } = await import("./found-object.ts");
    const found = await service.lookup({ bucket, key: "k" });
    assert.ok(found instanceof Found);
    const { objectKey, versionKey } = await import("../partition/row-keys.ts");
    world.disk.damage("bodies", versionKey(found.place.group, bucket.id, "k", found.version));
    await assert.rejects(service.lookup({ bucket, key: "k" }), failsWith("object.damaged"));
    world.disk.damage("rows", objectKey(found.place.group, bucket.id, "k"));
    const list = { bucket, prefix: "", delimiter: "", after: "", skipPrefix: false, limit: 10 };
    assert.deepEqual(
      (await service.list(list)).entries.map(({ key, sizeBytes }) => [key, sizeBytes]),
      [["k", 1]],
    );
    await assert.rejects(service.lookup({ bucket, key: "k" }), failsWith("object.damaged"));
    assert.equal(codeOf(await put("k", "y")), "ok", "its owner may replace it");
    await world.host.stop();
    await assert.rejects(put("k", "z"), failsWith("service.unavailable"));
  });

  test("a put whose bytes took longer than its claim lives is refused, not committed", async () => {
    const { world, data, put, text } = await open();
    const write = data.write.bind(data);
    data.write = async (...request) => {
      const written = await write(...request);
      world.wall.now += WINDOW_MS + 1;
      return written;
    };
    await assert.rejects(put("k", "bytes in blocks"), failsWith("service.unavailable"));
    assert.equal(await text("k"), null);
    await data.drain();
    assert.deepEqual(await data.references(), [], "certainly not made: its blocks need no resolution of its claim");
    assert.equal(codeOf(await put("k", "inline")), "ok", "nothing can be judged about bytes that are embedded in the row");
  });
});

describe("copies", () => {
  test("a source that is replaced and released meanwhile is copied by its bytes, or is gone", async () => {
    const { bucket, data, put, service, text, world } = await open();
    await put("from", "the bytes of the source");
    const object = await service.lookup({ bucket, key: "from" });
    assert.ok(object);
    const copy = () => service.copy({ source: { bucket, key: "from", object }, bucket, key: "to", signal });
    assert.equal(codeOf(await copy()), "ok");
    await put("from", "other bytes, as many as the source's");
    assert.equal(codeOf(await copy()), "ok", "not released yet: its references can be shared");
    await data.drain();
    await data.release();
    assert.equal(
      codeOf(await copy()),
      "ok",
      "the rows of a small body are embedded in the lookup; its references are gone, so bytes are copied",
    );
    assert.equal(await text("to"), "the bytes of the source");
    await data.drain();
    await data.release();
    assert.deepEqual(await data.references(), [...new Set(await world.read((rows) => allClaims(rows, world)))]);

    await put("long", "y".repeat(8 * 70));
    const long = await service.lookup({ bucket, key: "long" });
    assert.ok(long);
    await put("long", "short");
    await data.release();
    const gone = await service.copy({ source: { bucket, key: "long", object: long }, bucket, key: "to", signal });
    assert.equal(codeOf(gone), "source-gone");
    assert.equal(await text("to"), "the bytes of the source");
  });
});

describe("copies of multipart objects", () => {
  test("blocks are shared under the same ETag; with a small last part inside its row the bytes are copied", async () => {
    const { bucket, data, service, text } = await open();
    for (const last of ["a last part in blocks", "tiny"]) {
      const created = await service.createUpload({ bucket, key: "m", headers: HEADERS });
      assert.ok(created.ok);
      const bodies = ["the first part, in blocks", last];
      for (const [at, body] of bodies.entries())
        assert.ok((await service.putPart({ bucket, key: "m", upload: created.upload, part: at + 1, body: upload(body) })).ok);
      const parts = bodies.map((body, at) => ({ part: at + 1, etag: md5(Buffer.from(body)) }));
      const done = await service.completeUpload({ bucket, key: "m", upload: created.upload, parts });
      assert.ok(done.ok);
      const object = await service.lookup({ bucket, key: "m" });
      assert.ok(object);
      const copied = await service.copy({ source: { bucket, key: "m", object }, bucket, key: "copy", signal });
      assert.ok(copied.ok);
      assert.equal(copied.etag, last === "tiny" ? md5(Buffer.from(bodies.join(""))) : done.etag);
      assert.equal(await text("copy"), bodies.join(""));
      assert.equal((await service.lookup({ bucket, key: "copy" }))?.partCount, 0);
      await service.delete({ bucket, key: "m" });
      await data.drain();
      await data.release();
      assert.equal(await text("copy"), bodies.join(""), "the copy stands by itself");
    }
  });
});

describe("uploads", () => {
  test("malformed and unknown upload ids are no such upload, before a byte is read", async () => {
    const { bucket, service } = await open();
    for (const id of ["", "x", "0".repeat(31), "G".repeat(32), "0".repeat(32)] as UploadId[]) {
      const ref = { bucket, key: "k", upload: id };
      let reads = 0;
      const read = (): Promise<null> => {
        reads++;
        return Promise.resolve(null);
      };
      const body = { source: { read, cancel() {} }, signal };
      assert.equal(codeOf(await service.putPart({ ...ref, part: 1, body })), "no-such-upload");
      assert.equal(reads, 0);
      assert.equal(
        codeOf(await service.completeUpload({ ...ref, parts: [{ part: 1, etag: md5(Buffer.of()) }] })),
        "no-such-upload",
      );
      assert.deepEqual(await service.abortUpload(ref), { ok: false });
      assert.equal(await service.uploadInfo(ref), null);
      assert.equal(await service.listParts({ ...ref, after: 0, limit: 10 }), null);
    }
  });

  test("parts take the algorithm of their upload when the client names none", async () => {
    const { bucket, service } = await open();
    const checksum = { algorithm: "CRC32", type: "FULL_OBJECT" } as const;
    const created = await service.createUpload({ bucket, key: "k", headers: HEADERS, checksum });
    assert.ok(created.ok);
    const ref = { bucket, key: "k", upload: created.upload };
    assert.deepEqual((await service.uploadInfo(ref))?.checksum, checksum);
    const one = await service.putPart({ ...ref, part: 1, body: upload("hello ") });
    const two = await service.putPart({ ...ref, part: 2, body: upload("world") });
    assert.ok(one.ok && two.ok && one.checksum);
    const listed = await service.listParts({ ...ref, after: 0, limit: 10 });
    assert.deepEqual(
      listed?.parts.map(({ checksum }) => checksum),
      [one.checksum, two.checksum],
    );
    const parts = [one, two].map(({ etag }, at) => ({ part: at + 1, etag }));
    const done = await service.completeUpload({ ...ref, parts, fullObjectChecksum: "DUoRhQ==" });
    assert.ok(done.ok);
    assert.deepEqual(done.checksum, { ...checksum, value: "DUoRhQ==" });
    const page = await service.list({ bucket, prefix: "", delimiter: "", after: "", skipPrefix: false, limit: 10 });
    assert.deepEqual(
      page.entries.map((entry) => [entry.etag, entry.checksumAlgorithm, entry.checksumType]),
      [[done.etag, "CRC32", "FULL_OBJECT"]],
    );
    const found = await service.lookup({ bucket, key: "k" });
    assert.deepEqual(await found?.part(2), { number: 2, offset: 6, sizeBytes: 5, checksum: two.checksum });
  });

  test("uploads of one key are listed in the order of their creation", async () => {
    const { bucket, service, world } = await open();
    const made: string[] = [];
    for (let n = 0; n < 5; n++) {
      world.wall.now += 1;
      const created = await service.createUpload({ bucket, key: "k", headers: HEADERS });
      assert.ok(created.ok);
      made.push(created.upload);
    }
    const page = await service.listUploads({ bucket, prefix: "", delimiter: "", afterKey: "", skipPrefix: false, limit: 3 });
    assert.deepEqual(
      page.entries.map((entry) => entry.upload),
      made.slice(0, 3),
    );
    const marker = { afterKey: "k", afterUpload: made[2] as string };
    const rest = await service.listUploads({ bucket, prefix: "", delimiter: "", skipPrefix: false, limit: 3, ...marker });
    assert.deepEqual([rest.entries.map((entry) => entry.upload), rest.truncated], [made.slice(3), false]);
  });
});
