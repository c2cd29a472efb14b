// One rotten row after the other, of every kind: what it costs is the answer for its own object at most, and that in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemoryKvDisk } from "../../../sim/platform/memory-kv.ts";
import type { Tree } from "../../platform/kv.ts";
import { sourceOf } from "../../util/byte-source.ts";
import type { UploadId } from "../../util/ids.ts";
import { putRow } from "../control/rows.ts";
import { type ObjectService, ServiceError } from "../object-service.ts";
import { isDamage } from "../partition/damage.ts";
import { ROW } from "../partition/row-keys.ts";
import { bucketRef, checkRows, PartitionWorld } from "../partition/testing/partition-world.ts";
import { createObjectService } from "./object-store.ts";
import { hastyClock } from "./testing/hasty-clock.ts";
import { PlainDataPath } from "./testing/plain-data-path.ts";

const HEADERS = { system: [], user: [] };
const BUCKET = bucketRef(1, 1);
const { signal } = new AbortController();
const TEXTS: Readonly<Record<string, string>> = {
  "1-inline": "abc",
  "2-blocks": "some blocks of eight bytes",
  "3-pages": "x".repeat(8 * 70),
  "4-parts": "the first partthe second part",
};
const UPLOAD = "5-upload";

function serve(world: PartitionWorld, data: PlainDataPath): ObjectService {
  let drawn = 0;
  const random = {
    below: () => 0,
    bytes: (count: number) => {
      const bytes = Buffer.alloc(count, world.disk.sizeBytes);
      bytes.writeUInt32BE(++drawn);
      return bytes;
    },
  };
  const modules = { groups: world.host, placement: world.placement, writing: data, reading: data, clock: hastyClock(), random };
  return createObjectService({ minPartSize: 1 }, modules);
}

const body = (text: string) => ({ source: sourceOf(Buffer.from(text)), signal });

async function multipart(service: ObjectService, key: string, texts: readonly string[]) {
  const created = await service.createUpload({ bucket: BUCKET, key, headers: HEADERS });
  assert.ok(created.ok);
  const { upload } = created;
  const parts: { part: number; etag: string }[] = [];
  for (const [at, text] of texts.entries()) {
    const outcome = await service.putPart({ bucket: BUCKET, key, upload, part: at + 1, body: body(text) });
    assert.ok(outcome.ok);
    parts.push({ part: at + 1, etag: outcome.etag });
  }
  return { upload, parts };
}

/** A store with rows of every kind. */
async function fill() {
  const world = await PartitionWorld.open();
  await world.makeBucket(BUCKET);
  await world.kv.transact((tx) => {
    const names = { globalAliases: ["b"], localAliases: [], rights: [], quotas: {} };
    const { id, indexShards } = BUCKET;
    putRow(tx, "bucket", id, { id, createdMs: 1, phase: "live", attempt: 0, indexShards, ...names, guardIndex: 1 });
  });
  const data = new PlainDataPath(world);
  const service = serve(world, data);
  const put = (key: string, text: string) => service.put({ bucket: BUCKET, key, headers: HEADERS, upload: body(text) });
  assert.ok((await put("0-gone", "its release waits in the outbox")).ok);
  assert.ok((await service.delete({ bucket: BUCKET, key: "0-gone" })).ok);
  for (const [key, text] of Object.entries(TEXTS)) if (key !== "4-parts") assert.ok((await put(key, text)).ok);
  const done = await multipart(service, "4-parts", ["the first part", "the second part"]);
  assert.ok((await service.completeUpload({ bucket: BUCKET, key: "4-parts", ...done })).ok);
  const open = await multipart(service, UPLOAD, ["one part of it", "and another"]);
  const group = world.placement.ofKey(BUCKET, UPLOAD);
  const lease = {
    op: "renew-lease",
    bucket: BUCKET.id,
    key: UPLOAD,
    untilMs: world.wall.now + 9,
    claim: "c".repeat(32),
  } as const;
  await world.propose(group, lease as never);
  await world.propose(group, { op: "resolve-claim", bucket: BUCKET.id, key: "1-inline", claim: "d".repeat(32) as never });
  await world.host.stop();
  await world.kv.close();
  return { disk: world.disk, blocks: data.blocks, open };
}

type Filled = Awaited<ReturnType<typeof fill>>;

