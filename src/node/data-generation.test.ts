import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../sim/engine/random.ts";
import { SimCpu } from "../../sim/platform/cpu.ts";
import { SimDisk, SimDiskImage } from "../../sim/platform/disk.ts";
import { MemoryKvDisk } from "../../sim/platform/memory-kv.ts";
import { type SimulatedNode, simPlatform } from "../../sim/platform/simulated-node.ts";
import { VirtualTime } from "../../sim/platform/virtual-time.ts";
import { openDataDirectories } from "../block/data-directories.ts";
import { DataGeneration, GENERATION_FILE } from "./data-generation.ts";

const CLUSTER = "c1".repeat(32);
const FOLDERS = ["/one", "/two"];
const hashers = await SimCpu.loadHashers();

/** A kv and two data folders that are opened again and again, with copies that can be put back. */
class World {
  readonly time = new VirtualTime();
  readonly image = new SimDiskImage();
  kvDisk = new MemoryKvDisk();
  cluster = CLUSTER;
  changes = 0;
  #lives = 0;
  node!: SimulatedNode;
  disk!: SimDisk;
  generation: DataGeneration | undefined;

  /** Begins a start; `generation` is there when it is through. */
  begin(): Promise<void> {
    this.generation = undefined;
    const delays = seededRandom(++this.#lives);
    const later: { clock?: SimulatedNode["clock"] } = {};
    const clock = {
      wallMs: () => 0,
      monotonicMs: () => 0,
      timer: (ms: number, fn: () => void) => (later.clock as SimulatedNode["clock"]).timer(ms, fn),
    };
    const disk = new SimDisk({ image: this.image, clock, delayMs: () => 0.1 + delays() });
    this.disk = disk;
    const parts = { disk, cpu: new SimCpu({ hashers, disk }) } as unknown as Parameters<typeof simPlatform>[0]["parts"];
    this.node = simPlatform({ seed: this.#lives, time: this.time, parts, kvDisk: this.kvDisk });
    later.clock = this.node.clock;
    const { platform } = this.node;
    return (async () => {
      await disk.makeDirectory("/meta");
      const directories = await openDataDirectories(
        { directories: FOLDERS.map((path) => ({ path })), statePath: "/meta/data_directories" },
        platform,
      );
      const changes = (): number => this.changes;
      this.generation = await DataGeneration.open({ cluster: this.cluster, directories, changes, ...platform });
      this.generation.start();
    })();
  }

  async start(): Promise<DataGeneration> {
    await this.time.runUntil(this.begin());
    return this.generation as DataGeneration;
  }

  pass(ms: number): Promise<unknown> {
    return this.time.run({ untilMs: this.time.nowMs + ms });
  }

  crash(random: () => number): void {
    this.node.crash({ inFlight: random() < 0.5 ? "lost" : "kept" });
    this.disk.crash(random);
  }

  fileOf(folder: string): Buffer {
    const file = this.image.names.get(`${folder}/${GENERATION_FILE}`);
    assert.ok(file && file !== "directory");
    return Buffer.from(file.content);
  }

  /** A folder's file as it was, or gone; the blocks follow it in everybody's eyes. */
  putBack(folder: string, content: Buffer | undefined): void {
    const path = `${folder}/${GENERATION_FILE}`;
    if (content === undefined) this.image.unlink(path);
    else this.image.link(path, { content, durable: content, modifiedMs: 0 });
    this.image.syncDirectory(folder);
  }
}

describe("the generation of metadata and data", () => {
  for (let seed = 1; seed <= 10; seed++)
    it(`never takes a crash for a copy, and always an older copy for one: seed ${seed}`, async () => {
      const random = seededRandom(seed);
      const world = new World();
      const settle = async (): Promise<void> => assert.deepEqual((await world.start()).problems(), []);
      for (let round = 0; round < 25; round++) {
        // Power is cut at any moment of a start, or of a raise later on.
        const starting = world.begin();
        starting.catch(() => {});
        await world.pass(random() * 25);
        if (world.generation && random() < 0.7) {
          world.changes++;
          await world.pass(59_970 + random() * 60);
        }
        assert.deepEqual((world.generation as DataGeneration | undefined)?.problems() ?? [], [], `round ${round}`);
        world.crash(random);
      }
      await settle();
      // A copy of the metadata, whenever it was made; then blocks are written, and the daemon ends somehow.
      const older = world.kvDisk.clone();
      const folder = world.fileOf("/two");
      if (random() < 0.5) {
        world.crash(random);
        await settle();
      } else {
        world.changes++;
        await world.pass(61_000);
      }
      world.crash(random);
      const newer = world.kvDisk;
      world.kvDisk = older;
      const held = await world.start();
      assert.ok(held.isHeld);
      assert.match(held.problems().join(), /older than the blocks in \/one .* and \/two/);
      world.crash(random);
      assert.ok((await world.start()).isHeld, "a restart accepts nothing");
      world.crash(random);
      world.kvDisk = newer;
      assert.ok((await world.start()).isHeld, "blocks were written since");
      assert.equal((await world.time.runUntil((world.generation as DataGeneration).accept())).length, 1);
      world.crash(random);
      await settle();
      // A copy of one folder.
      world.crash(random);
      world.putBack("/two", folder);
      const old = await world.start();
      assert.ok(!old.isHeld);
      assert.match(old.problems().join(), /^data folder \/two .*older than the metadata/);
      await world.time.runUntil(old.accept());
      world.crash(random);
      await settle();
    });

  it("holds when a folder's file is lost; takes a new folder, and another cluster's file, as it is", async () => {
    const random = seededRandom(1);
    const world = new World();
    assert.deepEqual((await world.start()).problems(), []);
    world.crash(random);
    world.putBack("/one", undefined);
    assert.match((await world.start()).problems().join(), /\/one \(its hangar-generation is lost/);
    world.crash(random);
    world.kvDisk = new MemoryKvDisk();
    world.cluster = "c2".repeat(32);
    assert.deepEqual((await world.start()).problems(), []);
  });

  it("is raised by an orderly stop when blocks have changed, and goes on where it can't be", async () => {
    const random = seededRandom(1);
    const world = new World();
    const running = await world.start();
    const before = String(world.fileOf("/one"));
    await world.time.runUntil(running.stop());
    assert.equal(String(world.fileOf("/one")), before, "nothing has changed");
    world.changes++;
    await world.time.runUntil(running.stop());
    assert.notEqual(String(world.fileOf("/one")), before);
    world.crash(random);
    world.image.capacityBytes = world.image.usedBytes;
    assert.deepEqual((await world.start()).problems(), [], "on a full disk");
    world.crash(random);
    world.image.capacityBytes = Number.POSITIVE_INFINITY;
    assert.deepEqual((await world.start()).problems(), []);
  });

  it("holds when the metadata's own row is damaged", async () => {
    const world = new World();
    await world.start();
    world.crash(seededRandom(1));
    world.kvDisk.damage("rows", Buffer.of(0xff, 0xfe, 0x01), 40);
    assert.ok((await world.start()).isHeld);
  });
});
