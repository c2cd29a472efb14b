import { readOrdered } from "../../codec/key-order.ts";
import { hexSlice } from "../../codec/slices.ts";
import { type KvRead, STOP } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, Hash, UploadId } from "../../util/ids.ts";
import { type OutboxEntry, readOutbox } from "./outbox-row.ts";
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
import { type Content, decodeBlockPage, decodePart, decodePartPage, decodeVersion } from "./version-row.ts";

/**
 * What the data path reads of a partition's rows besides bodies (body-reads.ts), the outbox (outbox-row.ts) and references (reference-row.ts):
 * the references that an outbox entry releases, and every claim that the object rows make (the audit compares them with the references).
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
 * The references that an outbox entry releases, a bounded piece at a time (about 1,024). Begin without a cursor; go on with `next` until it
 * is undefined; then drop-refs has to be done for all of them and the entry can be ticked off. Rows already gone are skipped.
 */
export function releasedBlocks(
  rows: KvRead,
  group: GroupId,
  entry: OutboxEntry,
  cursor: ReleaseCursor = { part: 0, page: 0 },
): ReleasePiece {
  if (entry.kind === "body") {
    const piece = contentPage(rows, group, entry, entry, cursor.page);
    return { blocks: piece.blocks, parts: 0, next: piece.more ? { part: 0, page: cursor.page + 1 } : undefined };
  }
  const blocks: ClaimedBlock[] = [];
  let { page } = cursor;
  let parts = 0;
  for (const number of partsFrom(rows, group, entry, cursor.part)) {
    if (blocks.length >= RELEASE_PIECE || parts === RELEASE_PIECE) return { blocks, parts, next: { part: number, page: 0 } };
    parts++;
    const row = rows.view("bodies", partKey(group, entry.bucket, entry.key, entry.upload, number));
    if (row !== undefined) {
      const content = decodePart(row);
      for (let more = true; more; page++) {
        const piece = contentPage(rows, group, entry, content, page);
        blocks.push(...piece.blocks);
        more = piece.more;
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
  const numbers: number[] = [];
  rows.scan("bodies", partsOfUpload(group, entry, from), (row) => {
    numbers.push(partOfKey(row.key, row.keyEnd));
    return numbers.length > RELEASE_PIECE ? STOP : undefined;
  });
  return numbers;
}

/** The claimed blocks of one page of a body (page 0 of a riding list = all of it). */
function contentPage(
  rows: KvRead,
  group: GroupId,
  place: { readonly bucket: BucketId; readonly key: string },
  { claim, stored }: Pick<Content, "claim" | "stored">,
  page: number,
): { readonly blocks: readonly ClaimedBlock[]; readonly more: boolean } {
  if (stored.kind === "blocks") return { blocks: stored.blocks.map(({ hash }) => ({ hash, claim })), more: false };
  if (stored.kind !== "block-pages") return { blocks: [], more: false };
  const row = rows.get("bodies", pageKey(group, ROW.blockPage, { ...place, owner: claim, page }));
  const blocks = row === undefined ? [] : decodeBlockPage(row).map(({ hash }) => ({ hash, claim }));
  return { blocks, more: page + 1 < stored.starts.length };
}

/** Who makes a claim on a block. */
export interface Claimant extends ClaimedBlock {
  readonly by: "version" | "part" | "outbox";
  readonly bucket: BucketId;
  readonly key: string;
}

/**
 * Every claim that the group's versions, parts and outbox entries make, one call per block. Parts of completed uploads are visited as "part" once,
 * whether their version is live or in the outbox. Walks every row: for audits, not for requests.
 */
export function eachClaim(rows: KvRead, group: GroupId, visit: (claimant: Claimant) => void): void {
  const claimed = (by: Claimant["by"], bucket: BucketId, key: string, content: Pick<Content, "claim" | "stored">): void => {
    for (let page = 0, more = true; more; page++) {
      const piece = contentPage(rows, group, { bucket, key }, content, page);
      for (const block of piece.blocks) visit({ ...block, by, bucket, key });
      more = piece.more;
    }
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

/** Whether a claim is a version of the key, or a part of it that counts (rule 36); pending rows are the caller's to look at. */
export function isLiveClaim(
  rows: KvRead,
  group: GroupId,
  place: { readonly bucket: BucketId; readonly key: string; readonly claim: ClaimId; readonly upload: UploadId | undefined },
  isUploadLive: boolean,
): boolean {
  const { bucket, key, claim, upload } = place;
  let live = false;
  let version: Content | undefined;
  rows.scan("bodies", rowsOfKey(group, ROW.version, bucket, key), (row) => {
    const content = decodeVersion(Buffer.from(row.value.subarray(row.valueStart, row.valueEnd)));
    if (content.claim === claim) live = true;
    const { stored } = content;
    if ((stored.kind === "parts" || stored.kind === "part-pages") && stored.upload === upload) version = content;
    return live ? STOP : undefined;
  });
  if (live || upload === undefined) return live;
  const number = partOfClaim(rows, group, bucket, key, upload, claim);
  if (number === undefined) return false;
  return isUploadLive || (version !== undefined && holdsPart(rows, group, { bucket, key }, version, number));
}

function partOfClaim(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
  upload: UploadId,
  claim: ClaimId,
): number | undefined {
  let number: number | undefined;
  rows.scan("bodies", partsOfUpload(group, { bucket, key, upload }), (row) => {
    const content = decodePart(Buffer.from(row.value.subarray(row.valueStart, row.valueEnd)));
    if (content.claim !== claim) return undefined;
    number = partOfKey(row.key, row.keyEnd);
    return STOP;
  });
  return number;
}

function holdsPart(
  rows: KvRead,
  group: GroupId,
  place: { readonly bucket: BucketId; readonly key: string },
  { stored }: Content,
  number: number,
): boolean {
  if (stored.kind === "parts") return stored.parts.some((part) => part.number === number);
  if (stored.kind !== "part-pages") return false;
  for (let page = 0; page < stored.starts.length; page++) {
    const row = rows.get("bodies", pageKey(group, ROW.partPage, { ...place, owner: stored.upload, page }));
    if (row !== undefined && decodePartPage(row).some((part) => part.number === number)) return true;
  }
  return false;
}
