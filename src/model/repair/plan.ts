import { hexSlice } from "../../codec/slices.ts";
import { readOrdered } from "../../codec/key-order.ts";
import { type KvRead, STOP } from "../../platform/kv.ts";
import type { BucketId, GroupId, UploadId, VersionId } from "../../util/ids.ts";
import type { RepairedRow } from "../commands.ts";
import { getRow } from "../control/rows.ts";
import { encodeFence } from "../partition/claims.ts";
import { encodeGuard } from "../partition/guards.ts";
import { decodeObjectRow, encodeObjectRow } from "../partition/object-row.ts";
import { encodeLostReference, encodeMark, encodeZero } from "../partition/reference-row.ts";
import { stateOf } from "../partition/repair-commands.ts";
import {
  FIELDS_START,
  OBJECT_KEY_START,
  ORDERED_KEY_START,
  objectKey,
  partOfKey,
  readUploadKey,
  readVersionKey,
  ROW,
  rowsOf,
  rowsOfKey,
  treeOf,
  uploadKey,
  versionKey,
  versionsFrom,
} from "../partition/row-keys.ts";
import { encodeLostUpload } from "../partition/upload-row.ts";
import { decodeVersion, encodeLostPage, encodePart, encodeVersion, lostContent, type Version } from "../partition/version-row.ts";

export interface Plan {
  readonly rows: readonly RepairedRow[];
  /** Buckets whose counters are to be made anew. */
  readonly recount: readonly BucketId[];
}

export interface PlanTimes {
  /** The group's log time. */
  readonly nowMs: number;
  readonly commandWindowMs: number;
}

/** Rows behind a damaged one that are looked at with it, so that a list over many needs few repairs. */
const ROWS_LOOKED_AT = 2_000;
/** Rows replaced by one command. */
const MAX_ROWS = 500;
/** Version rows between two whole object rows that are compared with object rows. */
const MAX_HIDDEN = 1_000;

/**
 * What is to be done for a row that was met damaged or missing, and for the damaged ones behind it, by a fresh reading: what is
 * whole now needs nothing. Another row that says the same makes a row anew; else a lost one takes its place.
 */
export function planRepair(rows: KvRead, group: GroupId, key: Buffer, times: PlanTimes): Plan {
  const type = key[2] as number;
  if (type === ROW.usage) return { rows: [], recount: isBucketKey(key) ? [bucketOf(key)] : [] };
  const planned = new Map<string, RepairedRow>();
  const add = (at: Buffer): void => {
    const state = stateOf(rows, at);
    if (state === "whole" || planned.size >= MAX_ROWS) return;
    for (const row of replacementsOf(rows, group, at, { state, ...times }))
      planned.set(Buffer.from(row.key).toString("hex"), row);
  };
  add(key);
  for (const other of damagedBehind(rows, group, key)) add(other);
  return { rows: [...planned.values()], recount: [] };
}

function damagedBehind(rows: KvRead, group: GroupId, key: Buffer): readonly Buffer[] {
  const { start, end } = rowsOf(group, key[2] as number);
  const from = Buffer.compare(key, start) > 0 ? key : start;
  const found: Buffer[] = [];
  let left = ROWS_LOOKED_AT;
  const onDamaged = (damaged: Buffer): void => void found.push(damaged);
  rows.scan(treeOf(key), { start: from, end, onDamaged }, () => (--left > 0 && found.length < MAX_ROWS ? undefined : STOP));
  return found.filter((other) => other.readUInt16BE() === group && other[2] === key[2]);
}

type Found = PlanTimes & { readonly state: "damaged" | "missing" };

