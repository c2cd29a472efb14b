import type { Entry } from "../../group/groups.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import { STOP } from "../../platform/kv.ts";
import { hexSlice } from "../../codec/slices.ts";
import type { ClaimId, GroupId, Hash } from "../../util/ids.ts";
import type { AddRefsResult, NewReference } from "../commands.ts";
import { isDamage, unlessDamaged } from "./damage.ts";
import { encodeMark, encodeReference, encodeZero, isReferenced, readReference } from "./reference-row.ts";
import { FIELDS_START, referenceKey, referencesOfHash, unconfirmedKey, zeroKey } from "./row-keys.ts";

/**
 * References to blocks whose hashes fall into this partition. Commands may be repeated: adding what is there and dropping what is
 * gone do nothing. A damaged row stops nothing but what needs it: its reference counts as there, except as the source of a copy,
 * until it is dropped by name.
 */
export function applyAddRefs(rows: KvWrite, refs: readonly NewReference[], entry: Entry): AddRefsResult {
  const { group } = entry;
  const exists = refs.map(({ hash, claim }) => rows.view("rows", referenceKey(group, hash, claim)) !== undefined);
  // Rule 34: a copy may count on a block only where the source's own reference still is.
  const added = refs.map(
    ({ hash, onlyIfClaim }, at) =>
      exists[at] ||
      onlyIfClaim === undefined ||
      unlessDamaged(() => rows.view("rows", referenceKey(group, hash, onlyIfClaim))) !== undefined,
  );
  for (const [at, reference] of refs.entries()) {
    if (exists[at] || !added[at]) continue;
    const { hash, claim, expiryMs } = reference;
    rows.put("rows", referenceKey(group, hash, claim), encodeReference(reference));
    rows.put("rows", unconfirmedKey(group, expiryMs, hash, claim), encodeMark());
    rows.remove("rows", zeroKey(group, hash));
  }
  return { added };
}

export type NamedReference = { readonly hash: Hash; readonly claim: ClaimId };

/** The claims are in use: nobody needs to resolves the claim any more. */
export function applyConfirmRefs(rows: KvWrite, refs: readonly NamedReference[], entry: Entry): { readonly ok: true } {
  const { group } = entry;
  const expiries = refs.map(({ hash, claim }) => unlessDamaged(() => readReference(rows, group, hash, claim))?.expiryMs);
  for (const [at, { hash, claim }] of refs.entries()) {
    const expiryMs = expiries[at];
    if (expiryMs !== undefined) rows.remove("rows", unconfirmedKey(group, expiryMs, hash, claim));
  }
  return { ok: true };
}

/** Blocks left without any reference get a zero row with the log time: their files may go a while after that (rule 33). */
export function applyDropRefs(rows: KvWrite, refs: readonly NamedReference[], entry: Entry): { readonly ok: true } {
  const { group, stamp } = entry;
  /** Expiry of each; undefined where it can't be read. */
  const dropped = new Map<Hash, Map<ClaimId, number | undefined>>();
  const drop = (hash: Hash, claim: ClaimId, expiryMs: number | undefined): void => {
    const claims = dropped.get(hash) ?? new Map<ClaimId, number | undefined>();
    dropped.set(hash, claims.set(claim, expiryMs));
  };
  for (const { hash, claim } of refs)
    try {
      const reference = readReference(rows, group, hash, claim);
      if (reference !== undefined) drop(hash, claim, reference.expiryMs);
    } catch (error) {
      if (!isDamage(error)) throw error;
      drop(hash, claim, undefined);
    }
  const unneeded = new Set<Hash>();
  // With a damaged row nobody knows: such a block gets no zero row; the orphan walk finds its file when no row is left.
  for (const [hash, claims] of dropped)
    if (unlessDamaged(() => isReferencedBesides(rows, group, hash, claims)) === false) unneeded.add(hash);
  for (const [hash, claims] of dropped) {
    for (const [claim, expiryMs] of claims) {
      rows.remove("rows", referenceKey(group, hash, claim));
      if (expiryMs !== undefined) rows.remove("rows", unconfirmedKey(group, expiryMs, hash, claim));
    }
    if (unneeded.has(hash)) rows.put("rows", zeroKey(group, hash), encodeZero(stamp));
  }
  return { ok: true };
}

/** The member's file is gone: the zero row may go, unless somebody needs the block again. */
export function applyForgetHash(rows: KvWrite, hash: Hash, entry: Entry): { readonly ok: boolean } {
  if (isReferenced(rows, entry.group, hash)) return { ok: false };
  rows.remove("rows", zeroKey(entry.group, hash));
  return { ok: true };
}

function isReferencedBesides(rows: KvRead, group: GroupId, hash: Hash, claims: ReadonlyMap<ClaimId, unknown>): boolean {
  let other = false;
  rows.scan("rows", referencesOfHash(group, hash), (row) => {
    const at = row.keyStart + FIELDS_START + 32;
    other = !claims.has(hexSlice(row.key, at, at + 16) as ClaimId);
    return other ? STOP : undefined;
  });
  return other;
}
