// From staged wishes to the next version: preview and apply are the same computation.
import { assign } from "./assignment.ts";
import { LayoutError } from "./failures.ts";
import {
  type CapacityLimit,
  capacityLimit,
  type LayoutStatistics,
  layoutMovement,
  layoutStatistics,
  type NodeMovement,
} from "./report.ts";
import { reportText } from "./report-text.ts";
import { isStorage } from "./roles.ts";
import { nextParameters, nextRoles, revert } from "./staging.ts";
import { HISTORY_LIMIT, type LayoutState, type LayoutVersion } from "./state.ts";

export interface LayoutReport {
  /** Lines for an operator. */
  readonly message: readonly string[];
  readonly statistics: LayoutStatistics;
  /** Sorted by node id; empty for a first layout. */
  readonly movement: readonly NodeMovement[];
  readonly limit: CapacityLimit;
}

export interface LayoutChangeResult {
  /** The state after the change: the next version, nothing staged, the present version in the history. */
  readonly next: LayoutState;
  readonly report: LayoutReport;
}

/**
 * What `apply` would do now, without doing it; `next.version` is the number to apply. Allowed with nothing staged.
 *
 * @throws layout.too-few-nodes · layout.too-few-zones · layout.zone-too-small · layout.capacity-too-small
 */
export function preview(state: LayoutState): LayoutChangeResult {
  const roles = nextRoles(state);
  const parameters = nextParameters(state);
  const { partitions } = state;
  const { assignment, partitionSize } = assign({ partitions, roles, parameters, present: state.assignment });
  const present = versionOf(state);
  const made: LayoutVersion = { version: state.version + 1, roles, parameters, assignment, partitionSize };
  const history = state.version === 0 ? [] : [...state.history, present].slice(-HISTORY_LIMIT);
  const statistics = layoutStatistics(made, present, partitions);
  const movement = layoutMovement(made, present, partitions);
  const limit = capacityLimit(made, partitions);
  const message = reportText({ statistics, movement, limit });
  return { next: { ...revert(state), ...made, history }, report: { message, statistics, movement, limit } };
}

/**
 * The staged wishes put into force.
 *
 * @param version  must be the present one + 1: so of two rivals one wins, and nobody applies what they have not seen.
 * @throws layout.wrong-version, and what `preview` throws.
 */
export function apply(state: LayoutState, version: number): LayoutChangeResult {
  const expected = state.version + 1;
  if (version !== expected) throw new LayoutError({ code: "layout.wrong-version", given: version, expected });
  return preview(state);
}

export type VersionStatus = "Current" | "Draining" | "Historical";

/** A line of `layout history`. */
export interface VersionSummary {
  readonly version: number;
  readonly status: VersionStatus;
  readonly storageNodes: number;
  readonly gatewayNodes: number;
}

/**
 * The present version and the remembered earlier ones, newest first; nothing before version 1.
 *
 * @param oldestInUse  the oldest version whose members some partition still has; earlier ones are historical. The layout itself
 *             can't know.
 */
export function layoutHistory(state: LayoutState, oldestInUse: number): VersionSummary[] {
  if (state.version === 0) return [];
  return [...state.history, versionOf(state)].reverse().map((past) => {
    const storageNodes = past.roles.filter(isStorage).length;
    const status = past.version === state.version ? "Current" : past.version >= oldestInUse ? "Draining" : "Historical";
    return { version: past.version, status, storageNodes, gatewayNodes: past.roles.length - storageNodes };
  });
}

/** The version in force, without what is staged or past. */
export function versionOf(state: LayoutState): LayoutVersion {
  const { version, roles, parameters, assignment, partitionSize } = state;
  return { version, roles, parameters, assignment, partitionSize };
}
