import assert from "node:assert/strict";
import { test } from "node:test";
import process from "node:process";
import fc from "fast-check";
import { sourceOf } from "../../util/byte-source.ts";
import type { UploadId } from "../../util/ids.ts";
import type { BucketRef, ListPage, ObjectHeaders, ObjectService, Upload, WriteCondition } from "../object-service.ts";
import {
  allClaims,
  bucketRef,
  checkRows,
  outboxLength,
  PartitionWorld,
  WINDOW_MS,
} from "../partition/testing/partition-world.ts";
import { objectKey } from "../partition/row-keys.ts";
import { createObjectService } from "./object-store.ts";
import { byteOrder, md5, ModelBucket, type ModelObject } from "./testing/model-bucket.ts";
import { hastyClock } from "./testing/hasty-clock.ts";
import { PlainDataPath } from "./testing/plain-data-path.ts";

/** Longer: HANGAR_PROPERTY_RUNS=2000 node --test src/model/objects. */
const RUNS = Number(process.env["HANGAR_PROPERTY_RUNS"] ?? 40);
const MIN_PART = 4;
const NUL_KEY = "\0".repeat(1024);
const KEYS = [
  "a",
  "a/",
  "a/b",
  "a/b/c",
  "a//",
  "a/\0",
  "a\0",
  "a\0b",
  "a\u0001",
  "ab",
  "b",
  "é",
  "é/ü",
  "😀",
  "😀/😀",
  "\uffff",
  "\uffff/x",
  NUL_KEY,
  NUL_KEY.slice(1),
  "x".repeat(1024),
  "a--b",
  "a--c--d",
  "--",
  "k0",
  "k1",
  "k2",
  "k3",
  "dir/1",
  "dir/2",
  "dir/sub/1",
  "dir0",
  "z",
];
const PREFIXES = ["", "a", "a/", "dir/", "é", "😀", "\0", "a\0", "zz", "k"];
const DELIMITERS = ["", "/", "--", "\0", "😀", "/b/", "é"];

const key = fc.constantFrom(...KEYS);
const size = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 6 }) },
  { weight: 4, arbitrary: fc.integer({ min: 7, max: 60 }) },
  { weight: 1, arbitrary: fc.constantFrom(64 * 8, 64 * 8 + 1, 700) },
);
const condition = fc.oneof(
  { weight: 5, arbitrary: fc.constant("none" as const) },
  { weight: 1, arbitrary: fc.constantFrom("absent" as const, "any" as const, "current" as const, "other" as const) },
);
const operation = fc.oneof(
  { weight: 10, arbitrary: fc.record({ op: fc.constant("put" as const), key, size, seed: fc.nat(3), condition }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("delete" as const), key, condition }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("get" as const), key, from: fc.nat(50), length: fc.nat(50) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("copy" as const), key, to: key, reread: fc.boolean(), condition }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant("create-upload" as const), key }) },
  {
    weight: 7,
    arbitrary: fc.record({
      op: fc.constant("put-part" as const),
      upload: fc.nat(4),
      part: fc.integer({ min: 1, max: 5 }),
      size,
      seed: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant("copy-part" as const),
      upload: fc.nat(4),
      part: fc.integer({ min: 1, max: 5 }),
      key,
      whole: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant("complete" as const),
      upload: fc.nat(5),
      skip: fc.integer({ min: 0, max: 31 }),
      wrong: fc.nat(12),
      condition,
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("abort" as const), upload: fc.nat(4) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant("list" as const),
      prefix: fc.constantFrom(...PREFIXES),
      delimiter: fc.constantFrom(...DELIMITERS),
      limit: fc.constantFrom(1, 2, 3, 7, 1000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant("list-uploads" as const),
      prefix: fc.constantFrom(...PREFIXES),
      delimiter: fc.constantFrom(...DELIMITERS),
      limit: fc.constantFrom(1, 2, 1000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("rot" as const), key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom(
        "drain" as const,
        "release" as const,
        "restart" as const,
        "crash" as const,
        "check" as const,
        "time" as const,
      ),
    }),
  },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

for (const shards of [1, 4, 16]) {
  test(`random commands agree with plain S3 semantics, ${shards} shards`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 80, size: "max" }), async (operations) => {
        const run = await Run.start(shards);
        for (const [at, name] of KEYS.entries())
          if (at % 3 !== operations.length % 3) await run.step({ op: "put", key: name, size: at, seed: 0, condition: "none" });
        for (const step of operations) await run.step(step);
        await run.finish();
      }),
      { numRuns: RUNS },
    );
  });
}

