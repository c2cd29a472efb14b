import assert from "node:assert/strict";
import process from "node:process";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { BucketId, ClaimId, GroupId, Hash, UploadId } from "../../util/ids.ts";
import type { CompleteResult, PartitionCommand, PutPartResult, UploadResult } from "../commands.ts";
import { releasedBlocks } from "../partition/data-reads.ts";
import { uploadsOf } from "../partition/list-uploads.ts";
import { readOutbox } from "../partition/outbox-row.ts";
import { bucketKey, ROW, uploadKey } from "../partition/row-keys.ts";
import { ControlWorld } from "./testing/control-world.ts";

const KEY = "some-key";
const HEADERS = { system: [], user: [] };
const ETAG = "00".repeat(16);

interface Place {
  readonly id: BucketId;
  readonly indexShards: number;
}

/** A store with a bucket of four shards. */
async function worldWithBucket(): Promise<{ readonly world: ControlWorld; readonly bucket: Place }> {
  const world = await ControlWorld.open();
  await world.addKey(KEY);
  const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
  assert.ok(made.ok);
  return { world, bucket: { id: made.id, indexShards: 4 } };
}

/** Uploads of one key: the n-th has n % 3 parts, each of one block of its own. */
class Uploads {
  readonly #world: ControlWorld;
  readonly #bucket: Place;
  #drawn = 0;
  /** "hash/claim" of every part's block. */
  readonly claims: string[] = [];

  constructor(world: ControlWorld, bucket: Place) {
    this.#world = world;
    this.#bucket = bucket;
  }

  async start(key: string, parts: number): Promise<UploadId> {
    const upload = this.#draw(32) as UploadId;
    const created = await this.#propose<UploadResult>(key, { op: "create-upload", ...this.#at(key), upload, headers: HEADERS });
    assert.ok(created.ok);
    for (let part = 1; part <= parts; part++) assert.ok((await this.part(key, upload, part)).ok);
    return upload;
  }

  async part(key: string, upload: UploadId, part: number): Promise<PutPartResult> {
    const claim = this.#draw(32) as ClaimId;
    const hash = this.#draw(64) as Hash;
    const body = { kind: "blocks", size: 10, blocks: [{ hash, size: 10, storedSize: 10 }] } as const;
    const command: PartitionCommand = { op: "put-part", ...this.#at(key), upload, part, claim, etag: ETAG, body };
    const result = await this.#propose<PutPartResult>(key, command);
    if (result.ok) this.claims.push(`${hash}/${claim}`);
    return result;
  }

  complete(key: string, upload: UploadId): Promise<CompleteResult> {
    const parts = [{ part: 1, etag: ETAG }];
    return this.#propose(key, { op: "complete-upload", ...this.#at(key), upload, parts, minPartSize: 1 });
  }

  #at(key: string) {
    return { bucket: this.#bucket.id, key };
  }

  #propose<R>(key: string, command: PartitionCommand): Promise<R> {
    return this.#world.host.propose<PartitionCommand, R>(this.#world.placement.ofKey(this.#bucket, key), command);
  }

  #draw(digits: number): string {
    return (++this.#drawn).toString(16).padStart(digits, "d");
  }
}

/** What is left of the uploads in all partitions: rows, blocks that wait for their release, and rows of counters. */
function remains(world: ControlWorld, bucket: Place) {
  return world.kv.read((rows) => {
    let uploads = 0;
    let counters = 0;
    const released: string[] = [];
    for (const group of world.placement.groupsOf(bucket)) {
      uploads += uploadsOf(rows, group, bucket.id).length;
      if (rows.get("rows", bucketKey(group, ROW.usage, bucket.id)) !== undefined) counters++;
      for (const entry of readOutbox(rows, group, { after: 0, limit: 1_000 }))
        for (const { hash, claim } of releasedBlocks(rows, group, entry).blocks) released.push(`${hash}/${claim}`);
    }
    return { uploads, counters, released: released.sort() };
  });
}

/** Lets `count` commands of Control through, one after the other; the one behind them waits for ever. */
function stopAfter(world: ControlWorld, count: number): Promise<void> {
  let passed = 0;
  let turn = Promise.resolve();
  return new Promise((stopped) => {
    world.before = () => {
      turn = turn.then(async () => {
        // What was let through is on disk before the next one begins.
        await new Promise((resolve) => setImmediate(resolve));
        if (passed++ < count) return;
        stopped();
        await new Promise<never>(() => {});
      });
      return turn;
    };
  });
}

