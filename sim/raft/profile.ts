// What kind of trouble a seed gets. Not every seed has everything: rare combinations come up sooner when little else happens.
import type { Dice } from "../engine/random.ts";

/**
 * Families of schedules. `mixed`: a bit of all. `lease`: leaders cut off, paused, clocks at the edge of their bound, reads on
 * both sides. `log`: short terms, crashes, half-written logs. `terms`: the same on three voters that get one entry at a time, so
 * that leaders leave tails behind. `even`: `log` with four voters and membership changes one by one. `members`: replacement all
 * the while. `store`: wiped and restored-old stores. `wide`: tens of groups on one cluster. `retry`: commands sent again and
 * again. `shared`: a few groups on the same three nodes, so that heartbeats go on for one while another needs an election.
 * `pair`: one to three voters that come and go, where a change in progress may hold up everything. `reads`: reads of several keys
 * at every member, that time out and are asked again, while nodes restart and old messages come in. `joint`: `lease` while voters
 * are replaced: as soon as a configuration is joint, its halves are cut apart.
 */
export type Focus =
  | "mixed"
  | "lease"
  | "log"
  | "even"
  | "members"
  | "store"
  | "terms"
  | "wide"
  | "retry"
  | "shared"
  | "pair"
  | "reads"
  | "joint";
export const FOCUSES: readonly Focus[] = [
  "mixed",
  "lease",
  "log",
  "terms",
  "even",
  "members",
  "store",
  "wide",
  "retry",
  "shared",
  "pair",
  "reads",
  "joint",
];

export interface Profile {
  readonly focus: Focus;
  readonly nodes: number;
  readonly groups: number;
  readonly keys: number;
  readonly clients: number;
  readonly operationsPerClient: number;
  readonly voters: readonly number[];
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly electionMinMs: number;
  readonly electionSpreadMs: number;
  readonly driftFactor: number;
  /** Factor on ordinary message delays and fsyncs. */
  readonly haste: number;
  /** Share of messages that are slow, and of those that are on their way for long. */
  readonly slow: number;
  readonly late: number;
  /** Share of reads among the clients' calls. */
  readonly reads: number;
  readonly deletes: number;
  /** Share of writes with a condition. */
  readonly conditions: number;
  /** Now and then some ways between nodes get slow, each in its own direction. */
  readonly slowWays: boolean;
  readonly loss: number;
  readonly duplicate: number;
  readonly crash: boolean;
  readonly pause: boolean;
  readonly partition: boolean;
  readonly reconfigure: boolean;
  readonly joint: boolean;
  readonly transfer: boolean;
  /** One store is wiped or set back in the course of the run. */
  readonly damage: boolean;
  readonly slowDisk: boolean;
  /** An fsync may outlast a lease. */
  readonly stalls: boolean;
  /** Chance per look at a group that its log is trimmed. */
  readonly trim: number;
  /** Most entries in one append; 0: no special limit. */
  readonly appendEntries: number;
  /** Most entries under way to one member; 0: no special limit. */
  readonly flightEntries: number;
  /** Most calls go to one node, so that its reads share questions. */
  readonly crowded: boolean;
  /** Time between events and the drain that answers them together, 0: none. */
  readonly drainLagMs: number;
  /** Time from commit to applied, 0: none. */
  readonly applyLagMs: number;
  readonly wallJumps: boolean;
  /** A node forgets groups that it was removed from. */
  readonly forget: boolean;
  /**
   * Reads at a member end unanswered after this time. Below the clients' patience, so that younger reads share a question with
   * dying ones.
   */
  readonly readTimeoutMs: number;
  /** Timers go off up to this much late, so that what is due by then comes together with what comes in. */
  readonly timerLagMs: number;
  /** Clients turn to whoever leads, or still thinks so: that is where a lease would go wrong. */
  readonly huntLeaders: boolean;
  /** Clients send a command again this soon. */
  readonly retryMs: number;
}

