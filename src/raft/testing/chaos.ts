// Random orders of events on a rig of five nodes, with the invariants of the paper and of the reads checked after each.
// An action is two numbers: which, and with what. So fast-check can draw and shrink them.
import { AssertionError, assert } from "../../util/assert.ts";
import { isMember } from "../configuration.ts";
import type { Defect } from "../defects.ts";
import type { MemberId } from "../messages.ts";
import { emptyGroup, bootstrapGroup } from "../raft.ts";
import { describe, describeConfiguration, type Member, Rig } from "./rig.ts";

export type Action = readonly [what: number, how: number];

const KEYS = 3;
const IDS: readonly MemberId[] = ["a", "b", "c", "d", "e"];

export interface ChaosOptions {
  readonly voters: number;
  readonly defects?: ReadonlySet<Defect>;
  readonly membership: boolean;
  readonly crashes: boolean;
}

/** Runs the actions, then heals everything and lets it settle. Throws what is violated. Returns how much happened. */
export function chaos(actions: readonly Action[], options: ChaosOptions): { commits: number; reads: number; leaders: number } {
  const world = new World(options);
  for (const action of actions) world.act(action);
  world.heal();
  return { commits: world.truth.length, reads: world.readsAnswered, leaders: world.leaders.size };
}

class World {
  readonly rig: Rig;
  /** What was committed, by index − 1. */
  readonly truth: string[] = [];
  readonly leaders = new Map<number, MemberId>();
  readsAnswered = 0;
  forgotten = 0;
  /** Highest index of each key that some member has applied: a client may know. */
  readonly #known = new Array<number>(KEYS).fill(0);
  readonly #reads = new Map<number, { member: Member; key: number; least: number }>();
  readonly #options: ChaosOptions;
  #count = 0;
  #healing = false;

  constructor(options: ChaosOptions) {
    this.#options = options;
    const voters = IDS.slice(0, options.voters);
    this.rig = new Rig({
      ...(options.defects === undefined ? {} : { defects: options.defects }),
      tune: { maxAppendEntries: 2, maxFlightEntries: 4 },
    });
    this.rig.onEffects = (member, effects) => {
      for (const entry of effects.apply) {
        const said = `${entry.term}:${describe(entry)}`;
        const before = this.truth[entry.index - 1];
        assert(before === undefined || before === said, "state machine safety: one entry per committed index");
        assert(entry.index <= this.truth.length + 1, "commit has no gaps");
        this.truth[entry.index - 1] = said;
        if (typeof entry.scope === "number" && entry.scope >= 0)
          this.#known[entry.scope] = Math.max(this.#known[entry.scope]!, entry.index);
      }
      if (member.raft.role === "leader") {
        const other = this.leaders.get(member.raft.term);
        assert(other === undefined || other === member.id, "election safety: one leader a term");
        if (other === undefined) this.#checkCompleteness(member);
        this.leaders.set(member.raft.term, member.id);
      }
    };
    for (const id of IDS) {
      const configuration = { voters, old: null, learners: [] };
      const member = this.rig.add(id, voters.includes(id) ? bootstrapGroup(configuration) : emptyGroup());
      member.manualDisk = true;
      member.jitter = IDS.indexOf(id) / IDS.length;
      member.rate = 1 + IDS.indexOf(id) * 0.01;
      this.rig.drain(member);
    }
  }