describe("unfinished uploads go with their bucket", () => {
  const UPLOADS = 3;
  // begin, four seals, the decision, the uploads, four burials, and the row.
  const COMMANDS = 6 + 4 * UPLOADS + 5;

  for (let steps = 0; steps <= COMMANDS; steps++)
    for (const inFlight of ["lost", "kept"] as const)
      test(`cut after ${steps} of ${COMMANDS} commands (${inFlight}): all of them are there, or none and their blocks are released`, async () => {
        const { world, bucket } = await worldWithBucket();
        const uploads = new Uploads(world, bucket);
        for (const key of world.keysOf(bucket)) for (let n = 0; n < UPLOADS; n++) await uploads.start(key, n % 3);
        const stopped = stopAfter(world, steps);
        const deleting = world.control.deleteBucketFor({ keyId: KEY, name: "photos", id: bucket.id });
        const first = await Promise.race([stopped, deleting]);
        assert.deepEqual(first, steps === COMMANDS ? { ok: true } : undefined);
        await world.crash(inFlight);
        const before = await remains(world, bucket);
        if (steps <= 5) assert.equal(before.uploads, 4 * UPLOADS, "nothing goes before the end is decided");
        assert.equal(await world.control.recover(), 0);
        const left = await remains(world, bucket);
        if (steps === 0) {
          assert.deepEqual(left, { uploads: 4 * UPLOADS, counters: 4, released: [] });
          assert.ok((await uploads.complete(world.keysOf(bucket)[0] as string, await uploads.start("more", 0))).ok === false);
        } else {
          assert.deepEqual(left, { uploads: 0, counters: 0, released: uploads.claims.sort() });
          assert.equal(world.control.view.buckets.size, 0);
        }
      });

  for (let steps = 1; steps < 12; steps++)
    test(`a deletion that is refused by another shard, cut after ${steps} commands: every upload is there, and can be completed`, async () => {
      const { world, bucket } = await worldWithBucket();
      const uploads = new Uploads(world, bucket);
      const keys = world.keysOf(bucket);
      const started: (readonly [string, UploadId])[] = [];
      for (const key of keys) started.push([key, await uploads.start(key, 2)]);
      const stopped = stopAfter(world, steps);
      const gate = world.before;
      world.before = async (group, command) => {
        // Between the deletion's look and its seals.
        if (command.op === "begin-delete") assert.ok((await world.put(bucket, keys[3] as string)).ok);
        return gate(group, command);
      };
      const first = await Promise.race([stopped, world.control.deleteBucketFor({ keyId: KEY, name: "photos", id: bucket.id })]);
      if (first !== undefined) assert.deepEqual(first, { ok: false, code: "not-empty" });
      await world.crash();
      assert.equal(await world.control.recover(), 0);
      assert.equal((await remains(world, bucket)).uploads, keys.length);
      for (const [key, upload] of started) assert.ok((await uploads.complete(key, upload)).ok, key);
    });

  test("a completion that races with the deletion: exactly one wins (random interleavings)", async () => {
    const seen = { completed: 0, deleted: 0 };
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 2 }), async (s, deleters) => {
        const { world, bucket } = await worldWithBucket();
        const uploads = new Uploads(world, bucket);
        const key = world.keysOf(bucket)[1] as string;
        const upload = await uploads.start(key, 1);
        world.before = () => s.schedule(Promise.resolve());
        const writing = (async () => {
          for (let turn = 0; turn < 3; turn++) await s.schedule(Promise.resolve());
          const part = await uploads.part(key, upload, 2);
          await s.schedule(Promise.resolve());
          return { part, completed: await uploads.complete(key, upload) };
        })();
        const deletions = Array.from({ length: deleters }, async (_, n) => {
          await s.schedule(Promise.resolve());
          return n === 1
            ? void (await world.control.recover())
            : world.control.deleteBucketFor({ keyId: KEY, name: "photos", id: bucket.id });
        });
        const [{ part, completed }, outcomes] = await s.waitFor(Promise.all([writing, Promise.all(deletions)]));
        world.before = () => Promise.resolve();
        assert.equal(await world.control.recover(), 0);
        const deleted = outcomes.some((one) => one?.ok);
        const left = await remains(world, bucket);
        if (deleted) {
          seen.deleted++;
          assert.ok(!completed.ok && ["sealed", "no-bucket"].includes(completed.refused), JSON.stringify(completed));
          assert.deepEqual(left, { uploads: 0, counters: 0, released: uploads.claims.sort() });
        } else {
          // A seal that was given up may have refused them: then they come again (the object operations do).
          const again = completed.ok ? completed : await uploads.complete(key, upload);
          assert.ok(part.ok || part.refused === "sealed");
          assert.ok(again.ok, JSON.stringify(again));
          seen.completed++;
          assert.ok(await world.has(bucket, key));
        }
      }),
      { numRuns: Number(process.env["HANGAR_RUNS"] ?? 200) },
    );
    assert.ok(seen.completed > 0 && seen.deleted > 0, JSON.stringify(seen));
  });

  test("many uploads, and big ones, go some at a time", async () => {
    const { world, bucket } = await worldWithBucket();
    const uploads = new Uploads(world, bucket);
    const [many, big] = world.keysOf(bucket) as [string, string];
    for (let n = 0; n < 300; n++) await uploads.start(many, 0);
    for (let n = 0; n < 4; n++) await uploads.start(big, 400);
    const most = new Map<GroupId, number>();
    let waiting = new Map<GroupId, number>();
    let opened: Promise<unknown> | undefined;
    // Each slice is held until all of it has come, and counted then.
    world.before = async (group, command) => {
      if (command.op !== "drop-upload") return;
      opened ??= new Promise((resolve) => setImmediate(resolve)).then(() => {
        for (const [where, count] of waiting) most.set(where, Math.max(most.get(where) ?? 0, count));
        waiting = new Map();
        opened = undefined;
      });
      waiting.set(group, (waiting.get(group) ?? 0) + 1);
      await opened;
    };
    assert.deepEqual(await world.control.deleteBucket(bucket.id), { ok: true });
    assert.equal(most.get(world.placement.ofKey(bucket, many)), 32);
    assert.equal(most.get(world.placement.ofKey(bucket, big)), 3, "with 400 parts each");
    const left = await remains(world, bucket);
    assert.deepEqual([left.uploads, left.counters], [0, 0]);
  });

  test("a damaged row of an upload keeps no bucket: its parts are released all the same", async () => {
    const { world, bucket } = await worldWithBucket();
    const uploads = new Uploads(world, bucket);
    const [key = ""] = world.keysOf(bucket);
    await uploads.start(key, 1);
    const group = world.placement.ofKey(bucket, key);
    world.disk.damage("rows", uploadKey(group, bucket.id, key, await uploads.start(key, 2)), 9);
    assert.deepEqual(await world.control.deleteBucket(bucket.id), { ok: true });
    assert.deepEqual(await remains(world, bucket), { uploads: 0, counters: 0, released: uploads.claims.sort() });
  });
});
