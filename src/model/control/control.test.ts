import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { BucketId } from "../../util/ids.ts";
import { bucketKey, ROW } from "../partition/row-keys.ts";
import type { ControlCommand } from "./control-commands.ts";
import type { BucketView } from "./control-view.ts";
import { ControlWorld } from "./testing/control-world.ts";

const KEY = "some-key";

async function worldWithKey(): Promise<ControlWorld> {
  const world = await ControlWorld.open();
  await world.addKey(KEY);
  return world;
}

/**
 * Lets `count` commands through, one after the other so that each is on disk before the next begins; the one behind them waits
 * for ever.
 */
function stopAfter(world: ControlWorld, count: number): { readonly stopped: Promise<void> } {
  let passed = 0;
  let turn = Promise.resolve();
  let tell = (): void => {};
  const stopped = new Promise<void>((resolve) => (tell = resolve));
  world.before = () => {
    const mine = turn.then(() => settle());
    turn = mine.then(() => {
      if (passed++ < count) return;
      tell();
      return new Promise<never>(() => {});
    });
    return turn;
  };
  return { stopped };
}

/** Gives commits under way the time to end: a memory kv commits within a few turns of the microtask queue. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Every bucket is in a stable phase and its partitions agree: puts are taken everywhere, or refused everywhere as to no bucket.
 */
async function assertSettled(world: ControlWorld, id: BucketId): Promise<"live" | "gone"> {
  const row = world.control.view.buckets.get(id)?.row;
  const place = row ?? { id, indexShards: 4 };
  for (const key of world.keysOf(place)) {
    const put = await world.put(place, key);
    if (row === undefined) assert.deepEqual(put, { ok: false, refused: "no-bucket" });
    else {
      assert.equal(row.phase, "live");
      assert.ok(put.ok, `a put into ${key} is taken`);
      await world.remove(place, key);
    }
  }
  return row === undefined ? "gone" : "live";
}

describe("creation and end of a bucket, power cut before every step", () => {
  for (let steps = 0; steps < 7; steps++)
    for (const inFlight of ["lost", "kept"] as const)
      test(`creation cut after ${steps} commands (${inFlight}): it is there, or it can be made`, async () => {
        const world = await worldWithKey();
        const { stopped } = stopAfter(world, steps);
        const creating = world.control.createBucketFor({ keyId: KEY, name: "photos" });
        const first = await Promise.race([stopped, creating]);
        await world.crash(inFlight);
        assert.equal(await world.control.recover(), 0);
        const found = world.control.resolveBucket("photos", KEY);
        if (first !== undefined) assert.ok(first.ok && found?.id === first.id, "what was acknowledged is there");
        assert.equal(found === undefined, steps === 0, "decided by its first command");
        const again = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
        assert.equal(again.ok ? "made" : again.code, steps === 0 ? "made" : "owned-by-you");
        const id = world.control.resolveBucket("photos", KEY)?.id as BucketId;
        assert.equal(await assertSettled(world, id), "live");
      });

  const ends = new Set<string>();
  for (let steps = 0; steps < 12; steps++)
    for (const inFlight of ["lost", "kept"] as const)
      test(`deletion cut after ${steps} commands (${inFlight}): recovery drives it to the end, the name is free`, async () => {
        const world = await worldWithKey();
        const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
        assert.ok(made.ok);
        const { stopped } = stopAfter(world, steps);
        const deleting = world.control.deleteBucketFor({ keyId: KEY, name: "photos", id: made.id });
        const first = await Promise.race([stopped, deleting]);
        await world.crash(inFlight);
        assert.equal(await world.control.recover(), 0);
        const end = await assertSettled(world, made.id);
        ends.add(end);
        assert.equal(end, steps === 0 ? "live" : "gone", "begun means: no put was there, so it ends");
        if (first !== undefined) assert.ok(first.ok);
        if (end === "gone") assert.ok((await world.control.createBucketFor({ keyId: KEY, name: "photos" })).ok);
      });
  test("both ends were met", () => assert.deepEqual([...ends].sort(), ["gone", "live"]));

  for (let steps = 1; steps < 12; steps++)
    test(`a deletion of a bucket that got an object in time, cut after ${steps} commands: it lives on, unsealed`, async () => {
      const world = await worldWithKey();
      const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
      assert.ok(made.ok);
      const bucket = world.control.bucket(made.id);
      assert.ok(bucket);
      const [last] = world.keysOf(bucket).slice(-1);
      const { stopped } = stopAfter(world, steps);
      const gate = world.before;
      world.before = async (group, command) => {
        // Between the deletion's look and its seals.
        if (command.op === "begin-delete") assert.ok((await world.put(bucket, last as string)).ok);
        return gate(group, command);
      };
      const deleting = world.control.deleteBucketFor({ keyId: KEY, name: "photos", id: made.id });
      const first = await Promise.race([stopped, deleting]);
      await world.crash();
      assert.equal(await world.control.recover(), 0);
      if (first !== undefined) assert.deepEqual(first, { ok: false, code: "not-empty" });
      assert.ok(await world.has(bucket, last as string), "the object is there");
      assert.equal(world.control.view.buckets.get(made.id)?.row.attempt, 1);
      assert.equal(await assertSettled(world, made.id), "live");
    });
});