  /** Leader completeness: what is committed is in the log of every later leader. */
  #checkCompleteness(leader: Member): void {
    const { raft } = leader;
    for (let index = raft.anchor.index + 1; index <= this.truth.length; index++) {
      const entry = raft.entry(index);
      assert(entry !== null && this.truth[index - 1] === `${entry.term}:${describe(entry)}`, "leader completeness");
    }
  }

  act([what, how]: Action): void {
    const { rig } = this;
    const member = rig.get(IDS[how % IDS.length]!);
    const other = rig.get(IDS[(how >> 3) % IDS.length]!);
    const leaders = [...rig.members.values()].filter((at) => at.up && at.raft.role === "leader");
    const leader = leaders[how % Math.max(1, leaders.length)];
    if (what < 30) {
      // Mostly in order, sometimes any.
      for (let k = how % 6; k >= 0 && rig.wire.length > 0; k--) rig.deliver(how % 5 === 0 ? (how >> 2) % rig.wire.length : 0);
    } else if (what < 45) {
      for (const at of rig.members.values())
        if (at === member || how % 2 === 0) rig.store(at, Math.min(at.writes.length, 1 + (how % 3)));
    } else if (what < 58) this.#pass((how % 40) + 1);
    else if (what < 66) {
      if (leader !== undefined)
        for (const giver of rig.members.values()) if (giver !== leader && (how >> 3) % 4 !== 0) rig.beat(leader, giver);
    } else if (what < 76) {
      if (leader !== undefined) rig.propose(leader, `x${++this.#count}`, (how >> 4) % KEYS);
    } else if (what < 84) this.#read(how % 3 === 0 ? member : (leader ?? member), (how >> 4) % KEYS);
    else if (what < 86) {
      if (rig.wire.length > 0) rig.wire.splice(how % rig.wire.length, 1);
    } else if (what < 88) {
      if (rig.wire.length > 0) rig.wire.push(rig.wire[how % rig.wire.length]!);
    } else if (what < 90) {
      for (const [from, to] of [[member.id, other.id], ...(how % 2 === 0 ? [[other.id, member.id]] : [])])
        rig.cut.add(`${from}→${to}`);
    } else if (what < 92) rig.cut.clear();
    else if (what < 94) {
      if (this.#options.crashes) this.#restart(member);
    } else if (what < 95) {
      if (how % 3 === 0) for (const at of rig.members.values()) if (at.up) this.#forget(at);
      const ms = how % 150; // its ordinary clock stands still; the one of boot time goes on
      member.stoppedMs += ms;
      this.#pass(ms);
    } else if (what < 97) {
      if (leader !== undefined) leader.raft.transfer(other.id, rig.now(leader));
      if (leader !== undefined) rig.drain(leader);
    } else if (what < 99) {
      if (this.#options.membership && leader !== undefined) this.#reconfigure(leader, how >> 3);
    } else if (member.up) {
      const upTo = Math.min(member.raft.appliedIndex, member.disk.applied, member.disk.anchor.index + member.disk.entries.length);
      rig.trim(member, upTo, upTo);
    }
    this.#after();
  }

  #pass(ms: number): void {
    const { rig } = this;
    rig.nowMs += ms;
    for (const member of rig.members.values()) {
      if (!member.up) continue;
      rig.lapse(member);
      rig.tick(member);
    }
  }
  #read(member: Member, key: number): void {
    if (!member.up) return;
    const id = ++this.#count;
    this.#reads.set(id, { member, key, least: this.#known[key]! });
    this.rig.read(member, id, key);
  }
  #restart(member: Member): void {
    this.rig.crash(member);
    this.rig.start(member);
    for (const [id, read] of this.#reads) if (read.member === member) this.#reads.delete(id);
    this.rig.drain(member);
  }
  #forget(member: Member): void {
    if (!this.rig.forget(member)) return;
    this.forgotten++;
    for (const [id, read] of this.#reads) if (read.member === member) this.#reads.delete(id);
  }
  #reconfigure(leader: Member, how: number): void {
    const { configuration } = leader.raft;
    const voters = [...configuration.voters];
    const learners = [...configuration.learners];
    const out = voters[how % voters.length]!;
    const outside = IDS.filter((id) => !isMember(configuration, id));
    const wished =
      how % 4 === 0 && outside.length > 0
        ? { voters, learners: [...learners, outside[0]!] }
        : how % 4 === 1 && learners.length > 0
          ? { voters: [...voters.filter((id) => id !== out), learners[0]!], learners: learners.slice(1) }
          : how % 4 === 2 && learners.length > 0
            ? { voters: [...voters, learners[0]!], learners: learners.slice(1) }
            : { voters: voters.length > 2 ? voters.filter((id) => id !== out) : voters, learners };
    leader.raft.reconfigure(wished, this.rig.now(leader));
    this.rig.drain(leader);
  }

  #after(): void {
    for (const member of this.rig.members.values()) {
      for (const to of [...member.wantSnapshot]) this.rig.shipSnapshot(member, to, this.#healing || this.#count % 5 !== 0);
      for (const answer of member.answers.splice(0)) {
        const read = this.#reads.get(answer.id);
        this.#reads.delete(answer.id);
        if (!answer.ok || read === undefined) continue;
        this.readsAnswered++;
        assert(read.member.raft.appliedIndex >= read.least, "a read sees every write completed before it began");
      }
      if (member.raft.mayRead(0, this.rig.now(member)) && member.up) {
        assert(member.raft.appliedIndex >= this.#known[0]!, "a lease read sees every completed write");
      }
    }
  }

  /** The network is calm and the disks work: a command proposed now commits, and all rows become equal. */
  heal(): void {
    const { rig } = this;
    rig.cut.clear();
    this.#healing = true;
    for (const member of rig.members.values()) {
      member.manualDisk = false;
      if (!member.up) rig.start(member);
      rig.store(member);
    }
    let proposed = -1;
    for (let round = 0; round < 400; round++) {
      for (let k = 0; rig.wire.length > 0 && k < 500; k++) {
        rig.deliver(0);
        this.#after();
      }
      this.#pass(10);
      this.#after();
      for (const leader of rig.members.values()) {
        if (leader.raft.role !== "leader") continue;
        for (const id of leader.raft.supporters) if (round % 3 === 0) rig.beat(leader, rig.get(id));
        if (proposed < this.#settled() && round > 100) {
          const index = rig.propose(leader, "last", 0);
          if (typeof index === "number") proposed = index;
        }
      }
      if (proposed > 0 && this.truth[proposed - 1]?.endsWith("last") === true && this.#equal()) return;
    }
    throw new AssertionError(`liveness: ${this.#state()}`);
  }
  #settled(): number {
    return this.truth.length;
  }
  /** Do all members of the newest configuration hold the same rows? */
  #equal(): boolean {
    const { rig } = this;
    const leader = [...rig.members.values()]
      .filter((at) => at.raft.role === "leader")
      .sort((x, y) => y.raft.term - x.raft.term)[0];
    if (leader === undefined || leader.raft.configuration.old !== null) return false;
    return IDS.every((id) => !isMember(leader.raft.configuration, id) || rig.get(id).rows.join() === leader.rows.join());
  }
  #state(): string {
    return [...this.rig.members.values()]
      .map(
        ({ id, raft }) =>
          `${id} ${raft.role} term ${raft.term} leader ${raft.leader} commit ${raft.commitIndex}/${raft.lastIndex} ${describeConfiguration(raft.configuration)} ${raft.supporters.map((peer) => `${peer}:${JSON.stringify(raft.progress(peer))}`).join()}`,
      )
      .join(" | ");
  }
}
