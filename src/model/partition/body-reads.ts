import type { KvRead } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, Hash, UploadId } from "../../util/ids.ts";
import type { BlockEntry } from "../commands.ts";
import { missingRow } from "./damage.ts";
import { lostObject } from "./lost.ts";
import { pageKey, partKey, partOfKey, partsOfUpload, ROW, rowsOfKey } from "./row-keys.ts";
import {
  claimOfContent,
  type Content,
  type ContentHead,
  decodeBlockPage,
  decodePart,
  decodePartHead,
  decodePartPage,
  PAGE_ENTRIES,
  type PartEntry,
  type StoredBody,
} from "./version-row.ts";

/** Where a version's body lies; enough to read its pieces as long as its rows exist (until its release is ticked off). */
export interface BodyPlace {
  readonly group: GroupId;
  readonly bucket: BucketId;
  readonly key: string;
  readonly claim: ClaimId;
  readonly sizeBytes: number;
  readonly stored: StoredBody;
}

/** A piece of an object's bytes: [offset, offset + size). `claim` is the one under which the block's reference stands. */
export type BodyPiece =
  | {
      readonly kind: "block";
      readonly offset: number;
      readonly size: number;
      readonly storedSize: number;
      readonly hash: Hash;
      readonly claim: ClaimId;
    }
  | { readonly kind: "inline"; readonly offset: number; readonly size: number; readonly bytes: Buffer };

/**
 * The pieces of a body in order, from the one that holds byte `offset` on; about `limit` of them (at least one, up to a page of
 * 1,024 more). Empty at or beyond the end; undefined when rows of the body are gone: the version was replaced and released
 * meanwhile.
 *
 * @throws KvError kv.damaged when they are gone while the version is there · ServiceError object.damaged when one is lost
 */
export function readPieces(rows: KvRead, place: BodyPlace, offset: number, limit: number): readonly BodyPiece[] | undefined {
  if (offset >= place.sizeBytes) return [];
  const walk: Walk = { rows, place, from: offset, limit, found: [] };
  const { stored } = place;
  const whole = stored.kind === "parts" || stored.kind === "part-pages" ? walkParts(walk, stored) : walkContent(walk, place, 0);
  return whole ? walk.found : undefined;
}

/** A part of a multipart version: its place among the parts (from 1), where it lies, and its row. */
export interface PlacedPart {
  readonly position: number;
  readonly entry: PartEntry;
  readonly offset: number;
}

/** Parts of a multipart version at positions > after, at most `limit`; undefined when the rows are gone. Others have none. */
export function readPartIndex(rows: KvRead, place: BodyPlace, after: number, limit: number): readonly PlacedPart[] | undefined {
  const found: PlacedPart[] = [];
  const { stored } = place;
  if (stored.kind !== "parts" && stored.kind !== "part-pages") return found;
  const whole = eachPart(rows, place, stored, { position: after, offset: 0 }, (part) => {
    if (part.position > after) found.push(part);
    return found.length < limit;
  });
  return whole ? found : undefined;
}

/** The row of one part of a completed or unfinished upload. */
export function readPart(
  rows: KvRead,
  place: Pick<BodyPlace, "group" | "bucket" | "key">,
  upload: UploadId,
  part: number,
): Content | undefined {
  const row = rows.get("bodies", partKey(place.group, place.bucket, place.key, upload, part));
  return row === undefined ? undefined : decodePart(row);
}

/** The same without its blocks: counting looks at thousands. */
export function readPartHead(
  rows: KvRead,
  place: Pick<BodyPlace, "group" | "bucket" | "key">,
  upload: UploadId,
  part: number,
): ContentHead | undefined {
  const row = rows.view("bodies", partKey(place.group, place.bucket, place.key, upload, part));
  return row === undefined ? undefined : decodePartHead(row);
}

/** Visits the parts of an upload by number. */
export function eachPartOfUpload(
  rows: KvRead,
  group: GroupId,
  place: { readonly bucket: BucketId; readonly key: string; readonly upload: UploadId },
  visit: (number: number, content: ContentHead) => void,
): void {
  rows.scan("bodies", partsOfUpload(group, place), (row) => {
    visit(partOfKey(row.key, row.keyEnd), decodePartHead(row.value.subarray(row.valueStart, row.valueEnd)));
    return undefined;
  });
}

/** Number of parts of a multipart version, 0 for others. */
export function partCount(stored: StoredBody): number {
  return stored.kind === "parts" ? stored.parts.length : stored.kind === "part-pages" ? stored.count : 0;
}

