import assert from "node:assert/strict";
import { describe, it } from "node:test";
import process from "node:process";
import type { UploadId } from "../../util/ids.ts";
import type { FoundObject } from "../object-service.ts";
import { BLOCK, DataWorld, INLINE, readAll, someBytes, uploadOf } from "./testing/data-world.ts";

/** Longer: HANGAR_CRASH_SEEDS=500 node --test src/model/upkeep/crash.test.ts. */
const SEEDS = Number(process.env["HANGAR_CRASH_SEEDS"] ?? 6);
const KEYS = ["a", "b", "c", "d/e"];
const HEADERS = { system: [], user: [] };

/** What a key may hold: the acknowledged state, and those of operations whose outcome nobody learned. null: nothing. */
type Possible = (Buffer | null)[];

/**
 * Random puts, deletes, copies and multipart uploads by several clients, power cuts at any moment, the background workers all the
 * while. Each key has one client, so that what it may hold is known. After healing: every acknowledged object is there bit for
 * bit, and the audit finds nothing broken and nothing left over.
 */
async function run(seed: number): Promise<{ readonly acknowledged: number; readonly crashes: number }> {
  const world = await DataWorld.open(seed);
  const { random, bucket } = world;
  const possible = new Map<string, Possible>(KEYS.map((key) => [key, [null]]));
  let acknowledged = 0;
  const pick = (below: number): number => Math.floor(random() * below);
  const size = (): number => [0, pick(INLINE), INLINE + pick(BLOCK), pick(5 * BLOCK), BLOCK * (1 + pick(3))][pick(5)] as number;

  const put = async (key: string): Promise<Buffer> => {
    const bytes = someBytes(random, size(), 12); // Few kinds: blocks are shared.
    possible.get(key)?.push(bytes);
    const outcome = await world.objects.put({ bucket, key, headers: HEADERS, upload: uploadOf(bytes, random) });
    assert.ok(outcome.ok, JSON.stringify(outcome));
    return bytes;
  };
  const remove = async (key: string): Promise<null> => {
    possible.get(key)?.push(null);
    assert.ok((await world.objects.delete({ bucket, key })).ok);
    return null;
  };
  const copy = async (key: string): Promise<Buffer | null> => {
    const from = KEYS[pick(KEYS.length)] as string;
    const object = await world.objects.lookup({ bucket, key: from });
    if (object === null) return remove(key);
    const bytes = (await world.objects.lookup({ bucket, key: from })) && (await read(object));
    if (bytes === undefined) return remove(key);
    possible.get(key)?.push(bytes);
    const signal = new AbortController().signal;
    const outcome = await world.objects.copy({ source: { bucket, key: from, object }, bucket, key, signal });
    if (!outcome.ok) return remove(key); // The source went meanwhile.
    return bytes;
  };
  const multipart = async (key: string): Promise<Buffer | null | undefined> => {
    const created = await world.objects.createUpload({ bucket, key, headers: HEADERS });
    assert.ok(created.ok);
    const upload: UploadId = created.upload;
    const parts: { part: number; etag: string }[] = [];
    const bodies: Buffer[] = [];
    for (let part = 1; part <= 1 + pick(3); part++) {
      const bytes = someBytes(random, 1 + size(), 12);
      if (random() < 0.2)
        await world.objects.putPart({ bucket, key, upload, part, body: uploadOf(someBytes(random, size()), random) });
      const outcome = await world.objects.putPart({ bucket, key, upload, part, body: uploadOf(bytes, random) });
      assert.ok(outcome.ok, JSON.stringify(outcome));
      parts.push({ part, etag: outcome.etag });
      bodies.push(bytes);
    }
    if (random() < 0.3) {
      assert.ok((await world.objects.abortUpload({ bucket, key, upload })).ok);
      return undefined;
    }
    if (random() < 0.2 && parts.length > 1) {
      parts.pop();
      bodies.pop();
    }
    const whole = Buffer.concat(bodies);
    possible.get(key)?.push(whole);
    const outcome = await world.objects.completeUpload({ bucket, key, upload, parts });
    assert.ok(outcome.ok, JSON.stringify(outcome));
    return whole;
  };
  const read = async (object: FoundObject): Promise<Buffer | undefined> => {
    if (object.inline) return Buffer.from(object.inline);
    try {
      return await readAll(object.open());
    } catch (error) {
      // Only an object that was replaced meanwhile may fail, never with damage.
      assert.equal((error as { code?: string }).code, "object.replaced", String(error));
      return undefined;
    }
  };

  const client = async (key: string, life: { over: boolean }): Promise<void> => {
    while (!life.over) {
      await new Promise<void>((resolve) => world.node.clock.timer(random() * 200, resolve));
      if (life.over) return;
      const draw = random();
      const result = await (draw < 0.5 ? put(key) : draw < 0.65 ? remove(key) : draw < 0.8 ? copy(key) : multipart(key));
      if (life.over) return;
      acknowledged++;
      if (result !== undefined) possible.set(key, [result]);
    }
  };
  const workers = async (life: { over: boolean }): Promise<void> => {
    while (!life.over) {
      await world.data.workers.release.runOnce();
      await world.data.workers.janitor.runOnce();
      if (random() < 0.2) await world.data.workers.orphans.runOnce();
      await new Promise<void>((resolve) => world.node.clock.timer(300 + random() * 1000, resolve));
    }
  };

  const crashes = 1 + pick(4);
  for (let cut = 0; cut < crashes; cut++) {
    const life = { over: false };
    const failed: unknown[] = [];
    for (const running of [...KEYS.map((key) => client(key, life)), workers(life)])
      running.catch((error: unknown) => failed.push(error));
    await world.pass(500 + random() * 12_000);
    life.over = true;
    if (failed.length > 0) throw failed[0];
    await world.crash();
    const report = await world.settle(world.data.audit());
    assert.deepEqual(report.broken, [], "right after a crash");
    for (const key of KEYS) {
      const found = await world.settle(world.objects.lookup({ bucket, key }));
      const bytes = found === null ? null : ((await world.settle(read(found))) as Buffer);
      const match = possible.get(key)?.find((each) => (each === null ? bytes === null : bytes !== null && each.equals(bytes)));
      assert.notEqual(match, undefined, `${key} holds what nobody wrote last`);
      possible.set(key, [match as Buffer | null]);
    }
  }
  // Uploads that were cut off stay until they are aborted.
  const uploads = await world.settle(
    world.objects.listUploads({ bucket, prefix: "", delimiter: "", afterKey: "", skipPrefix: false, limit: 1000 }),
  );
  for (const { key, upload } of uploads.entries)
    if (upload) await world.settle(world.objects.abortUpload({ bucket, key, upload }));
  const report = await world.clean();
  assert.deepEqual([report.broken, report.unfinished], [[], []]);
  let blocks = 0;
  for (const key of KEYS) {
    const wanted = possible.get(key)?.[0] as Buffer | null;
    const found = await world.settle(world.objects.lookup({ bucket, key }));
    assert.equal(found === null, wanted === null);
    if (found && wanted) assert.ok(wanted.equals((await world.settle(read(found))) as Buffer));
    blocks += wanted && wanted.byteLength > INLINE ? 1 : 0;
  }
  assert.equal(report.storedBlocks > 0, blocks > 0);
  assert.equal(world.cpu.stats().bytesInUse, 0);
  return { acknowledged, crashes };
}

describe("power cuts", () => {
  it(`lose nothing acknowledged and leave nothing behind (${SEEDS} seeds)`, async () => {
    let acknowledged = 0;
    let crashes = 0;
    const first = Number(process.env["HANGAR_CRASH_FROM"] ?? 1);
    for (let seed = first; seed < first + SEEDS; seed++)
      try {
        const done = await run(seed);
        acknowledged += done.acknowledged;
        crashes += done.crashes;
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    assert.ok(acknowledged > SEEDS * 20, `${acknowledged} operations, ${crashes} crashes`);
  });
});
