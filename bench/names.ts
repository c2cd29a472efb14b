// CPU of names alone, over real lmdb: put, lookup, delete of inline objects and listing, in CPU-µs per operation (all threads of
// the process).
//   tools/run node bench/names.ts [--objects 20000] [--shards 4] [--concurrency 16] [--body 1024] [--no-sync]
// With --cpu-prof of node the profile of the same run.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { GroupHost } from "../src/group/group-host.ts";
import type { BodyReading, BodyWriting } from "../src/model/bytes/data-path.ts";
import type { BucketRef, ObjectService } from "../src/model/object-service.ts";
import { createObjectService } from "../src/model/objects/object-store.ts";
import { PartitionMachine } from "../src/model/partition/partition-machine.ts";
import { Placement } from "../src/model/placement.ts";
import type { Log } from "../src/platform/log.ts";
import { openLmdbKv } from "../src/platform/node/kv-lmdb.ts";
import { nodeClock } from "../src/platform/node/clock.ts";
import { nodeRandom } from "../src/platform/node/random.ts";
import { sourceOf } from "../src/util/byte-source.ts";
import type { BucketId, NodeId, Stamp } from "../src/util/ids.ts";

const { values } = parseArgs({
  options: {
    objects: { type: "string", default: "20000" },
    shards: { type: "string", default: "4" },
    concurrency: { type: "string", default: "16" },
    body: { type: "string", default: "1024" },
    "no-sync": { type: "boolean", default: false },
  },
});
const objects = Number(values.objects);
const concurrency = Number(values.concurrency);
const body = Buffer.alloc(Number(values.body), 7);
const bucket: BucketRef = { id: "ab".repeat(32) as BucketId, indexShards: Number(values.shards), quotas: {} };
const ETAG = "d41d8cd98f00b204e9800998ecf8427e";
const SIGNAL = new AbortController().signal;
const HEADERS = { system: [["content-type", "application/octet-stream"]], user: [] } as const;

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, debugEnabled: false, child: () => silent };
const fatal = (error: unknown): never => {
  throw error;
};

const directory = await mkdtemp(join(tmpdir(), "hangar-bench-names-"));
const kv = await openLmdbKv({ directory, mapSizeBytes: 2 ** 34, sync: !values["no-sync"], log: silent, fatal, failed: fatal });
try {
  const placement = new Placement(256);
  const groups = await GroupHost.open(
    { partitions: 256, member: "cd".repeat(32) as NodeId, commandWindowMs: 60_000 },
    {
      clock: nodeClock(),
      kv,
      fatal,
      machine: (group) => new PartitionMachine(group, { commandWindowMs: 60_000 }),
    },
  );
  // Bodies cost nothing here: the writer hands the same bytes back.
  const data: BodyWriting & BodyReading = {
    write: async (upload, target) => {
      const bytes = (await upload.source.read()) as Uint8Array;
      const expiry = (groups.logTime(target.group) + 60_000) as Stamp;
      return { ok: true, body: { kind: "inline", bytes }, etag: ETAG, sizeBytes: bytes.byteLength, needsLease: false, expiry };
    },
    settled() {},
    discard() {},
    copyReferences: () => Promise.resolve(undefined),
    open: () => sourceOf(body),
  };
  const service = createObjectService(
    { minPartSize: 5 * 1024 * 1024 },
    { groups, placement, writing: data, reading: data, random: nodeRandom(), clock: nodeClock() },
  );
  const settings = { controlIndex: 1, indexShards: bucket.indexShards };
  for (const group of placement.groupsOf(bucket)) await groups.propose(group, { op: "set-guard", bucket: bucket.id, settings });
  await run(service);
} finally {
  await kv.close();
  await rm(directory, { recursive: true });
}

async function run(service: ObjectService): Promise<void> {
  const key = (n: number): string => `photos/${String(n % 1000).padStart(4, "0")}/picture-${String(n).padStart(8, "0")}.jpg`;
  const put = (n: number) =>
    service.put({
      bucket,
      key: key(n),
      headers: HEADERS,
      upload: { source: sourceOf(body), sizeBytes: body.length, signal: SIGNAL },
    });
  await measure("put, new keys", objects, concurrency, put);
  await measure("put, overwrite", objects, concurrency, put);
  await measure("lookup", objects * 2, concurrency, (n) => service.lookup({ bucket, key: key(n % objects) }));
  await measure("lookup, absent", objects, concurrency, (n) => service.lookup({ bucket, key: `absent/${n}` }));
  const list = async (limit: number, delimiter: string): Promise<number> => {
    let found = 0;
    let next: { after: string; skipPrefix: boolean } | undefined = { after: "", skipPrefix: false };
    while (next) {
      const page = await service.list({ bucket, prefix: "", delimiter, limit, ...next });
      found += page.entries.length;
      next = page.next;
    }
    return found;
  };
  for (let warm = 0; warm < 3; warm++) await list(1000, "");
  await measureOnce("list, 1,000 a page", objects * 5, async () => {
    for (let round = 0; round < 5; round++) await list(1000, "");
  });
  const prefixes = await service.list({ bucket, prefix: "photos/", delimiter: "/", limit: 1000, after: "", skipPrefix: false });
  await measureOnce(`list, page of ${prefixes.entries.length} common prefixes`, 20, async () => {
    for (let round = 0; round < 20; round++)
      await service.list({ bucket, prefix: "photos/", delimiter: "/", limit: 1000, after: "", skipPrefix: false });
  });
  const folder = (n: number): string => `big/${String(n % 200).padStart(3, "0")}/${n}`;
  await measure("put, inline, more keys", objects, 64, (n) =>
    service.put({ bucket, key: folder(n), headers: HEADERS, upload: { source: sourceOf(body), signal: SIGNAL } }),
  );
  await measureOnce("list, page of 200 large prefixes", 20, async () => {
    for (let round = 0; round < 20; round++)
      await service.list({ bucket, prefix: "big/", delimiter: "/", limit: 1000, after: "", skipPrefix: false });
  });
  await measure("delete", objects, concurrency, (n) => service.delete({ bucket, key: key(n) }));
}

async function measure(what: string, count: number, width: number, operation: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await operation(next++);
  };
  await measureOnce(what, count, async () => {
    await Promise.all(Array.from({ length: width }, worker));
  });
}

async function measureOnce(what: string, count: number, operation: () => Promise<unknown>): Promise<void> {
  const before = process.cpuUsage();
  const began = performance.now();
  const commits = kv.stats().commits;
  await operation();
  const cpu = process.cpuUsage(before);
  const seconds = (performance.now() - began) / 1000;
  const made = kv.stats().commits - commits;
  const perCommit = made > 0 ? `, ${(count / made).toFixed(1)} a commit` : "";
  const micros = (cpu.user + cpu.system) / count;
  console.log(
    `${what.padEnd(36)} ${micros.toFixed(2).padStart(9)} CPU-µs each ${Math.round(count / seconds)
      .toString()
      .padStart(9)}/s${perCommit}`,
  );
}
