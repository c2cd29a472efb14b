// Cost of the consensus core without I/O: CPU-µs per committed entry, the three members together, at several batch sizes; and what an idle
// group costs in memory and in time.   tools/run node --expose-gc bench/cores-raft.ts
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { Effects } from "../src/raft/effects.ts";
import { type LeaseEvent, type LeaseMessage, Leases } from "../src/raft/lease.ts";
import type { Configuration, MemberId, Message, Moment } from "../src/raft/messages.ts";
import { type RaftOptions, raftOptions } from "../src/raft/options.ts";
import { bootstrapGroup, Raft } from "../src/raft/raft.ts";
import { Roster } from "../src/raft/roster.ts";

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const IDS: readonly MemberId[] = ["a", "b", "c"];
const LEASE_MS = 2000;

interface Node {
  readonly id: MemberId;
  readonly leases: Leases;
  readonly options: RaftOptions;
}
interface Packet {
  readonly to: number;
  readonly message: Message<Uint8Array>;
}

function makeNodes(now: Moment): Node[] {
  return IDS.map((id) => {
    const leases = new Leases(
      { self: id, leaseMs: LEASE_MS, driftFactor: 1.05, heartbeatMs: 500, maxHeartbeatMs: 4000, boot: 1, firstBoot: true },
      now,
    );
    return { id, leases, options: raftOptions(id, leases) };
  });
}

/** One group of three members; a loop that carries messages, writes and applies at once, in order. */
class Cluster {
  readonly groups: Raft<Uint8Array>[];
  readonly #wire: Packet[] = [];
  #now: Moment;
  committed = 0;

