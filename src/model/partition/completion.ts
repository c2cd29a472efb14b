import type { Entry } from "../../group/groups.ts";
import type { KvRead, KvWrite } from "../../platform/kv.ts";
import type { ClaimId, VersionId } from "../../util/ids.ts";
import type { CompleteResult, CompleteUploadCommand } from "../commands.ts";
import type { CompletedPart } from "../object-service.ts";
import { eachPartOfUpload, readPartIndex } from "./body-reads.ts";
import { combinedChecksum, combinedEtag } from "./combined-checksum.ts";
import { addToOutbox, failedCondition, releaseOf, versionIdOf, writeVersion } from "./object-commands.ts";
import type { PartitionContext } from "./partition-context.ts";
import { type Head, readHead, readVersion } from "./read-version.ts";
import { objectKey, pageKey, partKey, ROW, uploadKey, versionKey } from "./row-keys.ts";
import { readUpload } from "./upload-row.ts";
import {
  type ContentHead,
  decodePartHead,
  encodePartPage,
  PAGE_ENTRIES,
  type PartEntry,
  EMBEDDED_PARTS,
  type StoredBody,
} from "./version-row.ts";

/**
 * CompleteMultipartUpload: metadata only. Part rows stay where they are, under their upload's id; the version holds their numbers
 * and sizes. The claim of such a version is the upload's id, those of its blocks are the parts' own.
 */
export function applyCompleteUpload(
  context: PartitionContext,
  rows: KvWrite,
  command: CompleteUploadCommand,
  entry: Entry,
): CompleteResult {
  const { bucket, key, upload } = command;
  const { group } = entry;
  const refused = context.guards.refusal(rows, bucket);
  if (refused) return { ok: false, refused };
  const objectAt = objectKey(group, bucket, key);
  const head = readHead(rows, group, bucket, key, { sure: true });
  const uploadRow = readUpload(rows, group, bucket, key, upload);
  if (uploadRow === undefined) {
    // A client that did not hear of its success asks again: while the version is current the answer is the same.
    return (head && repeatedResult(rows, command, entry, head)) ?? { ok: false, refused: "no-such-upload" };
  }
  if (uploadRow.lost) return { ok: false, refused: "lost" };
  const failed = failedCondition(command.condition, head);
  if (failed) return { ok: false, refused: failed };
  const gathered = gather(rows, command, entry);
  if ("refused" in gathered) return gathered;
  const { chosen, left, sizeBytes } = gathered;
  const checksum =
    uploadRow.checksum === undefined
      ? undefined
      : combinedChecksum(
          uploadRow.checksum,
          chosen.map(({ content }) => content),
        );
  const expected = command.fullObjectChecksum;
  if (
    expected !== undefined &&
    checksum !== undefined &&
    expected !== checksum.value &&
    expected !== checksum.value.split("-")[0]
  )
    return { ok: false, refused: "bad-digest" };
  if (command.objectSize !== undefined && command.objectSize !== sizeBytes)
    return { ok: false, refused: "wrong-object-size", sizeBytes };
  const release = head === undefined ? undefined : releaseOf(rows, group, bucket, key, head);
  const fresh = head === undefined ? 1 : 0;
  const count = context.usage.ready(rows, bucket, {
    objects: fresh,
    versions: fresh,
    bytes: sizeBytes - (head?.sizeBytes ?? 0),
    uploads: -1,
    parts: -chosen.length - left.length,
    partBytes: -gathered.allBytes,
  });

  const claim = upload as string as ClaimId;
  const version = versionIdOf(entry, claim);
  const etag = combinedEtag(chosen.map(({ content }) => content.etag));
  const entries = chosen.map(({ number, content }) => ({ number, size: content.sizeBytes }));
  const { stored, pages } = layOutParts(command, entries);
  const { headers } = uploadRow;
  const stampMs = entry.stamp;
  writeVersion(rows, objectAt, { bucket, key, version, group }, { stampMs, sizeBytes, etag, claim, checksum, stored, headers });
  for (const [page, bytes] of pages.entries())
    rows.put("bodies", pageKey(group, ROW.partPage, { bucket, key, owner: upload, page }), bytes);
  rows.remove("rows", uploadKey(group, bucket, key, upload));
  if (head !== undefined) rows.remove("bodies", versionKey(group, bucket, key, head.version));
  if (release) addToOutbox(rows, entry, 0, { bucket, key, ...release });
  if (left.length > 0) addToOutbox(rows, entry, 1, { bucket, key, kind: "parts", upload, numbers: left });
  count();
  return result(version, { stampMs, etag, checksum, sizeBytes });
}

