import { MemoryKvDisk } from "../../../../sim/platform/memory-kv.ts";
import { SimCpu } from "../../../../sim/platform/cpu.ts";
import { SimDisk, SimDiskImage } from "../../../../sim/platform/disk.ts";
import { type SimulatedNode, simPlatform } from "../../../../sim/platform/simulated-node.ts";
import { VirtualTime } from "../../../../sim/platform/virtual-time.ts";
import { seededRandom } from "../../../../sim/engine/random.ts";
import { openDataDirectories } from "../../../block/data-directories.ts";
import { FileBlockStore } from "../../../block/file-block-store.ts";
import { GroupHost } from "../../../group/group-host.ts";
import type { DiskErrorCode } from "../../../platform/disk.ts";
import type { Hashers } from "../../../platform/node/hashers.ts";
import type { ByteSource } from "../../../util/byte-source.ts";
import type { BucketId, ClaimId, GroupId, NodeId } from "../../../util/ids.ts";
import type { PartitionCommand } from "../../commands.ts";
import type { BucketRef, ObjectService, Upload } from "../../object-service.ts";
import { createObjectService } from "../../objects/object-store.ts";
import { PartitionMachine } from "../../partition/partition-machine.ts";
import { Repair } from "../../repair/repair.ts";
import { Placement } from "../../placement.ts";
import { createDataPath, type DataPath } from "../create-data-path.ts";
import type { UploadTarget } from "../../bytes/data-path.ts";

export const BLOCK = 1000;
export const INLINE = 100;
export const GC_DELAY_MS = 4000;
export const WINDOW_MS = 8000;
export const QUARANTINE_KEEP_MS = 7 * 24 * 3600 * 1000;
const PARTITIONS = 64;

/** One node's data path, groups and object service on simulated disks and virtual time; it can crash and start again. */
export class DataWorld {
  readonly time = new VirtualTime();
  readonly placement = new Placement(PARTITIONS);
  readonly bucket: BucketRef = { id: "b".repeat(64) as BucketId, indexShards: 4, quotas: {} };
  readonly image = new SimDiskImage();
  readonly random: () => number;
  readonly kvDisk = new MemoryKvDisk();
  readonly #hashers: Hashers;
  #lives = 0;
  #claims = 0;
  /** Whether the control group knows the bucket. */
  bucketKnown = true;
  /** Asked before each disk operation. */
  fault: (operation: string, path: string) => DiskErrorCode | undefined = () => undefined;
  /** Asked before each command. */
  beforePropose: (command: PartitionCommand) => Promise<void> = () => Promise.resolve();

  node!: SimulatedNode;
  disk!: SimDisk;
  cpu!: SimCpu;
  host!: GroupHost;
  blocks!: FileBlockStore;
  data!: DataPath;
  objects!: ObjectService;

  private constructor(seed: number, hashers: Hashers) {
    this.random = seededRandom(seed);
    this.#hashers = hashers;
  }

  static async open(seed = 1): Promise<DataWorld> {
    const world = new DataWorld(seed, await SimCpu.loadHashers());
    await world.start();
    const { bucket } = world;
    for (const group of world.placement.groupsOf(bucket)) {
      const command: PartitionCommand = { op: "set-guard", bucket: bucket.id, settings: { controlIndex: 1, indexShards: 4 } };
      await world.settle(world.host.propose(group, command));
    }
    return world;
  }