class Run {
  readonly world: PartitionWorld;
  readonly data: PlainDataPath;
  readonly model = new ModelBucket();
  readonly bucket: BucketRef;
  readonly bystander: BucketRef;
  /** Ids of all uploads ever made, dead ones too. */
  readonly uploads: { id: UploadId; key: string; parts: { part: number; etag: string }[] }[] = [];
  #service: ObjectService | undefined;
  #drawn = 0;

  constructor(world: PartitionWorld, shards: number) {
    this.world = world;
    this.data = new PlainDataPath(world);
    this.bucket = bucketRef(1, shards);
    this.bystander = bucketRef(2, shards);
  }

  static async start(shards: number): Promise<Run> {
    const run = new Run(await PartitionWorld.open(), shards);
    await run.world.makeBucket(run.bucket);
    await run.world.makeBucket(run.bystander);
    await run.service.put({
      bucket: run.bystander,
      key: "a/b",
      headers: HEADERS[0] as ObjectHeaders,
      upload: upload(Buffer.from("stays")),
    });
    return run;
  }

  get service(): ObjectService {
    this.#service ??= createObjectService(
      { minPartSize: MIN_PART },
      {
        groups: this.world.host,
        placement: this.world.placement,
        writing: this.data,
        reading: this.data,
        clock: hastyClock(),
        random: {
          bytes: (count) => {
            const bytes = Buffer.alloc(count);
            bytes.writeUInt32BE(++this.#drawn, 0);
            return bytes;
          },
          below: () => 0,
        },
      },
    );
    return this.#service;
  }

