import type { Database } from "lmdb";
import { assert } from "../../util/assert.ts";
import { CHECKSUM_BYTES, rowChecksum } from "../../util/row-checksum.ts";
import { damagedRow, KvError, MAX_KEY_BYTES, type KvRange, type RowView, type ScanStep, type Tree } from "../kv.ts";
import type { BatchWrite } from "./kv-pipeline.ts";
import { type PlacedRows, type RowCursor, scanTree, verifyAbsent, verifyPlace } from "./kv-search.ts";

/**
 * The parts of an lmdb database that are used here; lmdb's own types are generic over decoded values and leave out the buffers.
 */
interface RawTree {
  getBinaryFast(key: Uint8Array): ReadBuffer | undefined;
  getRange(options: object): RawRange;
  put(key: Uint8Array, value: WriteBuffer): unknown;
  remove(key: Uint8Array): unknown;
}
interface RawRange {
  iterate(): RawIterator;
}
interface RawIterator {
  next(): { done?: boolean };
  return(): unknown;
}
/** lmdb's reused read buffer: `length` is overwritten with the size of the last value. */
type ReadBuffer = Buffer & { readonly maxLength?: number };
/** lmdb takes the bytes [start, end) when a buffer has these. */
type WriteBuffer = Buffer & { start: number; end: number };

/**
 * How trees read and write: bytes as they are. lmdb copies key and value of a row into two buffers that it reuses; instead of
 * copying them out again, these hooks only note where they lie (measured over 260-byte rows: 0.13 µs a row, 0.17 its checksum,
 * 1.5 a seek).
 */
export class RowCoding {
  keyBuffer: Buffer = Buffer.alloc(0);
  keyStart = 0;
  keyEnd = 0;
  valueBuffer: ReadBuffer = Buffer.alloc(0);
  valueSize = 0;

  readonly keyEncoder = {
    writeKey: (key: Uint8Array, target: Buffer, start: number): number => {
      target.set(key, start);
      return start + key.length;
    },
    readKey: (source: Buffer, start: number, end: number): undefined => {
      this.keyBuffer = source;
      this.keyStart = start;
      this.keyEnd = end;
    },
  };
  readonly encoder = {
    encode: (value: WriteBuffer): WriteBuffer => value,
    decode: (value: ReadBuffer, size: number): undefined => {
      this.valueBuffer = value;
      this.valueSize = size;
    },
  };
  /** Any name but `binary`, which would make lmdb allocate a buffer for each large value. */
  readonly encoding = "hooks";
}

const WRITE_BUFFER_BYTES = 64 * 1024;

/**
 * Rows of the environment: in lmdb's write transaction while a batch runs, else in its read snapshot. One object serves all
 * calls.
 */
export class LmdbTransaction implements BatchWrite, PlacedRows {
  wrote = false;
  failure: KvError | undefined;
  /** A batch runs: writes are allowed. */
  writing = false;
  /** Puts and removes of this batch, and the bytes it may take at most. */
  writes = 0;
  putBytes = 0;
  #full = false;
  readonly #trees: Readonly<Record<Tree, RawTree>>;
  readonly #coding: RowCoding;
  readonly #onDamage: (error: KvError) => void;
  readonly #ranges: Readonly<Record<Tree, Ranges>>;
  /** Damage was met since the start: from then on a write makes sure that it is not led astray. */
  #damaged = false;
  #readBuffer: ReadBuffer | undefined;
  #read: Buffer = Buffer.alloc(0);
  #write: WriteBuffer = writeBuffer(WRITE_BUFFER_BYTES);

