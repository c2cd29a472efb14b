import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type FoundObject, ServiceError } from "../object-service.ts";
import { BLOCK, DataWorld, GC_DELAY_MS, readAll, someBytes, uploadOf, WINDOW_MS } from "./testing/data-world.ts";

const HEADERS = { system: [], user: [] };

async function put(world: DataWorld, key: string, bytes: Uint8Array): Promise<FoundObject> {
  const { bucket } = world;
  const outcome = await world.settle(world.objects.put({ bucket, key, headers: HEADERS, upload: uploadOf(bytes, world.random) }));
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return (await world.settle(world.objects.lookup({ bucket, key }))) as FoundObject;
}

async function remove(world: DataWorld, key: string): Promise<void> {
  assert.ok((await world.settle(world.objects.delete({ bucket: world.bucket, key }))).ok);
}

/** Lets the workers do their rounds over a while. */
async function housekeeping(world: DataWorld, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += GC_DELAY_MS / 4) {
    await world.settle(world.data.flush());
    await world.settle(world.data.workers.release.runOnce());
    await world.settle(world.data.workers.janitor.runOnce());
    await world.pass(GC_DELAY_MS / 4);
  }
}

describe("letting blocks go", () => {
  it("frees the blocks of a deleted object after the delay, not before", async () => {
    const world = await DataWorld.open();
    await put(world, "k", someBytes(world.random, 3 * BLOCK));
    await remove(world, "k");
    await housekeeping(world, GC_DELAY_MS * 0.5);
    assert.equal((await world.settle(world.data.audit())).storedBlocks, 3);
    await housekeeping(world, GC_DELAY_MS * 2);
    const report = await world.settle(world.data.audit());
    assert.deepEqual([report.storedBlocks, report.references, report.broken, report.unfinished], [0, 0, [], []]);
    assert.equal(world.blocks.stats().removed, 3);
  });

  it("ticks a release off only once its references are dropped, so that a kill in between repeats it", async () => {
    const world = await DataWorld.open();
    await put(world, "k", someBytes(world.random, 3 * BLOCK));
    await world.settle(world.data.flush());
    await remove(world, "k");
    const proposed: string[] = [];
    const mayDrop = Promise.withResolvers<void>();
    world.beforePropose = async ({ op }) => {
      proposed.push(op);
      if (op === "drop-refs") await mayDrop.promise;
    };
    const round = world.data.workers.release.runOnce();
    await world.pass(GC_DELAY_MS);
    assert.deepEqual([...new Set(proposed)], ["drop-refs"]);
    mayDrop.resolve();
    await world.settle(round);
    assert.equal(proposed.at(-1), "outbox-done");
  });

  it("keeps blocks that another object shares", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, 2 * BLOCK);
    await put(world, "one", bytes);
    const two = await put(world, "two", bytes);
    assert.equal(world.blocks.stats().deduplicated, 2);
    await remove(world, "one");
    await housekeeping(world, GC_DELAY_MS * 3);
    assert.ok(bytes.equals(await world.settle(readAll(two.open()))));
  });

  it("waits for a stream that lasts longer than every delay", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, 8 * BLOCK);
    const object = await put(world, "k", bytes);
    const source = object.open();
    const got = [Buffer.from((await world.settle(source.read())) as Uint8Array)];
    await remove(world, "k");
    await housekeeping(world, GC_DELAY_MS * 4);
    for (;;) {
      const piece = await world.settle(source.read());
      if (piece === null) break;
      got.push(Buffer.from(piece));
      await housekeeping(world, GC_DELAY_MS);
    }
    assert.ok(bytes.equals(Buffer.concat(got)));
    const report = await world.clean();
    assert.deepEqual([report.files, report.broken, report.unfinished], [0, [], []]);
  });

  it("waits for a stream also where the references were never confirmed, so that their claim is resolved", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, 8 * BLOCK);
    await put(world, "k", bytes);
    await world.crash(); // before the references were marked as in use
    const object = (await world.settle(world.objects.lookup({ bucket: world.bucket, key: "k" }))) as FoundObject;
    const source = object.open();
    const got = [Buffer.from((await world.settle(source.read())) as Uint8Array)];
    await remove(world, "k");
    await housekeeping(world, 2 * WINDOW_MS + GC_DELAY_MS * 4);
    for (;;) {
      const piece = await world.settle(source.read());
      if (piece === null) break;
      got.push(Buffer.from(piece));
    }
    assert.ok(bytes.equals(Buffer.concat(got)));
    const report = await world.clean();
    assert.deepEqual([report.files, report.broken, report.unfinished], [0, [], []]);
  });

  it("lets go when a stream is cancelled in the middle", async () => {
    const world = await DataWorld.open();
    const object = await put(world, "k", someBytes(world.random, 8 * BLOCK));
    const source = object.open();
    await world.settle(source.read());
    source.cancel();
    await world.pass(100);
    assert.equal(world.data.pins.count, 0);
    assert.equal(world.cpu.stats().bytesInUse, 0);
    assert.equal(world.data.budgets.reading.heldBytes, 0);
  });

  it("tells a reader without a read pin that its object was replaced", async () => {
    const world = await DataWorld.open();
    const object = await put(world, "k", someBytes(world.random, 2 * BLOCK));
    await remove(world, "k");
    await world.clean();
    await assert.rejects(
      world.settle(readAll(object.open())),
      (error) => error instanceof ServiceError && error.code === "object.replaced",
    );
  });

  it("never removes a file that an upload has just found there (rules 32, 33)", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, BLOCK);
    await put(world, "old", bytes);
    await remove(world, "old");
    await housekeeping(world, GC_DELAY_MS * 0.75);
    // The block has been unneeded for nearly the whole delay; a new upload finds the file, but its reference takes long.
    let renames = 0;
    world.fault = (operation, path) => {
      if (operation === "remove" && path.startsWith("/data/")) renames++;
      return undefined;
    };
    world.beforePropose = async (command) => {
      if (command.op === "add-refs") await new Promise<void>((resolve) => world.time.schedule(GC_DELAY_MS * 0.45, resolve));
    };
    const again = world.objects.put({
      bucket: world.bucket,
      key: "new",
      headers: HEADERS,
      upload: uploadOf(bytes, world.random),
    });
    const others = (async () => {
      for (let i = 0; i < 20; i++) {
        await world.data.workers.janitor.runOnce();
        await world.data.workers.orphans.runOnce();
        await new Promise<void>((resolve) => world.time.schedule(GC_DELAY_MS * 0.04, resolve));
      }
    })();
    const [outcome] = await world.settle(Promise.all([again, others]));
    assert.ok(outcome.ok);
    assert.equal(renames, 0);
    const found = (await world.settle(world.objects.lookup({ bucket: world.bucket, key: "new" }))) as FoundObject;
    assert.ok(bytes.equals(await world.settle(readAll(found.open()))));
  });

  it("copies by reference only while the source's reference is there (rule 34)", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, 3 * BLOCK);
    const written = await world.settle(world.data.writer.write(uploadOf(bytes, world.random), world.target("source")));
    assert.ok(written.ok && written.body.kind === "blocks");
    const claim = "a".repeat(32) as never;
    const pieces = written.body.blocks.map((block, at) => ({ kind: "block" as const, offset: at * BLOCK, claim, ...block }));
    assert.equal(await world.settle(world.data.writer.copyReferences(pieces, world.target("copy"))), undefined);
    const report = await world.clean();
    assert.deepEqual([report.references, report.files], [0, 0]);
  });

  it("goes on where a killed release stopped", async () => {
    const world = await DataWorld.open();
    for (let i = 0; i < 10; i++) await put(world, `k${i}`, someBytes(world.random, 3 * BLOCK));
    for (let i = 0; i < 10; i++) await remove(world, `k${i}`);
    void world.data.workers.release.runOnce();
    await world.pass(4);
    await world.crash();
    const report = await world.clean();
    assert.deepEqual([report.files, report.broken, report.unfinished], [0, [], []]);
  });
});

