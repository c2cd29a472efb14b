// Every way in which a wish about the layout can fail, and the sentence for it. The value travels as code + detail; the sentence
// is made from it.
import { unreachable } from "../util/assert.ts";
import { sizeText } from "./size-text.ts";

/** Closed union: a caller that switches over `code` need not have a default. Plain values, safe to send and store. */
export type LayoutFailure =
  | { readonly code: "layout.invalid-node-id"; readonly node: string }
  | { readonly code: "layout.invalid-zone"; readonly node: string; readonly zone: string; readonly maxChars: number }
  | {
      readonly code: "layout.invalid-capacity";
      readonly node: string;
      readonly capacity: number;
      readonly minimum: number;
      readonly maximum: number;
    }
  /** `tag` is the refused one; null when there are too many. */
  | {
      readonly code: "layout.invalid-tags";
      readonly node: string;
      readonly tag: string | null;
      readonly maxTags: number;
      readonly maxChars: number;
    }
  | { readonly code: "layout.invalid-replication-factor"; readonly replicationFactor: number; readonly maximum: number }
  | { readonly code: "layout.invalid-zone-redundancy"; readonly atLeast: number; readonly replicationFactor: number }
  | {
      readonly code: "layout.invalid-partitions";
      readonly partitions: number;
      readonly minimum: number;
      readonly maximum: number;
    }
  /** The node has no role, neither present nor staged. */
  | { readonly code: "layout.unknown-node"; readonly node: string }
  /** A node that has no role yet was assigned without these. */
  | { readonly code: "layout.incomplete-role"; readonly node: string; readonly missing: readonly ("zone" | "capacity")[] }
  | { readonly code: "layout.replaces-itself"; readonly node: string }
  | { readonly code: "layout.too-many-roles"; readonly maximum: number }
  | { readonly code: "layout.wrong-version"; readonly given: number; readonly expected: number }
  | {
      readonly code: "layout.too-few-nodes";
      readonly replicationFactor: number;
      readonly storageNodes: number;
      readonly gateways: number;
    }
  | { readonly code: "layout.too-few-zones"; readonly zoneRedundancy: number; readonly zones: readonly string[] }
  /** Some zones can't hold one copy of every partition, not even of one byte each, and too few others can. */
  | {
      readonly code: "layout.zone-too-small";
      readonly zoneRedundancy: number;
      readonly partitions: number;
      readonly zones: readonly { readonly name: string; readonly capacity: number }[];
    }
  | {
      readonly code: "layout.capacity-too-small";
      readonly replicationFactor: number;
      readonly partitions: number;
      readonly totalCapacity: number;
    };

export type LayoutFailureCode = LayoutFailure["code"];

/** A wish that can't be met. `message` says which one and what would make it possible. */
export class LayoutError extends Error {
  readonly code: LayoutFailureCode;
  readonly failure: LayoutFailure;
  constructor(failure: LayoutFailure) {
    super(failureText(failure));
    this.name = "LayoutError";
    this.code = failure.code;
    this.failure = failure;
  }
}

/** The sentence for an operator. */
export function failureText(failure: LayoutFailure): string {
  switch (failure.code) {
    case "layout.invalid-node-id":
      return `"${failure.node}" is not a node id: it takes the full id, 64 lower-case hexadecimal digits.`;
    case "layout.invalid-zone":
      return `"${failure.zone}" can't be a zone name for node ${short(failure.node)}: it takes 1 to ${failure.maxChars} characters, no control characters, no blanks at the ends.`;
    case "layout.invalid-capacity":
      return failure.capacity < failure.minimum
        ? `A capacity of ${failure.capacity} bytes for node ${short(failure.node)} is too small: a storage node offers at least ${failure.minimum} bytes; make it a gateway if it shall store nothing.`
        : `A capacity of ${failure.capacity} bytes for node ${short(failure.node)} is not possible: it takes a whole number of at most ${failure.maximum} bytes.`;
    case "layout.invalid-tags":
      return failure.tag === null
        ? `Node ${short(failure.node)} may have at most ${failure.maxTags} tags.`
        : `"${failure.tag}" can't be a tag of node ${short(failure.node)}: it takes 1 to ${failure.maxChars} characters, no control characters.`;
    case "layout.invalid-replication-factor":
      return `A replication factor of ${failure.replicationFactor} is not possible: it takes a whole number from 1 to ${failure.maximum}.`;
    case "layout.invalid-zone-redundancy":
      return `A zone redundancy of ${failure.atLeast} is not possible with replication factor ${failure.replicationFactor}: it takes a whole number from 1 to ${failure.replicationFactor}, or "maximum".`;
    case "layout.invalid-partitions":
      return `${failure.partitions} partitions are not possible: it takes a power of two from ${failure.minimum} to ${failure.maximum}.`;
    case "layout.unknown-node":
      return `Node ${short(failure.node)} has no role in the layout, neither present nor staged.`;
    case "layout.incomplete-role":
      return `Node ${short(failure.node)} has no role yet, so its ${failure.missing.join(" and ")} must be given${failure.missing.includes("capacity") ? " (a gateway has none: say so)" : ""}.`;
    case "layout.replaces-itself":
      return `Node ${short(failure.node)} can't replace itself: name the old node to be removed.`;
    case "layout.too-many-roles":
      return `The layout would have more than ${failure.maximum} nodes with a role, which is the limit.`;
    case "layout.wrong-version":
      return `Version ${failure.given} can't be applied: the next version is ${failure.expected}. Look at the staged changes again, then apply version ${failure.expected}.`;
    case "layout.too-few-nodes":
      return tooFewNodes(failure);
    case "layout.too-few-zones":
      return tooFewZones(failure);
    case "layout.zone-too-small": {
      const small = failure.zones.map((zone) => `${zone.name} (${sizeText(zone.capacity)})`).join(", ");
      return `Zone redundancy ${failure.zoneRedundancy} needs ${failure.zoneRedundancy} zones that can hold one copy of each of the ${failure.partitions} partitions; too small: ${small}. Give the nodes there at least ${failure.partitions} bytes, or lower the zone redundancy.`;
    }
    case "layout.capacity-too-small":
      return `${failure.replicationFactor} copies of ${failure.partitions} partitions don't fit into ${sizeText(failure.totalCapacity)}, not even at one byte each: give the storage nodes more capacity.`;
    default:
      return unreachable(failure);
  }
}

function tooFewNodes(failure: LayoutFailure & { code: "layout.too-few-nodes" }): string {
  const { replicationFactor, storageNodes, gateways } = failure;
  const gatewayNote = gateways > 0 ? ` (${count(gateways, "gateway")} not counted: a gateway stores nothing)` : "";
  const lower = storageNodes > 0 ? `, or lower the replication factor to ${storageNodes}` : "";
  return `Replication factor ${replicationFactor} needs at least ${count(replicationFactor, "storage node")}; this layout would have ${storageNodes}${gatewayNote}. Assign ${count(replicationFactor - storageNodes, "more storage node", "more storage nodes")}${lower}.`;
}

function tooFewZones(failure: LayoutFailure & { code: "layout.too-few-zones" }): string {
  const { zoneRedundancy, zones } = failure;
  return `Zone redundancy ${zoneRedundancy} needs storage nodes in at least ${count(zoneRedundancy, "zone")}; this layout would have ${zones.length} (${zones.join(", ")}). Assign storage nodes in ${count(zoneRedundancy - zones.length, "more zone", "more zones")}, or lower the zone redundancy to ${zones.length} or "maximum".`;
}

/** First 16 digits of a node id, as tables show it. */
export function short(node: string): string {
  return node.slice(0, 16);
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
