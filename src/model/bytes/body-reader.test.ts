import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ByteSource } from "../../util/byte-source.ts";
import { type FoundObject, ServiceError } from "../object-service.ts";
import { BLOCK, DataWorld, readAll, someBytes, uploadOf } from "../upkeep/testing/data-world.ts";

/** All the memory there is for downloads, in blocks. */
const BUDGET = 20;

async function open(blocks: number) {
  const world = await DataWorld.open();
  const { bucket } = world;
  const bytes = someBytes(world.random, blocks * BLOCK);
  const request = { bucket, key: "k", headers: { system: [], user: [] }, upload: uploadOf(bytes, world.random) };
  assert.ok((await world.settle(world.objects.put(request))).ok);
  const object = (await world.settle(world.objects.lookup({ bucket, key: "k" }))) as FoundObject;
  const read = async (source: ByteSource): Promise<Buffer> => Buffer.from((await world.settle(source.read())) as Uint8Array);
  const heldBlocks = (): number => world.data.budgets.reading.heldBytes / BLOCK;
  return { world, bytes, object, read, heldBlocks };
}

const isSlowDown = (error: unknown): boolean => error instanceof ServiceError && error.code === "service.slow-down";

describe("memory of a stream", () => {
  it("is one block at first, three while the client keeps taking, one again when it stalls; the bytes stay right", async () => {
    const { world, bytes, object, read, heldBlocks } = await open(12);
    const source = object.open();
    const got = [await read(source)];
    assert.equal(heldBlocks(), 1);
    got.push(await read(source), await read(source));
    assert.equal(heldBlocks(), 3);
    await world.pass(3_000);
    assert.equal(heldBlocks(), 1, "only what is being sent");
    got.push(await read(source));
    assert.equal(heldBlocks(), 1, "the client was slow");
    got.push(await read(source), await read(source));
    assert.equal(heldBlocks(), 3, "it takes again");
    got.push(await world.settle(readAll(source)));
    assert.ok(bytes.equals(Buffer.concat(got)));
    assert.equal(heldBlocks(), 0);
  });

  it("is one block of a slow client, which still gets everything", async () => {
    const { world, bytes, object, read, heldBlocks } = await open(6);
    const source = object.open();
    const got: Buffer[] = [];
    for (let n = 0; n < 6; n++) {
      got.push(await read(source));
      assert.equal(heldBlocks(), 1);
      await world.pass(1_000);
    }
    assert.equal(await world.settle(source.read()), null);
    assert.ok(bytes.equals(Buffer.concat(got)));
  });

  it("is given back whole when a stalled stream is cancelled, whenever that is", async () => {
    for (const passMs of [0, 1, 3_000]) {
      const { world, object, read, heldBlocks } = await open(6);
      const source = object.open();
      await read(source);
      await read(source);
      await world.pass(passMs);
      source.cancel();
      await world.pass(100);
      assert.equal(heldBlocks(), 0, `${passMs} ms`);
    }
  });
});

/** A client of a stream, as the transport shows it; cut off, it cancels a little later, as a socket's end is noticed. */
class Client {
  stalledMs = 0;
  cut = false;
  readonly #cutOff: () => void;

  constructor(cutOff: () => void) {
    this.#cutOff = cutOff;
  }

  cutOff(): void {
    this.cut = true;
    this.#cutOff();
  }
}

describe("memory of all streams", () => {
  it("that is all in use is taken from those who have stalled longest, and from no more than needed", async () => {
    const { world, object, read, heldBlocks } = await open(6);
    const clients: Client[] = [];
    for (let n = 0; n < BUDGET; n++) {
      const source = object.open();
      await read(source);
      const client = new Client(() => world.node.clock.timer(50, () => source.cancel()));
      source.takenBy?.(client);
      clients.push(client);
    }
    // Client 7 is gone for longest, then 3; 5 has just stopped; all others take.
    Object.assign(clients[7] as Client, { stalledMs: 9_000 });
    Object.assign(clients[3] as Client, { stalledMs: 4_000 });
    Object.assign(clients[5] as Client, { stalledMs: 1_500 });
    const cut = (): number[] => clients.flatMap((client, n) => (client.cut ? [n] : []));

    const newcomer = object.open();
    await read(newcomer);
    assert.deepEqual(cut(), [7]);
    const [second, third] = [object.open(), object.open()];
    const waiting = [second.read(), third.read()];
    await world.settle(waiting[0] as Promise<unknown>);
    assert.deepEqual(cut(), [3, 7]);
    // Its time has come only now.
    (clients[5] as Client).stalledMs = 2_500;
    await world.settle(waiting[1] as Promise<unknown>);
    assert.deepEqual(cut(), [3, 5, 7]);
    assert.equal(heldBlocks(), BUDGET);
    // Nobody is left to be cut off.
    await assert.rejects(world.settle(object.open().read()), isSlowDown);
    assert.deepEqual(cut(), [3, 5, 7]);
  });

  it("that is all in use by slow ones is taken from who has held it longest, when it stays short", async () => {
    const { world, object, read } = await open(6);
    const cut: number[] = [];
    for (let n = 0; n < BUDGET; n++) {
      const source = object.open();
      await read(source);
      source.takenBy?.({
        stalledMs: 0,
        cutOff() {
          cut.push(n);
          world.node.clock.timer(50, () => source.cancel());
        },
      });
      await world.pass(10);
    }
    // In time: whoever comes now is refused.
    await assert.rejects(world.settle(object.open().read()), isSlowDown);
    await world.pass(7_000);
    assert.deepEqual(cut, []);
    const startMs = world.time.nowMs;
    await read(object.open());
    assert.deepEqual(cut, [0]);
    assert.ok(world.time.nowMs - startMs >= 2_000, `after ${world.time.nowMs - startMs} ms`);
  });

  it("is not kept by stalled ones: what they had read ahead serves others", async () => {
    const { world, bytes, object, read, heldBlocks } = await open(6);
    const stalled = Array.from({ length: BUDGET - 4 }, () => object.open());
    for (const source of stalled) await read(source);
    for (const source of stalled) await read(source);
    assert.equal(heldBlocks(), BUDGET);
    const startMs = world.time.nowMs;
    assert.ok(bytes.equals(await world.settle(readAll(object.open()))));
    assert.ok(world.time.nowMs - startMs < 4_000, `${world.time.nowMs - startMs} ms`);
    for (const source of stalled) source.cancel();
  });

  it("that is all in use: a new stream is refused early, one that has begun waits longer", async () => {
    const { world, object, read } = await open(6);
    const begun = object.open();
    await read(begun);
    const others = Array.from({ length: BUDGET - 1 }, () => object.open());
    for (const source of others) await read(source);
    const newcomer = object.open();
    const early = newcomer.read();
    await world.pass(1_000);
    // Who came first gets the memory of the piece that was taken.
    const next = begun.read();
    await world.settle(early);
    const startMs = world.time.nowMs;
    await assert.rejects(world.settle(object.open().read()), isSlowDown);
    const waitedMs = world.time.nowMs - startMs;
    assert.ok(waitedMs <= 5_000, `${waitedMs} ms`);
    await world.pass(10_000 - waitedMs);
    newcomer.cancel();
    assert.equal((await world.settle(next))?.byteLength, BLOCK);
    begun.cancel();
    for (const source of others) source.cancel();
  });
});
