// The simulated cluster as a whole: time, chance, network, nodes, the control service, and the record of what happened.
import { EventQueue } from "../engine/event-queue.ts";
import type { Dice } from "../engine/random.ts";
import type { Topic, Trace } from "../engine/trace.ts";
import { isMember } from "../../src/raft/configuration.ts";
import type { Defect } from "../../src/raft/defects.ts";
import type { Configuration, Entry, MemberId } from "../../src/raft/messages.ts";
import type { Command } from "./machine.ts";
import type { HostPart, Keys, NodePart } from "./parts.ts";
import type { HostDefect } from "./planted.ts";
import type { Profile } from "./profile.ts";

/** Faults end here (healing begins), probes go out, everything must be answered. Virtual ms. */
export const HEAL_MS = 1500;
export const PROBE_MS = 2600;
export const END_MS = 3600;

/** What right wall clocks show at the start. */
export const WALL_MS = 1_000_000;

export interface WorldModules {
  readonly profile: Profile;
  readonly dice: Dice;
  readonly trace: Trace;
  readonly coreDefects: ReadonlySet<Defect>;
  readonly hostDefect: HostDefect | null;
}

/** What must hold at every moment, looked at where it could break (checks.ts). */
export interface Invariants {
  applied(host: HostPart, entry: Entry<Command>, digest: number): void;
  changed(host: HostPart): void;
  /** `inLog`: the newest configuration of its log as written. */
  written(host: HostPart, inLog: Configuration): void;
  /** Looks whether a node's leases still exclude other leaders, in one group or all. */
  leasesOf(node: NodePart, only?: number): void;
  floor(group: number, key: Keys): number;
  readAnswered(host: HostPart, key: Keys, floor: number, how: string): void;
  newestTerm(group: number): number;
}

/** What the control group would know of one node's store (rules 25–27): one linearizable object. */
export interface Registered {
  incarnation: number;
  tick: number;
}

export class World {
  readonly profile: Profile;
  readonly dice: Dice;
  readonly trace: Trace;
  readonly coreDefects: ReadonlySet<Defect>;
  readonly hostDefect: HostDefect | null;
  readonly queue = new EventQueue();
  /** Set before anything runs. */
  checks!: Invariants;
  readonly nodes: NodePart[] = [];
  readonly control: Registered[];
  readonly bootstraps: Configuration[] = [];
  /** from · 8 + to. */
  readonly blocked = new Set<number>();
  /** What messages take longer on some ways, ms; from · 8 + to. */
  readonly slowWays = new Map<number, number>();
  /** Who forgot which group; group · 8 + node. */
  readonly forgetful = new Set<number>();
  readonly stats: Record<string, number> = {};
  damaged = false;
  failure: string | null = null;
  /** Called for each new leader of a group. */
  newLeader: ((host: HostPart) => void) | null = null;
  /** Called for each configuration that a leader has proposed. */
  changing: ((host: HostPart) => void) | null = null;

  constructor(modules: WorldModules) {
    this.profile = modules.profile;
    this.dice = modules.dice;
    this.trace = modules.trace;
    this.coreDefects = modules.coreDefects;
    this.hostDefect = modules.hostDefect;
    this.control = Array.from({ length: modules.profile.nodes }, () => ({ incarnation: 0, tick: 0 }));
  }

  get now(): number {
    return this.queue.now;
  }
  get healing(): boolean {
    return this.queue.now >= HEAL_MS;
  }
  planted(defect: HostDefect): boolean {
    return this.hostDefect === defect;
  }
  fail(why: string): void {
    if (this.failure !== null) return;
    this.failure = why;
    this.note(-1, () => `FAILURE: ${why}`);
  }
  count(what: string): void {
    this.stats[what] = (this.stats[what] ?? 0) + 1;
  }
  after(delayMs: number, run: () => void): void {
    this.queue.after(delayMs, run);
  }
  note(group: number, text: () => string, topic?: Topic): void {
    this.trace.note(this.queue.now, group, text, topic);
  }

  /** The configuration of the group's newest leader; null while none runs. */
  presentConfiguration(group: number): Configuration | null {
    let newest: HostPart["raft"] | null = null;
    for (const node of this.nodes) {
      const raft = node.running ? node.hosts.get(group)?.raft : undefined;
      if (raft?.role === "leader" && (newest === null || raft.term > newest.term)) newest = raft;
    }
    return newest?.configuration ?? null;
  }

  // ---- network

  delay(): number {
    const { dice, profile } = this;
    // "Calm" is when messages are quick beside election times; else votes split for ever.
    if (this.healing) return dice.between(0.01, 0.07) * profile.leaseMs;
    if (dice.chance(profile.late)) return dice.between(200, 800);
    if (dice.chance(profile.slow)) return dice.between(15, 145) * profile.haste;
    return dice.between(1, 7) * profile.haste;
  }
  /** Delivers to another node, or not, or twice; in no order. `extraMs`: for what is big. */
  send(from: number, to: number, deliver: (node: NodePart) => void, extraMs = 0): void {
    const node = this.nodes[to];
    if (node === undefined || from === to) return;
    const copies = !this.healing && this.dice.chance(this.profile.duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.blocked.has(from * 8 + to) || (!this.healing && this.dice.chance(this.profile.loss))) continue;
      const slowMs = this.healing ? 0 : (this.slowWays.get(from * 8 + to) ?? 0);
      this.after(this.delay() + slowMs + extraMs, () => node.deliver(deliver));
    }
  }
  cutOff(node: number): void {
    for (let other = 0; other < this.nodes.length; other++) this.block(node, other, true);
  }
  block(from: number, to: number, both: boolean): void {
    this.blocked.add(from * 8 + to);
    if (both) this.blocked.add(to * 8 + from);
  }
}

/** Is the node a member of the group? As far as it knows; once all is calm, the layout has told nodes that were removed. */
export function isMemberOf(world: World, node: NodePart, group: number): boolean {
  const host = node.hosts.get(group);
  if (host === undefined) return false;
  const configuration = world.healing ? world.presentConfiguration(group) : null;
  return isMember(configuration ?? host.raft.configuration, node.self);
}
export function memberId(node: number, incarnation: number): MemberId {
  return `n${node}.${incarnation}`;
}
export function nodeOf(member: MemberId): number {
  return member.charCodeAt(1) - 48;
}
export function incarnationOf(member: MemberId): number {
  return Number(member.slice(3));
}
export function describeConfiguration(configuration: Configuration): string {
  const { voters, old, learners } = configuration;
  return `{${old === null ? "" : `${old.join(" ")} → `}${voters.join(" ")}${learners.length > 0 ? ` + learners ${learners.join(" ")}` : ""}}`;
}
export function describeEntry({ configuration, data }: Entry<Command>): string {
  if (configuration !== null) return describeConfiguration(configuration);
  return data === null ? "a term's first entry" : `${data.id} ${data.kind} k${data.key}`;
}
