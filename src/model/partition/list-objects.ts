import { successor } from "../../codec/key-order.ts";
import { latin1Slice } from "../../codec/slices.ts";
import { type KvRead, type RowView, type ScanStep, STOP } from "../../platform/kv.ts";
import type { BucketId, GroupId } from "../../util/ids.ts";
import type { ChecksumAlgorithm, ListEntry, ListPage, ListRequest, StoredChecksum } from "../object-service.ts";
import { algorithmOf, checkCodec, checksumTypeOf, etagOf, isLostHead, OBJECT_CODEC, sizeOf, stampOf } from "./object-row.ts";
import { OBJECT_KEY_START, objectKey } from "./row-keys.ts";

/**
 * A page of a bucket's keys, merged over the partitions that hold its shards. Costs O(entries returned): a common prefix is one
 * seek per partition, and each partition is read in chunks of about its share.
 *
 * Keys are compared as latin1 strings of their UTF-8 bytes (one character a byte): that is byte order, and for ASCII keys the
 * very string that is returned.
 */
export function listObjects(
  rows: KvRead,
  groups: readonly GroupId[],
  request: Omit<ListRequest, "bucket"> & { readonly bucket: BucketId },
): ListPage {
  const { limit } = request;
  if (limit <= 0) return { entries: [], truncated: false };
  const wanted = limit + 1;
  const cursors: ShardCursor[] = [];
  const first = groups.length === 1 ? wanted : Math.ceil((wanted / groups.length) * 1.15) + 4;
  for (const group of groups) {
    const cursor = new ShardCursor(rows, group, request);
    cursor.fill(Math.min(first, wanted));
    if (cursor.head !== undefined) cursors.push(cursor);
  }
  const entries = merge(cursors, wanted, groups.length);
  const truncated = entries.length > limit;
  if (truncated) entries.pop();
  for (const entry of entries) entry.finishKey();
  const last = entries.at(-1);
  if (!truncated || last === undefined) return { entries, truncated: false };
  return { entries, truncated, next: { after: last.key, skipPrefix: last.prefix } };
}

/** The first `wanted` different entries of all cursors in order: a heap of cursors by their heads. */
function merge(heap: ShardCursor[], wanted: number, shards: number): Entry[] {
  const merged: Entry[] = [];
  let visited = 0;
  let last: Entry | undefined;
  for (let at = heap.length >> 1; at-- > 0; ) sink(heap, at);
  while (heap.length > 0 && merged.length < wanted) {
    const cursor = heap[0] as ShardCursor;
    const entry = cursor.head as Entry;
    visited++;
    // Partitions share common prefixes.
    if (last === undefined || last.key !== entry.key || !entry.prefix) {
      merged.push(entry);
      last = entry;
    }
    cursor.advance();
    if (cursor.head === undefined && !cursor.ended && merged.length < wanted) {
      const share = ((wanted - merged.length) * visited) / merged.length / shards;
      cursor.fill(Math.min(Math.ceil(share * 1.1) + 4, wanted));
    }
    if (cursor.head === undefined) {
      const spare = heap.pop() as ShardCursor;
      if (heap.length === 0) break;
      if (spare !== cursor) heap[0] = spare;
    }
    sink(heap, 0);
  }
  return merged;
}

function sink(heap: ShardCursor[], at: number): void {
  const size = heap.length;
  const cursor = heap[at] as ShardCursor;
  const key = (cursor.head as Entry).key;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    let lower = heap[child] as ShardCursor;
    if (child + 1 < size) {
      const right = heap[child + 1] as ShardCursor;
      if ((right.head as Entry).key < (lower.head as Entry).key) {
        lower = right;
        child++;
      }
    }
    if (key <= (lower.head as Entry).key) break;
    heap[at] = lower;
    at = child;
  }
  heap[at] = cursor;
}

/** One shape for all entries; `key` holds latin1 bytes until `finishKey`. */
class Entry implements ListEntry {
  key: string;
  readonly prefix: boolean;
  readonly etag: string;
  readonly sizeBytes: number;
  readonly stampMs: number;
  declare readonly checksumAlgorithm?: ChecksumAlgorithm;
  declare readonly checksumType?: StoredChecksum["type"];

  constructor(key: string, prefix: boolean, etag: string, sizeBytes: number, stampMs: number) {
    this.key = key;
    this.prefix = prefix;
    this.etag = etag;
    this.sizeBytes = sizeBytes;
    this.stampMs = stampMs;
  }

  finishKey(): void {
    if (BEYOND_ASCII.test(this.key)) this.key = Buffer.from(this.key, "latin1").toString("utf8");
  }
}

const BEYOND_ASCII = /[\x80-\xff]/;