describe("deletion against puts and against itself", () => {
  test("an acknowledged put is never lost; a refused deletion leaves the bucket open (random interleavings)", async () => {
    const seen = { gone: 0, "not-empty": 0, raced: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        async (s, writers, deleters) => {
          const world = await worldWithKey();
          const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
          assert.ok(made.ok);
          const bucket = world.control.bucket(made.id);
          assert.ok(bucket);
          const keys = world.keysOf(bucket);
          world.before = () => s.schedule(Promise.resolve());
          const puts = Array.from({ length: writers }, async (_, n) => {
            await s.schedule(Promise.resolve());
            await s.schedule(Promise.resolve());
            const key = keys[n % keys.length] as string;
            const put = await world.put(bucket, key);
            return { key, put };
          });
          const deletions = Array.from({ length: deleters }, async (_, n) => {
            await s.schedule(Promise.resolve());
            return n === 2
              ? void (await world.control.recover())
              : world.control.deleteBucketFor({ keyId: KEY, name: "photos", id: made.id });
          });
          const [outcomes, written] = await s.waitFor(Promise.all([Promise.all(deletions), Promise.all(puts)]));
          world.before = () => Promise.resolve();
          assert.equal(await world.control.recover(), 0);
          const gone = outcomes.filter((one) => one?.ok).length;
          assert.ok(gone <= 1, "one deletion wins at most");
          for (const { key, put } of written) {
            if (put.ok) assert.ok(await world.has(bucket, key), "an acknowledged object is there");
            else assert.ok(put.refused === "sealed" || put.refused === "no-bucket");
            if (put.ok) assert.equal(gone, 0, "no bucket goes with an object in it");
          }
          if (gone > 0) {
            seen.gone++;
            assert.equal(await assertSettled(world, made.id), "gone");
            assert.equal(world.control.view.buckets.size, 0, "remove-bucket");
          } else {
            assert.ok(outcomes.every((one) => one === undefined || (!one.ok && one.code !== "no-such-bucket")));
            if (outcomes.some((one) => one && !one.ok && one.code === "not-empty")) seen["not-empty"]++;
            if (world.control.view.buckets.get(made.id)?.row.attempt) seen.raced++;
            assert.equal(await assertSettled(world, made.id), "live");
          }
        },
      ),
      { numRuns: Number(process.env["HANGAR_RUNS"] ?? 200) },
    );
    assert.ok(seen.gone > 0 && seen["not-empty"] > 0 && seen.raced > 0, JSON.stringify(seen));
  });

  test("a deletion that has no chance does not stop puts for a moment", async () => {
    const world = await worldWithKey();
    const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
    assert.ok(made.ok);
    const bucket = world.control.bucket(made.id);
    assert.ok(bucket);
    assert.ok((await world.put(bucket, "an object")).ok);
    world.before = () => Promise.reject(new Error("no command is needed"));
    assert.deepEqual(await world.control.deleteBucket(made.id), { ok: false, code: "not-empty" });
    assert.equal(bucket.row.attempt, 0);
  });

  test("64 rivals for one name: one bucket, which all others may use as soon as they know of it", async () => {
    for (const global of [false, true]) {
      const world = await worldWithKey();
      const outcomes = await Promise.all(
        Array.from({ length: 64 }, async () => {
          const outcome = global
            ? await world.control.createBucket({ globalAlias: "photos" })
            : await world.control.createBucketFor({ keyId: KEY, name: "photos" });
          const bucket = world.control.resolveBucket("photos", KEY);
          assert.ok(bucket, "who has an answer sees it");
          for (const key of world.keysOf(bucket)) assert.ok((await world.put(bucket, key)).ok);
          return outcome.ok ? "made" : outcome.code;
        }),
      );
      assert.deepEqual(
        outcomes.sort(),
        [...Array.from({ length: 63 }, () => (global ? "exists" : "owned-by-you")), "made"].sort(),
      );
      assert.equal(world.control.view.buckets.size, 1);
    }
  });

  test("64 rivals delete it: one has done it, the others find none or one that is being deleted", async () => {
    const world = await worldWithKey();
    const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
    assert.ok(made.ok);
    const outcomes = await Promise.all(
      Array.from({ length: 64 }, () => world.control.deleteBucketFor({ keyId: KEY, name: "photos", id: made.id })),
    );
    assert.equal(outcomes.filter((one) => one.ok).length, 1);
    for (const one of outcomes) assert.ok(one.ok || one.code === "busy" || one.code === "no-such-bucket", JSON.stringify(one));
    assert.equal(await assertSettled(world, made.id), "gone");
  });
});