  constructor(nodes: readonly Node[], now: Moment) {
    this.#now = now;
    const configuration: Configuration = { voters: IDS, old: null, learners: [] };
    this.groups = nodes.map(({ options }) => new Raft<Uint8Array>(options, bootstrapGroup(configuration), now));
    // The first one campaigns: its timer has run out, the others' have not been looked at.
    this.#now = { ...now, monoMs: now.monoMs + 10 * LEASE_MS };
    this.groups[0]!.tick(this.#now);
    this.#settle(0);
    this.run();
  }

  propose(data: Uint8Array, batch: number): void {
    const leader = this.groups[0]!;
    for (let k = 0; k < batch; k++) leader.propose({ data, scope: k, sizeBytes: data.length }, this.#now);
    this.#settle(0);
    this.run();
  }
  /** Takes what its groups want done now, and carries it to the end. */
  settle(now: Moment): void {
    this.#now = now;
    for (let member = 0; member < this.groups.length; member++) this.#settle(member);
    this.run();
  }
  run(): void {
    // The array as a queue: read on, then empty it.
    for (let at = 0; at < this.#wire.length; at++) {
      const { to, message } = this.#wire[at]!;
      this.groups[to]!.step(message, this.#now);
      this.#settle(to);
    }
    this.#wire.length = 0;
  }
  #settle(member: number): void {
    const group = this.groups[member]!;
    for (let effects = group.drain(this.#now); effects !== null; effects = group.drain(this.#now))
      this.#carry(member, group, effects);
  }
  #carry(member: number, group: Raft<Uint8Array>, effects: Effects<Uint8Array>): void {
    for (const { to, message } of effects.messages) this.#wire.push({ to: IDS.indexOf(to), message });
    if (effects.write !== null) group.stored(effects.write.seq, this.#now);
    const { apply } = effects;
    if (apply.length === 0) return;
    if (member === 0) this.committed += apply.length;
    const last = apply[apply.length - 1]!.index;
    group.applied(last, this.#now);
    if (last % 1024 < apply.length)
      group.trim(Math.max(group.anchor.index, last - 512), Math.max(group.anchor.index, last - 512));
  }
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

const START: Moment = { monoMs: 0, bootMs: 0, wallMs: 1_700_000_000_000, jitter: 0.3 };

function perEntry(batch: number, entries: number): number {
  const cluster = new Cluster(makeNodes(START), START);
  const data = new Uint8Array(200);
  for (let k = 0; k < Math.max(50, 5000 / batch); k++) cluster.propose(data, batch); // warm
  const before = cluster.committed;
  const from = cpuUs();
  while (cluster.committed - before < entries) cluster.propose(data, batch);
  return (cpuUs() - from) / (cluster.committed - before);
}

/** Many groups of three members that all live in this process, driven as a node would drive them: by rosters and lease events. */
class Fleet {
  readonly #nodes = makeNodes(START);
  readonly #rosters = this.#nodes.map(({ leases }) => new Roster<Uint8Array>(leases));
  readonly #clusters: Cluster[] = [];
  #owner = new Map<Raft<Uint8Array>, readonly [Cluster, number]>();
  #ms = 20 * LEASE_MS;
  wakes = 0;

  constructor(count: number) {
    const now = this.#now();
    for (let k = 0; k < count; k++) {
      const cluster = new Cluster(this.#nodes, START);
      cluster.groups.forEach((group, member) => {
        group.trim(group.appliedIndex, group.appliedIndex);
        this.#rosters[member]!.add(group, now);
      });
      this.#clusters.push(cluster);
    }
  }
  #now(): Moment {
    return { ...START, monoMs: this.#ms, bootMs: this.#ms, wallMs: START.wallMs + this.#ms };
  }
  /** 100 ms go by. */
  round(): void {
    this.#ms += 100;
    const now = this.#now();
    const queue: { readonly to: MemberId; readonly message: LeaseMessage }[] = [];
    const events: LeaseEvent[][] = this.#nodes.map(() => []);
    const collect = (member: number): void => {
      const leased = this.#nodes[member]!.leases.drain();
      if (leased === null) return;
      queue.push(...leased.messages);
      events[member]!.push(...leased.events);
    };
    this.#nodes.forEach(({ leases }, member) => {
      leases.tick(now);
      collect(member);
    });
    for (let at = 0; at < queue.length; at++) {
      const member = IDS.indexOf(queue[at]!.to);
      this.#nodes[member]!.leases.step(queue[at]!.message, now);
      collect(member);
    }
    this.#rosters.forEach((roster, member) => {
      for (const group of roster.due(events[member]!, now)) {
        this.wakes++;
        group.tick(now);
        this.#find(group)[0].settle(now);
        for (const [other, at] of this.#find(group)[0].groups.entries()) this.#rosters[other]!.touched(at, now);
      }
    });
  }
  #find(group: Raft<Uint8Array>): readonly [Cluster, number] {
    if (this.#owner.size === 0) {
      for (const cluster of this.#clusters)
        for (const [member, at] of cluster.groups.entries()) this.#owner.set(at, [cluster, member]);
    }
    return this.#owner.get(group)!;
  }
  /** The bench's own index must not count as the groups' memory. */
  forget(): void {
    this.#owner = new Map();
  }
  get leaders(): number {
    return this.#clusters.filter(({ groups }) => groups.some((group) => group.holdsLease(this.#now()))).length;
  }
}

/** Heap per member of an idle group, and what a second of idling costs all of them. */
function idle(count: number): { bytesPerMember: number; cpuUsPerSecond: number; wakes: number } {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("memory can't be measured without --expose-gc (npm run bench:cores gives it)");
  gc();
  const before = process.memoryUsage().heapUsed;
  const fleet = new Fleet(count);
  for (let k = 0; k < 100; k++) fleet.round(); // leases come into being, timers are put away
  if (fleet.leaders !== count) throw new Error("every group has a leader with a lease");
  fleet.forget();
  gc();
  const bytesPerMember = (process.memoryUsage().heapUsed - before) / (count * IDS.length);
  fleet.wakes = 0;
  const from = cpuUs();
  for (let k = 0; k < 300; k++) fleet.round();
  const cpuUsPerSecond = (cpuUs() - from) / 30;
  if (fleet.leaders !== count) throw new Error("the leases hold on");
  return { bytesPerMember, cpuUsPerSecond, wakes: fleet.wakes };
}

/** All figures of the consensus core; seconds of CPU. Needs `globalThis.gc` (--expose-gc). */
export async function benchRaft(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [batch, entries] of [
    [1, 60_000],
    [16, 300_000],
    [256, 600_000],
  ] as const) {
    figures.push({
      name: `raft: CPU per committed entry, 3 members, batch ${batch}`,
      value: perEntry(batch, entries),
      unit: "µs",
    });
  }
  const { bytesPerMember, cpuUsPerSecond, wakes } = idle(10_000);
  figures.push({ name: "raft: heap per idle group and member, 10,000 groups", value: bytesPerMember, unit: "bytes" });
  figures.push({ name: "raft: CPU of 10,000 idle groups of 3, per second", value: cpuUsPerSecond, unit: "µs" });
  figures.push({ name: "raft: idle groups woken within 30 s", value: wakes, unit: "groups" });
  return figures;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const { name, value, unit } of await benchRaft())
    console.log(`${name}: ${value < 100 ? value.toFixed(2) : Math.round(value)} ${unit}`);
}
