import { readOrdered } from "../../codec/key-order.ts";
import { hexSlice, utf8Slice } from "../../codec/slices.ts";
import type { Groups } from "../../group/groups.ts";
import { damagedRow, type KvRead, STOP, type Tree } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, UploadId, VersionId } from "../../util/ids.ts";
import type { BucketUsage } from "../object-service.ts";
import { sizeOf, versionOf } from "../partition/object-row.ts";
import {
  bucketKey,
  FIELDS_START,
  OBJECT_KEY_START,
  ORDERED_KEY_START,
  pageKey,
  partOfKey,
  readUploadKey,
  readVersionKey,
  ROW,
  rowsOf,
  treeOf,
} from "../partition/row-keys.ts";
import { lostRecords } from "../partition/lost-record.ts";
import { decodeUploadHead } from "../partition/upload-row.ts";
import { readUsage } from "../partition/usage.ts";
import {
  type Content,
  decodeBlockPage,
  decodePart,
  decodePartPage,
  decodeVersion,
  storedKindOf,
} from "../partition/version-row.ts";

/**
 * Rows that are not there although another row says so. A checksum shows that a row has rotted, not that one has gone: its key
 * may have rotted (then it lies elsewhere, and may hide its neighbours from a search), or its page. So what acts on "not found"
 * asks here first.
 */
export interface Gap {
  readonly kind: "missing-row" | "wrong-counters" | "lost-row";
  readonly detail: string;
}

/**
 * Compares the rows of one group that name each other: object rows and version rows, versions with the pages and parts that they
 * list, parts with their pages, and each bucket's counters with the rows that they count. Call it in one read: then every gap is
 * a fact.
 *
 * @throws KvError kv.damaged at a damaged row; what was told before holds.
 */
export function checkGroup(rows: KvRead, group: GroupId, tell: (gap: Gap) => void): void {
  const missing = (what: string, { bucket, key }: Place): void =>
    tell({ kind: "missing-row", detail: `${what} of bucket ${bucket.slice(0, 16)}, key ${JSON.stringify(key)}` });
  const lost = (what: string, { bucket, key }: Place): void =>
    tell({ kind: "lost-row", detail: `${what} of bucket ${bucket.slice(0, 16)}, key ${JSON.stringify(key)}` });
  const counted = new Map<BucketId, Counters>();
  const countersOf = (bucket: BucketId): Counters => {
    const counters = counted.get(bucket) ?? { objects: 0, versions: 0, bytes: 0, uploads: 0, parts: 0, partBytes: 0 };
    counted.set(bucket, counters);
    return counters;
  };

  /** Bucket and key → head version: what is left when the version rows have been met has none. */
  const heads = new Map<string, VersionId>();
  rows.scan("rows", rowsOf(group, ROW.object), ({ key, keyStart, keyEnd, value, valueStart }) => {
    const bucket = bucketAt(key, keyStart);
    heads.set(bucket + utf8Slice(key, keyStart + OBJECT_KEY_START, keyEnd), versionOf(value, valueStart));
    const counters = countersOf(bucket);
    counters.objects++;
    counters.bytes += sizeOf(value, valueStart);
    return undefined;
  });
  const listed: (Place & { readonly content: Content })[] = [];
  rows.scan("bodies", rowsOf(group, ROW.version), (row) => {
    const bucket = bucketAt(row.key, row.keyStart);
    const { key, version } = readVersionKey(row.key, row.keyStart);
    countersOf(bucket).versions++;
    if (heads.get(bucket + key) === version) heads.delete(bucket + key);
    else missing("object row for a version", { bucket, key });
    if (ownsRows(row.value, row.valueStart)) listed.push({ bucket, key, content: decodeVersion(copyOf(row)) });
    return undefined;
  });
  for (const name of heads.keys())
    missing("version row", { bucket: name.slice(0, BUCKET_DIGITS) as BucketId, key: name.slice(BUCKET_DIGITS) });

  const uploads = new Set<UploadId>();
  rows.scan("rows", rowsOf(group, ROW.upload), ({ key, keyStart, value, valueStart, valueEnd }) => {
    countersOf(bucketAt(key, keyStart)).uploads++;
    const named = readUploadKey(key, keyStart);
    uploads.add(named.upload);
    if (decodeUploadHead(value, valueStart, valueEnd).lost) lost("upload", { bucket: bucketAt(key, keyStart), key: named.key });
    return undefined;
  });
  /** Upload and number. */
  const parts = new Set<string>();
  rows.scan("bodies", rowsOf(group, ROW.part), (row) => {
    const bucket = bucketAt(row.key, row.keyStart);
    const upload = hexSlice(row.key, row.keyEnd - 18, row.keyEnd - 2) as UploadId;
    parts.add(upload + partOfKey(row.key, row.keyEnd));
    if (uploads.has(upload)) {
      const counters = countersOf(bucket);
      counters.parts++;
      counters.partBytes += sizeOf(row.value, row.valueStart);
    }
    if (ownsRows(row.value, row.valueStart)) {
      const { text } = readOrdered(row.key, row.keyStart + ORDERED_KEY_START);
      listed.push({ bucket, key: text, content: decodePart(copyOf(row)) });
    }
    return undefined;
  });

  for (const { content, ...place } of listed) {
    const { stored, claim } = content;
    const pageOf = <T>(
      type: typeof ROW.blockPage | typeof ROW.partPage,
      { owner, page, decode }: { owner: ClaimId | UploadId; page: number; decode: (row: Buffer) => T[] | "lost" },
    ): readonly T[] => {
      const row = rows.get("bodies", pageKey(group, type, { ...place, owner, page }));
      const entries = row && decode(row);
      if (entries === undefined) missing(`page ${page} of the body`, place);
      else if (entries === "lost") lost(`page ${page} of the body`, place);
      return entries === undefined || entries === "lost" ? [] : entries;
    };
    if (stored.kind === "lost") lost("version or part", place);
    if (stored.kind === "block-pages")
      for (const page of stored.starts.keys()) pageOf(ROW.blockPage, { owner: claim, page, decode: decodeBlockPage });
    if (stored.kind !== "parts" && stored.kind !== "part-pages") continue;
    const entries =
      stored.kind === "parts"
        ? stored.parts
        : [...stored.starts.keys()].flatMap((page) =>
            pageOf(ROW.partPage, { owner: stored.upload, page, decode: decodePartPage }),
          );
    for (const { number } of entries) if (!parts.has(stored.upload + number)) missing(`part ${number}`, place);
  }
  for (const { own } of lostRecords(rows, group))
    if (!namesObject(Buffer.from(own)))
      tell({ kind: "lost-row", detail: `row ${Buffer.from(own).toString("hex")}, whose key says nothing: it is kept as it was` });
  compareCounters(rows, group, counted, tell);
}