describe("names", () => {
  test("S3's deletion takes away only the name it used while there are others, then the bucket", async () => {
    const world = await worldWithKey();
    const made = await world.control.createBucketFor({ keyId: KEY, name: "own" });
    assert.ok(made.ok);
    const { id } = made;
    await world.control.command({ op: "add-alias", bucket: id, alias: "global" });
    const remove = (name: string) => world.control.deleteBucketFor({ keyId: KEY, name, id });
    assert.deepEqual(await remove(id), { ok: false, code: "busy" }, "an id is no name to take away");
    assert.deepEqual(await remove("never"), { ok: false, code: "no-such-bucket" });
    assert.deepEqual(await remove("own"), { ok: true });
    assert.equal(world.control.resolveBucket("own", KEY), undefined);
    assert.equal(world.control.resolveBucket("global", KEY)?.id, id);
    assert.deepEqual(await remove("own"), { ok: false, code: "no-such-bucket" }, "a name it has lost does not delete it");
    assert.equal(world.control.resolveBucket("global", KEY)?.id, id);
    assert.deepEqual(await remove("global"), { ok: true });
    assert.equal(world.control.bucket(id), undefined);
  });

  test("an administrator's deletion by id takes all names with it, and leaves them all when the bucket is not empty", async () => {
    const world = await worldWithKey();
    const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
    assert.ok(made.ok);
    const { id } = made;
    assert.ok((await world.control.addAlias(id, { alias: "pictures" })).ok);
    const outcome = await world.control.deleteBucket(id);
    assert.ok(!outcome.ok && outcome.code === "other-aliases" && /pictures.*photos/.test(outcome.detail ?? ""));
    const { row } = world.control.bucket(id) as BucketView;
    assert.ok((await world.put(row, "k")).ok);
    assert.deepEqual(await world.control.deleteBucket(id, undefined, { evenSeveral: true }), { ok: false, code: "not-empty" });
    for (const name of ["photos", "pictures"]) assert.equal(world.control.resolveBucket(name, KEY)?.id, id);
    await world.remove(row, "k");
    assert.deepEqual(await world.control.deleteBucket(id, undefined, { evenSeveral: true }), { ok: true });
    for (const name of ["photos", "pictures"]) assert.equal(world.control.resolveBucket(name, KEY), undefined);
    assert.ok((await world.control.createBucket({ globalAlias: "pictures" })).ok, "the names are free");
    assert.equal(await assertSettled(world, id), "gone");
  });

  test("two rivals delete by the two names: one takes its name away, the other deletes the bucket", async () => {
    const world = await worldWithKey();
    const made = await world.control.createBucketFor({ keyId: KEY, name: "own" });
    assert.ok(made.ok);
    await world.control.command({ op: "add-alias", bucket: made.id, alias: "global" });
    const both = await Promise.all(
      ["own", "global"].map((name) => world.control.deleteBucketFor({ keyId: KEY, name, id: made.id })),
    );
    assert.deepEqual(both, [{ ok: true }, { ok: true }]);
    assert.equal(await assertSettled(world, made.id), "gone");
  });

  test("a key's own name comes before the global one, then the id; buckets of a key are listed by name", async () => {
    const world = await worldWithKey();
    await world.addKey("other-key");
    const one = await world.control.createBucket({ globalAlias: "photos" });
    const two = await world.control.createBucket({ localAlias: { keyId: KEY, alias: "mine", letters: "r" } });
    assert.ok(one.ok && two.ok);
    const { control } = world;
    assert.ok((await control.addAlias(two.id, { alias: "photos", keyId: KEY })).ok);
    assert.equal(control.resolveBucket("photos", KEY)?.id, two.id);
    assert.equal(control.resolveBucket("photos", "other-key")?.id, one.id);
    assert.equal(control.resolveBucket("photos", undefined)?.id, one.id);
    assert.equal(control.resolveBucket(one.id, undefined)?.id, one.id);
    assert.equal(control.resolveBucket("mine", "other-key"), undefined);
    assert.deepEqual(
      control.bucketsOf(KEY).map(({ name }) => name),
      ["mine", "photos"],
    );
    assert.deepEqual(control.bucketsOf("other-key"), []);
    assert.deepEqual(control.bucket(two.id)?.rights(KEY), { read: true, write: false, owner: false });
  });

  test("names that can't be are refused, keys without the right as well", async () => {
    const world = await worldWithKey();
    await world.addKey("weak-key", false);
    const { control } = world;
    const codeOf = async (promise: Promise<{ readonly ok: boolean; readonly code?: string }>) => (await promise).code;
    for (const name of ["ab", "Upper", "a..b", "1.2.3.4", "-ab", "xn--abc", "a".repeat(64), "under_score", "x-s3alias"]) {
      assert.equal(await codeOf(control.createBucketFor({ keyId: KEY, name })), "invalid-name", name);
      assert.equal(await codeOf(control.createBucket({ globalAlias: name })), "invalid-name", name);
    }
    assert.equal(await codeOf(control.createBucketFor({ keyId: "weak-key", name: "photos" })), "not-allowed");
    assert.equal(await codeOf(control.createBucketFor({ keyId: "no-key", name: "photos" })), "not-allowed");
    const made = await control.createBucket({ globalAlias: "photos" });
    assert.ok(made.ok);
    assert.equal(await codeOf(control.addAlias(made.id, { alias: "Not A Name" })), "invalid-name");
    assert.equal(
      await codeOf(control.createBucket({ localAlias: { keyId: "gone", alias: "mine", letters: "" } })),
      "not-allowed",
    );
  });
});