  async step(step: Operation): Promise<void> {
    const { bucket, model, service, world } = this;
    world.wall.now += 1;
    switch (step.op) {
      case "put": {
        const bytes = content(step.size, step.seed);
        const headers = HEADERS[step.seed] as ObjectHeaders;
        const wanted = this.condition(step.key, step.condition);
        const expected = model.put(step.key, { bytes, etag: md5(bytes), headers }, wanted);
        const outcome = await service.put({
          bucket,
          key: step.key,
          headers,
          upload: upload(bytes),
          ...(wanted ? { condition: wanted } : {}),
        });
        assert.equal(outcome.ok ? "ok" : outcome.code, expected);
        if (outcome.ok) {
          const { etag, sizeBytes, stampMs } = outcome;
          assert.deepEqual([etag, sizeBytes, stampMs], [md5(bytes), bytes.length, world.wall.now]);
        }
        return;
      }
      case "delete": {
        const wanted = this.condition(step.key, step.condition);
        const expected = model.delete(step.key, wanted);
        const outcome = await service.delete({ bucket, key: step.key, ...(wanted ? { condition: wanted } : {}) });
        assert.equal(outcome.ok ? (outcome.existed ? "existed" : "absent") : outcome.code, expected);
        return;
      }
      case "get":
        await this.compare(step.key, step.from, step.length);
        return;
      case "copy": {
        const object = await service.lookup({ bucket, key: step.key });
        const source = model.objects.get(step.key);
        assert.equal(object === null, source === undefined);
        if (object === null || source === undefined) return;
        const wanted = this.condition(step.to, step.condition);
        const isStreamed = step.reread || this.hasInlinePart(source);
        const copied: ModelObject = {
          bytes: source.bytes,
          etag: isStreamed ? md5(source.bytes) : source.etag,
          headers: source.headers,
        };
        const expected = model.put(step.to, copied, wanted);
        const outcome = await service.copy({
          source: { bucket, key: step.key, object },
          bucket,
          key: step.to,
          ...(step.reread ? { algorithm: "CRC32" as const } : {}),
          ...(wanted ? { condition: wanted } : {}),
          signal: NEVER,
        });
        assert.equal(outcome.ok ? "ok" : outcome.code, expected);
        await this.compare(step.to, 0, 1000);
        return;
      }
      case "create-upload": {
        const headers = HEADERS[this.uploads.length % HEADERS.length] as ObjectHeaders;
        const outcome = await service.createUpload({ bucket, key: step.key, headers });
        assert.ok(outcome.ok);
        this.uploads.push({ id: outcome.upload, key: step.key, parts: [] });
        model.uploads.set(outcome.upload, { key: step.key, headers, parts: new Map() });
        return;
      }
      case "put-part": {
        const known = this.uploads[step.upload % Math.max(1, this.uploads.length)];
        if (known === undefined) return;
        const bytes = content(step.size, step.seed);
        const outcome = await service.putPart({ bucket, key: known.key, upload: known.id, part: step.part, body: upload(bytes) });
        const live = model.uploads.get(known.id);
        assert.equal(outcome.ok ? "ok" : outcome.code, live ? "ok" : "no-such-upload");
        live?.parts.set(step.part, { bytes, etag: md5(bytes) });
        return;
      }
      case "copy-part": {
        const known = this.uploads[step.upload % Math.max(1, this.uploads.length)];
        const source = model.objects.get(step.key);
        const object = await service.lookup({ bucket, key: step.key });
        if (known === undefined || source === undefined || object === null) return;
        const range = step.whole ? undefined : { start: Math.floor(source.bytes.length / 3), end: source.bytes.length };
        const bytes = source.bytes.subarray(range?.start ?? 0);
        const outcome = await service.copyPart({
          bucket,
          key: known.key,
          upload: known.id,
          part: step.part,
          source: { bucket, key: step.key, object },
          ...(range ? { range } : {}),
          signal: NEVER,
        });
        const live = model.uploads.get(known.id);
        assert.equal(outcome.ok ? outcome.etag : outcome.code, live ? md5(bytes) : "no-such-upload");
        live?.parts.set(step.part, { bytes, etag: md5(bytes) });
        return;
      }
      case "complete":
        await this.complete(step);
        return;
      case "abort": {
        const known = this.uploads[step.upload % Math.max(1, this.uploads.length)];
        if (known === undefined) return;
        const outcome = await service.abortUpload({ bucket, key: known.key, upload: known.id });
        assert.equal(outcome.ok, model.uploads.delete(known.id));
        return;
      }
      case "list":
        await this.list(step);
        return;
      case "list-uploads":
        await this.listUploads(step);
        return;
      case "drain":
        await this.data.drain();
        return;
      case "release":
        await this.data.release();
        return;
      case "restart":
        await world.restart();
        this.#service = undefined;
        return;
      case "crash":
        // Everything was acknowledged: nothing may be missing afterwards but what was to be done lazily.
        await world.crash("lost");
        this.data.forget();
        this.#service = undefined;
        return;
      case "time":
        world.wall.now += WINDOW_MS;
        return;
      case "rot":
        // All that an object row says stands elsewhere too, so nobody may notice.
        if (model.objects.has(step.key))
          world.disk.damage("rows", objectKey(world.placement.ofKey(bucket, step.key), bucket.id, step.key), 40);
        return;
      case "check":
        await this.repair();
        await world.read((rows) => checkRows(rows, world));
        assert.deepEqual(await service.usage(bucket), model.usage());
        return;
    }
  }

