// Named limits and times of a node's groups. One frozen object serves all groups of a node: a group holds one reference to it.
import type { Defect } from "./defects.ts";
import type { Leases } from "./lease.ts";
import type { MemberId } from "./messages.ts";

export interface RaftOptions {
  /** This node's member id (node and incarnation). */
  readonly self: MemberId;
  /** The node's leases: one value for all its groups. */
  readonly leases: Leases;
  /** A campaign starts electionMinMs … electionMinMs + electionSpreadMs after nothing holds it back any more. */
  readonly electionMinMs: number;
  readonly electionSpreadMs: number;
  /** Silence after which a leader sends again what was not acknowledged, and a follower asks again (rule 19). */
  readonly retryMs: number;
  /** A leader without support of a majority steps down after this time (rule 20). */
  readonly checkQuorumMs: number;
  /** A read that could not be decided ends with 'timeout'. */
  readonly readTimeoutMs: number;
  /** A transfer not finished by then is given up; proposals are taken again (reads by majority until the term ends, rule 16). */
  readonly transferMs: number;
  /** Limits of one append message; at least one entry always goes. */
  readonly maxAppendEntries: number;
  readonly maxAppendBytes: number;
  /** Limits of what may be under way to one member without acknowledgement. */
  readonly maxFlightEntries: number;
  readonly maxFlightBytes: number;
  /** Limits of what a leader takes beyond its commit index; above, `propose` answers 'busy'. */
  readonly maxUncommittedEntries: number;
  readonly maxUncommittedBytes: number;
  /** Reads waiting in one group; above, 'busy'. */
  readonly maxReads: number;
  /** Early commit by followers (rules 6–9). Off only for comparison. */
  readonly earlyCommit: boolean;
  /** Planted defects; undefined in production. */
  readonly defects?: ReadonlySet<Defect>;
}

/** Times for a lease of `leaseMs` and limits that suit small commands over wide-area links. */
export function raftOptions(self: MemberId, leases: Leases, changes: Partial<RaftOptions> = {}): RaftOptions {
  const leaseMs = leases.leaseMs;
  return Object.freeze({
    self,
    leases,
    electionMinMs: leaseMs * 0.6,
    electionSpreadMs: leaseMs * 1.2,
    retryMs: leaseMs * 0.4,
    checkQuorumMs: leaseMs * 3,
    readTimeoutMs: leaseMs * 3,
    transferMs: leaseMs,
    maxAppendEntries: 256,
    maxAppendBytes: 1 << 20,
    maxFlightEntries: 1024,
    maxFlightBytes: 4 << 20,
    maxUncommittedEntries: 4096,
    maxUncommittedBytes: 16 << 20,
    maxReads: 4096,
    earlyCommit: true,
    ...changes,
  });
}
