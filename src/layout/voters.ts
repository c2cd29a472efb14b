// Which storage nodes vote in the control group: over as many zones as possible, changing as little as possible.
import { assert } from "../util/assert.ts";
import type { NodeId } from "../util/ids.ts";
import { byText } from "./roles.ts";

export interface VoterCandidate {
  readonly id: NodeId;
  readonly zone: string;
}

export type VoterCount = 1 | 3 | 5;

export interface VoterChoice {
  /** Sorted by id. */
  readonly voters: readonly NodeId[];
  /** Not among the present voters; sorted. */
  readonly added: readonly NodeId[];
  /** Present voters that are no longer wanted; sorted. */
  readonly removed: readonly NodeId[];
}

/**
 * How many voters suit a cluster. Five where five zones exist, or where data survives the loss of two nodes and names shall not
 * be weaker; else three, which cost fewer round trips and survive the loss of one; one where there are not three nodes (two would
 * survive no loss either).
 */
export function suitableVoterCount(cluster: {
  readonly storageNodes: number;
  readonly zones: number;
  readonly replicationFactor: number;
}): VoterCount {
  const { storageNodes, zones, replicationFactor } = cluster;
  if (storageNodes >= 5 && (zones >= 5 || replicationFactor >= 5)) return 5;
  return storageNodes >= 3 ? 3 : 1;
}

/**
 * Chooses voters, in this order of importance: as even over the zones as possible (the sum of squares of voters per zone is
 * least; so as many zones as possible, and no zone has a majority where that can be avoided), then as many present voters kept as
 * possible, then the first by zone name and id. A pure function: equal inputs in any order give the same voters on every machine.
 *
 * @param candidates  nodes that may vote: storage nodes; leave out those that are not wanted (leaving, lost). Ids are unique.
 * @param present     the voters now, in any order; those who are no candidates are removed.
 * @param wanted      with fewer candidates it is lowered to 3 or 1.
 * @returns           no voters only when there is no candidate.
 */
export function chooseVoters(candidates: readonly VoterCandidate[], present: readonly NodeId[], wanted: VoterCount): VoterChoice {
  const voting = new Set(present);
  const zones = groupByZone(candidates, voting);
  const seats = seatsPerZone(zones, attainable(wanted, candidates.length));
  const voters = zones.flatMap((zone, i) => zone.members.slice(0, seats[i])).sort(byText);
  const chosen = new Set(voters);
  return {
    voters,
    added: voters.filter((id) => !voting.has(id)),
    removed: [...voting].filter((id) => !chosen.has(id)).sort(byText),
  };
}

interface Zone {
  readonly name: string;
  /** Present voters first, then by id. */
  readonly members: readonly NodeId[];
  readonly present: number;
}

function groupByZone(candidates: readonly VoterCandidate[], voting: ReadonlySet<NodeId>): Zone[] {
  const byName = new Map<string, NodeId[]>();
  for (const { id, zone } of candidates) byName.set(zone, [...(byName.get(zone) ?? []), id]);
  return [...byName]
    .sort(([a], [b]) => byText(a, b))
    .map(([name, ids]) => ({
      name,
      members: ids.sort((a, b) => Number(voting.has(b)) - Number(voting.has(a)) || byText(a, b)),
      present: ids.filter((id) => voting.has(id)).length,
    }));
}

/**
 * Fills the zones round by round, one seat each: that is the most even way. In the last round there are fewer seats than zones
 * with a node left; they go first to zones where a present voter waits for one, since every such seat keeps one voter more.
 */
function seatsPerZone(zones: readonly Zone[], voters: number): number[] {
  const seats = new Array<number>(zones.length).fill(0);
  for (let left = voters; left > 0; ) {
    const open = zones.map((_, i) => i).filter((i) => seats[i]! < zones[i]!.members.length);
    assert(open.length > 0, "there are at least as many candidates as voters");
    const waiting = (i: number): number => Number(zones[i]!.present > seats[i]!);
    const round = open.sort((a, b) => waiting(b) - waiting(a) || a - b).slice(0, left);
    for (const i of round) seats[i]!++;
    left -= round.length;
  }
  return seats;
}

function attainable(wanted: VoterCount, candidates: number): number {
  if (candidates >= wanted) return wanted;
  return candidates >= 3 ? 3 : Math.min(1, candidates);
}
