// One seed from start to verdict.
import { Dice } from "../engine/random.ts";
import { Trace } from "../engine/trace.ts";
import { VirtualClock } from "../engine/virtual-clock.ts";
import { checkHistory } from "../linearizability/check.ts";
import { describeContradiction } from "../linearizability/shrink.ts";
import type { Defect } from "../../src/raft/defects.ts";
import { Checks } from "./checks.ts";
import { Clients } from "./client.ts";
import { Faults } from "./faults.ts";
import { MembershipDriver } from "./membership.ts";
import { SimNode } from "./node.ts";
import type { NodePart } from "./parts.ts";
import { type AnyDefect, isHostDefect } from "./planted.ts";
import { drawProfile, type Focus, type Profile } from "./profile.ts";
import { END_MS, HEAL_MS, memberId, PROBE_MS, WALL_MS, World } from "./world.ts";

export interface RunOptions {
  readonly defect?: AnyDefect | null;
  /** Null: drawn from the seed. */
  readonly focus?: Focus | null;
  /** Record what happened as lines. */
  readonly story?: boolean;
}
export interface RunResult {
  readonly seed: number;
  readonly profile: Profile;
  /** Null: all checks held. Begins with the name of the check that did not. */
  readonly failure: string | null;
  /** Equal for equal code and seed. */
  readonly hash: string;
  readonly stats: Readonly<Record<string, number>>;
  readonly lines: Trace["lines"];
  readonly contradiction: string | null;
  /** What the failure hangs on: entries of the group's log, calls of clients. */
  readonly decisive: { readonly entries: readonly number[]; readonly calls: readonly string[] };
  /** The group that failed; −1 if it is not about one. */
  readonly group: number;
}

/**
 * Eleven leases: a leader cut off steps down after three, promises and restarts hold back for one, then a few rounds of votes.
 */
const ELECTION_BOUND_MS = PROBE_MS - HEAL_MS;
const MAX_STEPS = 2_000_000;

export function runSeed(seed: number, options: RunOptions = {}): RunResult {
  const dice = new Dice(seed);
  const trace = new Trace(options.story === true);
  const profile = drawProfile(dice, options.focus ?? null);
  const defect = options.defect ?? null;
  const hostDefect = defect !== null && isHostDefect(defect) ? defect : null;
  const coreDefects = new Set<Defect>(defect === null || isHostDefect(defect) ? [] : [defect]);
  const world = new World({ profile, dice, trace, coreDefects, hostDefect });
  for (let n = 0; n < profile.nodes; n++) world.nodes.push(new SimNode(world, n, drawClock(dice, profile)));
  for (const size of profile.voters) {
    const members = profile.groups === 1 ? world.nodes.slice(0, size) : dice.some(world.nodes, size);
    world.bootstraps.push({ voters: members.map((node) => memberId(node.index, 0)), old: null, learners: [] });
  }
  world.checks = new Checks(world);
  const clients = new Clients(world);
  const membership = new MembershipDriver(world);
  const faults = new Faults(world, membership);
  world.newLeader = (host) => {
    clients.newLeader(host);
    faults.newLeader(host);
  };
  world.changing = (host) => faults.joint(host);
  for (const node of world.nodes) node.boot();
  clients.start();
  membership.start();
  faults.start();
  const probes = startProbes(world, clients);
  watchElections(world);

  let contradiction: string | null = null;
  const calls: string[] = [];
  try {
    let steps = 0;
    while (world.failure === null && world.queue.step(END_MS)) if (++steps > MAX_STEPS) world.fail("runaway: too many events");
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    world.fail(`assertion: ${error.message.split("\n")[0]}${error.name === "AssertionError" ? "" : ` (${error.name})`}`);
    if (options.story === true) world.note(-1, () => error.stack ?? "");
  }
  if (world.failure === null) {
    for (const node of world.nodes) for (const call of [...node.calls.values()]) call.end("unknown");
    const violation = checkHistory(clients.history);
    if (violation !== null) {
      world.fail(`${violation.verdict}: key ${violation.key}`);
      contradiction = describeContradiction(violation.operations);
      for (const { client } of violation.operations) calls.push(client.split("@")[0]!);
    }
  }
  if (world.failure === null) checkEndState(world, probes);
  const about = /\bg(?:roup )?(\d+)/.exec(world.failure ?? "");
  return {
    seed,
    profile,
    failure: world.failure === null ? null : `${world.failure} (at ${world.now.toFixed(1)} ms)`,
    hash: trace.hash,
    stats: world.stats,
    lines: trace.lines,
    contradiction,
    decisive: { entries: [...(world.failure ?? "").matchAll(/\bentry (\d+)/g)].map(([, index]) => Number(index)), calls },
    group: about === null ? -1 : Number(about[1]),
  };
}

