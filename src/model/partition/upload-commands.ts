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
import { addToOutbox, releaseOfContent } from "./object-commands.ts";
import type { PartitionContext } from "./partition-context.ts";
import { claimKey, pageKey, partKey, ROW, uploadKey } from "./row-keys.ts";
import { decodeUploadHead, encodeUpload } from "./upload-row.ts";
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
  const row = encodeUpload({ createdMs: entry.stamp, checksum, headers });
  const count = context.usage.ready(rows, bucket, { uploads: 1 });
  rows.put("rows", at, row);
  count();
  return { ok: true };
}

export function applyPutPart(context: PartitionContext, rows: KvWrite, command: PutPartCommand, entry: Entry): PutPartResult {
  const { bucket, key, upload, part, claim, etag, checksum, body } = command;
  const { group } = entry;
  const refused = context.guards.refusal(rows, bucket);
  if (refused) return { ok: false, refused };
  const uploadRow = rows.view("rows", uploadKey(group, bucket, key, upload));
  if (uploadRow === undefined) return { ok: false, refused: "no-such-upload" };
  const head = decodeUploadHead(uploadRow, 0, uploadRow.byteLength);
  if (head.lost) return { ok: false, refused: "lost" };
  const wanted = head.checksum;
  if (wanted !== undefined && wanted.algorithm !== checksum?.algorithm) return { ok: false, refused: "checksum-type-mismatch" };
  if (body.kind === "blocks" || command.needsLease) {
    const lost = claimRefusal(rows, command, entry);
    if (lost) return { ok: false, refused: lost };
  }
  const at = partKey(group, bucket, key, upload, part);
  const oldRow = rows.get("bodies", at);
  const old = oldRow === undefined ? undefined : decodePart(oldRow);
  const { stored, sizeBytes, pages } = layOut(body);
  const change = { parts: old === undefined ? 1 : 0, partBytes: sizeBytes - (old?.sizeBytes ?? 0) };
  const count = context.usage.ready(rows, bucket, change);

  rows.put("bodies", at, encodePart({ stampMs: entry.stamp, sizeBytes, etag, claim, checksum, stored }));
  for (const [page, bytes] of pages.entries())
    rows.put("bodies", pageKey(group, ROW.blockPage, { bucket, key, owner: claim, page }), bytes);
  // A part that comes again under the same claim (a retry that outlived its result in the dedup table) needs its blocks still.
  const release = old === undefined || old.claim === claim ? undefined : releaseOfContent(old);
  if (release) addToOutbox(rows, entry, 0, { bucket, key, ...release });
  if (command.needsLease) rows.remove("rows", claimKey(group, ROW.uploadLease, claim));
  count();
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
  if (rows.view("rows", at) === undefined) return { ok: false, refused: "no-such-upload" };
  const change = { uploads: -1, parts: 0, partBytes: 0 };
  eachPartOfUpload(rows, group, { bucket, key, upload }, (_number, { sizeBytes }) => {
    change.parts--;
    change.partBytes -= sizeBytes;
  });
  const count = context.usage.ready(rows, bucket, change);

  rows.remove("rows", at);
  if (change.parts < 0) addToOutbox(rows, entry, 0, { bucket, key, kind: "parts", upload, numbers: "all" });
  count();
  return { ok: true };
}