describe("damage", () => {
  it("fails the read with its own error, is counted and listed, and is repaired by the next upload of the same bytes", async () => {
    const world = await DataWorld.open();
    const bytes = someBytes(world.random, 3 * BLOCK);
    const object = await put(world, "k", bytes);
    const path = [...world.image.names.keys()].find((each) => /\/[0-9a-f]{64}$/.test(each)) as string;
    world.image.flip(path, 77);
    for (let i = 0; i < 2; i++)
      await assert.rejects(
        world.settle(readAll(object.open())),
        (error) => error instanceof ServiceError && error.code === "object.damaged",
      );
    const [error] = world.blocks.errors();
    assert.equal(error?.kind, "damaged");
    assert.equal(error?.path, `${path}.corrupted`);
    assert.equal(world.blocks.stats().damaged, 1);
    assert.equal((await world.settle(world.data.audit())).broken[0]?.kind, "reference-without-file");
    await put(world, "again", bytes);
    assert.deepEqual(world.blocks.errors(), []);
    assert.ok(bytes.equals(await world.settle(readAll(object.open()))));
  });

  it("is known again after a restart, by the walk", async () => {
    const world = await DataWorld.open();
    const object = await put(world, "k", someBytes(world.random, BLOCK));
    const path = [...world.image.names.keys()].find((each) => /\/[0-9a-f]{64}$/.test(each)) as string;
    world.image.flip(path, 5);
    await assert.rejects(world.settle(readAll(object.open())));
    await world.crash();
    await world.settle(world.data.workers.orphans.runOnce());
    // The rename may or may not have reached the disk before the power went.
    const found = (await world.settle(world.objects.lookup({ bucket: world.bucket, key: "k" }))) as FoundObject;
    await assert.rejects(
      world.settle(readAll(found.open())),
      (error) => error instanceof ServiceError && error.code === "object.damaged",
    );
    assert.equal(world.blocks.errors()[0]?.kind, "damaged");
  });
});

describe("the walk", () => {
  it("removes what dead processes had aside, damaged copies and files that nobody needs, and leaves what this process is writing", async () => {
    const world = await DataWorld.open();
    const kept = await put(world, "k", someBytes(world.random, BLOCK));
    const name = "ab".repeat(32);
    const at = `/data/ab/ab/${name}`;
    for (const path of [
      `${at}.dead-1.tmp`,
      `${at}.${world.cpu.asideToken}-9.tmp`,
      `${at}.corrupted`,
      `/data/cd/cd/${"cd".repeat(32)}`,
    ])
      await world.settle(world.disk.writeDurable(path, [Buffer.from("x")], { sync: true }));
    await world.settle(world.data.workers.orphans.runOnce());
    const left = async (): Promise<string[]> => (await world.settle(world.disk.list("/data/ab/ab"))).map((entry) => entry.name);
    assert.deepEqual(await left(), [`${name}.${world.cpu.asideToken}-9.tmp`]);
    assert.equal((await world.settle(world.disk.list("/data/cd/cd"))).length, 1, "not before the delay has passed");
    await world.pass(GC_DELAY_MS * 2);
    await world.settle(world.data.workers.orphans.runOnce());
    assert.equal((await world.settle(world.disk.list("/data/cd/cd"))).length, 0);
    assert.equal((await world.settle(readAll(kept.open()))).byteLength, BLOCK);
  });
});
