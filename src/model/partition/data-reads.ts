import { readOrdered } from "../../codec/key-order.ts";
import { hexSlice } from "../../codec/slices.ts";
import { type KvRead, STOP } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, Hash, UploadId } from "../../util/ids.ts";
import { missingRow } from "./damage.ts";
import { type OutboxEntry, readOutbox } from "./outbox-row.ts";
import { readHead, readVersion } from "./read-version.ts";
import {
  FIELDS_START,
  ORDERED_KEY_START,
  pageKey,
  partKey,
  partOfKey,
  partsOfUpload,
  ROW,
  rowsOf,
  rowsOfKey,
} from "./row-keys.ts";
import {
  type Content,
  decodeBlockPage,
  decodePart,
  decodePartHead,
  decodePartPage,
  decodeVersion,
  isLostContent,
  type PartEntry,
  type StoredBody,
} from "./version-row.ts";

/**
 * What the data path reads of a partition's rows besides bodies (body-reads.ts), the outbox (outbox-row.ts) and references
 * (reference-row.ts): the references that an outbox entry releases, and every claim that the object rows make (the audit compares
 * them with the references).
 */

/** A block that a claim needs, as its reference is named. */
export interface ClaimedBlock {
  readonly hash: Hash;
  readonly claim: ClaimId;
}

/** Where `releasedBlocks` goes on. */
export interface ReleaseCursor {
  readonly part: number;
  readonly page: number;
}

/**
 * The references that an outbox entry releases, a bounded piece at a time (about 1,024). Begin without a cursor; go on with
 * `next` until it is undefined; then drop-refs has to be done for all of them and the entry can be ticked off. Rows already gone
 * are skipped, and so are lost ones: what they named keeps its references (the audit names them), everything else goes.
 */
export function releasedBlocks(
  rows: KvRead,
  group: GroupId,
  entry: OutboxEntry,
  cursor: ReleaseCursor = { part: 0, page: 0 },
): ReleasePiece {
  if (entry.kind === "body") {
    const { page } = cursor;
    const blocks = contentPage(rows, group, entry, entry, page);
    return { blocks, parts: 0, next: page + 1 < pageCount(entry.stored) ? { part: 0, page: page + 1 } : undefined };
  }
  const blocks: ClaimedBlock[] = [];
  let { page } = cursor;
  let parts = 0;
  for (const number of partsFrom(rows, group, entry, cursor.part)) {
    if (blocks.length >= RELEASE_PIECE || parts === RELEASE_PIECE) return { blocks, parts, next: { part: number, page: 0 } };
    parts++;
    const at = partKey(group, entry.bucket, entry.key, entry.upload, number);
    const row = rows.view("bodies", at);
    if (row !== undefined) {
      const content = decodePart(row);
      for (let more = true; more; page++) {
        blocks.push(...contentPage(rows, group, entry, content, page));
        more = page + 1 < pageCount(content.stored);
        if (more && blocks.length >= RELEASE_PIECE) return { blocks, parts, next: { part: number, page: page + 1 } };
      }
    }
    page = 0;
  }
  return { blocks, parts, next: undefined };
}

export interface ReleasePiece {
  readonly blocks: readonly ClaimedBlock[];
  /** Part rows looked at: they go with the entry. */
  readonly parts: number;
  readonly next: ReleaseCursor | undefined;
}

/** Blocks, and parts, of one piece. */
const RELEASE_PIECE = 1024;

/** Numbers ≥ `from` of the parts that an entry releases; as many as one piece may look at, and one more when there is one. */
function partsFrom(
  rows: KvRead,
  group: GroupId,
  entry: Extract<OutboxEntry, { kind: "parts" }>,
  from: number,
): readonly number[] {
  if (entry.numbers !== "all") return entry.numbers.filter((number) => number >= from);
  return partNumbers(rows, group, entry, { from, limit: RELEASE_PIECE + 1 });
}

/** Numbers ≥ `from` of the parts of an upload, at most `limit`. */
export function partNumbers(
  rows: KvRead,
  group: GroupId,
  place: Parameters<typeof partsOfUpload>[1],
  { from, limit }: { readonly from: number; readonly limit: number },
): readonly number[] {
  const numbers: number[] = [];
  if (limit <= 0) return numbers;
  rows.scan("bodies", partsOfUpload(group, place, from), (row) => {
    numbers.push(partOfKey(row.key, row.keyEnd));
    return numbers.length >= limit ? STOP : undefined;
  });
  return numbers;
}

/** Of one upload, as S3 allows. */
export const MAX_PARTS = 10_000;

/**
 * The claimed blocks of one page of a body, 0 ..= pageCount − 1 (page 0 of an embedded list = all of it), as far as they are
 * known.
 */
function contentPage(
  rows: KvRead,
  group: GroupId,
  place: { readonly bucket: BucketId; readonly key: string },
  { claim, stored }: Pick<Content, "claim" | "stored">,
  page: number,
): readonly ClaimedBlock[] {
  if (stored.kind === "blocks") return stored.blocks.map(({ hash }) => ({ hash, claim }));
  if (stored.kind !== "block-pages") return [];
  const row = rows.get("bodies", pageKey(group, ROW.blockPage, { ...place, owner: claim, page }));
  const blocks = row === undefined ? "lost" : decodeBlockPage(row);
  return blocks === "lost" ? [] : blocks.map(({ hash }) => ({ hash, claim }));
}

