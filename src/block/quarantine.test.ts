import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeEach, describe, it } from "node:test";
import { SimCpu } from "../../sim/platform/cpu.ts";
import { SimDisk } from "../../sim/platform/disk.ts";
import { MemoryLog } from "../../sim/platform/memory-log.ts";
import { SimulatedClock } from "../../sim/platform/simulated-clock.ts";
import { simulatedRandom } from "../../sim/platform/simulated-random.ts";
import { VirtualTime } from "../../sim/platform/virtual-time.ts";
import type { Hash } from "../util/ids.ts";
import { BlockError } from "./block-store.ts";
import { MARKER, openDataDirectories } from "./data-directories.ts";
import { FileBlockStore } from "./file-block-store.ts";

const GC_DELAY_MS = 1000;
const DAY_MS = 24 * 3600 * 1000;
const hashers = await SimCpu.loadHashers();
const random = simulatedRandom(42);
const sha256 = (bytes: Uint8Array): Hash => createHash("sha256").update(bytes).digest("hex") as Hash;
const block = (size = 3000): Buffer => Buffer.from(random.bytes(size));
const yes = async (): Promise<boolean> => true;
const failsWith = (code: string) => (error: unknown) => error instanceof BlockError && error.code === code;

let time: VirtualTime;
let clock: SimulatedClock;
let disk: SimDisk;
let operations: string[];
let mayRemove: boolean;
/** Blocks that rows know again. */
let needed: Set<Hash>;
const log = new MemoryLog(() => 0);

beforeEach(async () => {
  time = new VirtualTime();
  clock = new SimulatedClock(time);
  clock.jumpWall(Date.UTC(2026, 0, 5) - clock.wallMs());
  operations = [];
  mayRemove = true;
  needed = new Set();
  disk = new SimDisk({
    clock,
    fault: (operation, path) => {
      operations.push(`${operation} ${path}`);
      return undefined;
    },
  });
  await disk.makeDirectory("/meta");
});

async function open(paths: readonly string[] = ["/data"]): Promise<FileBlockStore> {
  disk.image.locked.clear();
  const directories = await openDataDirectories(
    { directories: paths.map((path) => ({ path })), statePath: "/meta/data_directories" },
    { disk, random },
  );
  const options = { gcDelayMs: GC_DELAY_MS, sync: true, compressionLevel: 1, quarantineKeepMs: 7 * DAY_MS };
  const cpu = new SimCpu({ hashers, disk });
  const isWaste = async (hash: Hash): Promise<boolean> => !needed.has(hash);
  return FileBlockStore.open(options, { directories, clock, disk, cpu, log, mayRemove: () => mayRemove, isWaste });
}

const pass = (ms: number): Promise<unknown> => time.run({ untilMs: time.nowMs + ms });
const inQuarantine = (): string[] =>
  [...disk.image.names.keys()].filter((path) => /quarantine\/.*\/[0-9a-f]{64}/.test(path)).sort();

/** Stores a block and has it taken for one that no row knows of. */
async function quarantined(store: FileBlockStore, data: Buffer): Promise<Hash> {
  const { hash } = await store.store(data);
  await pass(GC_DELAY_MS + 1);
  assert.equal(await store.quarantineUnneeded(hash, yes), "removed");
  return hash;
}

/** Units of work until the worker rests. */
async function work(store: FileBlockStore): Promise<void> {
  while ((await store.quarantine.work()).state === "busy");
}

