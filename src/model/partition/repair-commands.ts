import type { Entry } from "../../group/groups.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import type { BucketId } from "../../util/ids.ts";
import type { RepairedRow, RepairRowsCommand } from "../commands.ts";
import { isDamage } from "./damage.ts";
import { encodeLostRecord } from "./lost-record.ts";
import type { PartitionContext } from "./partition-context.ts";
import { bucketKey, lostKey, ROW, treeOf } from "./row-keys.ts";
import { countUsage, encodeUsage } from "./usage.ts";

/** Replaces damaged rows. The only command that looks whether rows are whole: those that are stay as they are. */
export function applyRepairRows(
  context: PartitionContext,
  rows: KvWrite,
  command: RepairRowsCommand,
  { group, index, stamp }: Entry,
): { readonly ok: boolean } {
  const due = command.rows.filter((row) => stateOf(rows, row.key) === row.found);
  const was = due.map(({ key, found }) => (found === "missing" ? undefined : rows.stored(treeOf(key), key)));

  for (const [at, { key, value, isLost, uncounted }] of due.entries()) {
    const tree = treeOf(key);
    const stored = was[at];
    if (stored !== undefined && isLost)
      rows.put("bodies", lostKey(group, index, at), encodeLostRecord({ tree, own: key, ...stored, stampMs: stamp }));
    if (value === undefined) rows.remove(tree, key);
    if (stored !== undefined) removeRotten(rows, key, stored.key);
    if (value !== undefined) rows.put(tree, key, value);
    if (uncounted !== undefined) {
      rows.remove("rows", bucketKey(group, ROW.usage, uncounted));
      context.usage.drop(uncounted);
    }
    context.guards.forget();
  }
  return { ok: due.length > 0 };
}

export function applyRecountUsage(
  context: PartitionContext,
  rows: KvWrite,
  bucket: BucketId,
  { group }: Entry,
): { readonly ok: true } {
  const at = bucketKey(group, ROW.usage, bucket);
  const counters = countUsage(rows, group, bucket);
  const stored = stateOf(rows, at) === "damaged" ? rows.stored("rows", at) : undefined;

  context.usage.drop(bucket);
  if (stored !== undefined) removeRotten(rows, at, stored.key);
  rows.put("rows", at, encodeUsage(counters));
  return { ok: true };
}

/** The row under the key to which `key` has rotted. One that lies where another group's rows are is left to the audit. */
function removeRotten(rows: KvWrite, key: Uint8Array, rotten: Uint8Array): void {
  const isOwn = rotten[0] === key[0] && rotten[1] === key[1];
  if (isOwn && Buffer.compare(rotten, key) !== 0) rows.remove(treeOf(key), rotten);
}

export function stateOf(rows: KvRead, key: Uint8Array): RepairedRow["found"] | "whole" {
  try {
    return rows.view(treeOf(key), key) === undefined ? "missing" : "whole";
  } catch (error) {
    if (isDamage(error)) return "damaged";
    throw error;
  }
}
