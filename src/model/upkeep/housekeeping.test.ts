import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readOutbox } from "../partition/outbox-row.ts";
import { outboxKey, partKey, referenceKey, ROW, rowsOf, versionKey, zeroKey } from "../partition/row-keys.ts";
import { isReferenced, referencesTo, zeroSince } from "../partition/reference-row.ts";
import type { Hash, VersionId } from "../../util/ids.ts";
import { BLOCK, DataWorld, GC_DELAY_MS, someBytes, uploadOf, WINDOW_MS } from "./testing/data-world.ts";

const HEADERS = { system: [], user: [] };
const YEARS_MS = 70 * 365 * 24 * 3600 * 1000;

async function put(world: DataWorld, key: string, blocks: number): Promise<void> {
  const upload = uploadOf(someBytes(world.random, blocks * BLOCK), world.random);
  const outcome = await world.settle(world.objects.put({ bucket: world.bucket, key, headers: HEADERS, upload }));
  assert.ok(outcome.ok, JSON.stringify(outcome));
}

async function remove(world: DataWorld, key: string): Promise<void> {
  assert.ok((await world.settle(world.objects.delete({ bucket: world.bucket, key }))).ok);
}

/** Hashes of the stored blocks, by their files. */
function hashes(world: DataWorld): readonly Hash[] {
  const files = [...world.image.names.keys()].flatMap((path) => /^\/data\/..\/..\/([0-9a-f]{64})(\.zst)?$/.exec(path)?.[1] ?? []);
  return files as Hash[];
}

describe("a clock that was once years ahead", () => {
  it("keeps no garbage of objects that were deleted later", async () => {
    const world = await DataWorld.open();
    world.node.clock.jumpWall(YEARS_MS);
    for (let n = 0; n < 8; n++) await put(world, `k${n}`, 3);
    world.node.clock.jumpWall(-YEARS_MS);
    await world.crash();
    for (let n = 0; n < 8; n++) await remove(world, `k${n}`);
    const report = await world.clean();
    assert.deepEqual([report.references, report.files, report.broken, report.unfinished], [0, 0, [], []]);
  });

  it("keeps no garbage of uploads that died then, though the right time in their groups is years before their expiry", async () => {
    const world = await DataWorld.open();
    world.node.clock.jumpWall(YEARS_MS);
    for (let n = 0; n < 4; n++) {
      const pieces = [someBytes(world.random, 2 * BLOCK + 10)];
      const source = { read: () => Promise.resolve(pieces.shift() ?? new Promise<never>(() => {})), cancel() {} };
      void world.data.writer.write({ source, signal: new AbortController().signal }, world.target(`dead${n}`));
    }
    await world.pass(WINDOW_MS / 4);
    world.node.clock.jumpWall(-YEARS_MS);
    await world.crash();
    assert.ok((await world.settle(world.data.audit())).references > 0);
    const report = await world.clean();
    assert.deepEqual([report.references, report.files, report.broken, report.unfinished], [0, 0, [], []]);
  });
});

