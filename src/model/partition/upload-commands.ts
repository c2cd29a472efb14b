import type { Entry } from "../../group/groups.ts";
import type { KvWrite } from "../../platform/kv.ts";
import type { BucketId, UploadId } from "../../util/ids.ts";
import type {
  CreateUploadCommand,
  DropUploadResult,
  PartitionCommand,
  PutPartCommand,
  PutPartResult,
  UploadResult,
} from "../commands.ts";
import { eachPartOfUpload } from "./body-reads.ts";
import { claimRefusal } from "./claims.ts";
import { isDamagedRow, unlessDamaged } from "./damage.ts";
import { partNumbers } from "./data-reads.ts";
import { addToOutbox, releaseOfContent } from "./object-commands.ts";
import type { PartitionContext } from "./partition-context.ts";
import { claimKey, pageKey, partKey, ROW, uploadKey } from "./row-keys.ts";
import { decodeUploadHead, encodeUpload } from "./upload-row.ts";
import { countUploads } from "./usage.ts";
import { decodePart, encodePart, layOut } from "./version-row.ts";

/** Uploads and their parts, in the group of their object, so that completing is one command (completion.ts). */
export function applyCreateUpload(
  context: PartitionContext,
  rows: KvWrite,
  command: CreateUploadCommand,
  entry: Entry,
): UploadResult {
  const { bucket, key, upload, headers, checksum } = command;
  const refused = context.guards.refusal(rows, bucket);
  if (refused) return { ok: false, refused };
  const at = uploadKey(entry.group, bucket, key, upload);
  if (rows.view("rows", at) !== undefined) return { ok: true };
  const usage = context.usage.of(rows, bucket);
  rows.put("rows", at, encodeUpload({ createdMs: entry.stamp, checksum, headers }));
  usage.uploads++;
  return { ok: true };
}

export function applyPutPart(context: PartitionContext, rows: KvWrite, command: PutPartCommand, entry: Entry): PutPartResult {
  const { bucket, key, upload, part, claim, etag, checksum, body } = command;
  const { group } = entry;
  const refused = context.guards.refusal(rows, bucket);
  if (refused) return { ok: false, refused };
  const uploadRow = rows.view("rows", uploadKey(group, bucket, key, upload));
  if (uploadRow === undefined) return { ok: false, refused: "no-such-upload" };
  const wanted = decodeUploadHead(uploadRow, 0, uploadRow.byteLength).checksum;
  if (wanted !== undefined && wanted.algorithm !== checksum?.algorithm) return { ok: false, refused: "checksum-type-mismatch" };
  if (body.kind === "blocks" || command.needsLease) {
    const lost = claimRefusal(rows, command, entry);
    if (lost) return { ok: false, refused: lost };
  }
  const at = partKey(group, bucket, key, upload, part);
  const oldRow = rows.get("bodies", at);
  const old = oldRow === undefined ? undefined : decodePart(oldRow);
  const usage = context.usage.of(rows, bucket);

  const { stored, sizeBytes, pages } = layOut(body);
  rows.put("bodies", at, encodePart({ stampMs: entry.stamp, sizeBytes, etag, claim, checksum, stored }));
  for (const [page, bytes] of pages.entries())
    rows.put("bodies", pageKey(group, ROW.blockPage, { bucket, key, owner: claim, page }), bytes);
  // A part that comes again under the same claim (a retry that outlived its result in the dedup table) needs its blocks still.
  const release = old === undefined || old.claim === claim ? undefined : releaseOfContent(old);
  if (release) addToOutbox(rows, entry, 0, { bucket, key, ...release });
  if (command.needsLease) rows.remove("rows", claimKey(group, ROW.uploadLease, claim));
  if (old === undefined) usage.parts++;
  usage.partBytes += sizeBytes - (old?.sizeBytes ?? 0);
  return { ok: true, stampMs: entry.stamp };
}

export function applyAbortUpload(
  context: PartitionContext,
  rows: KvWrite,
  command: Extract<PartitionCommand, { op: "abort-upload" }>,
  entry: Entry,
): UploadResult {
  const refused = context.guards.refusal(rows, command.bucket);
  return refused ? { ok: false, refused } : endUpload(context, rows, command, entry);
}

export function applyDropUpload(
  context: PartitionContext,
  rows: KvWrite,
  command: Extract<PartitionCommand, { op: "drop-upload" }>,
  entry: Entry,
): DropUploadResult {
  const refused = context.guards.endRefusal(rows, command.bucket, command.attempt);
  return refused ? { ok: false, refused } : endUpload(context, rows, command, entry);
}

/** The upload ends; its parts' rows stay until their blocks are released. */
function endUpload(
  context: PartitionContext,
  rows: KvWrite,
  { bucket, key, upload }: { readonly bucket: BucketId; readonly key: string; readonly upload: UploadId },
  entry: Entry,
): { readonly ok: true } | { readonly ok: false; readonly refused: "no-such-upload" } {
  const { group } = entry;
  const at = uploadKey(group, bucket, key, upload);
  // A damaged one is as good: who can't complete an upload any more must be able to drop it.
  if (!isDamagedRow(rows, "rows", at) && rows.view("rows", at) === undefined) return { ok: false, refused: "no-such-upload" };
  const usage = context.usage.of(rows, bucket);
  const hasParts = partNumbers(rows, group, { bucket, key, upload }, { from: 1, limit: 1 }).length > 0;
  const { parts, partBytes } = usage;
  const others = unlessDamaged(() => {
    const counted = { uploads: usage.uploads - 1, parts, partBytes };
    eachPartOfUpload(rows, group, { bucket, key, upload }, (_number, { sizeBytes }) => {
      counted.parts--;
      counted.partBytes -= sizeBytes;
    });
    return counted;
  });
  // The size of a damaged part is not known: then all others are counted.
  Object.assign(usage, others ?? countUploads(rows, group, bucket, upload));

  rows.remove("rows", at);
  if (hasParts) addToOutbox(rows, entry, 0, { bucket, key, kind: "parts", upload, numbers: "all" });
  return { ok: true };
}
