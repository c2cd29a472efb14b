import type { Entry } from "../../group/groups.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import { assert, unreachable } from "../../util/assert.ts";
import type { BucketId, ClaimId, GroupId, VersionId } from "../../util/ids.ts";
import type { DeleteCommand, DeleteResult, PutCommand, PutResult } from "../commands.ts";
import type { ObjectHeaders, WriteCondition } from "../object-service.ts";
import { claimRefusal } from "./claims.ts";
import { encodeObjectRow } from "./object-row.ts";
import { encodeOutboxRow, type Release, SEQUENCES_PER_COMMAND } from "./outbox-row.ts";
import type { PartitionContext } from "./partition-context.ts";
import { type Head, readHead, readVersion } from "./read-version.ts";
import { claimKey, objectKey, outboxKey, pageKey, ROW, versionKey } from "./row-keys.ts";
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
  const release = head === undefined ? undefined : releaseOf(rows, group, bucket, key, head, claim);
  const { stored, sizeBytes, pages } = layOut(body);
  const fresh = head === undefined ? 1 : 0;
  const count = context.usage.ready(rows, bucket, { objects: fresh, versions: fresh, bytes: sizeBytes - (head?.sizeBytes ?? 0) });

  const version = versionIdOf(entry, claim);
  const { etag, checksum, headers } = command;
  const stampMs = entry.stamp;
  writeVersion(rows, objectAt, { bucket, key, version, group }, { stampMs, sizeBytes, etag, claim, checksum, stored, headers });
  for (const [page, bytes] of pages.entries())
    rows.put("bodies", pageKey(group, ROW.blockPage, { bucket, key, owner: claim, page }), bytes);
  if (head !== undefined) {
    rows.remove("bodies", versionKey(group, bucket, key, head.version));
    if (release) addToOutbox(rows, entry, 0, { bucket, key, ...release });
  }
  count();
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
  const release = releaseOf(rows, group, bucket, key, head);
  const count = context.usage.ready(rows, bucket, { objects: -1, versions: -1, bytes: -head.sizeBytes });

  rows.remove("rows", objectAt);
  rows.remove("bodies", versionKey(group, bucket, key, head.version));
  if (release) addToOutbox(rows, entry, 0, { bucket, key, ...release });
  count();
  return { ok: true, existed: true };
}

export function failedCondition(
  condition: WriteCondition | undefined,
  head: Head | undefined,
): "precondition-failed" | "no-such-key" | "lost" | undefined {
  if (condition === undefined) return undefined;
  if ("ifNoneMatch" in condition) return head === undefined ? undefined : "precondition-failed";
  if (head === undefined) return "no-such-key";
  if (head.lost && condition.ifMatch !== "*") return "lost";
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
  const content = readVersion(rows, group, bucket, key, head.version);
  return content.claim === next ? undefined : releaseOfContent(content);
}

export function releaseOfContent({ claim, stored }: Pick<Content, "claim" | "stored">): Release | undefined {
  switch (stored.kind) {
    case "inline":
    // Its references stay: nobody knows which they are.
    case "lost":
      return undefined;
    case "blocks":
    case "block-pages":
      return { kind: "body", claim, stored };
    case "parts":
    case "part-pages":
      return { kind: "parts", upload: stored.upload, numbers: "all" };
    default:
      return unreachable(stored);
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

/** Log index and claim: versions of a key sort by the order of their commits. */
export function versionIdOf(entry: Entry, claim: ClaimId): VersionId {
  return (entry.index.toString(16).padStart(16, "0") + claim.slice(0, 16)) as VersionId;
}
