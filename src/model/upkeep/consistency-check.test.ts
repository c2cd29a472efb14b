import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Tree } from "../../platform/kv.ts";
import { ROW } from "../partition/row-keys.ts";
import { BLOCK, DataWorld, GC_DELAY_MS, someBytes, uploadOf, WINDOW_MS } from "./testing/data-world.ts";

const HEADERS = { system: [], user: [] };

interface StoredRow {
  readonly tree: Tree;
  readonly key: string;
  readonly stored: Buffer;
}

/**
 * Objects of all forms: inline, blocks in the row, blocks in pages, parts; an upload under way; two references that nothing
 * names.
 */
async function filledWorld(): Promise<DataWorld> {
  const world = await DataWorld.open();
  const { bucket, objects, random } = world;
  const put = async (key: string, size: number): Promise<void> => {
    const upload = uploadOf(someBytes(random, size), random);
    assert.ok((await world.settle(objects.put({ bucket, key, headers: HEADERS, upload }))).ok);
  };
  await put("inline", 50);
  await put("blocks", 3 * BLOCK);
  await put("blocks\0too", 2 * BLOCK);
  await put("pages", 70 * BLOCK);
  for (const key of ["parts", "upload"]) {
    const created = await world.settle(objects.createUpload({ bucket, key, headers: HEADERS }));
    assert.ok(created.ok);
    const { upload } = created;
    const parts: { part: number; etag: string }[] = [];
    for (const part of [1, 2]) {
      const body = uploadOf(someBytes(random, 2 * BLOCK), random);
      const outcome = await world.settle(objects.putPart({ bucket, key, upload, part, body }));
      assert.ok(outcome.ok);
      parts.push({ part, etag: outcome.etag });
    }
    if (key === "parts") assert.ok((await world.settle(objects.completeUpload({ bucket, key, upload, parts }))).ok);
  }
  await put("stray", 2 * BLOCK);
  await world.settle(world.data.flush());
  const version = rowsOfType(world, [ROW.version]).find(({ key }) => key.includes("stray"));
  assert.ok(version);
  world.kvDisk.damage(version.tree, Buffer.from(version.key, "latin1"), 60);
  assert.ok((await world.settle(objects.delete({ bucket, key: "stray" }))).ok);
  return world;
}

function rowsOfType(world: DataWorld, types: readonly number[]): readonly StoredRow[] {
  const found: StoredRow[] = [];
  for (const tree of ["rows", "bodies"] as const)
    for (const [key, stored] of world.kvDisk.trees[tree].entries())
      if (key.charCodeAt(0) !== 0xff && types.includes(key.charCodeAt(2))) found.push({ tree, key, stored });
  return found;
}

const NAMING = [ROW.object, ROW.version, ROW.blockPage, ROW.partPage, ROW.upload, ROW.part, ROW.usage];

async function refusal(world: DataWorld): Promise<string | undefined> {
  const outcome = await world.settle(world.data.dropDanglingReferences());
  return outcome.ok ? undefined : outcome.inDoubt.map(({ kind, detail }) => `${kind}: ${detail}`).join("\n");
}