function pageCount(stored: StoredBody): number {
  return stored.kind === "block-pages" ? stored.starts.length : 1;
}

/** Who makes a claim on a block. */
export interface Claimant extends ClaimedBlock {
  readonly by: "version" | "part" | "outbox";
  readonly bucket: BucketId;
  readonly key: string;
}

/**
 * Every claim that the group's versions, parts and outbox entries make, one call per block, as far as their rows are there
 * (consistency-check.ts). Parts of completed uploads are visited as "part" once, whether their version is live or in the outbox.
 * Walks every row: for audits, not for requests.
 */
export function eachClaim(rows: KvRead, group: GroupId, visit: (claimant: Claimant) => void): void {
  const claimed = (by: Claimant["by"], bucket: BucketId, key: string, content: Pick<Content, "claim" | "stored">): void => {
    for (let page = 0; page < pageCount(content.stored); page++)
      for (const block of contentPage(rows, group, { bucket, key }, content, page)) visit({ ...block, by, bucket, key });
  };
  // Rows are gathered in pieces: no scan may run inside another.
  for (const [by, type] of [
    ["version", ROW.version],
    ["part", ROW.part],
  ] as const) {
    let { start, end } = rowsOf(group, type);
    for (;;) {
      const piece: { bucket: BucketId; key: string; content: Content }[] = [];
      rows.scan("bodies", { start, end }, (row) => {
        const bucket = hexSlice(row.key, row.keyStart + FIELDS_START, row.keyStart + ORDERED_KEY_START) as BucketId;
        const { text } = readOrdered(row.key, row.keyStart + ORDERED_KEY_START);
        const value = Buffer.from(row.value.subarray(row.valueStart, row.valueEnd));
        piece.push({ bucket, key: text, content: by === "version" ? decodeVersion(value) : decodePart(value) });
        if (piece.length < 100) return undefined;
        start = Buffer.concat([row.key.subarray(row.keyStart, row.keyEnd), Buffer.of(0)]);
        return STOP;
      });
      for (const { bucket, key, content } of piece) claimed(by, bucket, key, content);
      if (piece.length < 100) break;
    }
  }
  for (let after = 0; ; ) {
    const entries = readOutbox(rows, group, { after, limit: 100 });
    for (const entry of entries) if (entry.kind === "body") claimed("outbox", entry.bucket, entry.key, entry);
    if (entries.length < 100) return;
    after = (entries.at(-1) as OutboxEntry).sequence;
  }
}

/**
 * Whether a claim is a version of the key, or a part of it that counts (rule 36); upload leases are the caller's to look at.
 * "unknown": a version or part is lost that may have been it.
 */
export function stateOfClaim(
  rows: KvRead,
  group: GroupId,
  place: {
    readonly bucket: BucketId;
    readonly key: string;
    readonly claim: ClaimId;
    readonly upload: UploadId | undefined;
    /** Known: no other part of the upload is looked at. */
    readonly part?: number;
  },
  isUploadLive: boolean,
): "live" | "dead" | "unknown" {
  const { bucket, key, claim, upload } = place;
  let state: "live" | "dead" | "unknown" = "dead";
  let version: Content | undefined;
  const head = readHead(rows, group, bucket, key, { sure: true });
  if (head !== undefined) readVersion(rows, group, bucket, key, head.version);
  rows.scan("bodies", rowsOfKey(group, ROW.version, bucket, key), (row) => {
    const content = decodeVersion(Buffer.from(row.value.subarray(row.valueStart, row.valueEnd)));
    const { stored } = content;
    if (stored.kind === "lost") state = "unknown";
    else if (content.claim === claim) state = "live";
    if ((stored.kind === "parts" || stored.kind === "part-pages") && stored.upload === upload) version = content;
    return state === "live" ? STOP : undefined;
  });
  if (state !== "dead" || upload === undefined) return state;
  const entries = version === undefined ? [] : partsOf(rows, group, { bucket, key }, version.stored);
  if (entries === "lost") return "unknown";
  let number: number | undefined;
  rows.scan("bodies", partsOfUpload(group, { bucket, key, upload }, place.part), (row) => {
    if (isLostContent(row.value, row.valueStart)) state = "unknown";
    else if (decodePartHead(row.value.subarray(row.valueStart, row.valueEnd)).claim === claim)
      number = partOfKey(row.key, row.keyEnd);
    return number !== undefined || place.part !== undefined ? STOP : undefined;
  });
  if (number !== undefined) return isUploadLive || entries.some((part) => part.number === number) ? "live" : "dead";
  for (const part of entries) {
    const at = partKey(group, bucket, key, upload, part.number);
    if ((place.part === undefined || place.part === part.number) && rows.view("bodies", at) === undefined) throw missingRow(at);
  }
  return state;
}

/** The parts of a multipart version; others have none. */
function partsOf(
  rows: KvRead,
  group: GroupId,
  place: { readonly bucket: BucketId; readonly key: string },
  stored: StoredBody,
): readonly PartEntry[] | "lost" {
  if (stored.kind === "parts") return stored.parts;
  if (stored.kind !== "part-pages") return [];
  const all: PartEntry[] = [];
  for (const page of stored.starts.keys()) {
    const at = pageKey(group, ROW.partPage, { ...place, owner: stored.upload, page });
    const row = rows.get("bodies", at);
    if (row === undefined) throw missingRow(at);
    const entries = decodePartPage(row);
    if (entries === "lost") return "lost";
    all.push(...entries);
  }
  return all;
}