function compareCounters(
  rows: KvRead,
  group: GroupId,
  counted: ReadonlyMap<BucketId, BucketUsage>,
  tell: (gap: Gap) => void,
): void {
  const buckets = new Set(counted.keys());
  rows.scan("rows", rowsOf(group, ROW.usage), ({ key, keyStart }) => {
    buckets.add(bucketAt(key, keyStart));
    return undefined;
  });
  for (const bucket of buckets) {
    const where = `bucket ${bucket.slice(0, 16)} in group ${group}`;
    if (rows.view("rows", bucketKey(group, ROW.usage, bucket)) === undefined) {
      tell({ kind: "missing-row", detail: `counters of ${where}` });
      continue;
    }
    const said = readUsage(rows, group, bucket);
    const found = counted.get(bucket);
    const differences = COUNTED.filter(([name]) => said[name] !== (found?.[name] ?? 0)).map(
      ([name, words]) => `${said[name]} ${words} counted, ${found?.[name] ?? 0} found`,
    );
    if (differences.length > 0)
      tell({ kind: "wrong-counters", detail: `rows are missing or counters are wrong: ${where}, ${differences.join("; ")}` });
  }
}

/**
 * Reads every row of the node once from the first to the last, also those that belong to no group: there lies a row whose group
 * number has rotted, and no search comes by. Calls `onDamaged` for each row that is damaged. Rows are read in pieces, so requests
 * go on (about 1 µs a row).
 */
export async function eachDamagedRow(
  groups: Groups,
  onDamaged: (message: string) => void,
  trees: readonly Tree[] = ["rows", "bodies"],
): Promise<void> {
  for (const tree of trees) {
    let from: Buffer | undefined = FIRST_KEY;
    while (from !== undefined) {
      const start: Buffer = from;
      from = await groups.inspect(0 as GroupId, (rows) => {
        let next: Buffer | undefined;
        let left = PIECE;
        const tell = (key: Buffer): void => onDamaged(damagedRow(tree, key).message);
        rows.scan(tree, { start, end: PAST_LAST_KEY, onDamaged: tell }, ({ key, keyStart, keyEnd }) => {
          left--;
          if (left > 0) return undefined;
          next = behind(key.subarray(keyStart, keyEnd));
          return STOP;
        });
        return next;
      });
    }
  }
}

interface Place {
  readonly bucket: BucketId;
  readonly key: string;
}

type Counters = { -readonly [name in keyof BucketUsage]: number };

const COUNTED: readonly (readonly [keyof BucketUsage, string])[] = [
  ["objects", "objects"],
  ["versions", "versions"],
  ["bytes", "bytes"],
  ["uploads", "uploads"],
  ["parts", "parts"],
  ["partBytes", "bytes of parts"],
];

const BUCKET_DIGITS = 64;
/** Rows read at a time. */
const PIECE = 2000;
const FIRST_KEY = Buffer.of(0);
const PAST_LAST_KEY = Buffer.alloc(8, 0xff);

/** Whether a lost row was one of a known object: then that says what is lost of it, until its owner replaces or deletes it. */
function namesObject(key: Buffer): boolean {
  if (key[2] === ROW.object) return key.byteLength > OBJECT_KEY_START;
  if (treeOf(key) === "rows") return true;
  try {
    return readOrdered(key, ORDERED_KEY_START).end < key.byteLength;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function bucketAt(key: Buffer, keyStart: number): BucketId {
  return hexSlice(key, keyStart + FIELDS_START, keyStart + ORDERED_KEY_START) as BucketId;
}

/** Whether a version or part has rows besides its own. */
function ownsRows(value: Buffer, start: number): boolean {
  const kind = storedKindOf(value[start + 1] as number);
  return kind !== "inline" && kind !== "blocks";
}

function copyOf({ value, valueStart, valueEnd }: { value: Buffer; valueStart: number; valueEnd: number }): Buffer {
  return Buffer.from(value.subarray(valueStart, valueEnd));
}

function behind(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}
