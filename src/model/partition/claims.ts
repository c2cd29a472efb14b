import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { hexSlice, readU48 } from "../../codec/slices.ts";
import type { Entry } from "../../group/groups.ts";
import { type KvRead, type KvWrite, STOP } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId } from "../../util/ids.ts";
import type { PartitionCommand, Refusal, ResolveClaimResult } from "../commands.ts";
import { stateOfClaim } from "./data-reads.ts";
import { checkCodec } from "./object-row.ts";
import type { PartitionContext } from "./partition-context.ts";
import { claimKey, FIELDS_START, ROW, rowsOf, uploadKey } from "./row-keys.ts";

/**
 * Claims on blocks that are not versions or parts yet: upload leases of long uploads, and resolutions on those that never ended
 * (rule 36). Upload lease: [codec u8][until u48][bucket 32][key]. Fence: [codec u8][until u48].
 */
const CODEC = 1;

export type LeaseResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly refused: Refusal | "claim-fenced" | "lease-lost" };

export function applyRenewLease(
  context: PartitionContext,
  rows: KvWrite,
  command: Extract<PartitionCommand, { op: "renew-lease" }>,
  entry: Entry,
): LeaseResult {
  const refused = context.guards.refusal(rows, command.bucket);
  if (refused) return { ok: false, refused };
  if (isFenced(rows, entry, command.claim)) return { ok: false, refused: "claim-fenced" };
  const { group, stamp } = entry;
  const { commandWindowMs } = context;
  const key = claimKey(group, ROW.uploadLease, command.claim);
  // A renewal that comes after the resolution must not bring the claim back, however late it is.
  if (command.renew && rows.view("rows", key) === undefined) return { ok: false, refused: "lease-lost" };
  // Later than commandWindow from now it could only be by a clock that was wrong for a moment; the claim would outlive its upload
  // by as much.
  const untilMs = Math.min(command.untilMs, stamp + commandWindowMs);
  const writer = new ByteWriter(64 + command.key.length).u8(CODEC).u48(untilMs).hex(command.bucket, 32);
  // Uploads without a reference left are never resolved, so nobody else takes their rows away.
  const abandoned = claimsUntil(rows, group, ROW.uploadLease, stamp - commandWindowMs);
  for (const claim of abandoned) if (claim !== command.claim) rows.remove("rows", claimKey(group, ROW.uploadLease, claim));
  rows.put("rows", key, writer.bytes(Buffer.from(command.key)).finish());
  return { ok: true };
}

export function applyEndLease(rows: KvWrite, claim: ClaimId, entry: Entry): { readonly ok: true } {
  rows.remove("rows", claimKey(entry.group, ROW.uploadLease, claim));
  return { ok: true };
}

/** Why a command that needs blocks may not commit; undefined: it may. */
export function claimRefusal(
  rows: KvRead,
  command: { readonly claim: ClaimId; readonly needsLease?: boolean },
  entry: Entry,
): "claim-fenced" | "lease-lost" | undefined {
  if (isFenced(rows, entry, command.claim)) return "claim-fenced";
  if (command.needsLease && rows.view("rows", claimKey(entry.group, ROW.uploadLease, command.claim)) === undefined)
    return "lease-lost";
  return undefined;
}

/**
 * Live: a version, a part that counts, or (then with `wait`: ask again later, confirm nothing) an upload that is still renewed,
 * or perhaps a version or part of which nobody knows any more whose it was. Otherwise the claim is fenced until no command that
 * could still use it can be applied: commandWindow beyond this moment, for no expiry lies further ahead.
 */
export function applyResolveClaim(
  context: PartitionContext,
  rows: KvWrite,
  command: Extract<PartitionCommand, { op: "resolve-claim" }>,
  entry: Entry,
): ResolveClaimResult {
  const { bucket, key, claim, upload, part } = command;
  const { group, stamp } = entry;
  const isUploadLive = upload !== undefined && rows.view("rows", uploadKey(group, bucket, key, upload)) !== undefined;
  const place = { bucket, key, claim, upload, ...(part === undefined ? {} : { part }) };
  const state = stateOfClaim(rows, group, place, isUploadLive);
  if (state === "live") return { live: true };
  const leaseKey = claimKey(group, ROW.uploadLease, claim);
  const pending = rows.view("rows", leaseKey);
  if (state === "unknown" || (pending !== undefined && readU48(pending, 1) >= stamp)) return { live: true, wait: true };
  const expired = claimsUntil(rows, group, ROW.fenced, stamp);
  rows.remove("rows", leaseKey);
  for (const old of expired) rows.remove("rows", claimKey(group, ROW.fenced, old));
  const untilMs = stamp + context.commandWindowMs;
  rows.put("rows", claimKey(group, ROW.fenced, claim), encodeFence(untilMs));
  return { live: false };
}

export function encodeFence(untilMs: number): Buffer {
  return new ByteWriter(7).u8(CODEC).u48(untilMs).finish();
}

function isFenced(rows: KvRead, entry: Entry, claim: ClaimId): boolean {
  const row = rows.view("rows", claimKey(entry.group, ROW.fenced, claim));
  return row !== undefined && readU48(row, 1) >= entry.stamp;
}

const MAX_CLAIMS_CLEARED = 64;

/**
 * Claims of pending or fenced rows that ended before `beforeMs`. Both are few: uploads of more than commandWindow/2, and uploads
 * that died within commandWindow.
 */
function claimsUntil(
  rows: KvRead,
  group: GroupId,
  type: typeof ROW.uploadLease | typeof ROW.fenced,
  beforeMs: number,
): readonly ClaimId[] {
  const ended: ClaimId[] = [];
  rows.scan("rows", rowsOf(group, type), (row) => {
    const at = row.keyStart + FIELDS_START;
    if (readU48(row.value, row.valueStart + 1) < beforeMs) ended.push(hexSlice(row.key, at, at + 16) as ClaimId);
    return ended.length === MAX_CLAIMS_CLEARED ? STOP : undefined;
  });
  return ended;
}

/** Long uploads that have not ended, in no particular order. */
export function leasedClaims(
  rows: KvRead,
  group: GroupId,
): readonly { readonly claim: ClaimId; readonly bucket: BucketId; readonly key: string; readonly untilMs: number }[] {
  const found: { claim: ClaimId; bucket: BucketId; key: string; untilMs: number }[] = [];
  rows.scan("rows", rowsOf(group, ROW.uploadLease), (row) => {
    checkCodec(row.value[row.valueStart], CODEC, "pending");
    const reader = new ByteReader(row.value, row.valueStart + 1, row.valueEnd);
    const untilMs = reader.u48();
    const bucket = reader.hex(32) as BucketId;
    const at = row.keyStart + FIELDS_START;
    found.push({ claim: hexSlice(row.key, at, at + 16) as ClaimId, bucket, key: reader.bytes(reader.left).toString(), untilMs });
    return undefined;
  });
  return found;
}