describe("a damaged row", () => {
  /** Works as the runner does: errors are seen, and the next unit comes all the same. */
  async function rounds(world: DataWorld, count: number): Promise<number> {
    const { janitor, release } = world.data.workers;
    let errors = 0;
    for (let round = 0; round < count; round++) {
      await world.settle(world.data.flush());
      await world.settle(release.runOnce());
      for (let unit = 0; unit < 64; unit++)
        await world.settle(janitor.work()).catch((error: unknown) => {
          assert.match(String(error), /damaged/);
          errors++;
        });
      await world.pass(GC_DELAY_MS);
    }
    return errors;
  }

  it("among the unneeded blocks makes its own wait as long again, and nobody else's", async () => {
    const world = await DataWorld.open();
    for (let n = 0; n < 6; n++) await put(world, `k${n}`, 3);
    const all = hashes(world);
    assert.equal(all.length, 18);
    const stuck = all[7] as Hash;
    const group = world.placement.ofHash(stuck);
    for (let n = 0; n < 6; n++) await remove(world, `k${n}`);
    await world.settle(world.data.flush());
    await world.settle(world.data.workers.release.runOnce());
    assert.ok(await world.host.read(group, (rows) => zeroSince(rows, zeroKey(group, stuck)) !== undefined));
    world.kvDisk.damage("rows", zeroKey(group, stuck));
    const damagedMs = world.host.logTime(group);
    assert.equal(await rounds(world, 1), 0);
    const sinceMs = await world.host.read(group, (rows) => zeroSince(rows, zeroKey(group, stuck)));
    assert.ok(sinceMs !== undefined && sinceMs >= damagedMs);
    assert.equal(await rounds(world, 4), 0);
    assert.deepEqual(hashes(world), []);
  });

  it("of a reference goes when it is dropped, keeps no other release waiting, and is named by the audit", async () => {
    const world = await DataWorld.open();
    for (let n = 0; n < 6; n++) await put(world, `k${n}`, 3);
    await world.settle(world.data.flush());
    const all = hashes(world);
    const damaged = all.filter((_, at) => at % 5 === 0);
    for (const hash of damaged) {
      const group = world.placement.ofHash(hash);
      const [reference] = await world.host.read(group, (rows) => referencesTo(rows, group, hash, 1));
      assert.ok(reference);
      world.kvDisk.damage("rows", referenceKey(group, hash, reference.claim), 100);
    }
    const { broken } = await world.settle(world.data.audit());
    assert.deepEqual([...new Set(broken.map(({ kind }) => kind))], ["damaged-row"]);
    for (let n = 0; n < 6; n++) await remove(world, `k${n}`);
    assert.equal(await rounds(world, 4), 0);
    assert.deepEqual(hashes(world), [], "their names say which they are");
    await world.settle(world.data.workers.orphans.runOnce());
    const report = await world.settle(world.data.audit());
    assert.deepEqual([report.references, report.files, report.broken, report.unfinished], [0, 0, [], []]);
  });

  it("of a release is given up, and all other releases of its group are carried out", async () => {
    const world = await DataWorld.open();
    const { bucket } = world;
    const group = world.placement.ofKey(bucket, "k0");
    const keys: string[] = [];
    for (let n = 0; keys.length < 5; n++) if (world.placement.ofKey(bucket, `k${n}`) === group) keys.push(`k${n}`);
    for (const key of keys) await put(world, key, 2);
    await world.settle(world.data.flush());
    for (const key of keys) await remove(world, key);
    const entries = await world.host.read(group, (rows) => readOutbox(rows, group, { after: 0, limit: 10 }));
    assert.equal(entries.length, 5);
    for (const at of [1, 2, 4]) world.kvDisk.damage("rows", outboxKey(group, entries[at]?.sequence as number), 50);
    assert.equal(await rounds(world, 6), 0);
    assert.equal(hashes(world).length, 6);
    const { broken, unfinished } = await world.settle(world.data.audit());
    assert.deepEqual([...new Set(broken.map(({ kind }) => kind)), unfinished], ["reference-without-claim", []]);
    assert.deepEqual(await world.settle(world.data.dropDanglingReferences()), { ok: true, dropped: 6 });
    const clean = await world.clean();
    assert.deepEqual([clean.references, clean.files, clean.broken, clean.unfinished], [0, 0, [], []]);
  });

  it("of a version is named by the audit, which then accuses nobody else", async () => {
    const world = await DataWorld.open();
    for (const key of ["a", "b"]) await put(world, key, 2);
    const { bucket } = world;
    const group = world.placement.ofKey(bucket, "a");
    const version = (await world.settle(world.objects.lookup({ bucket, key: "a" })))?.version as VersionId;
    world.kvDisk.damage("bodies", versionKey(group, bucket.id, "a", version), 9);
    const refused = await world.settle(world.data.dropDanglingReferences());
    assert.ok(!refused.ok && refused.inDoubt.length === 1);
    const { broken } = await world.settle(world.data.audit());
    assert.deepEqual(
      broken.map(({ kind }) => kind),
      ["damaged-row"],
    );
    await world.settle(world.objects.delete({ bucket, key: "a" }));
    const after = await world.settle(world.data.audit());
    assert.deepEqual([...new Set(after.broken.map(({ kind }) => kind))], ["reference-without-claim"], "its blocks are left");
    assert.deepEqual(await world.settle(world.data.dropDanglingReferences()), { ok: true, dropped: 2 });
    const clean = await world.clean();
    assert.deepEqual([clean.references, clean.files, clean.broken, clean.unfinished], [2, 2, [], []]);
  });

  it("of a key hides whether its uploads are in use, so their blocks stay; all others are judged", async () => {
    const world = await DataWorld.open();
    for (const key of ["bad", "good"]) {
      const upload = uploadOf(someBytes(world.random, 2 * BLOCK), world.random);
      assert.ok((await world.settle(world.data.writer.write(upload, world.target(key)))).ok);
    }
    await put(world, "bad", 1);
    const { bucket } = world;
    const group = world.placement.ofKey(bucket, "bad");
    await world.settle(world.data.flush());
    await world.settle(
      world.host.read(group, (rows) => {
        rows.scan("bodies", rowsOf(group, ROW.version), (row) => {
          world.kvDisk.damage("bodies", Buffer.from(row.key.subarray(row.keyStart, row.keyEnd)));
          return undefined;
        });
      }),
    );
    await world.pass(2 * WINDOW_MS);
    assert.equal(await rounds(world, 4), 0);
    assert.equal(hashes(world).length, 3, "two of the damaged key's dead upload, one of its version");
  });

  it("of a part that nobody needs any more keeps that part's blocks only, and its upload is released", async () => {
    const world = await DataWorld.open();
    const { bucket } = world;
    const created = await world.settle(world.objects.createUpload({ bucket, key: "k", headers: HEADERS }));
    assert.ok(created.ok);
    const { upload } = created;
    for (let part = 1; part <= 3; part++) {
      const body = uploadOf(someBytes(world.random, 2 * BLOCK), world.random);
      assert.ok((await world.settle(world.objects.putPart({ bucket, key: "k", upload, part, body }))).ok);
    }
    await world.settle(world.data.flush());
    assert.ok((await world.settle(world.objects.abortUpload({ bucket, key: "k", upload }))).ok);
    const group = world.placement.ofKey(bucket, "k");
    world.kvDisk.damage("bodies", partKey(group, bucket.id, "k", upload, 2), 200);
    assert.equal(await rounds(world, 4), 0);
    const left = hashes(world);
    assert.equal(left.length, 2);
    for (const hash of left)
      assert.ok(await world.host.read(group, (rows) => isReferenced(rows, world.placement.ofHash(hash), hash)));
    const report = await world.settle(world.data.audit());
    assert.deepEqual([...new Set(report.broken.map(({ kind }) => kind))], ["reference-without-claim"]);
    assert.deepEqual(report.unfinished, []);
  });
});