/** The entries of one partition, a chunk at a time. */
class ShardCursor {
  readonly #rows: KvRead;
  readonly #end: Buffer;
  /** The delimiter's UTF-8 bytes as latin1; "" for none. */
  readonly #delimiter: string;
  readonly #prefixLength: number;
  #resume: Uint8Array;
  #chunk: Entry[] = [];
  #at = 0;
  #wanted = 0;
  /** The common prefix whose remaining keys are being stepped over, and how many more before a seek; "" when none is. */
  #skipping = "";
  #stepsLeft = 0;
  /** Steps to try at the next common prefix; after a failure 0 for a while. */
  #steps = MAX_STEPS;
  #failures = 0;
  ended = false;
  head: Entry | undefined;

  constructor(rows: KvRead, group: GroupId, request: Parameters<typeof listObjects>[2]) {
    const { bucket, prefix, delimiter, after, skipPrefix } = request;
    this.#rows = rows;
    this.#delimiter = Buffer.from(delimiter).toString("latin1");
    const start = objectKey(group, bucket, prefix);
    this.#prefixLength = start.byteLength - OBJECT_KEY_START;
    this.#end = successor(start);
    this.#resume = start;
    if (after !== "") {
      const marker = objectKey(group, bucket, after);
      const behind = skipPrefix ? successor(marker) : Buffer.concat([marker, ZERO]);
      if (Buffer.compare(behind, start) > 0) this.#resume = behind;
    }
  }

  advance(): void {
    this.head = this.#chunk[++this.#at];
  }

  /** Reads the next `count` entries; at the end of the partition's keys fewer. */
  fill(count: number): void {
    this.#chunk = [];
    this.#at = 0;
    this.#wanted = count;
    this.#skipping = "";
    this.ended = true;
    this.#rows.scan("rows", { start: this.#resume, end: this.#end }, this.#visit);
    this.head = this.#chunk[0];
  }

  readonly #visit = (row: RowView): ScanStep => {
    const start = row.keyStart + OBJECT_KEY_START;
    const key = latin1Slice(row.key, start, row.keyEnd);
    const chunk = this.#chunk;
    if (this.#delimiter !== "") {
      if (this.#skipping !== "") {
        if (key.startsWith(this.#skipping)) return this.#stepsLeft-- > 0 ? undefined : this.#giveUpStepping(row, start);
        this.#skipping = "";
        this.#steps = MAX_STEPS;
      }
      const found = key.indexOf(this.#delimiter, this.#prefixLength);
      if (found >= 0) {
        const prefix = key.slice(0, found + this.#delimiter.length);
        chunk.push(new Entry(prefix, true, "", 0, 0));
        if (chunk.length === this.#wanted) {
          this.#resume = behind(row, start + prefix.length);
          this.ended = false;
          return STOP;
        }
        if (this.#steps === 0) {
          if (++this.#failures % PROBE_EVERY === 0) this.#steps = MAX_STEPS;
          return behind(row, start + prefix.length);
        }
        this.#skipping = prefix;
        this.#stepsLeft = this.#steps - 1;
        return undefined;
      }
    }
    const { value, valueStart } = row;
    checkCodec(value[valueStart], OBJECT_CODEC, "object");
    // What a list says of an object is not known of this one: the audit names it.
    if (isLostHead(value, valueStart)) return undefined;
    const entry = new Entry(key, false, etagOf(value, valueStart), sizeOf(value, valueStart), stampOf(value, valueStart));
    const algorithm = algorithmOf(value, valueStart);
    if (algorithm !== undefined) {
      (entry as { checksumAlgorithm?: ChecksumAlgorithm }).checksumAlgorithm = algorithm;
      (entry as { checksumType?: StoredChecksum["type"] }).checksumType = checksumTypeOf(value, valueStart);
    }
    chunk.push(entry);
    if (chunk.length < this.#wanted) return undefined;
    this.#resume = Buffer.concat([row.key.subarray(row.keyStart, row.keyEnd), ZERO]);
    this.ended = false;
    return STOP;
  };

  /** The common prefix has more keys than are worth stepping over. */
  #giveUpStepping(row: RowView, start: number): Uint8Array {
    const seek = behind(row, start + this.#skipping.length);
    this.#skipping = "";
    this.#steps = 0;
    return seek;
  }
}

/**
 * A seek costs as much as stepping over six to eight rows (measured over lmdb: 3 µs and 0.4), and most folders are small in one
 * shard: so the first rows of a common prefix are stepped over, unless the prefixes here turn out to be large; then every
 * sixteenth one is tried again.
 */
const MAX_STEPS = 6;
const PROBE_EVERY = 16;

/** The least row key behind all that begin with the row's first bytes, up to `end`: UTF-8 never ends in 0xFF. */
function behind(row: RowView, end: number): Buffer {
  const key = Buffer.allocUnsafe(end - row.keyStart);
  row.key.copy(key, 0, row.keyStart, end);
  const last = key.byteLength - 1;
  key[last] = (key[last] as number) + 1;
  return key;
}

const ZERO = Buffer.of(0);