describe("the quarantine", () => {
  it("takes by rule 33, and gives back to reads, stores and questions, plain and compressed", async () => {
    const store = await open();
    const plain = block();
    const dull = Buffer.alloc(3000, "hangar ");
    const { hash: fresh } = await store.store(block());
    assert.equal(await store.quarantineUnneeded(fresh, yes), "touched");
    await pass(GC_DELAY_MS + 1);
    assert.equal(await store.quarantineUnneeded(fresh, async () => false), "needed");
    const uses: [string, (hash: Hash, data: Buffer) => Promise<unknown>][] = [
      ["fetch", async (hash, data) => assert.ok(data.equals(await store.fetch(hash)))],
      [
        "lend",
        async (hash, data) => {
          const lent = await store.lend({ hash, size: data.byteLength, storedSize: data === dull ? 100 : 3000 });
          assert.ok(data.equals(lent.bytes));
          lent.release();
        },
      ],
      ["holds", async (hash) => assert.ok(await store.holds(hash))],
      ["store", (_, data) => store.store(data)],
      ["restore", async (hash) => assert.ok(await store.restore(hash))],
    ];
    for (const [name, use] of uses)
      for (const data of [plain, dull]) {
        const hash = await quarantined(store, data);
        assert.deepEqual(inQuarantine(), [`/data/quarantine/2026-01-05/${hash}${data === dull ? ".zst" : ""}`], name);
        assert.deepEqual([store.quarantine.totals().files, (await store.filesOf(hash)).length], [1, 0]);
        await use(hash, data);
        assert.deepEqual([inQuarantine(), store.quarantine.totals()], [[], { files: 0, bytes: 0 }], name);
        assert.equal(store.untouched(hash), false, "who asked for it needs it a while");
      }
    assert.equal(store.stats().stored, 3, "a store takes the file that there is");
  });

  it("never gives back damage", async () => {
    const store = await open();
    const hash = await quarantined(store, block());
    disk.image.flip(inQuarantine()[0] as string, 9);
    await assert.rejects(store.fetch(hash), failsWith("block.damaged"));
  });

  it("costs a store, and a miss, no look at the disk, also after a restart", async () => {
    for (let start = 0; start < 2; start++) {
      const store = await open();
      await work(store);
      await quarantined(store, block());
      operations = [];
      await store.store(block());
      await assert.rejects(store.fetch(sha256(block())), failsWith("block.absent"));
      assert.deepEqual(
        operations.filter((each) => each.includes("/quarantine/")),
        [],
      );
    }
  });

  it("counts what it holds after a restart, also what comes and goes while it counts", async () => {
    let store = await open();
    const hashes: Hash[] = [];
    for (let at = 0; at < 600; at++) hashes.push(await quarantined(store, block(100)));
    store = await open();
    await store.quarantine.work();
    await store.fetch(hashes[0] as Hash);
    await quarantined(store, block(100));
    await work(store);
    assert.deepEqual(store.quarantine.totals(), { files: 600, bytes: 60_000 });
    assert.equal(inQuarantine().length, 600);
  });

  it("lets files go after their time, not before, and none while nothing may be removed", async () => {
    const store = await open();
    await quarantined(store, block());
    await pass(3 * DAY_MS);
    const later = await quarantined(store, block());
    await pass(4 * DAY_MS - 10_000);
    await work(store);
    assert.equal(inQuarantine().length, 2);
    await pass(20_000 + 60_000);
    mayRemove = false;
    await work(store);
    assert.equal(inQuarantine().length, 2);
    mayRemove = true;
    await work(store);
    assert.deepEqual(inQuarantine(), [`/data/quarantine/2026-01-08/${later}`]);
    await pass(3 * DAY_MS);
    await work(store);
    assert.deepEqual([inQuarantine(), store.quarantine.totals()], [[], { files: 0, bytes: 0 }]);
    await pass(2 * DAY_MS);
    await work(store);
    assert.deepEqual(await disk.list("/data/quarantine"), [], "no empty folder stays");
  });

  it("never lets a block go that somebody needs after all: it is put back when its time is over, and stays when room is needed", async () => {
    const store = await open();
    const hashes = [await quarantined(store, block()), await quarantined(store, block())];
    needed.add(hashes[0] as Hash);
    await store.quarantine.makeRoom(store.directories.all[0] as never);
    assert.deepEqual(
      inQuarantine().map((path) => path.slice(-64)),
      [hashes[0]],
    );
    await pass(8 * DAY_MS);
    await work(store);
    assert.deepEqual(inQuarantine(), []);
    await store.fetch(hashes[0] as Hash);
    await assert.rejects(store.fetch(hashes[1] as Hash), failsWith("block.absent"));
  });

  it("keeps a file for its time though the clock was years behind when it was taken", async () => {
    const store = await open();
    const { hash } = await store.store(block());
    await pass(GC_DELAY_MS + 1);
    clock.jumpWall(-20 * 365 * DAY_MS);
    assert.equal(await store.quarantineUnneeded(hash, yes), "removed");
    clock.jumpWall(20 * 365 * DAY_MS);
    await pass(60_000);
    await work(store);
    assert.equal(inQuarantine().length, 1);
  });

  it("gives way, the oldest first, when a write finds the disk full or little room is left; never while nothing may be removed", async () => {
    const store = await open();
    const hashes: Hash[] = [];
    for (let at = 0; at < 10; at++) hashes.push(await quarantined(store, block(10_000)));
    disk.image.capacityBytes = disk.image.usedBytes + 1000;
    mayRemove = false;
    await assert.rejects(store.store(block(30_000)), failsWith("block.no-space"));
    assert.equal(inQuarantine().length, 10);
    mayRemove = true;
    await store.quarantine.makeRoom(store.directories.all[0] as never, 25_000);
    assert.deepEqual(
      inQuarantine()
        .map((path) => path.slice(-64))
        .sort(),
      hashes.slice(3).sort(),
    );
    // Of two that find it full at once, one has the room made; both get theirs.
    await Promise.all([store.store(block(30_000)), store.store(block(30_000))]);
    // Something else fills the disk.
    await quarantined(store, block(1000));
    await pass(60_001);
    await work(store);
    assert.equal(inQuarantine().length, 1);
    await pass(60_001);
    disk.image.usedBytes = disk.image.capacityBytes;
    await work(store);
    assert.equal(inQuarantine().length, 0);
  });
});