describe("while a bucket is on its way", () => {
  test("one that is being made is not seen, one that is being deleted is, until that is decided", async () => {
    const world = await worldWithKey();
    const seen: string[] = [];
    world.before = async (_group, command) => {
      seen.push(`${(command as ControlCommand).op} ${world.control.resolveBucket("photos", KEY) ? "seen" : "not seen"}`);
    };
    const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
    assert.ok(made.ok);
    await world.control.deleteBucket(made.id);
    assert.deepEqual(
      [...new Set(seen)],
      [
        "create-bucket not seen",
        "set-guard not seen",
        "bucket-ready not seen",
        "begin-delete seen",
        "seal seen",
        "finish-delete seen",
        "set-tombstone not seen",
        "remove-bucket not seen",
      ],
    );
  });

  test("a damaged guard is set anew while its bucket lives: puts are taken again, and seals of attempts that are over are not", async () => {
    const world = await worldWithKey();
    const made = await world.control.createBucketFor({ keyId: KEY, name: "photos" });
    assert.ok(made.ok);
    const { row } = world.control.bucket(made.id) as BucketView;
    const [key] = world.keysOf(row) as [string];
    // An attempt that gets as far as the seals, and meets an object that came in time.
    world.before = async (_group, command) => {
      if (command.op !== "seal") return;
      world.before = () => Promise.resolve();
      assert.ok((await world.put(row, key)).ok);
    };
    assert.deepEqual(await world.control.deleteBucket(made.id), { ok: false, code: "not-empty" });
    const group = world.placement.ofKey(row, key);
    world.disk.damage("rows", bucketKey(group, ROW.guard, made.id), 20);
    assert.ok((await world.put(row, key)).ok);
    await world.remove(row, key);
    const late = { op: "seal", bucket: made.id, attempt: 1 } as const;
    assert.deepEqual(await world.host.propose(group, late), { ok: false, refused: "old-attempt" });
    assert.deepEqual(await world.control.deleteBucket(made.id), { ok: true });
    assert.equal(await assertSettled(world, made.id), "gone");
  });

  test("what fails on the way is tried again by recovery, which says how much is left", async () => {
    const world = await worldWithKey();
    world.before = async (_group, command) => {
      if (command.op === "set-guard") throw new Error("no majority");
    };
    await assert.rejects(world.control.createBucketFor({ keyId: KEY, name: "photos" }), /no majority/);
    assert.equal(world.control.resolveBucket("photos", KEY), undefined);
    assert.equal(await world.control.recover(), 1);
    assert.match(world.log.lines.at(-1)?.message ?? "", /not settled/);
    world.before = () => Promise.resolve();
    assert.equal(await world.control.recover(), 0);
    assert.ok(world.control.resolveBucket("photos", KEY));
  });
});
