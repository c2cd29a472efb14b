import type { Groups } from "../../group/groups.ts";
import type { BucketId, GroupId } from "../../util/ids.ts";
import type { PartitionCommand, ResolveClaimResult } from "../commands.ts";
import { readReference } from "../partition/reference-row.ts";
import type { Placement } from "../placement.ts";
import { hasRemains } from "./bucket-remains.ts";
import { type AuditReport, type Inconsistency, isDoubt } from "./audit.ts";

export type DanglingOutcome =
  | { readonly ok: true; readonly dropped: number }
  /** Rows that are damaged or missing may be what names them; nothing was dropped. */
  | { readonly ok: false; readonly inDoubt: readonly Inconsistency[] };

/**
 * Drops the references that no version, part or release names: what a damaged row had named when its key was overwritten or
 * deleted. Their blocks go after `block_gc_delay`. On an operator's word, and only when every row that could name one was read
 * and all rows agree with each other: before that the right metadata page, put back, would still find its blocks. Each claim gets
 * its claim resolved besides (rule 36).
 */
export async function dropDanglingReferences(parts: {
  readonly groups: Groups;
  readonly placement: Placement;
  readonly homeOf: (bucket: BucketId, key: string) => Promise<GroupId | undefined>;
  readonly audit: () => Promise<AuditReport>;
}): Promise<DanglingOutcome> {
  const { groups, placement, homeOf } = parts;
  const { broken } = await parts.audit();
  const inDoubt = broken.filter(isDoubt);
  if (inDoubt.length > 0) return { ok: false, inDoubt };
  let dropped = 0;
  for (const { kind, hash, claim } of broken) {
    if (kind !== "reference-without-claim" || hash === undefined || claim === undefined) continue;
    const group = placement.ofHash(hash);
    const reference = await groups.read(group, (rows) => readReference(rows, group, hash, claim));
    if (reference?.kind !== "known") continue;
    const { bucket, key, upload, part } = reference;
    const home = await homeOf(bucket, key);
    if (home === undefined) {
      if (await hasRemains(groups, bucket)) continue;
    } else {
      const named = upload === undefined || part === undefined ? {} : { upload, part };
      const resolution: PartitionCommand = { op: "resolve-claim", bucket, key, claim, ...named };
      if ((await groups.propose<PartitionCommand, ResolveClaimResult>(home, resolution)).live) continue;
    }
    const drop: PartitionCommand = { op: "drop-refs", refs: [{ hash, claim }] };
    await groups.propose(group, drop);
    dropped++;
  }
  return { ok: true, dropped };
}