/** @returns what was asked of the hit object and refused by name */
async function useAll({ blocks, open }: Filled, disk: MemoryKvDisk, { hit, others }: { hit: string; others: "exact" | "named" }) {
  const world = new PartitionWorld();
  world.disk = disk;
  await world.start();
  const data = new PlainDataPath(world);
  for (const [hash, bytes] of blocks) data.blocks.set(hash, bytes);
  const service = serve(world, data);
  let refused = 0;
  /** `undefined`: refused by name, which only the hit object may be, unless the tree itself leads astray. */
  const ask = async <T>(key: string, what: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await what();
    } catch (error) {
      const isNamed = (error instanceof ServiceError && error.code === "object.damaged") || isDamage(error);
      assert.ok(isNamed && (key === hit || others === "named"), `${key}: ${String(error)} ${String((error as Error).cause)}`);
      refused++;
      return undefined;
    }
  };
  const text = async (key: string): Promise<string | null> => {
    const found = await service.lookup({ bucket: BUCKET, key });
    if (found === null) return null;
    const pieces: Buffer[] = [];
    const source = found.open();
    for (let piece = await source.read(); piece !== null; piece = await source.read()) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces).toString();
  };
  const list = (): Promise<readonly string[]> =>
    service
      .list({ bucket: BUCKET, prefix: "", delimiter: "", after: "", skipPrefix: false, limit: 1000 })
      .then(({ entries }) => entries.map(({ key }) => key));
  for (const [key, right] of Object.entries(TEXTS)) assert.equal((await ask(key, () => text(key))) ?? right, right, key);
  const listed = await ask("*", list);
  if (listed !== undefined)
    assert.deepEqual(
      listed.filter((key) => key !== hit),
      Object.keys(TEXTS).filter((key) => key !== hit),
    );
  for (const key of Object.keys(TEXTS)) {
    const put = () => service.put({ bucket: BUCKET, key, headers: HEADERS, upload: body(`new ${key}`) });
    const done = await ask(key, put);
    if (others === "exact") assert.ok(done?.ok, `${key} is overwritten`);
    if (done?.ok) assert.equal((await ask(key, () => text(key))) ?? `new ${key}`, `new ${key}`);
  }
  const complete = await ask(UPLOAD, () => service.completeUpload({ bucket: BUCKET, key: UPLOAD, ...open }));
  if (hit !== UPLOAD && others === "exact") assert.ok(complete?.ok);
  if (complete?.ok) assert.equal(await ask(UPLOAD, () => text(UPLOAD)), "one part of itand another");
  else await ask(UPLOAD, () => service.abortUpload({ bucket: BUCKET, key: UPLOAD, upload: open.upload as UploadId }));
  for (const key of [...Object.keys(TEXTS), UPLOAD]) {
    const gone = await ask(key, () => service.delete({ bucket: BUCKET, key }));
    if (others === "exact") assert.ok(gone?.ok, `${key} is deleted`);
    if (gone?.ok) assert.equal((await ask(key, () => text(key))) ?? null, null);
  }
  if (others === "exact") {
    // That an upload's row has gone shows by the counters alone: the audit says so.
    if (complete?.ok || hit !== UPLOAD) await world.read((rows) => checkRows(rows, world));
    assert.deepEqual(await list(), []);
    for (const group of world.placement.groupsOf(BUCKET))
      assert.deepEqual(await world.propose(group, { op: "seal", bucket: BUCKET.id, attempt: 1 }), { ok: true });
  }
  await world.host.stop();
  await world.kv.close();
  return refused;
}

const KINDS = Object.entries(ROW).filter(([name]) => !["tombstone", "partPage", "zero", "lost"].includes(name));
const HOWS: Readonly<Record<string, (disk: MemoryKvDisk, tree: Tree, key: Buffer) => void>> = {
  "a bit of its value": (disk, tree, key) => disk.damage(tree, key, 11),
  "the row is gone": (disk, tree, key) => disk.write(tree, key.toString("latin1"), null),
  "the last bit of its key": (disk, tree, key) => disk.damageKey(tree, key, key.byteLength * 8 - 8),
  "a high bit of its key": (disk, tree, key) => disk.damageKey(tree, key, 8 * 4 + 7),
};

for (const [how, harm] of Object.entries(HOWS))
  test(`after a single rotten row every other object is answered exactly, and the hit one exactly or by name: ${how}`, async () => {
    const filled = await fill();
    const met = new Set<number>();
    for (const tree of ["rows", "bodies"] as const)
      for (const [name] of filled.disk.clone().trees[tree].entries()) {
        const key = Buffer.from(name, "latin1");
        const type = key[2] as number;
        if (key[0] === 0xff || !KINDS.some(([, code]) => code === type)) continue;
        met.add(type);
        const disk = filled.disk.clone();
        harm(disk, tree, key);
        const hit = [...Object.keys(TEXTS), UPLOAD].find((one) => name.includes(one)) ?? "";
        const others = how.includes("high") ? "named" : "exact";
        await useAll(filled, disk, { hit, others }).catch((error: unknown) => {
          throw new Error(`${how}: ${key.toString("hex")} (${name.replace(/[^ -~]/g, ".")})`, { cause: error });
        });
      }
    assert.deepEqual(
      KINDS.filter(([, code]) => !met.has(code)).map(([kind]) => kind),
      [],
    );
  });
