import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeEach, describe, it } from "node:test";
import { MemoryLog } from "../../sim/platform/memory-log.ts";
import { SimCpu } from "../../sim/platform/cpu.ts";
import { SimDisk } from "../../sim/platform/disk.ts";
import { SimulatedClock } from "../../sim/platform/simulated-clock.ts";
import { simulatedRandom } from "../../sim/platform/simulated-random.ts";
import { VirtualTime } from "../../sim/platform/virtual-time.ts";
import { WorkerRunner } from "../task/worker-runner.ts";
import type { Hash } from "../util/ids.ts";
import { BlockError } from "./block-store.ts";
import { type DataDirectoryOptions, DataDirectoryError, MARKER, openDataDirectories } from "./data-directories.ts";
import { FileBlockStore } from "./file-block-store.ts";
import { Rebalance } from "./rebalance.ts";
import { Scrub } from "./scrub.ts";

const GC_DELAY_MS = 1000;
const KEEP_MS = 100_000;
const STATE = "/meta/data_directories";
const hashers = await SimCpu.loadHashers();
const random = simulatedRandom(42);
const sha256 = (bytes: Uint8Array): Hash => createHash("sha256").update(bytes).digest("hex") as Hash;
const block = (size = 3000): Buffer => Buffer.from(random.bytes(size));

let time: VirtualTime;
let clock: SimulatedClock;
let disk: SimDisk;
const log = new MemoryLog(() => 0);

beforeEach(async () => {
  time = new VirtualTime();
  clock = new SimulatedClock(time);
  disk = new SimDisk();
  await disk.makeDirectory("/meta");
});

/** As a process that begins after the one before it has ended. */
async function open(directories: readonly DataDirectoryOptions[] = [{ path: "/data" }]): Promise<FileBlockStore> {
  disk.image.locked.clear();
  const opened = await openDataDirectories({ directories, statePath: STATE }, { disk, random });
  const options = { gcDelayMs: GC_DELAY_MS, sync: true, compressionLevel: 1, quarantineKeepMs: KEEP_MS };
  return FileBlockStore.open(options, { directories: opened, clock, disk, cpu: new SimCpu({ hashers, disk }), log });
}

const pass = (ms: number): Promise<unknown> => time.run({ untilMs: time.nowMs + ms });
const failsWith = (code: string) => (error: unknown) => error instanceof BlockError && error.code === code;
const files = (): string[] => [...disk.image.names.keys()].filter((path) => /[0-9a-f]{64}/.test(path)).sort();