interface Chosen {
  readonly number: number;
  readonly content: ContentHead;
}

interface Gathered {
  readonly chosen: readonly Chosen[];
  /** Numbers of the parts that the completion leaves out. */
  readonly left: readonly number[];
  readonly sizeBytes: number;
  /** Of all parts, left ones too. */
  readonly allBytes: number;
}

type PartRefusal = Extract<CompleteResult, { refused: "invalid-part" | "part-too-small" }>;

/** Walks the parts and the list of the command together; both ascend. */
function gather(rows: KvRead, command: CompleteUploadCommand, entry: Entry): Gathered | PartRefusal {
  const { parts, minPartSize } = command;
  const chosen: Chosen[] = [];
  const left: number[] = [];
  let sizeBytes = 0;
  let allBytes = 0;
  let bad: PartRefusal | undefined;
  eachPartOfUpload(rows, entry.group, command, (number, content) => {
    allBytes += content.sizeBytes;
    const wanted = parts[chosen.length];
    if (wanted?.part !== number) {
      left.push(number);
      return;
    }
    const isLast = chosen.length + 1 === parts.length;
    if (!matches(wanted, content)) bad ??= { ok: false, refused: "invalid-part", part: number };
    else if (!isLast && content.sizeBytes < minPartSize) bad ??= { ok: false, refused: "part-too-small", part: number };
    chosen.push({ number, content });
    sizeBytes += content.sizeBytes;
  });
  const missing = parts[chosen.length];
  if (bad !== undefined) return bad;
  if (missing !== undefined) return { ok: false, refused: "invalid-part", part: missing.part };
  if (chosen.length === 0) return { ok: false, refused: "invalid-part", part: 0 };
  return { chosen, left, sizeBytes, allBytes };
}

function matches({ etag, checksums }: CompletedPart, content: Pick<ContentHead, "etag" | "checksum">): boolean {
  if (etag !== content.etag) return false;
  if (checksums === undefined) return true;
  // One is kept of each part: what is named of another algorithm can't be verified, so it does not match.
  const kept = content.checksum;
  return Object.entries(checksums).every(([algorithm, value]) => algorithm === kept?.algorithm && value === kept.value);
}

function layOutParts(
  { upload }: CompleteUploadCommand,
  parts: readonly PartEntry[],
): { readonly stored: StoredBody; readonly pages: readonly Buffer[] } {
  if (parts.length <= EMBEDDED_PARTS) return { stored: { kind: "parts", upload, parts }, pages: [] };
  const pages: Buffer[] = [];
  const starts: number[] = [];
  let offset = 0;
  for (let at = 0; at < parts.length; at += PAGE_ENTRIES) {
    const page = parts.slice(at, at + PAGE_ENTRIES);
    starts.push(offset);
    pages.push(encodePartPage(page));
    for (const { size } of page) offset += size;
  }
  return { stored: { kind: "part-pages", upload, count: parts.length, starts }, pages };
}

/** The result of an earlier completion with the same parts whose version is still the head. */
function repeatedResult(rows: KvRead, command: CompleteUploadCommand, entry: Entry, head: Head): CompleteResult | undefined {
  const { bucket, key, upload, parts } = command;
  const { group } = entry;
  if (head.inline) return undefined;
  const version = readVersion(rows, group, bucket, key, head.version);
  const { stored } = version;
  if ((stored.kind !== "parts" && stored.kind !== "part-pages") || stored.upload !== upload) return undefined;
  const index = readPartIndex(rows, { group, bucket, key, ...version }, 0, parts.length + 1);
  if (index?.length !== parts.length) return undefined;
  for (const [at, wanted] of parts.entries()) {
    if (index[at]?.entry.number !== wanted.part) return undefined;
    const part = rows.get("bodies", partKey(group, bucket, key, upload, wanted.part));
    if (part === undefined || !matches(wanted, decodePartHead(part))) return undefined;
  }
  return result(head.version, version);
}

function result(version: VersionId, of: Pick<ContentHead, "stampMs" | "etag" | "checksum" | "sizeBytes">): CompleteResult {
  const { stampMs, etag, checksum, sizeBytes } = of;
  return checksum === undefined
    ? { ok: true, version, stampMs, etag, sizeBytes }
    : { ok: true, version, stampMs, etag, checksum, sizeBytes };
}
