import type { Entry } from "../../group/groups.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import { STOP } from "../../platform/kv.ts";
import { hexSlice } from "../../codec/slices.ts";
import type { ClaimId, GroupId, Hash } from "../../util/ids.ts";
import type { AddRefsResult, NewReference } from "../commands.ts";
import { encodeMark, encodeReference, encodeZero, isReferenced, type Reference, readReference } from "./reference-row.ts";
import { FIELDS_START, referenceKey, referencesOfHash, unconfirmedKey, zeroKey } from "./row-keys.ts";

/**
 * References to blocks whose hashes fall into this partition. Commands may be repeated: adding what is there and dropping what is
 * gone do nothing.
 */
export function applyAddRefs(rows: KvWrite, refs: readonly NewReference[], entry: Entry): AddRefsResult {
  const { group } = entry;
  const exists = refs.map(({ hash, claim }) => rows.view("rows", referenceKey(group, hash, claim)) !== undefined);
  // Rule 34: a copy may count on a block only where the source's own reference still is.
  const added = refs.map(
    ({ hash, onlyIfClaim }, at) =>
      exists[at] || onlyIfClaim === undefined || rows.view("rows", referenceKey(group, hash, onlyIfClaim)) !== undefined,
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

/** The claims are in use: nobody needs to resolve them any more. */
export function applyConfirmRefs(rows: KvWrite, refs: readonly NamedReference[], entry: Entry): { readonly ok: true } {
  const { group } = entry;
  const expiries = refs.map(({ hash, claim }) => expiryOf(readReference(rows, group, hash, claim)));
  for (const [at, { hash, claim }] of refs.entries()) {
    const expiryMs = expiries[at];
    if (expiryMs !== undefined) rows.remove("rows", unconfirmedKey(group, expiryMs, hash, claim));
  }
  return { ok: true };
}

/** Blocks left without any reference get a zero row with the log time: their files may go a while after that (rule 33). */
export function applyDropRefs(rows: KvWrite, refs: readonly NamedReference[], entry: Entry): { readonly ok: true } {
  const { group, stamp } = entry;
  /** Expiry of each; undefined of a lost one. */
  const dropped = new Map<Hash, Map<ClaimId, number | undefined>>();
  const drop = (hash: Hash, claim: ClaimId, expiryMs: number | undefined): void => {
    const claims = dropped.get(hash) ?? new Map<ClaimId, number | undefined>();
    dropped.set(hash, claims.set(claim, expiryMs));
  };
  for (const { hash, claim } of refs) {
    const reference = readReference(rows, group, hash, claim);
    if (reference !== undefined) drop(hash, claim, expiryOf(reference));
  }
  const unneeded = new Set<Hash>();
  for (const [hash, claims] of dropped) if (!isReferencedBesides(rows, group, hash, claims)) unneeded.add(hash);
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

function expiryOf(reference: Reference | undefined): number | undefined {
  return reference?.kind === "known" ? reference.expiryMs : undefined;
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