function replacementsOf(rows: KvRead, group: GroupId, key: Buffer, found: Found): readonly RepairedRow[] {
  const { state } = found;
  /** What the row held is known all the same. */
  const rebuilt = (value: Buffer | undefined): RepairedRow[] => [{ key, found: state, value, isLost: false }];
  const lost = (value: Buffer | undefined, uncounted?: BucketId): RepairedRow[] => [
    { key, found: state, value, isLost: true, ...(uncounted === undefined ? {} : { uncounted }) },
  ];
  /** Rows whose key says all, if it is one. */
  const mark = (length: number, value: () => Buffer): RepairedRow[] =>
    key.byteLength === FIELDS_START + length ? rebuilt(value()) : lost(undefined);
  switch (key[2]) {
    case ROW.object:
      return objectRows(rows, group, key, state);
    case ROW.version:
      return versionRows(rows, group, key, state);
    case ROW.blockPage:
    case ROW.partPage:
      return lost(encodeLostPage());
    case ROW.part:
      return orNothing(() => lostPart(rows, group, key), lost);
    case ROW.upload:
      return orNothing(() => ({ value: encodeLostUpload(readUploadKey(key, 0).upload) }), lost);
    case ROW.guard:
      return isBucketKey(key) ? rebuilt(guardOf(rows, bucketOf(key), found)) : lost(undefined);
    case ROW.tombstone:
      return mark(38, encodeMark);
    // Without its lease an upload is refused, and sent again; nothing takes it for live meanwhile (rule 36).
    case ROW.uploadLease:
      return rebuilt(undefined);
    case ROW.fenced:
      return mark(16, () => encodeFence(found.nowMs + found.commandWindowMs));
    case ROW.reference:
      return key.byteLength === FIELDS_START + 48 ? lost(encodeLostReference()) : lost(undefined);
    case ROW.unconfirmed:
      return mark(54, encodeMark);
    // How long nobody has needed the block is not known: it waits from now on.
    case ROW.zero:
      return mark(32, () => encodeZero(found.nowMs));
    // What it would have released keeps its references, until `repair block-refs` finds that nothing names them.
    case ROW.outbox:
      return lost(undefined);
    case ROW.lost:
      return rebuilt(undefined);
    default:
      return [];
  }
}

/** Counts as lost with what `make` says; a key without sense makes a row that goes. */
function orNothing(
  make: () => { readonly value: Buffer; readonly uncounted?: BucketId },
  lost: (value: Buffer | undefined, uncounted?: BucketId) => RepairedRow[],
): RepairedRow[] {
  const made = ofHint(make);
  return made === undefined ? lost(undefined) : lost(made.value, made.uncounted);
}

/** An object row is made from the version row, which says the same and more; without one the object is lost, not its name. */
function objectRows(rows: KvRead, group: GroupId, at: Buffer, state: Found["state"]): RepairedRow[] {
  const key = at.toString("utf8", OBJECT_KEY_START);
  const makesSense = at.byteLength > OBJECT_KEY_START && Buffer.compare(Buffer.from(key), at.subarray(OBJECT_KEY_START)) === 0;
  if (!makesSense) return [{ key: at, found: state, value: undefined, isLost: true }, ...hiddenObjects(rows, group, at)];
  const bucket = bucketOf(at);
  const { whole, damaged } = versionsOf(rows, group, bucket, key);
  if (whole !== undefined) {
    const value = objectRowOf(whole.content, whole.version);
    return [{ key: at, found: state, value, isLost: false, ...(state === "missing" ? { uncounted: bucket } : {}) }];
  }
  // The key may be what has rotted, and the object another one whose version row is there.
  const hidden = damaged === undefined && state === "damaged" ? hiddenObjects(rows, group, at) : [];
  if (hidden.length > 0) return [{ key: at, found: state, value: undefined, isLost: true }, ...hidden];
  if (damaged === undefined && state === "missing") return [];
  const version = damaged ?? ("0".repeat(32) as VersionId);
  const content = lostContent();
  const body = versionKey(group, bucket, key, version);
  return [
    { key: at, found: state, value: objectRowOf(content, version), isLost: true, uncounted: bucket },
    { key: body, found: damaged === undefined ? "missing" : "damaged", value: encodeVersion(content), isLost: true },
  ];
}

/** Objects whose version rows lie between the next whole object rows on either side, and that have no object row. */
function hiddenObjects(rows: KvRead, group: GroupId, at: Buffer): RepairedRow[] {
  const all = rowsOf(group, ROW.object);
  const next = (range: { start: Uint8Array; end: Uint8Array; reverse?: boolean }): Buffer | undefined => {
    let found: Buffer | undefined;
    if (Buffer.compare(range.start, range.end) < 0)
      rows.scan("rows", { ...range, onDamaged: () => undefined }, ({ key, keyStart, keyEnd }) => {
        found = Buffer.from(key.subarray(keyStart, keyEnd));
        return STOP;
      });
    return found;
  };
  const low = next({ start: all.start, end: at, reverse: true });
  const high = next({ start: Buffer.concat([at, Buffer.of(0)]), end: all.end });
  const names: { bucket: BucketId; key: string }[] = [];
  const versions = rowsOf(group, ROW.version);
  const range = {
    start: low === undefined ? versions.start : versionsFrom(low),
    end: high === undefined ? versions.end : versionsFrom(high),
    onDamaged: () => undefined,
  };
  rows.scan("bodies", range, (row) => {
    names.push({
      bucket: hexSlice(row.key, row.keyStart + FIELDS_START, row.keyStart + OBJECT_KEY_START) as BucketId,
      key: readVersionKey(row.key, row.keyStart).key,
    });
    return names.length === MAX_HIDDEN ? STOP : undefined;
  });
  return names.flatMap(({ bucket, key }) => {
    const object = objectKey(group, bucket, key);
    return stateOf(rows, object) === "missing" ? objectRows(rows, group, object, "missing") : [];
  });
}

