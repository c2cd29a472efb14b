import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { sourceOf } from "../../util/byte-source.ts";
import type { ObjectService, WriteCondition } from "../object-service.ts";
import { bucketRef, checkRows, outboxLength, PartitionWorld, WINDOW_MS } from "../partition/testing/partition-world.ts";
import { readPieces } from "../partition/body-reads.ts";
import { Found } from "./found-object.ts";
import { createObjectService } from "./object-store.ts";
import { hastyClock } from "./testing/hasty-clock.ts";
import { PlainDataPath } from "./testing/plain-data-path.ts";

/** Longer: HANGAR_PROPERTY_RUNS=2000 node --test src/model/objects. */
const RUNS = Number(process.env["HANGAR_PROPERTY_RUNS"] ?? 60);
const HEADERS = { system: [], user: [] };
const signal = new AbortController().signal;

const step = fc.record({
  kind: fc.constantFrom(
    "put" as const,
    "put" as const,
    "delete" as const,
    "create" as const,
    "multipart" as const,
    "copy" as const,
  ),
  size: fc.constantFrom(0, 3, 20, 70, 8 * 70),
});
const script = fc.record({
  /** One list per client; each client has a key of its own and waits for its answers. */
  clients: fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 5 }),
  /** Turns of the microtask queue until the power goes, once per life. */
  lives: fc.array(fc.record({ turns: fc.nat(400), inFlight: fc.constantFrom("lost" as const, "kept" as const) }), {
    maxLength: 3,
  }),
  shards: fc.constantFrom(1, 4),
});

test("a crash at any moment: what was acknowledged is there, what was not is whole or absent, and nothing leaks", async () => {
  await fc.assert(fc.asyncProperty(script, run), { numRuns: RUNS });
});

/** What a key may hold: its last acknowledged state, or that of the one request that was under way. */
interface Client {
  readonly key: string;
  readonly steps: (typeof step extends fc.Arbitrary<infer T> ? T : never)[];
  acknowledged: string | null;
  underWay: string | null | undefined;
}