describe("a data folder whose disk goes", () => {
  it("is written to on its own device only; absence is not told while it is away; it is used again, on any device, when its marker is back", async () => {
    const store = await open();
    const data = block();
    const { hash } = await store.store(data);
    const marker = disk.image.names.get(`/data/${MARKER}`);
    assert.ok(marker);
    const file = [...disk.image.names.keys()].find((path) => path.endsWith(hash)) as string;
    const node = disk.image.names.get(file);
    assert.ok(node);
    disk.image.devices.set("/data", 7);
    for (const path of [file, `/data/${MARKER}`]) disk.image.unlink(path);
    await assert.rejects(store.store(block()), failsWith("block.io"));
    await assert.rejects(store.store(data), failsWith("block.io"), "nor is a block that is known");
    assert.match(store.directories.away().join(), /\/data carries no hangar-marker/);
    await assert.rejects(store.fetch(hash), failsWith("block.io"));
    await assert.rejects(store.holds(hash), failsWith("block.io"));
    await pass(GC_DELAY_MS + 1);
    await assert.rejects(store.removeUnneeded(hash, yes), failsWith("block.io"), "its row must stay");
    disk.image.link(`/data/${MARKER}`, marker);
    disk.image.link(file, node);
    await store.watch.look();
    assert.deepEqual(store.directories.away(), []);
    assert.ok(data.equals(await store.fetch(hash)));
    await store.store(block());
  });

  it("that another daemon has taken meanwhile stays away", async () => {
    const store = await open();
    disk.image.devices.set("/data", 7);
    disk.image.locked.add("7:/data/hangar-lock");
    await store.watch.look();
    assert.match(store.directories.away().join(), /another daemon is running/);
    disk.image.locked.delete("7:/data/hangar-lock");
    await store.watch.look();
    assert.deepEqual(store.directories.away(), []);
  });

  it("of several: new blocks go to the others", async () => {
    const store = await open(["/one", "/two"].slice(0, 1));
    assert.equal(store.directories.all.length, 1);
    const both = await open(["/one", "/two"]);
    disk.image.devices.set("/two", 7);
    disk.image.unlink(`/two/${MARKER}`);
    for (let at = 0; at < 10; at++) {
      const data = block();
      const { hash } = await both.store(data);
      assert.ok((await both.filesOf(hash))[0]?.startsWith("/one/"));
    }
  });
});