function drawClock(dice: Dice, profile: Profile): VirtualClock {
  const drift = profile.driftFactor;
  const mono = dice.chance(0.5) ? dice.between(1, drift) : dice.chance(0.5) ? 1 : drift;
  const boot = dice.chance(0.7) ? mono : dice.between(1, drift);
  const offset = (): number => dice.between(0, 1000);
  return new VirtualClock(
    { mono, boot, wall: dice.between(0.99, 1.01) },
    { mono: offset(), boot: offset(), wall: WALL_MS + dice.between(-60, 60) },
  );
}

/** Once all is calm, every group has a leader, the newest of all, within ELECTION_BOUND_MS (that it can commit, probes show). */
function watchElections(world: World): void {
  const leaderless = new Set(world.profile.voters.keys());
  const look = (): void => {
    for (const node of world.nodes) {
      if (!node.running) continue;
      for (const { raft, group } of node.hosts.values()) {
        if (raft.role === "leader" && raft.term === world.checks.newestTerm(group)) leaderless.delete(group);
      }
    }
    if (leaderless.size === 0) {
      world.stats["slowest election after healing, ms"] = world.now - HEAL_MS;
      return;
    }
    if (world.now < HEAL_MS + ELECTION_BOUND_MS) {
      world.after(25, look);
      return;
    }
    const [group] = leaderless;
    world.fail(`no leader: group ${group} has none, ${ELECTION_BOUND_MS} ms after all became calm`);
  };
  world.after(HEAL_MS + 1, look);
}

interface Probes {
  readonly open: Set<string>;
}
/** Once all is calm, every group must take a write and show it, at more than one node. */
function startProbes(world: World, clients: Clients): Probes {
  const { dice, profile, nodes } = world;
  const open = new Set<string>();
  world.after(PROBE_MS, () => {
    for (let group = 0; group < profile.groups; group++) for (const node of dice.some(nodes, 2)) probe(node, group);
  });
  const probe = (node: NodePart, group: number): void => {
    const key = dice.below(profile.keys);
    const name = `put at node ${node.index} in group ${group}`;
    const reader = dice.pick(nodes);
    const reading = `get at node ${reader.index} in group ${group}`;
    const read = (): void => {
      clients.call(reader, { group, key, kind: "get" }, 300, "probe", (answer) =>
        answer === "unknown" ? again(read) : open.delete(reading),
      );
    };
    // What became of a put may be unknown because it was passed on too slowly and expired: that is an answer too, but one must
    // succeed.
    const put = (): void => {
      clients.put(node, group, key, 300, (outcome) => {
        if (outcome === "unknown") return again(put);
        open.delete(name);
        open.add(reading);
        read();
      });
    };
    const again = (run: () => void): void => world.after(1, run);
    open.add(name);
    put();
  };
  return { open };
}

function checkEndState(world: World, probes: Probes): void {
  const [late] = probes.open;
  if (late !== undefined) {
    const group = Number(/group (\d+)/.exec(late)![1]);
    const members = world.nodes.map((node) => {
      const host = node.hosts.get(group);
      if (host === undefined) return `node ${node.index}: ${node.active ? "no member" : "not active"}`;
      const { raft } = host;
      return `${raft.self} ${raft.role} term ${raft.term} leader ${raft.leader} commit ${raft.commitIndex}/${raft.lastIndex} voters ${raft.configuration.old?.join(" ") ?? ""} > ${raft.configuration.voters.join(" ")}`;
    });
    world.fail(
      `not live: ${late} was not answered, ${(world.now - HEAL_MS).toFixed(0)} ms after healing; ${members.join(" | ")}`,
    );
    return;
  }
  for (let group = 0; group < world.profile.groups; group++) {
    const seen = new Map<number, string>();
    for (const node of world.nodes) {
      const host = node.hosts.get(group);
      if (host === undefined || host.machine.index === 0) continue;
      const state = host.machine.export();
      const text = JSON.stringify([
        [...state.rows].sort(([a], [b]) => a - b),
        [...state.once.results].sort(([a], [b]) => (a < b ? -1 : 1)),
        state.once.timeMs,
      ]);
      const other = seen.get(state.index);
      if (other === undefined) seen.set(state.index, text);
      else if (other !== text) {
        world.fail(`rows differ at equal position: group ${group} at ${state.index}`);
        return;
      }
    }
  }
}
