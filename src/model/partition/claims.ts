import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { hexSlice, readU48 } from "../../codec/slices.ts";
import type { Entry } from "../../group/groups.ts";
import { type KvRead, type KvWrite, type RowView, type ScanStep, STOP } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId } from "../../util/ids.ts";
import type { PartitionCommand, Refusal, VerdictResult } from "../commands.ts";
import { scanOver } from "./damage.ts";
import { isLiveClaim } from "./data-reads.ts";
import { checkCodec } from "./object-row.ts";
import type { PartitionContext } from "./partition-context.ts";
import { claimKey, FIELDS_START, ROW, rowsOf, uploadKey } from "./row-keys.ts";

/**
 * Claims on blocks that are not versions or parts yet: pending rows of long uploads, and verdicts on those that never ended (rule 36).
 * Pending row: [codec u8][until u48][bucket 32][key]. Forbidden row: [codec u8][until u48].
 */
const CODEC = 1;

export type PendResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly refused: Refusal | "claim-forbidden" | "pending-lost" };

export function applyPend(
  context: PartitionContext,
  rows: KvWrite,
  command: Extract<PartitionCommand, { op: "pend" }>,
  entry: Entry,
): PendResult {
  const refused = context.guards.refusal(rows, command.bucket);
  if (refused) return { ok: false, refused };
  if (isForbidden(rows, entry, command.claim)) return { ok: false, refused: "claim-forbidden" };
  const { group, stamp } = entry;
  const { commandWindowMs } = context;
  const key = claimKey(group, ROW.pending, command.claim);
  // A renewal that comes after the verdict must not bring the claim back, however late it is.
  if (command.renew && rows.view("rows", key) === undefined) return { ok: false, refused: "pending-lost" };
  // Later than W from now it could only be by a clock that was wrong for a moment; the claim would outlive its upload by as much.
  const untilMs = Math.min(command.untilMs, stamp + commandWindowMs);
  const writer = new ByteWriter(64 + command.key.length).u8(CODEC).u48(untilMs).hex(command.bucket, 32);
  // Uploads without a reference left get no verdict, so nobody else takes their rows away.
  const abandoned = claimsUntil(rows, group, ROW.pending, stamp - commandWindowMs);
  for (const claim of abandoned) if (claim !== command.claim) rows.remove("rows", claimKey(group, ROW.pending, claim));
  rows.put("rows", key, writer.bytes(Buffer.from(command.key)).finish());
  return { ok: true };
}

export function applyUnpend(rows: KvWrite, claim: ClaimId, entry: Entry): { readonly ok: true } {
  rows.remove("rows", claimKey(entry.group, ROW.pending, claim));
  return { ok: true };
}

/** Why a command that needs blocks may not commit; undefined: it may. */
export function claimRefusal(
  rows: KvRead,
  command: { readonly claim: ClaimId; readonly needsPending?: boolean },
  entry: Entry,
): "claim-forbidden" | "pending-lost" | undefined {
  if (isForbidden(rows, entry, command.claim)) return "claim-forbidden";
  if (command.needsPending && rows.view("rows", claimKey(entry.group, ROW.pending, command.claim)) === undefined)
    return "pending-lost";
  return undefined;
}

/**
 * Live: a version, a part that counts, or (then with `wait`: ask again later, settle nothing) an upload that is still renewed. Otherwise
 * the claim is forbidden until no command that could still use it can be applied: W beyond this moment, for no expiry lies further ahead.
 */
export function applyVerdict(
  context: PartitionContext,
  rows: KvWrite,
  command: Extract<PartitionCommand, { op: "verdict" }>,
  entry: Entry,
): VerdictResult {
  const { bucket, key, claim, upload, part } = command;
  const { group, stamp } = entry;
  const isUploadLive = upload !== undefined && rows.view("rows", uploadKey(group, bucket, key, upload)) !== undefined;
  if (isLiveClaim(rows, group, { bucket, key, claim, upload, ...(part === undefined ? {} : { part }) }, isUploadLive))
    return { live: true };
  const pendingKey = claimKey(group, ROW.pending, claim);
  const pending = rows.view("rows", pendingKey);
  if (pending !== undefined && readU48(pending, 1) >= stamp) return { live: true, wait: true };
  const expired = claimsUntil(rows, group, ROW.forbidden, stamp);
  rows.remove("rows", pendingKey);
  for (const old of expired) rows.remove("rows", claimKey(group, ROW.forbidden, old));
  const untilMs = stamp + context.commandWindowMs;
  rows.put("rows", claimKey(group, ROW.forbidden, claim), new ByteWriter(7).u8(CODEC).u48(untilMs).finish());
  return { live: false };
}

function isForbidden(rows: KvRead, entry: Entry, claim: ClaimId): boolean {
  const row = rows.view("rows", claimKey(entry.group, ROW.forbidden, claim));
  return row !== undefined && readU48(row, 1) >= entry.stamp;
}

const MAX_CLAIMS_CLEARED = 64;

/** Claims of pending or forbidden rows that ended before `beforeMs`. Both are few: uploads of more than W/2, and uploads that died within W. */
function claimsUntil(
  rows: KvRead,
  group: GroupId,
  type: typeof ROW.pending | typeof ROW.forbidden,
  beforeMs: number,
): readonly ClaimId[] {
  const ended: ClaimId[] = [];
  const visit = (row: RowView): ScanStep => {
    const at = row.keyStart + FIELDS_START;
    if (readU48(row.value, row.valueStart + 1) < beforeMs) ended.push(hexSlice(row.key, at, at + 16) as ClaimId);
    return ended.length === MAX_CLAIMS_CLEARED ? STOP : undefined;
  };
  // A damaged one stays; it concerns nobody but its own upload.
  scanOver(rows, "rows", rowsOf(group, type), { visit });
  return ended;
}

/** Long uploads that have not ended, in no particular order. */
export function pendingClaims(
  rows: KvRead,
  group: GroupId,
): readonly { readonly claim: ClaimId; readonly bucket: BucketId; readonly key: string; readonly untilMs: number }[] {
  const found: { claim: ClaimId; bucket: BucketId; key: string; untilMs: number }[] = [];
  rows.scan("rows", rowsOf(group, ROW.pending), (row) => {
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
