// What must hold at every moment, looked at where it could break: one leader a term, every leader has what was committed, equal
// rows at equal positions, a lease excludes other leaders, a read shows whatever was applied anywhere before it began.
import type { Configuration, Entry } from "../../src/raft/messages.ts";
import type { HostPart, Keys, NodePart } from "./parts.ts";
import { ALL_KEYS, type Command } from "./machine.ts";
import { describeConfiguration, describeEntry, type Invariants, type World } from "./world.ts";

interface Truth {
  readonly term: number;
  readonly digest: number;
  /** The term in which it was first applied anywhere: leaders of later terms must have it. */
  readonly inTerm: number;
}
interface GroupTruth {
  /** Who leads, by term. */
  readonly leaders: Map<number, string>;
  newestTerm: number;
  /** By index; what has been applied by anyone. */
  readonly entries: Truth[];
  /** Per key: the last index of a command on it applied anywhere. */
  readonly latest: number[];
}

export class Checks implements Invariants {
  readonly #world: World;
  readonly #groups: GroupTruth[] = [];

  constructor(world: World) {
    this.#world = world;
    for (let group = 0; group < world.profile.groups; group++)
      this.#groups.push({
        leaders: new Map(),
        newestTerm: 0,
        entries: [],
        latest: new Array<number>(world.profile.keys).fill(0),
      });
  }

  /** A replica has applied an entry; `digest` is that of its rows after it. */
  applied(host: HostPart, entry: Entry<Command>, digest: number): void {
    const world = this.#world;
    const truth = this.#groups[host.group]!;
    world.trace.mix(world.now, host.group * 4096 + entry.index * 8 + host.node.index);
    const known = truth.entries[entry.index];
    if (known === undefined) {
      truth.entries[entry.index] = { term: entry.term, digest, inTerm: host.raft.term };
      if (world.trace.recording) noteFirst(world, host, entry);
      if (entry.data === null) return;
      const keys = entry.data.kind === "clear" ? truth.latest.keys() : [entry.data.key];
      for (const key of keys) truth.latest[key] = Math.max(truth.latest[key]!, entry.index);
      return;
    }
    if (known.term !== entry.term)
      world.fail(
        `committed entry lost: ${host.name} applied entry ${entry.index} of term ${entry.term}, others that of term ${known.term}`,
      );
    else if (known.digest !== digest) world.fail(`rows differ at equal position: ${host.name} after entry ${entry.index}`);
  }

  newestTerm(group: number): number {
    return this.#groups[group]!.newestTerm;
  }
  /** A read that begins now must have applied this much when it is answered. */
  floor(group: number, key: Keys): number {
    const { latest } = this.#groups[group]!;
    return key === ALL_KEYS ? Math.max(...latest) : latest[key]!;
  }
  readAnswered(host: HostPart, key: Keys, floor: number, how: string): void {
    if (host.machine.index >= floor) return;
    this.#world.fail(
      `stale read: ${host.name} answered a ${key === ALL_KEYS ? "list" : `read of key ${key}`} (${how}) from position ${host.machine.index}, but entry ${floor} that concerns it was applied elsewhere before the read began`,
    );
  }

  /** A configuration counts from the moment it is in the log (rule 23), and no longer than it is. */
  written({ raft, group, name }: HostPart, inLog: Configuration): void {
    const [counts, written] = [describeConfiguration(raft.configuration), describeConfiguration(inLog)];
    if (counts !== written)
      this.#world.fail(
        `configuration not that of the log: ${name}, member of group ${group}, goes by ${counts}, its log says ${written}`,
      );
  }

  /** A group's role, term, leader or configuration changed at a member. */
  changed(host: HostPart): void {
    const { raft } = host;
    if (raft.role !== "leader") return;
    const world = this.#world;
    const truth = this.#groups[host.group]!;
    const known = truth.leaders.get(raft.term);
    if (known !== undefined) {
      if (known !== raft.self)
        world.fail(`two leaders in one term: ${known} and ${raft.self} lead group ${host.group} in term ${raft.term}`);
      return;
    }
    truth.leaders.set(raft.term, raft.self);
    truth.newestTerm = Math.max(truth.newestTerm, raft.term);
    world.count("elections");
    world.trace.mix(world.now, raft.term * 64 + host.node.index);
    world.note(
      host.group,
      () => `${host.name} leads in term ${raft.term}, log to ${raft.lastIndex}, ${describeConfiguration(raft.configuration)}`,
      { leads: true },
    );
    const missing = this.#missing(host, truth);
    if (missing !== null) world.fail(`committed entry lost: ${host.name} leads in term ${raft.term} ${missing}`);
    for (const node of world.nodes) if (node !== host.node) this.leasesOf(node, host.group);
    world.newLeader?.(host);
  }

  /** Leader completeness: what was applied in an earlier term is in the log of every later leader. */
  #missing(host: HostPart, truth: GroupTruth): string | null {
    const { raft } = host;
    for (let index = truth.entries.length - 1; index > 0; index--) {
      const committed = truth.entries[index];
      if (committed === undefined || committed.inTerm >= raft.term) continue;
      if (index > raft.lastIndex) return `without entry ${index}, applied in term ${committed.inTerm}`;
      const entry = raft.entry(index);
      if (entry === null) return null; // no longer in memory: applied
      if (entry.term !== committed.term) return `with another entry ${index} than the one applied in term ${committed.inTerm}`;
    }
    return null;
  }

  /** No lease where somebody else leads in a later term (all groups, or one). */
  leasesOf(node: NodePart, only = -1): void {
    if (!node.running) return;
    for (const host of node.hosts.values()) {
      if ((only >= 0 && host.group !== only) || host.raft.role !== "leader" || !host.raft.mayRead(0, node.moment())) continue;
      const { newestTerm, leaders } = this.#groups[host.group]!;
      if (newestTerm <= host.raft.term) continue;
      this.#world.fail(
        `lease beside a later leader: ${host.name} may read by its lease of term ${host.raft.term}, but ${leaders.get(newestTerm)} leads in term ${newestTerm}`,
      );
    }
  }
}

function noteFirst(world: World, host: HostPart, entry: Entry<Command>): void {
  const { raft } = host;
  const as = raft.role === "follower" ? `a follower of ${raft.leader ?? "nobody"}` : `a ${raft.role}`;
  world.note(
    host.group,
    () =>
      `${host.name}, ${as} in term ${raft.term}, is the first to apply ${entry.index} (term ${entry.term}): ${describeEntry(entry)}`,
    { entries: [entry.index, entry.index], fine: true },
  );
}