  constructor(
    trees: Readonly<Record<Tree, Database>>,
    { coding, onDamage }: { coding: RowCoding; onDamage: (error: KvError) => void },
  ) {
    this.#trees = trees as unknown as Readonly<Record<Tree, RawTree>>;
    this.#coding = coding;
    this.#onDamage = onDamage;
    const ranges = (tree: Tree): Ranges => ({
      up: openRange(this.#trees[tree], false),
      down: openRange(this.#trees[tree], true),
    });
    this.#ranges = { rows: ranges("rows"), bodies: ranges("bodies") };
  }

  /** A new batch; `full`: there is no room, every put fails. */
  begin({ full }: { full: boolean }): void {
    this.failure = undefined;
    this.writes = 0;
    this.putBytes = 0;
    this.#full = full;
  }

  get(tree: Tree, key: Uint8Array): Buffer | undefined {
    const size = this.#load(tree, key);
    if (size < 0) return undefined;
    const copy = Buffer.allocUnsafe(size);
    this.#read.copy(copy, 0, 0, size);
    return copy;
  }

  view(tree: Tree, key: Uint8Array): Buffer | undefined {
    const size = this.#load(tree, key);
    return size < 0 ? undefined : this.#read.subarray(0, size);
  }

  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void {
    scanTree(this, tree, range, visit);
  }

  cursor(tree: Tree, from: Uint8Array, down: boolean): RowCursor {
    const { up, down: downwards } = this.#ranges[tree];
    const { range, options } = down ? downwards : up;
    options.start = from;
    return new LmdbCursor(range.iterate(), this, this.#coding);
  }

  onDamage(error: KvError): void {
    this.#damaged = true;
    this.#onDamage(error);
  }

  put(tree: Tree, key: Uint8Array, value: Uint8Array): void {
    assert(this.writing, "writes happen inside transact");
    assert(key.length >= 1 && key.length <= MAX_KEY_BYTES, "keys have 1 to 4,000 bytes");
    if (this.failure !== undefined) throw this.failure;
    if (this.#full) throw (this.failure = new KvError("kv.full", "the metadata store has reached lmdb_map_size"));
    const size = value.length;
    if (size + CHECKSUM_BYTES > this.#write.length) this.#write = writeBuffer(2 * (size + CHECKSUM_BYTES));
    const stored = this.#write;
    stored.set(value);
    stored.writeUInt32LE(rowChecksum(key, 0, key.length, value, 0, size), size);
    stored.end = size + CHECKSUM_BYTES;
    this.wrote = true;
    this.writes += 1;
    this.putBytes += 3 * (key.length + size);
    if (this.#damaged) this.#verifyPlace(tree, key);
    try {
      this.#trees[tree].put(key, stored); // lmdb has copied key and value when this returns
    } catch (error) {
      throw (this.failure = kvErrorOf(error));
    }
  }

  remove(tree: Tree, key: Uint8Array): void {
    assert(this.writing, "writes happen inside transact");
    if (this.failure !== undefined) throw this.failure;
    this.wrote = true;
    this.writes += 1;
    if (this.#damaged) this.#verifyPlace(tree, key);
    try {
      this.#trees[tree].remove(key);
    } catch (error) {
      throw (this.failure = kvErrorOf(error));
    }
  }

  /** Reads a row into #read; its size without the checksum, −1 when it is absent. */
  #load(tree: Tree, key: Uint8Array): number {
    const bytes = this.#trees[tree].getBinaryFast(key);
    if (bytes === undefined) {
      verifyAbsent(this, tree, key);
      return -1;
    }
    const read = this.see(bytes);
    const size = bytes.length - CHECKSUM_BYTES;
    if (size >= 0 && read.readUInt32LE(size) === rowChecksum(key, 0, key.length, read, 0, size)) return size;
    const error = damagedRow(tree, key);
    this.onDamage(error);
    throw error;
  }

  #verifyPlace(tree: Tree, key: Uint8Array): void {
    try {
      verifyPlace(this, tree, key);
    } catch (error) {
      throw (this.failure = kvErrorOf(error));
    }
  }

  /**
   * A plain Buffer over lmdb's read buffer, whose own `length` lies; a new one only when lmdb has replaced its buffer by a larger
   * one.
   */
  see(bytes: ReadBuffer): Buffer {
    if (bytes === this.#readBuffer) return this.#read;
    this.#read = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.maxLength ?? bytes.length);
    // Only the reused buffer comes again; another object may be any size.
    this.#readBuffer = bytes.maxLength === undefined ? undefined : bytes;
    return this.#read;
  }
}

interface Ranges {
  readonly up: OpenRange;
  readonly down: OpenRange;
}

/** One range for all seeks: lmdb reads its options anew in `iterate`, and making a range costs as much as a seek. */
interface OpenRange {
  readonly range: RawRange;
  readonly options: { start: Uint8Array };
}

function openRange(rows: RawTree, down: boolean): OpenRange {
  const start = Buffer.alloc(0);
  const options = down ? { start, end: undefined, reverse: true } : { start };
  return { range: rows.getRange(options), options };
}

/** A row shows what lmdb has copied into its buffers, until the next call to lmdb. */
class LmdbCursor implements RowCursor {
  key: Buffer = NOTHING;
  keyStart = 0;
  keyEnd = 0;
  value: Buffer = NOTHING;
  readonly valueStart = 0;
  valueEnd = 0;
  readonly #iterator: RawIterator;
  readonly #rows: LmdbTransaction;
  readonly #coding: RowCoding;

  constructor(iterator: RawIterator, rows: LmdbTransaction, coding: RowCoding) {
    this.#iterator = iterator;
    this.#rows = rows;
    this.#coding = coding;
  }

  next(): boolean {
    if (this.#iterator.next().done === true) return false;
    const coding = this.#coding;
    this.key = coding.keyBuffer;
    this.keyStart = coding.keyStart;
    this.keyEnd = coding.keyEnd;
    this.value = this.#rows.see(coding.valueBuffer);
    this.valueEnd = coding.valueSize;
    return true;
  }

  close(): void {
    this.#iterator.return();
  }
}

const NOTHING = Buffer.alloc(0);

function writeBuffer(size: number): WriteBuffer {
  return Object.assign(Buffer.allocUnsafeSlow(size), { start: 0, end: 0 });
}

const ENOSPC = 28;
const EFBIG = 27;
const EDQUOT = 122;
const MDB_MAP_FULL = -30792;
const MDB_TXN_FULL = -30788;

/** What lmdb throws, in the words of the seam. */
export function kvErrorOf(error: unknown): KvError {
  if (error instanceof KvError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  switch (code) {
    case ENOSPC:
    case EFBIG:
    case EDQUOT:
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
      return new KvError("kv.full", `the metadata store has no room: ${message}`, { cause: error });
    default:
      return new KvError("kv.io", `the metadata store failed: ${message}`, { cause: error });
  }
}