async function run({ clients: scripts, lives, shards }: typeof script extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
  const world = await PartitionWorld.open();
  const bucket = bucketRef(1, shards);
  await world.makeBucket(bucket);
  const data = new PlainDataPath(world);
  const clients: Client[] = scripts.map((steps, n) => ({
    key: `key/${n}`,
    steps: [...steps],
    acknowledged: null,
    underWay: undefined,
  }));
  let drawn = 0;
  const serve = (): ObjectService =>
    createObjectService(
      { minPartSize: 1 },
      {
        groups: world.host,
        placement: world.placement,
        writing: data,
        reading: data,
        clock: hastyClock(),
        random: {
          bytes: (count) => {
            const bytes = Buffer.alloc(count);
            bytes.writeUInt32BE(++drawn, 0);
            return bytes;
          },
          below: () => 0,
        },
      },
    );

  const live = async (client: Client, service: ObjectService): Promise<void> => {
    for (let next = client.steps.shift(); next !== undefined; next = client.steps.shift()) {
      const text = `${client.key} ${++drawn} `.padEnd(next.size, "x").slice(0, next.size);
      client.underWay = next.kind === "delete" ? null : next.kind === "copy" ? client.acknowledged : text;
      const result = await perform(service, client, next.kind, text);
      if (result !== undefined) client.acknowledged = result;
      client.underWay = undefined;
    }
  };

  /** The state after the request; undefined when it was refused and nothing changed. */
  const perform = async (
    service: ObjectService,
    { key, acknowledged }: Client,
    kind: Client["steps"][number]["kind"],
    text: string,
  ): Promise<string | null | undefined> => {
    const upload = (part: string) => ({ source: sourceOf(Buffer.from(part)), signal });
    switch (kind) {
      case "put":
      case "create": {
        const condition: { condition?: WriteCondition } = kind === "create" ? { condition: { ifNoneMatch: "*" } } : {};
        const outcome = await service.put({ bucket, key, headers: HEADERS, upload: upload(text), ...condition });
        if (outcome.ok) return text;
        assert.ok(kind === "create" && acknowledged !== null && outcome.code === "precondition-failed");
        return undefined;
      }
      case "delete": {
        const outcome = await service.delete({ bucket, key });
        assert.deepEqual(outcome, { ok: true, existed: acknowledged !== null });
        return null;
      }
      case "copy": {
        const object = await service.lookup({ bucket, key });
        assert.equal(object === null, acknowledged === null);
        if (object === null) return undefined;
        const outcome = await service.copy({ source: { bucket, key, object }, bucket, key, signal });
        assert.ok(outcome.ok);
        return acknowledged;
      }
      case "multipart": {
        const created = await service.createUpload({ bucket, key, headers: HEADERS });
        assert.ok(created.ok);
        const parts: { part: number; etag: string }[] = [];
        for (const [at, piece] of [text.slice(0, 11), text.slice(11), "left out: never completed"].entries()) {
          const outcome = await service.putPart({ bucket, key, upload: created.upload, part: at + 1, body: upload(piece) });
          assert.ok(outcome.ok);
          if (at < 2 && piece !== "") parts.push({ part: at + 1, etag: outcome.etag });
        }
        if (parts.length === 0) {
          await service.abortUpload({ bucket, key, upload: created.upload });
          return undefined;
        }
        const outcome = await service.completeUpload({ bucket, key, upload: created.upload, parts });
        assert.ok(outcome.ok);
        return text;
      }
    }
  };

  const compare = async (service: ObjectService): Promise<void> => {
    for (const client of clients) {
      const found = await service.lookup({ bucket, key: client.key });
      let text: string | null = null;
      if (found !== null) {
        text = "";
        const source = found.open();
        for (let piece = await source.read(); piece !== null; piece = await source.read()) text += Buffer.from(piece).toString();
        assert.equal(text.length, found.sizeBytes);
      }
      if (text !== client.acknowledged) assert.equal(text, client.underWay, `${client.key} after the crash`);
      client.acknowledged = text;
      client.underWay = undefined;
    }
  };

  for (const { turns, inFlight } of lives) {
    const service = serve();
    let failure: unknown;
    for (const client of clients)
      void live(client, service).catch((error: unknown) => {
        failure = error;
      });
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    if (failure) throw failure;
    // Work that was put off happens now and then, and dies with the process.
    if (turns % 3 === 0) await data.drain();
    if (turns % 5 === 0) void data.release().catch(() => {});
    await world.crash(inFlight);
    data.forget();
    const restarted = serve();
    await compare(restarted);
    await world.read((rows) => checkRows(rows, world));
    const references = new Set(await data.references());
    for (const { key } of clients) {
      const found = await restarted.lookup({ bucket, key });
      if (!(found instanceof Found)) continue;
      const pieces = await world.read((rows) => readPieces(rows, found.place, 0, 1000));
      for (const piece of pieces ?? [])
        if (piece.kind === "block") assert.ok(references.has(`${piece.hash}/${piece.claim}`), "a name's blocks are referenced");
    }
  }

  const service = serve();
  await Promise.all(clients.map((client) => live(client, service)));
  await compare(service);
  const unfinished = await service.listUploads({
    bucket,
    prefix: "",
    delimiter: "",
    afterKey: "",
    skipPrefix: false,
    limit: 1000,
  });
  for (const { key, upload } of unfinished.entries) if (upload) await service.abortUpload({ bucket, key, upload });
  for (const { key } of clients) await service.delete({ bucket, key });
  await data.drain();
  await data.release();
  world.wall.now += 2 * WINDOW_MS + 1;
  await data.sweep((key) => world.placement.ofKey(bucket, key));
  assert.deepEqual(await data.references(), []);
  assert.equal(await world.read((rows) => outboxLength(rows, world)), 0);
  assert.equal(world.kv.stats().rows.bodies, 0);
  const usage = { objects: 0, versions: 0, bytes: 0, uploads: 0, parts: 0, partBytes: 0 };
  assert.deepEqual(await service.usage(bucket), usage);
}
