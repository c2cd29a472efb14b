import { type MemoryKv, MemoryKvDisk, memoryKv } from "../../../../sim/platform/memory-kv.ts";
import { MemoryLog } from "../../../../sim/platform/memory-log.ts";
import { simulatedRandom } from "../../../../sim/platform/simulated-random.ts";
import { GroupHost } from "../../../group/group-host.ts";
import type { Groups } from "../../../group/groups.ts";
import { type BucketId, type ClaimId, CONTROL_GROUP, type GroupId, type NodeId } from "../../../util/ids.ts";
import type { PartitionCommand, PutResult } from "../../commands.ts";
import { PartitionMachine } from "../../partition/partition-machine.ts";
import { readHeadVersion } from "../../partition/read-version.ts";
import { Repair } from "../../repair/repair.ts";
import { Placement } from "../../placement.ts";
import { Control } from "../control.ts";
import type { ControlCommand } from "../control-commands.ts";
import { ControlMachine } from "../control-machine.ts";

const PARTITIONS = 64;
const WINDOW_MS = 60_000;
const MEMBER = "ef".repeat(32) as NodeId;

/**
 * The control group and its partitions on one node whose power can be cut; `before` is awaited ahead of every command of Control.
 */
export class ControlWorld {
  readonly disk = new MemoryKvDisk();
  readonly placement = new Placement(PARTITIONS);
  readonly wall = { now: 1_700_000_000_000 };
  readonly log = new MemoryLog(() => this.wall.now);
  before: (group: GroupId, command: ControlCommand | PartitionCommand) => Promise<void> = () => Promise.resolve();
  kv!: MemoryKv;
  host!: GroupHost;
  control!: Control;
  #lives = 0;
  #claims = 0;

  static async open(): Promise<ControlWorld> {
    const world = new ControlWorld();
    await world.start();
    return world;
  }

  async start({ indexShards = 4 } = {}): Promise<void> {
    const fatal = (error: unknown): never => {
      throw error;
    };
    this.kv = memoryKv({ disk: this.disk, fatal });
    this.host = await GroupHost.open(
      { partitions: PARTITIONS, member: MEMBER, commandWindowMs: WINDOW_MS },
      {
        clock: { wallMs: () => this.wall.now, monotonicMs: () => 0 },
        kv: this.kv,
        fatal,
        onDamaged: new Repair(() => this.host, { commandWindowMs: WINDOW_MS, log: this.log }).onDamaged,
        machine: (group) =>
          group === CONTROL_GROUP ? new ControlMachine() : new PartitionMachine(group, { commandWindowMs: WINDOW_MS }),
      },
    );
    const { host } = this;
    const groups: Groups = {
      partitions: PARTITIONS,
      propose: async (group, command, options) => {
        await this.before(group, command as ControlCommand | PartitionCommand);
        return host.propose(group, command, options);
      },
      read: (group, fn) => host.read(group, fn),
      inspect: (group, fn) => host.inspect(group, fn),
      readAll: (some, fn) => host.readAll(some, fn),
      logTime: (group) => host.logTime(group),
    };
    this.control = new Control(
      { indexShards, allowPunycode: false, commandWindowMs: WINDOW_MS },
      { groups, placement: this.placement, random: simulatedRandom(++this.#lives), log: this.log },
    );
    await this.control.start(() => ({ clusterId: "c", partitions: PARTITIONS, replicationFactor: 1 }));
  }

  /** Power is cut: what was not committed is gone, no promise of this life settles. Then the node starts again. */
  async crash(inFlight: "lost" | "kept" = "lost"): Promise<void> {
    this.kv.crash({ inFlight });
    this.before = () => Promise.resolve();
    await this.start();
  }

  /** A small object under a key, decided in the key's partition alone: the bucket's guard there is all that protects it. */
  async put(bucket: { readonly id: BucketId; readonly indexShards: number }, key: string): Promise<PutResult> {
    const claim = (++this.#claims).toString(16).padStart(32, "0") as ClaimId;
    const command: PartitionCommand = {
      op: "put",
      bucket: bucket.id,
      key,
      claim,
      headers: { system: [], user: [] },
      etag: "00".repeat(16),
      body: { kind: "inline", bytes: Buffer.from(key) },
    };
    return this.host.propose(this.placement.ofKey(bucket, key), command);
  }

  remove(bucket: { readonly id: BucketId; readonly indexShards: number }, key: string): Promise<unknown> {
    return this.host.propose(this.placement.ofKey(bucket, key), { op: "delete", bucket: bucket.id, key });
  }

  has(bucket: { readonly id: BucketId; readonly indexShards: number }, key: string): Promise<boolean> {
    const group = this.placement.ofKey(bucket, key);
    return this.host.read(group, (rows) => readHeadVersion(rows, group, bucket.id, key) !== undefined);
  }

  /** One key for each partition that holds a part of the bucket. */
  keysOf(bucket: { readonly id: BucketId; readonly indexShards: number }): readonly string[] {
    const keys = new Map<GroupId, string>();
    const groups = this.placement.groupsOf(bucket).length;
    for (let n = 0; keys.size < groups; n++) {
      const group = this.placement.ofKey(bucket, `key-${n}`);
      if (!keys.has(group)) keys.set(group, `key-${n}`);
    }
    return [...keys.values()];
  }

  async addKey(id: string, mayCreateBucket = true): Promise<void> {
    await this.control.command({ op: "create-key", id, secret: `${id}-secret`, name: id, mayCreateBucket });
  }
}
