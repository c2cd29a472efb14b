import type { Entry } from "../../group/groups.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import { assert } from "../../util/assert.ts";
import type { BucketId, ClaimId, GroupId, VersionId } from "../../util/ids.ts";
import type { DeleteCommand, DeleteResult, PutCommand, PutResult } from "../commands.ts";
import type { ObjectHeaders, WriteCondition } from "../object-service.ts";
import { claimRefusal } from "./claims.ts";
import { isDamagedRow, unlessDamaged } from "./damage.ts";
import { encodeObjectRow } from "./object-row.ts";
import { encodeOutboxRow, type Release, SEQUENCES_PER_COMMAND } from "./outbox-row.ts";
import type { PartitionContext } from "./partition-context.ts";
import { type Head, readHead, readVersion, rebuiltObjectRow } from "./read-version.ts";
import { claimKey, objectKey, outboxKey, pageKey, ROW, rowsOfKey, versionKey } from "./row-keys.ts";
import { type Content, encodeVersion, layOut } from "./version-row.ts";

/** Puts and deletes: everything is read and decided before the first write. */
export function applyPut(context: PartitionContext, rows: KvWrite, command: PutCommand, entry: Entry): PutResult {
  const { bucket, key, claim, body } = command;
  const { group } = entry;
  const refused = context.guards.refusal(rows, bucket);
  if (refused) return { ok: false, refused };
  if (body.kind === "blocks" || command.needsLease) {
    const lost = claimRefusal(rows, command, entry);
    if (lost) return { ok: false, refused: lost };
  }
  const objectAt = objectKey(group, bucket, key);
  const head = readHead(rows, group, bucket, key, { sure: command.condition !== undefined });
  const failed = failedCondition(command.condition, head);
  if (failed) return { ok: false, refused: failed };
  const usage = context.usage.of(rows, bucket);
  const release = head === undefined ? undefined : releaseOf(rows, group, bucket, key, head, claim);

  const { stored, sizeBytes, pages } = layOut(body);
  const version = versionIdOf(entry, claim);
  const { etag, checksum, headers } = command;
  const stampMs = entry.stamp;
  writeVersion(rows, objectAt, { bucket, key, version, group }, { stampMs, sizeBytes, etag, claim, checksum, stored, headers });
  for (const [page, bytes] of pages.entries())
    rows.put("bodies", pageKey(group, ROW.blockPage, { bucket, key, owner: claim, page }), bytes);
  if (head !== undefined) {
    rows.remove("bodies", versionKey(group, bucket, key, head.version));
    if (release) addToOutbox(rows, entry, 0, { bucket, key, ...release });
  } else {
    usage.objects++;
    usage.versions++;
  }
  usage.bytes += sizeBytes - (head?.sizeBytes ?? 0);
  if (command.needsLease) rows.remove("rows", claimKey(group, ROW.uploadLease, claim));
  return checksum === undefined
    ? { ok: true, version, stampMs, etag, sizeBytes }
    : { ok: true, version, stampMs, etag, checksum, sizeBytes };
}

export function applyDelete(context: PartitionContext, rows: KvWrite, command: DeleteCommand, entry: Entry): DeleteResult {
  const { bucket, key } = command;
  const { group } = entry;
  const refused = context.guards.refusal(rows, bucket);
  if (refused) return { ok: false, refused };
  const objectAt = objectKey(group, bucket, key);
  const head = readHead(rows, group, bucket, key, { sure: true });
  const failed = failedCondition(command.condition, head);
  if (failed) return { ok: false, refused: failed };
  if (head === undefined) return { ok: true, existed: false };
  const usage = context.usage.of(rows, bucket);
  const release = releaseOf(rows, group, bucket, key, head);

  rows.remove("rows", objectAt);
  rows.remove("bodies", versionKey(group, bucket, key, head.version));
  if (release) addToOutbox(rows, entry, 0, { bucket, key, ...release });
  usage.objects--;
  usage.versions--;
  usage.bytes -= head.sizeBytes;
  return { ok: true, existed: true };
}

export function failedCondition(
  condition: WriteCondition | undefined,
  head: Head | undefined,
): "precondition-failed" | "no-such-key" | undefined {
  if (condition === undefined) return undefined;
  if ("ifNoneMatch" in condition) return head === undefined ? undefined : "precondition-failed";
  if (head === undefined) return "no-such-key";
  return condition.ifMatch === "*" || condition.ifMatch.includes(head.etag) ? undefined : "precondition-failed";
}

/**
 * What becomes free when the head version goes; nothing when its body lies in its own row, or when the version comes again under
 * its own claim, `next`, and so needs its blocks still.
 */
export function releaseOf(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
  head: Head,
  next?: ClaimId,
): Release | undefined {
  if (head.inline) return undefined;
  // Damaged, nobody can read it any more, and whoever replaces or deletes it must be able to. Its references stay: the audit
  // names them.
  const content = unlessDamaged(() => readVersion(rows, group, bucket, key, head.version));
  return content === undefined || content.claim === next ? undefined : releaseOfContent(content);
}

export function releaseOfContent({ claim, stored }: Pick<Content, "claim" | "stored">): Release | undefined {
  switch (stored.kind) {
    case "inline":
      return undefined;
    case "blocks":
    case "block-pages":
      return { kind: "body", claim, stored };
    case "parts":
    case "part-pages":
      return { kind: "parts", upload: stored.upload, numbers: "all" };
  }
}

/** @param nth  0, 1, 2 …: which effect of this command it is. */
export function addToOutbox(
  rows: KvWrite,
  entry: Entry,
  nth: number,
  what: { readonly bucket: BucketId; readonly key: string } & Release,
): void {
  assert(nth < SEQUENCES_PER_COMMAND, "a command has few effects");
  rows.put("rows", outboxKey(entry.group, entry.index * SEQUENCES_PER_COMMAND + nth), encodeOutboxRow(what));
}

/** Writes the object row and the version row of a new head. */
export function writeVersion(
  rows: KvWrite,
  objectAt: Uint8Array,
  place: { readonly group: GroupId; readonly bucket: BucketId; readonly key: string; readonly version: VersionId },
  content: Content & { readonly headers: ObjectHeaders },
): void {
  const { version } = place;
  const { stampMs, sizeBytes, etag, checksum, stored } = content;
  // Encoded before the first write: headers that no row can hold fail their own command only.
  const versionRow = encodeVersion(content);
  rows.put("rows", objectAt, encodeObjectRow({ inline: stored.kind === "inline", stampMs, sizeBytes, version, etag, checksum }));
  rows.put("bodies", versionKey(place.group, place.bucket, place.key, version), versionRow);
}

/** Writes an object row that is damaged or gone anew, from its version row; a row that is whole stays as it is. */
export function applyRepairObject(
  rows: KvWrite,
  { bucket, key }: { readonly bucket: BucketId; readonly key: string },
  { group }: Entry,
): { readonly ok: boolean } {
  const at = objectKey(group, bucket, key);
  if (!isDamagedRow(rows, "rows", at) && rows.view("rows", at) !== undefined) return { ok: true };
  const rebuilt = rebuiltObjectRow(rows, group, bucket, at, rowsOfKey(group, ROW.version, bucket, key).end);
  if (rebuilt === undefined) return { ok: false };
  rows.put("rows", at, rebuilt.value);
  return { ok: true };
}

/** Log index and claim: versions of a key sort by the order of their commits. */
export function versionIdOf(entry: Entry, claim: ClaimId): VersionId {
  return (entry.index.toString(16).padStart(16, "0") + claim.slice(0, 16)) as VersionId;
}
