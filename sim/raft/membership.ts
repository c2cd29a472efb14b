// Members come and go all the while: what each group's leader is asked to change next. Also carries out rule 26: old ids are
// removed.
import type { Configuration, MemberId } from "../../src/raft/messages.ts";
import type { Membership } from "../../src/raft/raft.ts";
import type { HostPart } from "./parts.ts";
import { describeConfiguration, incarnationOf, nodeOf, type World } from "./world.ts";

export class MembershipDriver {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  start(): void {
    const world = this.#world;
    const { profile, dice } = world;
    if (!profile.reconfigure && !profile.damage) return;
    const short = profile.leaseMs < 50;
    const again = (): void => {
      if (profile.reconfigure || world.damaged) this.#askLeaders();
      world.after(world.healing ? 60 : short ? 5 + dice.below(30) : 20 + dice.below(160), again);
    };
    world.after(short ? 60 : 150 + dice.below(200), again);
  }

  #askLeaders(): void {
    for (const node of this.#world.nodes) {
      if (!node.running) continue;
      for (const host of node.hosts.values()) if (host.raft.role === "leader") this.ask(host);
    }
  }
  ask(host: HostPart): void {
    // Twice: the second must be refused while the first is not committed (rule 21).
    for (let i = 0; i < 2; i++) {
      const wish = this.#wish(host);
      if (wish === null) return;
      const outcome = host.raft.reconfigure(wish, host.node.moment());
      if (typeof outcome === "number") {
        this.#world.count("changes");
        this.#world.note(
          host.group,
          () => `${host.name} proposes configuration ${outcome} ${describeConfiguration(host.raft.configuration)}`,
        );
        this.#world.changing?.(host);
      }
      host.drain();
      if (i === 0 && !this.#world.dice.chance(0.3)) return;
    }
  }

  #wish(host: HostPart): Membership | null {
    const { dice, profile, nodes, control } = this.#world;
    const { raft } = host;
    const present = raft.configuration;
    if (present.old !== null && !this.#world.coreDefects.has("conf-overlap")) return null;
    const healing = this.#world.healing;
    const { voters, learners } = present;
    if (profile.focus === "even" && !healing) return this.#evenWish(present, raft.self);
    if (profile.focus === "pair" && !healing) return this.#pairWish(present);
    const isStale = (member: MemberId): boolean => control[nodeOf(member)]!.incarnation !== incarnationOf(member);
    const lost = learners.filter(isStale);
    if (lost.length > 0) return { voters, learners: learners.filter((member) => !lost.includes(member)) };
    const ready = learners.filter((member) => {
      const progress = raft.progress(member);
      return (
        this.#world.planted("no-learner") || (progress !== null && progress.match > 0 && progress.match >= raft.commitIndex - 2)
      );
    });
    const joiner = ready[0];
    const stale = voters.filter(isStale);
    // A joint change replaces a voter in one step; otherwise voters come and go one by one, and five are too many for long.
    const mayLose = profile.joint ? joiner !== undefined || voters.length > 3 : voters.length > (healing ? 3 : 1);
    const leaver = stale.length > 0 ? stale[0]! : mayLose ? dice.pick(voters) : null;
    const without = (member: MemberId): MemberId[] => voters.filter((voter) => voter !== member);
    if (joiner !== undefined) {
      const rest = learners.filter((member) => member !== joiner);
      if (profile.joint && leaver !== null) return { voters: [...without(leaver), joiner], learners: rest };
      if (voters.length < 4 + (dice.chance(0.2) ? 1 : 0)) return { voters: [...voters, joiner], learners: rest };
    }
    const enough = stale.length > 0 || profile.damage || healing ? 3 : dice.chance(0.15) ? 2 : 3;
    if (leaver !== null && voters.length > enough) return { voters: without(leaver), learners };
    if (learners.length > 0 || (healing && stale.length === 0 && voters.length >= 3)) return null;
    const free = nodes.filter(
      (node) => node.running && control[node.index]!.incarnation === node.incarnation && !voters.includes(node.self),
    );
    if (free.length === 0) return null;
    // Who was a member and forgot it comes back often: what it said then must not count now, nor what it has not got back.
    const back = free.filter((node) => this.#world.forgetful.has(host.group * 8 + node.index));
    const chosen = back.length > 0 && dice.chance(0.6) ? dice.pick(back) : dice.pick(free);
    return { voters, learners: [...learners, chosen.self] };
  }

  /** One to three voters, one at a time; who leaves may well be the leader. */
  #pairWish(present: Configuration): Membership | null {
    const { dice, nodes } = this.#world;
    const { voters, learners } = present;
    const outside = nodes.filter((node) => node.active && !voters.includes(node.self)).map((node) => node.self);
    if (voters.length > 1 && (voters.length === 3 || dice.chance(0.6))) {
      const leaver = dice.pick(voters);
      return { voters: voters.filter((voter) => voter !== leaver), learners };
    }
    return outside.length === 0 ? null : { voters: [...voters, dice.pick(outside)], learners };
  }
  /** One voter at a time between three and five: the sizes where the rules on overlap bite. */
  #evenWish(present: Configuration, self: MemberId): Membership | null {
    const { dice, nodes } = this.#world;
    const { voters, learners } = present;
    const outside = nodes.filter((node) => node.active && !voters.includes(node.self)).map((node) => node.self);
    const others = voters.filter((voter) => voter !== self);
    const grow = (): Membership | null =>
      outside.length === 0
        ? null
        : { voters: [...voters, dice.pick(outside)], learners: learners.filter((member) => !outside.includes(member)) };
    const shrink = (count: number): Membership => {
      const leaving = dice.some(dice.chance(0.8) ? others : voters, count);
      return { voters: voters.filter((voter) => !leaving.includes(voter)), learners };
    };
    if (voters.length >= 5)
      return dice.chance(0.3) ? shrink(this.#world.coreDefects.has("conf-two") || dice.chance(0.2) ? 2 : 1) : null;
    if (voters.length === 4) return dice.chance(0.5) ? grow() : shrink(1);
    return grow();
  }
}
