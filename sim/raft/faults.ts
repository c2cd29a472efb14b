// What goes wrong, drawn from the profile: crashes, pauses, partitions, transfers, clocks set. Ends when healing begins.
import type { HostPart, NodePart } from "./parts.ts";
import type { MembershipDriver } from "./membership.ts";
import { HEAL_MS, nodeOf, WALL_MS, type World } from "./world.ts";

export class Faults {
  readonly #world: World;
  readonly #membership: MembershipDriver;

  constructor(world: World, membership: MembershipDriver) {
    this.#world = world;
    this.#membership = membership;
  }

  start(): void {
    const world = this.#world;
    const { profile, dice } = world;
    const log = profile.leaseMs < 50;
    if (profile.crash || profile.damage) this.#every(log ? 40 : 120, log ? 90 : 400, () => this.#crash());
    if (profile.pause) this.#every(120, 350, () => this.#victim().pause(40 + dice.below(400), dice.chance(0.5)));
    if (profile.partition) this.#every(log ? 20 : profile.huntLeaders ? 250 : 150, log ? 70 : 300, () => this.#partition());
    if (profile.slowWays) this.#every(60, 200, () => this.#slowWays());
    if (profile.transfer) this.#every(80, 300, () => this.#transfer());
    if (profile.wallJumps) this.#every(200, 500, () => dice.pick(world.nodes).clock.setWall(WALL_MS + dice.between(-250, 250)));
    world.after(HEAL_MS, () => this.#heal());
  }

  #every(least: number, spread: number, run: () => void): void {
    const world = this.#world;
    const again = (): void => {
      if (world.healing) return;
      run();
      world.after(least + world.dice.below(spread), again);
    };
    world.after(100 + world.dice.below(least + spread), again);
  }
  #heal(): void {
    const world = this.#world;
    world.blocked.clear();
    world.note(-1, () => "the network is whole and calm, nobody crashes any more");
    for (const node of world.nodes) {
      node.wake();
      node.clock.setWall(WALL_MS + world.dice.between(-40, 40));
    }
  }

  #leaders(): HostPart[] {
    return this.#world.nodes.flatMap((node) =>
      node.up && node.active ? [...node.hosts.values()].filter((host) => host.raft.role === "leader") : [],
    );
  }
  /** Mostly somebody who leads; else mostly somebody who votes. */
  #victim(): NodePart {
    const { dice, nodes } = this.#world;
    const leaders = this.#leaders();
    if (leaders.length > 0 && dice.chance(0.55)) return dice.pick(leaders).node;
    if (leaders.length > 0 && dice.chance(0.7)) return nodes[nodeOf(dice.pick(dice.pick(leaders).raft.configuration.voters))]!;
    return dice.pick(nodes);
  }

  #crash(): void {
    const { dice, nodes } = this.#world;
    const victim = this.#victim();
    if (dice.chance(0.25)) {
      const other = dice.pick(nodes);
      if (other !== victim) other.crash(1 + dice.below(20));
    }
    victim.crash(dice.chance(0.4) ? 1 + dice.below(8) : 5 + dice.below(350));
  }
  #transfer(): void {
    const { dice } = this.#world;
    const leaders = this.#leaders().filter((host) => host.node.running);
    if (leaders.length === 0) return;
    const host = dice.pick(leaders);
    const to = dice.pick(host.raft.configuration.voters);
    if (to === host.raft.self) return;
    if (host.raft.transfer(to, host.node.moment())) {
      this.#world.count("transfers");
      this.#world.note(host.group, () => `${host.name} is asked to hand over to ${to}`);
    }
    host.drain();
  }

  #partition(): void {
    const world = this.#world;
    const { dice, nodes, profile } = world;
    world.blocked.clear();
    const leaders = this.#leaders();
    if (profile.huntLeaders && leaders.length > 0 && dice.chance(0.6)) {
      this.#isolateLeader(dice.pick(leaders));
    } else {
      const victim = this.#victim().index;
      const draw = dice.random();
      if (draw < 0.3) world.cutOff(victim);
      else if (draw < 0.45) for (let other = 0; other < nodes.length; other++) world.block(victim, other, false);
      else if (draw < 0.6) for (let other = 0; other < nodes.length; other++) world.block(other, victim, false);
      else if (profile.leaseMs < 50 && dice.chance(0.6)) {
        const sides = nodes.map(() => dice.chance(0.5));
        for (let a = 0; a < nodes.length; a++) for (let b = 0; b < a; b++) if (sides[a] !== sides[b]) world.block(a, b, true);
        this.#noteBlocked();
        return;
      } else {
        for (let a = 0; a < nodes.length; a++)
          for (let b = 0; b < nodes.length; b++) if (a !== b && dice.chance(0.25)) world.block(a, b, dice.chance(0.5));
      }
      if (dice.chance(0.3)) world.blocked.clear();
    }
    this.#noteBlocked();
  }
  #slowWays(): void {
    const world = this.#world;
    const { dice, nodes, slowWays, profile } = world;
    slowWays.clear();
    const leaders = this.#leaders();
    if (leaders.length > 0 && dice.chance(0.6)) {
      // One member hears late from the leader, the leader late from all others: they know what is committed before it does (rule
      // 9).
      const leader = dice.pick(leaders).node.index;
      const late = (leader + 1 + dice.below(nodes.length - 1)) % nodes.length;
      for (let other = 0; other < nodes.length; other++)
        if (other !== leader)
          slowWays.set(other === late ? leader * 8 + late : other * 8 + leader, dice.between(0.3, 0.9) * profile.leaseMs);
    } else
      for (let from = 0; from < nodes.length; from++)
        for (let to = 0; to < nodes.length; to++)
          if (from !== to && dice.chance(0.35)) slowWays.set(from * 8 + to, dice.between(0.1, 0.9) * profile.leaseMs);
    world.count("ways made slow");
    world.note(-1, () => `slow: ${[...slowWays].map(([way, ms]) => `${way >> 3}→${way & 7} ${ms.toFixed(0)} ms`).join(", ")}`);
  }
  /** The leader loses one member, or all, and then perhaps regains one: what leases and their epochs are about. */
  #isolateLeader(leader: HostPart): void {
    const world = this.#world;
    const { dice, nodes, profile } = world;
    const self = leader.node.index;
    const others = dice.some(
      leader.raft.configuration.voters.map(nodeOf).filter((n) => n !== self),
      2,
    );
    const [cut, keep] = others;
    if (cut === undefined || keep === undefined) {
      world.cutOff(self);
      return;
    }
    const sever = (a: number, b: number): void => world.block(a, b, dice.chance(0.8));
    const later = (delayMs: number, run: () => void): void =>
      world.after(delayMs, () => {
        if (world.healing) return;
        run();
        this.#noteBlocked();
      });
    if (profile.crash && dice.chance(0.4)) {
      later(20 + dice.below(150), () => {
        nodes[keep]!.crash(1 + dice.below(3));
        if (dice.chance(0.4)) sever(self, keep);
      });
    }
    sever(self, cut);
    if (dice.chance(0.3)) later(60 + dice.below(120), () => sever(self, keep));
    else if (dice.chance(0.6)) {
      sever(self, keep);
      later(90 + dice.below(160), () => {
        world.blocked.delete(self * 8 + keep);
        world.blocked.delete(keep * 8 + self);
      });
      if (dice.chance(0.5))
        for (let other = 0; other < nodes.length; other++) if (other !== keep && other !== self) world.block(self, other, true);
    }
  }
  #noteBlocked(): void {
    const { blocked, trace } = this.#world;
    trace.mix(this.#world.now, blocked.size);
    this.#world.note(-1, () => (blocked.size === 0 ? "all nodes reach each other" : `cut: ${describeBlocked(blocked)}`));
  }

  /**
   * A leader has just been elected in a schedule about logs: change its membership or cut it off before the term is a moment old.
   */
  newLeader(host: HostPart): void {
    const world = this.#world;
    const { dice, profile } = world;
    if (profile.leaseMs >= 50 || world.healing) return;
    if (profile.reconfigure && dice.chance(0.5)) {
      world.after(dice.random() * 4, () => {
        if (host.node.running && host.node.hosts.get(host.group) === host) this.#membership.ask(host);
      });
    }
    if (dice.chance(0.4)) {
      world.after(dice.random() * 12, () => {
        if (world.healing) return;
        world.blocked.clear();
        world.cutOff(host.node.index);
        this.#noteBlocked();
      });
    }
  }

  /**
   * A configuration has become joint: cut the members apart so that one side has a majority of the new half, the other of the
   * old. Each could do all it likes if it looked at its own half alone. Soon: before the entry has come everywhere, or just
   * after.
   */
  joint(host: HostPart): void {
    const world = this.#world;
    const { dice, nodes, profile } = world;
    const { voters, old } = host.raft.configuration;
    if (profile.focus !== "joint" || world.healing || old === null || dice.chance(0.3)) return;
    const joiners = voters.filter((member) => !old.includes(member));
    const stayers = dice.some(
      voters.filter((member) => old.includes(member)),
      Math.max(0, (voters.length >> 1) + 1 - joiners.length),
    );
    const side = new Set([...joiners, ...stayers].map(nodeOf));
    world.after(dice.random() * dice.random() * 30 * profile.haste, () => {
      if (world.healing) return;
      world.blocked.clear();
      for (let a = 0; a < nodes.length; a++) for (let b = 0; b < a; b++) if (side.has(a) !== side.has(b)) world.block(a, b, true);
      world.count("joint halves cut apart");
      this.#noteBlocked();
    });
  }
}

function describeBlocked(blocked: ReadonlySet<number>): string {
  const parts: string[] = [];
  for (const pair of blocked) {
    const from = pair >> 3;
    const to = pair & 7;
    if (from === to) continue;
    if (!blocked.has(to * 8 + from)) parts.push(`${from}→${to}`);
    else if (from < to) parts.push(`${from}↔${to}`);
  }
  return parts.join(" ");
}
