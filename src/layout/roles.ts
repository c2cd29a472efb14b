// What an operator says about nodes: zone, capacity or gateway, tags, and how far copies must be spread. Limits and checks of
// these wishes.
import type { NodeId } from "../util/ids.ts";
import { isHex } from "../util/ids.ts";
import { LayoutError } from "./failures.ts";

/** What a node is for. A plain value. */
export interface NodeRole {
  readonly id: NodeId;
  /** Nodes of one zone may fail together: a house, a room, a provider's site. */
  readonly zone: string;
  /** Bytes offered for data, or null: a gateway, which stores nothing. */
  readonly capacity: number | null;
  readonly tags: readonly string[];
}

/**
 * Over how many zones the copies of a partition are spread at least. "maximum": as many as there are, up to the replication
 * factor.
 */
export type ZoneRedundancy = "maximum" | { readonly atLeast: number };

export interface LayoutParameters {
  /** Copies of each partition. */
  readonly replicationFactor: number;
  readonly zoneRedundancy: ZoneRedundancy;
}

export const MIN_CAPACITY_BYTES = 1024;
export const MAX_CAPACITY_BYTES = Number.MAX_SAFE_INTEGER;
export const MAX_REPLICATION_FACTOR = 7;
export const MIN_PARTITIONS = 64;
export const MAX_PARTITIONS = 4096;
export const DEFAULT_PARTITIONS = 256;
/** Roles in one layout, gateways included: bounds the memory and time of an assignment. */
export const MAX_ROLES = 512;
export const MAX_ZONE_CHARS = 128;
export const MAX_TAGS = 32;
export const MAX_TAG_CHARS = 256;

/** A role with a capacity: a node that stores data. */
export type StorageRole = NodeRole & { readonly capacity: number };

export function isStorage(role: NodeRole): role is StorageRole {
  return role.capacity !== null;
}

/** Names of the zones that have a storage node, sorted. Gateways make no zone: no copy can lie there. */
export function storageZones(roles: readonly NodeRole[]): string[] {
  return [...new Set(roles.filter(isStorage).map((role) => role.zone))].sort(byText);
}

/** Order of code units: the same on every machine, unlike a locale's. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return byText(a.id, b.id);
}

/** How many zones each partition must touch, with "maximum" worked out for these roles. */
export function effectiveRedundancy(parameters: LayoutParameters, zoneCount: number): number {
  const { replicationFactor, zoneRedundancy } = parameters;
  return zoneRedundancy === "maximum" ? Math.min(zoneCount, replicationFactor) : zoneRedundancy.atLeast;
}

export function sameRedundancy(a: ZoneRedundancy, b: ZoneRedundancy): boolean {
  if (a === "maximum" || b === "maximum") return a === b;
  return a.atLeast === b.atLeast;
}

export function sameRole(a: NodeRole, b: NodeRole): boolean {
  return (
    a.id === b.id &&
    a.zone === b.zone &&
    a.capacity === b.capacity &&
    a.tags.length === b.tags.length &&
    a.tags.every((tag, i) => tag === b.tags[i])
  );
}

/** Checks a node id as it comes from outside. @throws layout.invalid-node-id */
export function checkNodeId(id: string): NodeId {
  if (!isHex(id, 32)) throw new LayoutError({ code: "layout.invalid-node-id", node: id });
  return id as NodeId;
}

/** @throws layout.invalid-zone */
export function checkZone(node: NodeId, zone: string): string {
  if (zone.length === 0 || zone.length > MAX_ZONE_CHARS || hasControls(zone) || zone.trim() !== zone) {
    throw new LayoutError({ code: "layout.invalid-zone", node, zone, maxChars: MAX_ZONE_CHARS });
  }
  return zone;
}

/** @param capacity  bytes, or null for a gateway. @throws layout.invalid-capacity */
export function checkCapacity(node: NodeId, capacity: number | null): number | null {
  if (capacity === null) return null;
  if (!Number.isSafeInteger(capacity) || capacity < MIN_CAPACITY_BYTES) {
    throw new LayoutError({
      code: "layout.invalid-capacity",
      node,
      capacity,
      minimum: MIN_CAPACITY_BYTES,
      maximum: MAX_CAPACITY_BYTES,
    });
  }
  return capacity;
}

/** @throws layout.invalid-tags */
export function checkTags(node: NodeId, tags: readonly string[]): readonly string[] {
  const bad = tags.find((tag) => tag.length === 0 || tag.length > MAX_TAG_CHARS || hasControls(tag));
  if (bad !== undefined || tags.length > MAX_TAGS) {
    throw new LayoutError({ code: "layout.invalid-tags", node, tag: bad ?? null, maxTags: MAX_TAGS, maxChars: MAX_TAG_CHARS });
  }
  return [...tags];
}

/** Checks both parameters together. @throws layout.invalid-replication-factor · layout.invalid-zone-redundancy */
export function checkParameters(parameters: LayoutParameters): LayoutParameters {
  const { replicationFactor, zoneRedundancy } = parameters;
  if (!Number.isInteger(replicationFactor) || replicationFactor < 1 || replicationFactor > MAX_REPLICATION_FACTOR) {
    throw new LayoutError({ code: "layout.invalid-replication-factor", replicationFactor, maximum: MAX_REPLICATION_FACTOR });
  }
  if (zoneRedundancy === "maximum") return { replicationFactor, zoneRedundancy };
  const { atLeast } = zoneRedundancy;
  if (!Number.isInteger(atLeast) || atLeast < 1 || atLeast > replicationFactor) {
    throw new LayoutError({ code: "layout.invalid-zone-redundancy", atLeast, replicationFactor });
  }
  return { replicationFactor, zoneRedundancy: { atLeast } };
}

/** @throws layout.invalid-partitions */
export function checkPartitions(partitions: number): number {
  const fits = Number.isInteger(partitions) && partitions >= MIN_PARTITIONS && partitions <= MAX_PARTITIONS;
  if (!fits || (partitions & (partitions - 1)) !== 0) {
    throw new LayoutError({ code: "layout.invalid-partitions", partitions, minimum: MIN_PARTITIONS, maximum: MAX_PARTITIONS });
  }
  return partitions;
}

function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f]/.test(text);
}
