// Wishes are gathered before they are applied together: assign, remove, config, revert.
import type { NodeId } from "../util/ids.ts";
import { LayoutError } from "./failures.ts";
import {
  byId,
  checkCapacity,
  checkNodeId,
  checkParameters,
  checkTags,
  checkZone,
  type LayoutParameters,
  MAX_ROLES,
  type NodeRole,
  sameRedundancy,
  sameRole,
  type ZoneRedundancy,
} from "./roles.ts";
import type { LayoutState, StagedRole } from "./state.ts";

/** One wish. What is left out keeps its staged value, else its present one. */
export type LayoutChange =
  | {
      readonly kind: "assign";
      /** Full id, 64 hex. */
      readonly node: string;
      readonly zone?: string;
      /** Bytes, or null: a gateway. */
      readonly capacity?: number | null;
      readonly tags?: readonly string[];
      /** Nodes that this one stands in for: their removal is staged with it. Each must have a role. */
      readonly replace?: readonly string[];
    }
  | { readonly kind: "remove"; readonly node: string }
  | { readonly kind: "config"; readonly zoneRedundancy?: ZoneRedundancy; readonly replicationFactor?: number };

/**
 * The state with one more wish staged. A wish that equals the present layout takes back what was staged for it.
 *
 * @throws layout.invalid-node-id · layout.invalid-zone · layout.invalid-capacity · layout.invalid-tags · layout.incomplete-role
 *         (a node without a role needs a zone, and a capacity or null) · layout.unknown-node (removed or replaced without having
 *         a role) · layout.replaces-itself · layout.too-many-roles · layout.invalid-replication-factor ·
 *         layout.invalid-zone-redundancy
 */
export function stage(state: LayoutState, change: LayoutChange): LayoutState {
  switch (change.kind) {
    case "assign":
      return stageAssign(state, change);
    case "remove":
      return stageRemove(state, checkNodeId(change.node));
    case "config":
      return stageConfig(state, change);
  }
}

/** Several wishes, all or none. */
export function stageAll(state: LayoutState, changes: readonly LayoutChange[]): LayoutState {
  return changes.reduce(stage, state);
}

/** The state with nothing staged. Harmless when nothing was. */
export function revert(state: LayoutState): LayoutState {
  return { ...state, stagedRoles: [], stagedParameters: null };
}

export function hasStagedChanges(state: LayoutState): boolean {
  return state.stagedRoles.length > 0 || state.stagedParameters !== null;
}

/** The roles that an apply would give, sorted by id. */
export function nextRoles(state: LayoutState): NodeRole[] {
  const roles = new Map<NodeId, NodeRole>(state.roles.map((role) => [role.id, role]));
  for (const staged of state.stagedRoles) {
    if (staged.remove) roles.delete(staged.id);
    else roles.set(staged.id, staged);
  }
  return [...roles.values()].sort(byId);
}

/** The parameters that an apply would give. */
export function nextParameters(state: LayoutState): LayoutParameters {
  return state.stagedParameters ?? state.parameters;
}

function stageAssign(state: LayoutState, change: LayoutChange & { kind: "assign" }): LayoutState {
  const id = checkNodeId(change.node);
  const known = knownRole(state, id);
  const zone = change.zone ?? known?.zone;
  const capacity = change.capacity !== undefined ? change.capacity : known?.capacity;
  if (zone === undefined || capacity === undefined) {
    const missing = [
      ...(zone === undefined ? (["zone"] as const) : []),
      ...(capacity === undefined ? (["capacity"] as const) : []),
    ];
    throw new LayoutError({ code: "layout.incomplete-role", node: id, missing });
  }
  const role: NodeRole = {
    id,
    zone: checkZone(id, zone),
    capacity: checkCapacity(id, capacity),
    tags: checkTags(id, change.tags ?? known?.tags ?? []),
  };
  let next = state;
  for (const replaced of change.replace ?? []) {
    const old = checkNodeId(replaced);
    if (old === id) throw new LayoutError({ code: "layout.replaces-itself", node: id });
    next = stageRemove(next, old);
  }
  next = withStaged(next, role);
  if (nextRoles(next).length > MAX_ROLES) throw new LayoutError({ code: "layout.too-many-roles", maximum: MAX_ROLES });
  return next;
}

function stageRemove(state: LayoutState, id: NodeId): LayoutState {
  const present = state.roles.some((role) => role.id === id);
  const staged = state.stagedRoles.some((role) => role.id === id);
  if (!present && !staged) throw new LayoutError({ code: "layout.unknown-node", node: id });
  return withStaged(state, { id, remove: true });
}

function stageConfig(state: LayoutState, change: LayoutChange & { kind: "config" }): LayoutState {
  const known = nextParameters(state);
  const wished = checkParameters({
    replicationFactor: change.replicationFactor ?? known.replicationFactor,
    zoneRedundancy: change.zoneRedundancy ?? known.zoneRedundancy,
  });
  const { replicationFactor, zoneRedundancy } = state.parameters;
  const same = wished.replicationFactor === replicationFactor && sameRedundancy(wished.zoneRedundancy, zoneRedundancy);
  return { ...state, stagedParameters: same ? null : wished };
}

/**
 * What omitted values fall back to: the staged role, else the present one. A node staged for removal is taken back with its
 * present values.
 */
function knownRole(state: LayoutState, id: NodeId): NodeRole | undefined {
  const staged = state.stagedRoles.find((role) => role.id === id);
  if (staged && !staged.remove) return staged;
  return state.roles.find((role) => role.id === id);
}

/** Puts one staged role in its place, and leaves it out when it would change nothing. */
function withStaged(state: LayoutState, wish: StagedRole): LayoutState {
  const present = state.roles.find((role) => role.id === wish.id);
  const others = state.stagedRoles.filter((role) => role.id !== wish.id);
  const changesNothing = wish.remove ? present === undefined : present !== undefined && sameRole(present, wish);
  return { ...state, stagedRoles: changesNothing ? others : [...others, wish].sort(byId) };
}
