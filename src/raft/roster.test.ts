// The roster against the plain way of ticking everything: a fleet of groups on three nodes, driven only by what the roster says
// is due.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LeaseEvent } from "./lease.ts";
import { Leases, type LeaseMessage } from "./lease.ts";
import type { MemberId, Message, Moment } from "./messages.ts";
import { raftOptions } from "./options.ts";
import { bootstrapGroup, Raft } from "./raft.ts";
import { Roster } from "./roster.ts";

const IDS: readonly MemberId[] = ["a", "b", "c"];

class Node {
  readonly leases: Leases;
  readonly roster: Roster<string>;
  readonly groups: Raft<string>[] = [];
  readonly applied: number[] = [];
  up = true;
  constructor(id: MemberId, count: number, now: Moment) {
    this.leases = new Leases(
      { self: id, leaseMs: 100, driftFactor: 1.05, heartbeatMs: 28, maxHeartbeatMs: 100, boot: 1, firstBoot: true },
      now,
    );
    this.roster = new Roster(this.leases);
    const options = raftOptions(id, this.leases);
    for (let k = 0; k < count; k++) {
      const at = { ...now, jitter: ((k * 7 + IDS.indexOf(id) * 3) % 10) / 10 };
      const group = new Raft<string>(options, bootstrapGroup({ voters: IDS, old: null, learners: [] }), at);
      this.groups.push(group);
      this.roster.add(group, now);
    }
  }
}

class World {
  ms = 0;
  ticks = 0;
  readonly nodes: Node[];
  readonly wire: { to: MemberId; group: number; message: Message<string> }[] = [];
  readonly leaseWire: { to: MemberId; message: LeaseMessage }[] = [];
  constructor(count: number) {
    this.nodes = IDS.map((id) => new Node(id, count, this.now(id)));
  }
  now(id: MemberId): Moment {
    return {
      monoMs: this.ms,
      bootMs: this.ms,
      wallMs: 1000 + this.ms,
      jitter: ((this.ms * 13 + id.charCodeAt(0) * 7) % 100) / 100,
    };
  }
  settle(node: Node, k: number): void {
    const id = IDS[this.nodes.indexOf(node)]!;
    const now = this.now(id);
    const group = node.groups[k]!;
    for (let effects = group.drain(now); effects !== null; effects = group.drain(now)) {
      for (const { to, message } of effects.messages) this.wire.push({ to, group: k, message });
      if (effects.write !== null) group.stored(effects.write.seq, now);
      if (effects.apply.length > 0) group.applied(effects.apply[effects.apply.length - 1]!.index, now);
    }
    node.roster.touched(group, now);
  }
  /** The world goes on to the next moment anybody asked for, at least 1 ms. */
  step(): void {
    let next = Number.POSITIVE_INFINITY;
    for (const node of this.nodes) if (node.up) next = Math.min(next, node.roster.nextWakeMs());
    this.ms = Math.max(this.ms + 1, Math.ceil(next));
    this.nodes.forEach((node, n) => {
      if (!node.up) return;
      const now = this.now(IDS[n]!);
      node.leases.tick(now);
      this.due(node, now);
    });
    for (let guard = 0; this.wire.length + this.leaseWire.length > 0; guard++) {
      assert.ok(guard < 100_000, "messages come to an end");
      const lease = this.leaseWire.shift();
      if (lease !== undefined) {
        const node = this.nodes[IDS.indexOf(lease.to)]!;
        if (!node.up) continue;
        node.leases.step(lease.message, this.now(lease.to));
        this.due(node, this.now(lease.to));
      }
      const packet = this.wire.shift();
      if (packet === undefined) continue;
      const node = this.nodes[IDS.indexOf(packet.to)]!;
      if (!node.up) continue;
      node.groups[packet.group]!.step(packet.message, this.now(packet.to));
      this.settle(node, packet.group);
    }
  }
  due(node: Node, now: Moment): void {
    const leased = node.leases.drain();
    const events: readonly LeaseEvent[] = leased?.events ?? [];
    this.leaseWire.push(...(leased?.messages ?? []));
    for (const group of node.roster.due(events, now)) {
      this.ticks++;
      group.tick(now);
      this.settle(node, node.groups.indexOf(group));
    }
  }
  until(what: string, done: () => boolean, limitMs: number): void {
    const end = this.ms + limitMs;
    while (!done()) {
      assert.ok(this.ms < end, `${what} within ${limitMs} ms`);
      this.step();
    }
  }
  leaders(): (Node | undefined)[] {
    return this.nodes[0]!.groups.map((_, k) => this.nodes.find((node) => node.up && node.groups[k]!.role === "leader"));
  }
  leased(): boolean {
    return this.leaders().every((node, k) => node !== undefined && node.groups[k]!.holdsLease(this.now(node.groups[k]!.self)));
  }
}

test("groups elect, get leases, fall asleep, and wake when their leader is gone", () => {
  const world = new World(30);
  world.until("all groups have leaders with leases", () => world.leased(), 2000);
  const calm = world.ms + 500;
  world.until("timers are put away", () => world.ms >= calm, 1000);
  world.ticks = 0;
  const later = world.ms + 2000;
  world.until("two calm seconds", () => world.ms >= later, 3000);
  assert.equal(world.ticks, 0, "idle groups are not ticked");
  assert.ok(world.leased(), "and their leases hold on");

  const lost = world.nodes.find((node) => node.groups.some((group) => group.role === "leader"))!;
  lost.up = false;
  world.until("the others take over", () => world.leaders().every((node) => node !== undefined) && world.leased(), 3000);

  // A node that comes back is asleep again after it has caught up, and a group removed is not ticked.
  lost.up = true;
  const settled = world.ms + 2000;
  world.until("it settles", () => world.ms >= settled, 3000);
  assert.ok(world.nodes.every((node) => node.groups.every((group) => group.role === "leader" || group.leader !== null)));
});

test("a step-down of one group wakes those that follow the same node, and they go back to sleep", () => {
  const world = new World(6);
  world.until("leases", () => world.leased(), 2000);
  const calm = world.ms + 500;
  world.until("calm", () => world.ms >= calm, 1000);
  const from = world.leaders()[0]!;
  const to = IDS.find((id) => id !== from.groups[0]!.self)!;
  world.ticks = 0;
  assert.ok(from.groups[0]!.transfer(to, world.now(from.groups[0]!.self)));
  world.settle(from, 0);
  world.until("the transfer", () => world.leaders()[0]?.groups[0]?.self === to && world.leased(), 2000);
  const again = world.ms + 500;
  world.until("the questions are answered", () => world.ms >= again, 1000);
  assert.ok(world.ticks > 0);
  world.ticks = 0;
  const later = world.ms + 1000;
  world.until("calm again", () => world.ms >= later, 2000);
  assert.equal(world.ticks, 0);
});

test("a removed group is forgotten", () => {
  const world = new World(2);
  world.until("leases", () => world.leased(), 2000);
  const [a] = world.nodes;
  a!.roster.remove(a!.groups[0]!, world.now("a"));
  assert.equal(a!.roster.size, 1);
  const end = world.ms + 400;
  a!.leases.tick(world.now("a"));
  assert.ok(!a!.roster.due([], { ...world.now("a"), monoMs: end }).includes(a!.groups[0]!));
});