describe("references that seem to be named by nothing", () => {
  it("stay while any row that may name one has gone, and go when all rows are there again", async () => {
    const world = await filledWorld();
    const rows = rowsOfType(world, NAMING);
    assert.deepEqual(new Set(rows.map(({ key }) => key.charCodeAt(2))), new Set(NAMING.filter((type) => type !== ROW.partPage)));
    for (const { tree, key, stored } of rows) {
      world.kvDisk.write(tree, key, null);
      const report = await world.settle(world.data.audit());
      const kinds = new Set(report.broken.map(({ kind }) => kind));
      assert.ok(!kinds.has("reference-without-claim"), `accused without ${Buffer.from(key, "latin1").toString("hex")}`);
      assert.match((await refusal(world)) ?? "nothing missed", /missing-row|wrong-counters/);
      world.kvDisk.write(tree, key, stored);
    }
    assert.deepEqual(await world.settle(world.data.dropDanglingReferences()), { ok: true, dropped: 2 });
    const report = await world.clean();
    assert.deepEqual(report.broken, []);
    for (const key of ["inline", "blocks", "blocks\0too", "pages", "parts"]) {
      const found = await world.settle(world.objects.lookup({ bucket: world.bucket, key }));
      assert.ok(found);
    }
  });

  it("stay while any key has rotted, wherever its row lies then", async () => {
    const world = await filledWorld();
    const references = rowsOfType(world, [ROW.reference]).filter((_, at) => at % 20 === 0);
    for (const { tree, key, stored } of [...rowsOfType(world, NAMING), ...references])
      for (const [at, flip] of [
        [0, 0x80],
        [1, 1],
        [2, 0x08],
        [key.length - 1, 1],
      ] as const) {
        const rotten = key.slice(0, at) + String.fromCharCode(key.charCodeAt(at) ^ flip) + key.slice(at + 1);
        if (world.kvDisk.trees[tree].get(rotten) !== undefined) continue;
        world.kvDisk.write(tree, key, null);
        world.kvDisk.write(tree, rotten, stored);
        assert.match((await refusal(world)) ?? "nothing missed", /damaged-row/);
        world.kvDisk.write(tree, rotten, null);
        world.kvDisk.write(tree, key, stored);
      }
    assert.equal(await refusal(world), undefined);
  });

  it("are told apart from what has gone, by kind, bucket and key", async () => {
    const world = await filledWorld();
    const [version] = rowsOfType(world, [ROW.version]).filter(({ key }) => key.includes("pages"));
    const [object] = rowsOfType(world, [ROW.object]).filter(({ key }) => key.endsWith("pages"));
    assert.ok(version && object);
    world.kvDisk.write(version.tree, version.key, null);
    const bucket = world.bucket.id.slice(0, 16);
    const group = world.placement.ofKey(world.bucket, "pages");
    assert.match((await refusal(world)) ?? "", new RegExp(`^missing-row: version row of bucket ${bucket}, key "pages"$`, "m"));
    world.kvDisk.write(object.tree, object.key, null);
    const both = (await refusal(world)) ?? "";
    assert.match(both, new RegExp(`^wrong-counters: .*bucket ${bucket} in group ${group}, \\d objects counted, \\d found;`, "m"));
    world.kvDisk.write(version.tree, version.key, version.stored);
    assert.match((await refusal(world)) ?? "", new RegExp(`^missing-row: object row .*${bucket}, key "pages"$`, "m"));
  });
});

describe("housekeeping", () => {
  async function rounds(world: DataWorld): Promise<void> {
    for (let round = 0; round < 3; round++) {
      await world.settle(world.data.workers.janitor.runOnce());
      await world.settle(world.data.workers.orphans.runOnce());
      await world.pass(GC_DELAY_MS + WINDOW_MS);
    }
  }
  const files = (world: DataWorld): number =>
    [...world.image.names.keys()].filter((path) => /^\/data\/..\/..\/./.test(path)).length;

  it("removes no file whose reference lies elsewhere by a rotten key, and removes it when there is none", async () => {
    const world = await filledWorld();
    const before = files(world);
    const [reference] = rowsOfType(world, [ROW.reference]);
    assert.ok(reference);
    const { tree, key, stored } = reference;
    const rotten = String.fromCharCode(key.charCodeAt(0) ^ 0x80) + key.slice(1);
    world.kvDisk.write(tree, key, null);
    world.kvDisk.write(tree, rotten, stored);
    await world.crash();
    await rounds(world);
    assert.equal(files(world), before);
    world.kvDisk.write(tree, rotten, null);
    await rounds(world);
    assert.equal(files(world), before - 1);
  });

  it("drops no unconfirmed reference of a bucket whose control row has gone while its data is there", async () => {
    const world = await DataWorld.open();
    const { bucket, objects, random } = world;
    const upload = uploadOf(someBytes(random, 3 * BLOCK), random);
    assert.ok((await world.settle(objects.put({ bucket, key: "k", headers: HEADERS, upload }))).ok);
    await world.crash();
    assert.ok(rowsOfType(world, [ROW.unconfirmed]).length > 0);
    world.bucketKnown = false;
    await world.pass(3 * WINDOW_MS);
    await rounds(world);
    assert.equal(rowsOfType(world, [ROW.reference]).length, 3);
    world.bucketKnown = true;
    await rounds(world);
    assert.deepEqual((await world.settle(world.data.audit())).broken, []);
  });
});