  async start(): Promise<void> {
    const { time, image, placement } = this;
    this.#lives++;
    const later: { clock?: SimulatedNode["clock"] } = {};
    const fault = (operation: string, path: string): DiskErrorCode | undefined => this.fault(operation, path);
    const delays = seededRandom(this.#lives * 7919);
    const lateClock = {
      wallMs: () => (later.clock as SimulatedNode["clock"]).wallMs(),
      monotonicMs: () => (later.clock as SimulatedNode["clock"]).monotonicMs(),
      timer: (delayMs: number, fn: () => void) => (later.clock as SimulatedNode["clock"]).timer(delayMs, fn),
    };
    this.disk = new SimDisk({ image, clock: lateClock, delayMs: () => 0.2 + delays() * 4, fault });
    this.cpu = new SimCpu({ hashers: this.#hashers, disk: this.disk, asideToken: `life${this.#lives}` });
    const parts = { disk: this.disk, cpu: this.cpu } as unknown as Parameters<typeof simPlatform>[0]["parts"];
    this.node = simPlatform({ seed: this.#lives, time, parts, kvDisk: this.kvDisk });
    later.clock = this.node.clock;
    const { clock, kv, log, random } = this.node.platform;
    await this.settle(
      (async () => {
        await this.disk.makeDirectory("/meta");
        this.host = await GroupHost.open(
          { partitions: PARTITIONS, member: "ef".repeat(32) as NodeId, commandWindowMs: WINDOW_MS },
          {
            clock,
            kv,
            fatal: this.node.platform.fatal,
            onDamaged: new Repair(() => this.host, { commandWindowMs: WINDOW_MS, log }).onDamaged,
            machine: (group) => new PartitionMachine(group, { commandWindowMs: WINDOW_MS }),
          },
        );
        const directories = await openDataDirectories(
          { directories: [{ path: "/data" }], statePath: "/meta/data_directories" },
          { disk: this.disk, random },
        );
        this.blocks = await FileBlockStore.open(
          { gcDelayMs: GC_DELAY_MS, sync: true, compressionLevel: 1, quarantineKeepMs: QUARANTINE_KEEP_MS },
          { directories, clock, disk: this.disk, cpu: this.cpu, log },
        );
      })(),
    );
    const groups: GroupHost = Object.create(this.host, {
      propose: {
        value: async (group: GroupId, command: PartitionCommand, options: object) => {
          await this.beforePropose(command);
          return this.host.propose(group, command, options);
        },
      },
      read: { value: this.host.read.bind(this.host) },
      inspect: { value: this.host.inspect.bind(this.host) },
      readAll: { value: this.host.readAll.bind(this.host) },
      logTime: { value: this.host.logTime.bind(this.host) },
      partitions: { value: PARTITIONS },
    }) as GroupHost;
    this.data = createDataPath(
      {
        inlineThresholdBytes: INLINE,
        blockSizeBytes: BLOCK,
        gcDelayMs: GC_DELAY_MS,
        commandWindowMs: WINDOW_MS,
        ramBufferBytes: 20 * BLOCK,
      },
      {
        groups,
        blocks: this.blocks,
        placement,
        clock,
        cpu: this.cpu,
        disk: this.disk,
        log,
        homeOf: (bucket, key) =>
          Promise.resolve(this.bucketKnown && bucket === this.bucket.id ? placement.ofKey(this.bucket, key) : undefined),
      },
    );
    this.objects = createObjectService(
      { minPartSize: 1 },
      { groups, placement, writing: this.data.writer, reading: this.data.reader, random, clock },
    );
  }

  /** Power is cut; the next life begins. */
  async crash(): Promise<void> {
    this.node.crash({ inFlight: this.random() < 0.5 ? "lost" : "kept" });
    this.disk.crash(this.random);
    await this.start();
  }

  /** Lets time pass until the promise settles. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return this.time.runUntil(promise);
  }

  async pass(ms: number): Promise<void> {
    await this.time.run({ untilMs: this.time.nowMs + ms });
  }

  target(key: string): UploadTarget {
    const claim = (++this.#claims).toString(16).padStart(32, "c") as ClaimId;
    return { bucket: this.bucket.id, key, group: this.placement.ofKey(this.bucket, key), claim };
  }

  /**
   * Runs release, janitor and orphan walk, and lets the delays pass, until nothing is unfinished; the report of the last audit.
   */
  async clean(): Promise<Awaited<ReturnType<DataPath["audit"]>>> {
    let report = await this.settle(this.data.audit());
    for (let round = 0; round < 12 && report.unfinished.length > 0; round++) {
      await this.settle(this.data.flush());
      await this.settle(this.data.workers.release.runOnce());
      await this.settle(this.data.workers.janitor.runOnce());
      await this.settle(this.data.workers.orphans.runOnce());
      await this.pass(GC_DELAY_MS);
      report = await this.settle(this.data.audit());
    }
    return report;
  }
}

/** Bytes as a source in pieces of random lengths, each overwritten when the next is read, as network buffers are. */
export function inPieces(
  bytes: Uint8Array,
  random: () => number,
  { largest = 400, failAt }: { readonly largest?: number; readonly failAt?: number } = {},
): ByteSource {
  let at = 0;
  const memory = Buffer.alloc(largest);
  return {
    async read() {
      memory.fill(0xee);
      if (failAt !== undefined && at >= failAt) throw new Error("the client vanished");
      if (at >= bytes.byteLength) return null;
      const count = Math.min(1 + Math.floor(random() * largest), bytes.byteLength - at);
      memory.set(bytes.subarray(at, at + count));
      at += count;
      return memory.subarray(0, count);
    },
    cancel() {},
  };
}

export function uploadOf(bytes: Uint8Array, random: () => number, more: Partial<Upload> = {}): Upload {
  return { source: inPieces(bytes, random), signal: new AbortController().signal, ...more };
}

export async function readAll(source: ByteSource): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let piece = await source.read(); piece !== null; piece = await source.read()) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

/** Random bytes; `kinds` different ones, so that blocks are shared between objects. */
export function someBytes(random: () => number, size: number, kinds = 2 ** 32): Buffer {
  const next = seededRandom(1 + Math.floor(random() * kinds));
  return Buffer.from(Uint8Array.from({ length: size }, () => Math.floor(next() * 256)));
}
