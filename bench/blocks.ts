// What the block layer costs: CPU per stored and fetched block, and a 64 MiB body against MD5 + SHA-256 + write + fsync one after
// another. node bench/blocks.ts [--quick] [DIRECTORY]: needs about 2 GB there.
import { createHash, hash as hashOnce, randomFillSync } from "node:crypto";
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openDataDirectories } from "../src/block/data-directories.ts";
import { FileBlockStore } from "../src/block/file-block-store.ts";
import type { Groups } from "../src/group/groups.ts";
import { BodyReader } from "../src/model/bytes/body-reader.ts";
import { BodyWriter } from "../src/model/bytes/body-writer.ts";
import { ReadPins } from "../src/model/bytes/read-pins.ts";
import { Placement } from "../src/model/placement.ts";
import { nodeClock } from "../src/platform/node/clock.ts";
import { NodeCpu } from "../src/platform/node/cpu.ts";
import { NodeDisk } from "../src/platform/node/disk.ts";
import { createLog } from "../src/platform/node/log.ts";
import { nodeRandom } from "../src/platform/node/random.ts";
import { ByteBudget } from "../src/util/byte-budget.ts";
import type { ByteSource } from "../src/util/byte-source.ts";
import type { BucketId, ClaimId, GroupId } from "../src/util/ids.ts";

const MiB = 1024 * 1024;
const quick = process.argv.includes("--quick");
const base = process.argv.slice(2).find((each) => !each.startsWith("--")) ?? tmpdir();
const root = mkdtempSync(join(base, "hangar-bench-"));

const log = createLog({ level: "warn" });
const clock = nodeClock();
const disk = new NodeDisk();
const cpu = new NodeCpu({}, { log });
const directories = await openDataDirectories(
  { directories: [{ path: join(root, "data") }], statePath: join(root, "data_directories") },
  { disk, random: nodeRandom() },
);
const blocks = await FileBlockStore.open(
  { gcDelayMs: 600_000, sync: true, compressionLevel: 1, quarantineKeepMs: 600_000 },
  { directories, clock, disk, cpu, log },
);

/** Names cost nothing here: this measures bytes. */
const groups = {
  propose: async () => ({ ok: true, added: [true] }),
  read: async (_: GroupId, fn: (rows: unknown) => unknown) => fn(undefined),
  logTime: () => Date.now(),
  partitions: 256,
} as unknown as Groups;
const placement = new Placement(256);
const budget = new ByteBudget(256 * MiB);
const options = {
  inlineThresholdBytes: 16 * 1024,
  blockSizeBytes: MiB,
  maxUploadBytes: 5 * 1024 * MiB,
  maxConcurrentBlocks: 3,
  gcDelayMs: 600_000,
  commandWindowMs: 60_000,
  budgetPatienceMs: 15_000,
};
const writer = new BodyWriter(options, { groups, blocks, placement, clock, cpu, log, budget });
const reader = new BodyReader(
  { readAheadBlocks: 3, firstPatienceMs: 4_000, budgetPatienceMs: 15_000 },
  { groups, blocks, placement, clock, pins: new ReadPins(), budget },
);

let serial = 0;
async function measure(
  name: string,
  { count, sizeBytes, clients }: { count: number; sizeBytes: number; clients: number },
  one: (client: number) => Promise<void>,
): Promise<void> {
  const left = { count: Math.ceil(count / 4) };
  const client = async (number: number): Promise<void> => {
    while (left.count-- > 0) await one(number);
  };
  const all = (): Promise<unknown> => Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  await all(); // Warm: workers started, memory mapped.
  left.count = count;
  const cpu0 = process.cpuUsage();
  const t0 = performance.now();
  await all();
  const ms = performance.now() - t0;
  const { user, system } = process.cpuUsage(cpu0);
  const per = (value: number): string => (value / count).toFixed(0).padStart(7);
  console.log(
    `${name.padEnd(34)} ${((count / ms) * 1000).toFixed(0).padStart(6)}/s ${((count * sizeBytes) / ms / 1000).toFixed(0).padStart(5)} MB/s` +
      ` cpu${per(user + system)} µs (user${per(user)}, sys${per(system)})`,
  );
}

function pieces(sizeBytes: number): ByteSource {
  const piece = Buffer.allocUnsafeSlow(Math.min(64 * 1024, sizeBytes));
  randomFillSync(piece);
  let sent = 0;
  return {
    read() {
      if (sent >= sizeBytes) return Promise.resolve(null);
      const part = piece.subarray(0, Math.min(piece.byteLength, sizeBytes - sent));
      part.writeUInt32LE(serial++, 0);
      sent += part.byteLength;
      return Promise.resolve(part);
    },
    cancel() {},
  };
}

const signal = new AbortController().signal;
const target = { bucket: "0".repeat(64) as BucketId, key: "k", group: 0 as GroupId, claim: "0".repeat(32) as ClaimId };
async function put(sizeBytes: number, signed?: string): Promise<Parameters<BodyReader["open"]>[0]> {
  const written = await writer.write(
    { source: pieces(sizeBytes), sizeBytes, signal, ...(signed ? { sha256: signed } : {}) },
    target,
  );
  if (!written.ok || written.body.kind !== "blocks") throw new Error("not written");
  return { ...target, sizeBytes, stored: written.body };
}
async function get(place: Parameters<BodyReader["open"]>[0]): Promise<void> {
  const source = reader.open(place);
  for (let piece = await source.read(); piece !== null; piece = await source.read());
}

try {
  const n = quick ? 4 : 1;
  for (const [label, sizeBytes, clients, count] of [
    ["64 KiB", 64 * 1024, 16, 3200 / n],
    ["1 MiB", MiB, 8, 320 / n],
    ["64 MiB", 64 * MiB, 2, 8 / n],
  ] as const) {
    const places: Parameters<BodyReader["open"]>[0][] = [];
    await measure(`PUT ${label}, ${clients} clients`, { count, sizeBytes, clients }, async () => {
      const place = await put(sizeBytes);
      if (places.length < 64) places.push(place);
    });
    let next = 0;
    await measure(`GET ${label}, ${clients} clients`, { count, sizeBytes, clients }, () =>
      get(places[next++ % places.length] as never),
    );
  }
  const big = Buffer.allocUnsafeSlow(64 * MiB);
  randomFillSync(big);
  await measure("64 MiB one after another", { count: 2, sizeBytes: big.byteLength, clients: 1 }, async () => {
    big.writeUInt32LE(serial++, 0);
    createHash("md5").update(big).digest();
    for (let at = 0; at < big.byteLength; at += MiB) hashOnce("sha256", big.subarray(at, at + MiB));
    const fd = openSync(join(root, `plain${serial}`), "wx");
    writeSync(fd, big);
    fsyncSync(fd);
    closeSync(fd);
  });
  await measure(
    "PUT 64 MiB, 1 client",
    { count: 2, sizeBytes: big.byteLength, clients: 1 },
    async () => void (await put(64 * MiB)),
  );
  console.log(`cpu ${JSON.stringify(cpu.stats())}`, `rss ${(process.memoryUsage.rss() / MiB).toFixed(0)} MiB`);
} finally {
  await writer.flush();
  await cpu.close();
  rmSync(root, { recursive: true });
}