function objectRowOf(content: Version, version: VersionId): Buffer {
  const { stored } = content;
  const lost = stored.kind === "lost" && content.stampMs === 0;
  return encodeObjectRow({ ...content, inline: stored.kind === "inline", lost, version });
}

/** The newest version of a key that can be read, and the newest that can't. */
function versionsOf(
  rows: KvRead,
  group: GroupId,
  bucket: BucketId,
  key: string,
): { readonly whole?: { readonly version: VersionId; readonly content: Version }; readonly damaged?: VersionId } {
  let damaged: VersionId | undefined;
  const onDamaged = (at: Buffer): void => {
    const named = ofHint(() => readVersionKey(at, 0));
    if (named?.key === key) damaged ??= named.version;
  };
  let whole: { version: VersionId; content: Version } | undefined;
  rows.scan("bodies", { ...rowsOfKey(group, ROW.version, bucket, key), onDamaged }, (row) => {
    const content = decodeVersion(Buffer.from(row.value.subarray(row.valueStart, row.valueEnd)));
    whole = { version: readVersionKey(row.key, row.keyStart).version, content };
    return STOP;
  });
  return { ...(whole === undefined ? {} : { whole }), ...(damaged === undefined ? {} : { damaged }) };
}

/** A version row keeps what the object row says; its body and headers are lost. */
function versionRows(rows: KvRead, group: GroupId, at: Buffer, state: Found["state"]): RepairedRow[] {
  const gone: RepairedRow = { key: at, found: state, value: undefined, isLost: true };
  const named = ofHint(() => readVersionKey(at, 0));
  if (named === undefined) return [gone];
  const object = objectKey(group, bucketOf(at), named.key);
  const objectState = stateOf(rows, object);
  if (objectState !== "whole") return objectRows(rows, group, object, objectState);
  const head = decodeObjectRow(rows.get("rows", object) as Buffer);
  if (head.version !== named.version) return [gone];
  const { stampMs, sizeBytes, etag } = head;
  return [{ ...gone, value: encodeVersion(lostContent({ stampMs, sizeBytes, etag })) }];
}

/** Of a completed upload's part the version knows the size; one of an upload under way counts as none. */
function lostPart(rows: KvRead, group: GroupId, at: Buffer): { readonly value: Buffer; readonly uncounted?: BucketId } {
  const { text: key, end } = readOrdered(at, ORDERED_KEY_START);
  if (end + 18 !== at.byteLength) throw new RangeError("no key of a part");
  const bucket = bucketOf(at);
  const upload = hexSlice(at, end, end + 16) as UploadId;
  const number = partOfKey(at, at.byteLength);
  const stored = versionsOf(rows, group, bucket, key).whole?.content.stored;
  const entry = stored?.kind === "parts" ? stored.parts.find((part) => part.number === number) : undefined;
  const isUnderWay = stateOf(rows, uploadKey(group, bucket, key, upload)) !== "missing";
  const value = encodePart(lostContent({ sizeBytes: entry?.size ?? 0 }));
  return isUnderWay ? { value, uncounted: bucket } : { value };
}

/**
 * What protects a bucket stands in the control group's row, too. Where its end is not decided the other way, the guard is sealed
 * by the attempt that the row has. Of a bucket that is gone it refuses everything, for as long as a command could come.
 */
function guardOf(rows: KvRead, bucket: BucketId, { nowMs, commandWindowMs }: PlanTimes): Buffer {
  const row = getRow(rows, "bucket", bucket);
  if (row === undefined) {
    const tombstoneUntilMs = nowMs + 2 * commandWindowMs;
    return encodeGuard({ controlIndex: 0, indexShards: 1, sealedBy: 1, floor: 0, tombstoneUntilMs });
  }
  const { guardIndex: controlIndex, indexShards, attempt, phase } = row;
  const isSealed = phase === "deleting" || phase === "removing";
  return encodeGuard({
    controlIndex,
    indexShards,
    sealedBy: attempt,
    floor: isSealed ? attempt - 1 : attempt,
    tombstoneUntilMs: 0,
  });
}

function isBucketKey(key: Buffer): boolean {
  return key.byteLength === OBJECT_KEY_START;
}

function bucketOf(key: Buffer): BucketId {
  return hexSlice(key, FIELDS_START, OBJECT_KEY_START) as BucketId;
}

/** What `read` makes of the key of a damaged row; undefined when there is no sense in it. */
export function ofHint<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