describe("the block store", () => {
  it("stores once, compresses what gets smaller, gives back the same bytes", async () => {
    const store = await open();
    const plain = block();
    const dull = Buffer.alloc(3000, "hangar ");
    for (const data of [plain, dull, plain]) {
      const stored = await store.store(data, undefined, ["MD5"]);
      assert.equal(stored.hash, sha256(data));
      assert.equal(Buffer.from(stored.digests.MD5 ?? []).toString("hex"), createHash("md5").update(data).digest("hex"));
      assert.deepEqual(Buffer.from(await store.fetch(stored.hash)), data);
      const lent = await store.lend({ hash: stored.hash, size: data.byteLength, storedSize: stored.storedSize });
      assert.ok(data.equals(lent.bytes));
      lent.release();
    }
    assert.deepEqual(files(), [`/data/${place(sha256(plain))}`, `/data/${place(sha256(dull))}.zst`].sort());
    const { stored, deduplicated, compressed } = store.stats();
    assert.deepEqual({ stored, deduplicated, compressed }, { stored: 2, deduplicated: 1, compressed: 1 });
  });

  it("refuses bytes with another hash and says which they have", async () => {
    const store = await open();
    const data = block();
    await assert.rejects(
      store.store(data, sha256(block())),
      (error) => failsWith("block.wrong-hash")(error) && (error as BlockError).hash === sha256(data),
    );
    assert.deepEqual(files(), []);
  });

  it("never lends a block of another size than its object says", async () => {
    const store = await open();
    const { hash, storedSize } = await store.store(block(3000));
    for (const size of [2999, 3001]) await assert.rejects(store.lend({ hash, size, storedSize }), failsWith("block.damaged"));
    assert.ok((await store.fetch(hash)).byteLength === 3000, "the file is good and stays");
  });

  it("sets damage aside, lists it, and keeps saying so; absence is another error", async () => {
    const store = await open();
    const { hash } = await store.store(block());
    await assert.rejects(store.fetch(sha256(block())), failsWith("block.absent"));
    disk.image.flip(files()[0] as string, 9);
    await assert.rejects(store.fetch(hash), failsWith("block.damaged"));
    await assert.rejects(store.fetch(hash), failsWith("block.damaged"));
    assert.deepEqual(files(), [`/data/${place(hash)}.corrupted`]);
    assert.equal(store.errors().find((entry) => entry.hash === hash)?.kind, "damaged");
    assert.equal(await store.holds(hash), false);
  });

  it("lets a file go only when unneeded and untouched for the delay, both checked under the lock", async () => {
    const store = await open();
    const data = block();
    const { hash } = await store.store(data);
    const yes = async (): Promise<boolean> => true;
    assert.equal(await store.removeUnneeded(hash, yes), "touched");
    await pass(GC_DELAY_MS + 1);
    assert.equal(await store.removeUnneeded(hash, async () => false), "needed");
    assert.equal(await store.holds(hash), true);
    assert.equal(await store.removeUnneeded(hash, yes), "touched");
    await pass(GC_DELAY_MS + 1);
    // A store that comes while we ask waits for the lock, and then has its file.
    let again: Promise<unknown> | undefined;
    const outcome = await store.removeUnneeded(hash, async () => {
      again = store.store(data);
      for (let i = 0; i < 50; i++) await Promise.resolve();
      return true;
    });
    assert.equal(outcome, "removed");
    await again;
    assert.equal(await store.holds(hash), true);
    await pass(GC_DELAY_MS + 1);
    assert.equal(await store.removeUnneeded(hash, yes), "removed");
    assert.equal(await store.removeUnneeded(hash, yes), "absent");
  });

  it("counts everything as touched when it starts", async () => {
    const { hash } = await (await open()).store(block());
    await pass(GC_DELAY_MS * 10);
    assert.equal((await open()).untouched(hash), false);
  });
});

describe("several data directories", () => {
  const THREE = [
    { path: "/one", capacityBytes: 100 },
    { path: "/two", capacityBytes: 200 },
    { path: "/old", readOnly: true },
  ];

  async function fill(store: FileBlockStore, count: number): Promise<Hash[]> {
    const hashes: Hash[] = [];
    for (let i = 0; i < count; i++) hashes.push((await store.store(block(50))).hash);
    return hashes;
  }
  const countIn = (root: string): number => files().filter((path) => path.startsWith(root)).length;

  it("share blocks by capacity; a read-only one is only read", async () => {
    const first = await open([{ path: "/old" }]);
    const old = await fill(first, 5);
    const store = await open(THREE);
    await fill(store, 600);
    assert.equal(countIn("/old"), 5);
    assert.ok(Math.abs(countIn("/one") - 200) < 60, `${countIn("/one")} of 600`);
    for (const hash of old) assert.equal((await store.fetch(hash)).byteLength, 50);
  });

  it("find blocks where they lie after capacities changed, move only what must move, and rebalance brings the rest home", async () => {
    const two = THREE.slice(0, 2);
    const before = await open(two);
    const hashes = await fill(before, 300);
    const store = await open([two[0] as DataDirectoryOptions, { path: "/two", capacityBytes: 100 }]);
    const moving = hashes.filter((hash) => store.directories.homeOf(hash).path !== before.directories.homeOf(hash).path);
    assert.ok(
      moving.every((hash) => store.directories.homeOf(hash).path === "/one"),
      "only towards the one whose share grew",
    );
    assert.ok(moving.length > 20 && moving.length < 90, `${moving.length} of 300`);
    for (const hash of hashes) await store.fetch(hash);
    const rebalance = new Rebalance({ store, disk, log });
    rebalance.start();
    while (rebalance.running) await rebalance.work();
    assert.equal(rebalance.movedBlocks, moving.length);
    assert.deepEqual(files(), hashes.map((hash) => `${store.directories.homeOf(hash).path}/${place(hash)}`).sort());
  });

  it("takes the next one when one is full, and says so when all are", async () => {
    const two = THREE.slice(0, 2);
    let full = ["/one"];
    disk = new SimDisk({
      image: disk.image,
      fault: (operation, path) =>
        operation === "sync" && full.some((root) => path.startsWith(root + "/")) && path.length > 40 ? "disk.full" : undefined,
    });
    const store = await open(two);
    await fill(store, 50);
    assert.deepEqual([countIn("/one"), countIn("/two")], [0, 50]);
    full = ["/one", "/two"];
    await assert.rejects(fill(store, 1), failsWith("block.no-space"));
    assert.equal(files().length, 50);
  });

  it("refuse to start when one is not mounted, is another disk, or is named twice", async () => {
    await open(THREE.slice(0, 2));
    const marker = (await disk.read(`/two/${MARKER}`)) as Uint8Array;
    const refused = (pattern: RegExp) => (error: unknown) =>
      error instanceof DataDirectoryError && error.path === "/two" && pattern.test(error.message);
    await disk.remove(`/two/${MARKER}`);
    await assert.rejects(open(THREE.slice(0, 2)), refused(/is its disk mounted/));
    await disk.writeDurable(`/two/${MARKER}`, [Buffer.from("0".repeat(32))], { sync: true });
    await assert.rejects(open(THREE.slice(0, 2)), refused(/another disk is mounted/));
    await disk.writeDurable(`/two/${MARKER}`, [Buffer.from("half")], { sync: true });
    await assert.rejects(open(THREE.slice(0, 2)), refused(/damaged/));
    await disk.writeDurable(`/two/${MARKER}`, [marker], { sync: true });
    await open(THREE.slice(0, 2));
    await disk.writeDurable(`/moved/${MARKER}`, [marker], { sync: true });
    await assert.rejects(open([...THREE.slice(0, 2), { path: "/moved" }]), /the same disk/);
    await open([{ path: "/one" }, { path: "/moved" }]);
    await assert.rejects(open([{ path: "/one", readOnly: true }]), /at least one directory must be writable/);
  });
});