interface Walk {
  readonly rows: KvRead;
  readonly place: BodyPlace;
  readonly from: number;
  readonly limit: number;
  readonly found: BodyPiece[];
}

type Multipart = Extract<StoredBody, { kind: "parts" | "part-pages" }>;

function walkParts(walk: Walk, stored: Multipart): boolean {
  const { rows, place, from } = walk;
  let whole = true;
  const listed = eachPart(rows, place, stored, { position: 0, offset: from }, (part) => {
    if (part.offset + part.entry.size <= from) return true;
    const content = readPart(rows, place, stored.upload, part.entry.number);
    if (content === undefined)
      assertReplaced(rows, place, partKey(place.group, place.bucket, place.key, stored.upload, part.entry.number));
    whole = content !== undefined && walkContent(walk, content, part.offset);
    return whole && walk.found.length < walk.limit;
  });
  return listed && whole;
}

/**
 * Visits the parts in order until `visit` says false; begins with the page that holds the part behind position `from.position`,
 * or, when that is 0, byte `from.offset`. False when a page is gone.
 */
function eachPart(
  rows: KvRead,
  place: BodyPlace,
  stored: Multipart,
  from: { readonly position: number; readonly offset: number },
  visit: (part: PlacedPart) => boolean,
): boolean {
  if (stored.kind === "parts") {
    let offset = 0;
    for (const [at, entry] of stored.parts.entries()) {
      if (!visit({ position: at + 1, entry, offset })) return true;
      offset += entry.size;
    }
    return true;
  }
  const { starts } = stored;
  let page = from.position > 0 ? Math.floor(from.position / PAGE_ENTRIES) : pageOf(starts, from.offset);
  for (; page < starts.length; page++) {
    const pageAt = pageKey(place.group, ROW.partPage, { ...place, owner: stored.upload, page });
    const row = rows.get("bodies", pageAt);
    if (row === undefined) {
      assertReplaced(rows, place, pageAt);
      return false;
    }
    let offset = starts[page] as number;
    const entries = decodePartPage(row);
    if (entries === "lost") throw lostObject(place);
    for (const [at, entry] of entries.entries()) {
      if (!visit({ position: page * PAGE_ENTRIES + at + 1, entry, offset })) return true;
      offset += entry.size;
    }
  }
  return true;
}

function walkContent(
  walk: Walk,
  content: Pick<Content, "claim" | "stored"> & { readonly sizeBytes: number },
  base: number,
): boolean {
  const { stored, claim } = content;
  if (stored.kind === "inline") {
    if (content.sizeBytes > 0) walk.found.push({ kind: "inline", offset: base, size: content.sizeBytes, bytes: stored.bytes });
    return true;
  }
  if (stored.kind === "blocks") {
    addBlocks(walk, stored.blocks, claim, base);
    return true;
  }
  const { place } = walk;
  if (stored.kind === "lost") throw lostObject(place);
  if (stored.kind !== "block-pages") throw new RangeError("a part cannot have parts");
  for (let page = pageOf(stored.starts, walk.from - base); page < stored.starts.length; page++) {
    const at = pageKey(place.group, ROW.blockPage, { ...place, owner: claim, page });
    const row = walk.rows.get("bodies", at);
    if (row === undefined) {
      assertReplaced(walk.rows, place, at);
      return false;
    }
    const blocks = decodeBlockPage(row);
    if (blocks === "lost") throw lostObject(place);
    addBlocks(walk, blocks, claim, base + (stored.starts[page] as number));
    if (walk.found.length >= walk.limit) break;
  }
  return true;
}

/** A row of a body is gone. That is as it should be once its version is; while that is there only damage can have taken it. */
function assertReplaced(rows: KvRead, { group, bucket, key, claim }: BodyPlace, at: Buffer): void {
  rows.scan("bodies", rowsOfKey(group, ROW.version, bucket, key), ({ value, valueStart }) => {
    if (claimOfContent(value, valueStart) === claim) throw missingRow(at);
    return undefined;
  });
}

function addBlocks(walk: Walk, blocks: readonly BlockEntry[], claim: ClaimId, start: number): void {
  let offset = start;
  for (const { hash, size, storedSize } of blocks) {
    if (offset + size > walk.from) walk.found.push({ kind: "block", offset, size, storedSize, hash, claim });
    offset += size;
  }
}

/** The last page that starts at or before `offset`. */
function pageOf(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((starts[middle] as number) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