  /** A list meets every damaged row and has it written anew; a kv in memory commits within one turn of the event loop. */
  async repair(): Promise<void> {
    await this.service.list({ bucket: this.bucket, prefix: "", delimiter: "", after: "", skipPrefix: false, limit: 1_000 });
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  async finish(): Promise<void> {
    const { bucket, data, model, service, world } = this;
    for (const name of model.objects.keys()) await this.compare(name, 0, 1000);
    for (const prefix of PREFIXES)
      for (const delimiter of DELIMITERS)
        await this.list({ prefix, delimiter, limit: (prefix.length + delimiter.length) % 2 ? 1 : 3 });
    for (const delimiter of DELIMITERS) await this.listUploads({ prefix: "", delimiter, limit: 2 });
    assert.deepEqual(await service.usage(bucket), model.usage());
    assert.deepEqual((await service.usage(this.bystander)).objects, 1);
    // References may be more than claims until all effects are done and lost ones are judged; never fewer.
    await this.compareClaims("at least");
    await data.drain();
    await data.release();
    world.wall.now += 2 * WINDOW_MS + 1;
    await data.sweep((name) => world.placement.ofKey(bucket, name));
    assert.equal(await world.read((rows) => outboxLength(rows, world)), 0);
    await this.compareClaims("exactly");
    await this.repair();
    await world.read((rows) => checkRows(rows, world));
    for (const name of [...model.objects.keys()]) await service.delete({ bucket, key: name });
    for (const known of this.uploads) await service.abortUpload({ bucket, key: known.key, upload: known.id });
    await service.delete({ bucket: this.bystander, key: "a/b" });
    await data.release();
    assert.deepEqual(await data.references(), []);
    assert.equal(world.kv.stats().rows.bodies, 0, "no version, page or part is left");
  }

  async compareClaims(how: "at least" | "exactly"): Promise<void> {
    const claims = new Set(await this.world.read((rows) => allClaims(rows, this.world)));
    const references = await this.data.references();
    if (how === "exactly") assert.deepEqual(references, [...claims]);
    else for (const claim of claims) assert.ok(references.includes(claim), `claim ${claim} has its reference`);
  }

  async compare(name: string, from: number, length: number): Promise<void> {
    const found = await this.service.lookup({ bucket: this.bucket, key: name });
    const expected = this.model.objects.get(name);
    assert.equal(found === null, expected === undefined);
    if (found === null || expected === undefined) return;
    assert.deepEqual([found.etag, found.sizeBytes, found.headers], [expected.etag, expected.bytes.length, expected.headers]);
    const range = { start: Math.min(from, expected.bytes.length), end: Math.min(from + length, expected.bytes.length) };
    const source = found.open(range);
    const pieces: Buffer[] = [];
    for (let piece = await source.read(); piece !== null; piece = await source.read()) pieces.push(Buffer.from(piece));
    assert.deepEqual(Buffer.concat(pieces), expected.bytes.subarray(range.start, range.end));
    const sizes = expected.partSizes ?? [];
    assert.equal(found.partCount, sizes.length);
    const parts = await found.parts(0, 1000);
    let offset = 0;
    assert.deepEqual(
      parts.map((part) => [part.number, part.offset, part.sizeBytes]),
      sizes.map((sizeBytes, at) => [at + 1, (offset += sizeBytes) - sizeBytes, sizeBytes]),
    );
    if (sizes.length > 0) assert.equal((await found.part(sizes.length))?.sizeBytes, sizes.at(-1));
    assert.equal(await found.part(Math.max(1, sizes.length) + 1), null);
  }

  async complete(step: Extract<Operation, { op: "complete" }>): Promise<void> {
    const { bucket, model } = this;
    const known = this.uploads[step.upload % Math.max(1, this.uploads.length)];
    if (known === undefined) return;
    const live = model.uploads.get(known.id);
    let parts = known.parts;
    if (live) {
      parts = [...live.parts]
        .filter(([number]) => ((step.skip >> (number - 1)) & 1) === 0)
        .map(([part, { etag }]) => ({ part, etag }));
      parts.sort((a, b) => a.part - b.part);
      if (step.wrong === 0) parts.push({ part: 9, etag: md5(Buffer.from("9")) });
      if (step.wrong === 1 && parts[0]) parts[0] = { part: parts[0].part, etag: md5(Buffer.from("else")) };
    }
    if (parts.length === 0) return;
    const wanted = this.condition(known.key, step.condition);
    const expected = model.complete(known.id, parts, MIN_PART, wanted);
    const outcome = await this.service.completeUpload({
      bucket,
      key: known.key,
      upload: known.id,
      parts,
      ...(wanted ? { condition: wanted } : {}),
    });
    if (!expected.ok) {
      assert.equal(outcome.ok ? "ok" : outcome.code, expected.code);
      if (expected.part !== undefined) assert.equal((outcome as { part?: number }).part, expected.part);
      return;
    }
    assert.ok(outcome.ok);
    assert.deepEqual([outcome.etag, outcome.sizeBytes], [expected.object.etag, expected.object.bytes.length]);
    known.parts = parts;
  }

  async list(step: { prefix: string; delimiter: string; limit: number }): Promise<void> {
    const { prefix, delimiter, limit } = step;
    const expected = this.model.list(prefix, delimiter);
    const found: { key: string; prefix: boolean }[] = [];
    let next: ListPage["next"] = { after: "", skipPrefix: false };
    while (next) {
      const page: ListPage = await this.service.list({ bucket: this.bucket, prefix, delimiter, limit, ...next });
      assert.ok(page.entries.length <= limit);
      assert.equal(page.truncated, page.next !== undefined);
      for (const entry of page.entries) {
        found.push({ key: entry.key, prefix: entry.prefix });
        if (entry.prefix) continue;
        const object = this.model.objects.get(entry.key);
        assert.deepEqual([entry.etag, entry.sizeBytes], [object?.etag, object?.bytes.length]);
      }
      next = page.next;
    }
    assert.deepEqual(found, expected);
    // Keys behind any marker, whether it exists or not.
    const marker = PREFIXES[(this.#drawn + limit) % PREFIXES.length] as string;
    const rest = await this.service.list({
      bucket: this.bucket,
      prefix,
      delimiter: "",
      limit: 1000,
      after: marker,
      skipPrefix: false,
    });
    assert.deepEqual(
      rest.entries.map((entry) => entry.key),
      this.model
        .list(prefix, "")
        .map((entry) => entry.key)
        .filter((name) => byteOrder(name, marker) > 0),
    );
  }

  async listUploads(step: { prefix: string; delimiter: string; limit: number }): Promise<void> {
    const { prefix, delimiter, limit } = step;
    const all = new Map<string, string>();
    for (const [id, { key: name }] of this.model.uploads) {
      if (!name.startsWith(prefix)) continue;
      const end = delimiter === "" ? -1 : name.indexOf(delimiter, prefix.length);
      if (end < 0) all.set(`${name}|${id}`, name);
      else all.set(name.slice(0, end + delimiter.length), "");
    }
    const found: string[] = [];
    let marker: { afterKey: string; afterUpload?: string; skipPrefix: boolean } | undefined = { afterKey: "", skipPrefix: false };
    while (marker) {
      const page = await this.service.listUploads({ bucket: this.bucket, prefix, delimiter, limit, ...marker });
      assert.ok(page.entries.length <= limit);
      for (const entry of page.entries) found.push(entry.upload === undefined ? entry.key : `${entry.key}|${entry.upload}`);
      const last = page.entries.at(-1);
      marker = undefined;
      if (page.truncated && last)
        marker =
          last.upload === undefined
            ? { afterKey: last.key, skipPrefix: true }
            : { afterKey: last.key, afterUpload: last.upload, skipPrefix: false };
    }
    assert.deepEqual([...found].sort(), [...all.keys()].sort());
    const names = found.map((entry) => entry.split("|")[0] as string);
    assert.deepEqual(names, [...names].sort(byteOrder));
  }

  condition(name: string, kind: "none" | "absent" | "any" | "current" | "other"): WriteCondition | undefined {
    switch (kind) {
      case "none":
        return undefined;
      case "absent":
        return { ifNoneMatch: "*" };
      case "any":
        return { ifMatch: "*" };
      case "current":
        return { ifMatch: ["0".repeat(32), this.model.objects.get(name)?.etag ?? "1".repeat(32)] };
      case "other":
        return { ifMatch: ["f".repeat(32)] };
    }
  }

  /** Parts of at most the inline threshold lie in their rows: such objects are copied byte by byte. */
  hasInlinePart(object: ModelObject): boolean {
    return object.partSizes?.some((bytes) => bytes > 0 && bytes <= this.data.inlineThreshold) ?? false;
  }
}

const NEVER = new AbortController().signal;
const HEADERS: readonly ObjectHeaders[] = [
  { system: [["content-type", "text/plain"]], user: [] },
  { system: [], user: [["name", "wert ü 😀"]] },
  {
    system: [
      ["content-type", "a/b"],
      ["x-unheard-of", "kept"],
    ],
    user: [
      ["a", ""],
      ["a", "twice"],
    ],
  },
  { system: [], user: [] },
];

function upload(bytes: Buffer): Upload {
  return { source: sourceOf(bytes), sizeBytes: bytes.length, signal: NEVER };
}

function content(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + seed * 97 + (at >> 3)) & 0xff;
  return bytes;
}