export function drawProfile(dice: Dice, forced: Focus | null): Profile {
  const focus = forced ?? drawFocus(dice);
  const terms = focus === "terms";
  const log = focus === "log" || focus === "even" || terms;
  const joint = focus === "joint";
  const lease = focus === "lease" || joint;
  const quick = lease && dice.chance(0.7);
  const leaseMs = log ? 20 : 100;
  const electScale = log ? 0.25 : lease ? 0.3 : 1;
  const damage = focus === "store" || (focus === "mixed" && dice.chance(0.3));
  const shared = focus === "shared";
  const pair = focus === "pair";
  const reading = focus === "reads";
  const nodes = drawNodes(dice, focus);
  const groups = focus === "wide" ? 12 + dice.below(28) : shared ? 2 + dice.below(3) : dice.pick([1, 1, 1, 2, 3]);
  const appendEntries = terms ? 1 : focus !== "retry" && dice.chance(log ? 0.7 : 0.3) ? 1 + dice.below(2) : 0;
  const leaseQuick = quick ? 0.15 : 1;
  const voters = Array.from({ length: groups }, () => Math.min(nodes, drawVoters(dice, focus, damage)));
  return {
    focus,
    nodes,
    groups,
    keys: focus === "retry" ? 1 : reading ? 3 : dice.pick([1, 2, 2, 3]),
    clients: terms ? 2 : reading ? 8 : focus === "wide" ? 8 : lease ? 4 : 3 + dice.below(4),
    operationsPerClient: focus === "wide" ? 12 : lease ? 7 : reading ? 12 : focus === "retry" ? 10 : 6,
    voters,
    leaseMs,
    heartbeatMs: leaseMs * 0.28,
    electionMinMs: leaseMs === 20 ? 15 : 60 * electScale,
    electionSpreadMs: leaseMs === 20 ? 30 : 120 * electScale,
    driftFactor: lease ? 1.3 : 1.05,
    haste: leaseQuick,
    slow: reading ? 0.3 : 0.1,
    late: reading ? 0.1 : 0.02,
    reads: reading ? 0.5 : focus === "retry" ? 0.25 : 0.42,
    deletes: focus === "retry" ? 0.25 : 0.1,
    conditions: focus === "retry" ? 0.6 : 0.45,
    slowWays: reading || dice.chance(0.1),
    loss: dice.pick([0, 0.02, 0.1]),
    duplicate: dice.chance(0.5) ? 0.05 : 0,
    crash: log || shared || pair || dice.chance(reading ? 0.4 : 0.6),
    pause: dice.chance(log || reading ? 0.2 : 0.55),
    partition: log || lease || dice.chance(reading ? 0.2 : 0.6),
    reconfigure: joint || focus === "members" || focus === "even" || pair || (!lease && !shared && !terms && dice.chance(0.5)),
    // A store lost while the way leads through four voters may leave no majority (rule 24): where stores get lost, changes are
    // joint.
    joint: damage || joint || (focus !== "even" && !pair && dice.chance(0.5)),
    transfer: dice.chance(0.4),
    damage,
    slowDisk: dice.chance(shared || pair || reading ? 0.6 : 0.3),
    stalls: lease && dice.chance(0.06),
    trim: dice.chance(0.5) ? 0.1 : 0,
    appendEntries,
    flightEntries: terms ? 1 : 4 * appendEntries,
    crowded: reading,
    drainLagMs: reading ? dice.pick([2, 5, 15]) : dice.chance(0.25) ? 2 : 0,
    applyLagMs: dice.chance(0.3) ? (reading ? 40 : 6) : 0,
    wallJumps: dice.chance(0.2),
    // Not where members join as voters at once: who forgot the group can't vote before it is filled.
    forget: focus !== "pair" && focus !== "even" && dice.chance(focus === "members" ? 0.8 : 0.5),
    readTimeoutMs: leaseMs * (reading || dice.chance(0.2) ? dice.pick([0.45, 0.7, 1, 3]) : 3),
    timerLagMs: reading ? dice.pick([2, 15, 30]) : 2 * leaseQuick,
    huntLeaders: lease,
    retryMs: focus === "retry" ? 15 : 40,
  };
}

function drawNodes(dice: Dice, focus: Focus): number {
  switch (focus) {
    case "shared":
    case "terms":
    case "reads":
      return 3;
    case "joint":
      return dice.pick([4, 5]);
    case "wide":
      return 4 + dice.below(4);
    case "lease":
      return dice.pick([3, 4, 5]);
    case "log":
    case "even":
      return dice.pick([4, 5, 5]);
    default:
      return dice.pick([3, 4, 5, 5, 5, 6, 7]);
  }
}

function drawVoters(dice: Dice, focus: Focus, damage: boolean): number {
  switch (focus) {
    case "even":
      return 4;
    case "lease":
    case "shared":
    case "terms":
    case "reads":
    case "joint":
      return 3;
    case "pair":
      return 1 + dice.below(3);
    default:
      return damage ? dice.pick([3, 3, 5]) : dice.pick([3, 3, 3, 3, 3, 2, 4, 5, 7, 1]);
  }
}

function drawFocus(dice: Dice): Focus {
  const draw = dice.random();
  if (draw < 0.26) return "mixed";
  if (draw < 0.43) return "lease";
  if (draw < 0.46) return "joint";
  if (draw < 0.57) return "log";
  if (draw < 0.6) return "terms";
  if (draw < 0.67) return "even";
  if (draw < 0.77) return "members";
  if (draw < 0.85) return "store";
  if (draw < 0.9) return "retry";
  if (draw < 0.92) return "shared";
  if (draw < 0.95) return "pair";
  if (draw < 0.985) return "reads";
  return "wide";
}