describe("the scrub", () => {
  async function world(): Promise<{ store: FileBlockStore; scrub: Scrub; hashes: Hash[] }> {
    const store = await open();
    const hashes: Hash[] = [];
    for (let i = 0; i < 40; i++) hashes.push((await store.store(block(200))).hash);
    return { store, hashes, scrub: await openScrub(store) };
  }
  const openScrub = (store: FileBlockStore): Promise<Scrub> =>
    Scrub.open({ statePath: "/meta/scrub_info", manualOnly: false }, { store, disk, clock, random, log });

  it("finds every damaged file and nothing else, says how far it is, remembers when it ran", async () => {
    const { store, scrub } = await world();
    for (const at of [3, 17]) disk.image.flip(files()[at] as string, 11);
    assert.deepEqual(await scrub.work(), { state: "idle", delayMs: 3_600_000 });
    await scrub.setTranquility(0);
    await scrub.start();
    let middle = 0;
    while (scrub.info().running) {
      await scrub.work();
      const { progress } = scrub.info();
      if (progress > 0.2 && progress < 0.8) middle++;
    }
    assert.ok(middle > 0);
    assert.equal(scrub.info().corruptions, 2);
    assert.equal(store.errors().length, 2);
    assert.equal(files().filter((path) => path.endsWith(".corrupted")).length, 2);
    const { lastCompletedMs, nextRunMs } = (await openScrub(store)).info();
    assert.equal(lastCompletedMs, clock.wallMs());
    const days = (nextRunMs - clock.wallMs()) / 86_400_000;
    assert.ok(days >= 25 && days <= 35);
  });

  it("goes on after a restart, stands while paused, ends when cancelled, begins by itself when it is time", async () => {
    const { store, scrub } = await world();
    await scrub.start();
    for (let i = 0; i < 30; i++) await scrub.work();
    await scrub.pause();
    const { progress } = scrub.info();
    assert.ok(progress > 0);
    const later = await openScrub(store);
    assert.equal(later.info().progress, progress);
    assert.equal((await later.work()).state, "idle");
    assert.equal(later.info().progress, progress);
    await later.resume();
    await later.work();
    await later.cancel();
    assert.equal(later.info().running, false);
    const runner = new WorkerRunner({ clock, log });
    runner.add(later);
    await pass(36 * 86_400_000);
    assert.ok((later.info().lastCompletedMs ?? 0) > 0);
    assert.equal(runner.list()[0]?.state, "idle");
    await runner.stop();
  });
});

function place(hash: Hash): string {
  return `${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`;
}
