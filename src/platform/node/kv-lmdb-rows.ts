import type { Database } from "lmdb";
import { assert } from "../../util/assert.ts";
import { CHECKSUM_BYTES, rowChecksum } from "../../util/row-checksum.ts";
import {
  damagedRow,
  KvError,
  MAX_KEY_BYTES,
  type KvRange,
  type RowView,
  type ScanStep,
  type StoredBytes,
  type Tree,
} from "../kv.ts";
import type { BatchWrite } from "./kv-pipeline.ts";
import {
  compare,
  isWhole,
  type PlacedRows,
  type RowCursor,
  scanTree,
  storedRow,
  verifyAbsent,
  verifyPlace,
} from "./kv-search.ts";

/**
 * The parts of lmdb that are used here; its own types are generic over decoded values, and leave out the buffers and what lies
 * beneath its iterators. Those make a new cursor for each walk in a write transaction (5 µs) and objects for each row; the
 * functions beneath, which it exports as `nativeAddon`, don't.
 */
export interface RawLmdb {
  /** In the write transaction while one runs, else in the read snapshot. Must be closed before its write transaction ends. */
  readonly Cursor: new (
    dbi: object,
    txnAddress: number,
  ) => RawCursor;
  /** Seeks the key of that size in the key buffer. @returns as `iterate` */
  position(address: number, flags: number, offset: number, keySize: number, endAddress: number): number;
  /** The next row, into key and read buffer. @returns the size of its key; 0 at the end; below that an error */
  iterate(address: number): number;
  /** The same row again. */
  getCurrentValue(address: number): number;
  lmdbError(code: number): Error;
  /** The first read buffer. */
  readonly globalBuffer: ReadBuffer;
}
interface RawCursor {
  readonly address: number;
  close(): void;
}
interface RawTree {
  readonly db: object;
  getBinaryFast(key: Uint8Array): ReadBuffer | undefined;
  put(key: Uint8Array, value: WriteBuffer): unknown;
  remove(key: Uint8Array): unknown;
  /** Makes sure that the read snapshot is given back after this turn of the event loop. */
  ensureReadTxn(): void;
  /** Replaces the read buffer by one that holds at least so many bytes. */
  _allocateGetBuffer(size: number): ReadBuffer;
}
/** lmdb's reused read buffer: `length` is overwritten with the size of the last value. */
type ReadBuffer = Buffer & { readonly maxLength?: number };
/** lmdb takes the bytes [start, end) when a buffer has these. */
type WriteBuffer = Buffer & { start: number; end: number };

/** Flags of `position`. */
const WITH_VALUES = 0x100;
const DOWN = 0x400;
/** Moves a cursor of the read snapshot on to the newest one. */
const RENEW = 0x2000;
/** Where a row's key lies in the key buffer; the size of its value lies at 0, and at 4 a number when that fits no buffer. */
const KEY_AT = 32;

/** How trees read and write: bytes as they are. */
export class RowCoding {
  /** lmdb's key buffer, which it shows to whoever writes a key into it: known after the first read. */
  keyBuffer: Buffer | undefined;

  readonly keyEncoder = {
    writeKey: (key: Uint8Array, target: Buffer, start: number): number => {
      this.keyBuffer ??= target;
      target.set(key, start);
      return start + key.length;
    },
  };
  readonly encoder = { encode: (value: WriteBuffer): WriteBuffer => value };
  /** Any name but `binary`, which would make lmdb allocate a buffer for each large value. */
  readonly encoding = "hooks";
}

/**
 * A plain Buffer over lmdb's read buffer, whose own `length` lies. All environments of a thread share it, and it is replaced when
 * a value is too large for it.
 */
let readBuffer: ReadBuffer | undefined;
let read = Buffer.alloc(0);

function see(bytes: ReadBuffer): Buffer {
  if (bytes === readBuffer) return read;
  readBuffer = bytes;
  read = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.maxLength ?? bytes.length);
  return read;
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
  readonly #lmdb: RawLmdb;
  readonly #keyBuffer: Buffer;
  readonly #onDamage: (error: KvError) => void;
  /** Of the read snapshot, and of the batch that runs; made when first needed, used again. */
  readonly #cursors: Readonly<Record<"reading" | "writing", Readonly<Record<Tree, LmdbCursor[]>>>> = {
    reading: { rows: [], bodies: [] },
    writing: { rows: [], bodies: [] },
  };
  /** Damage was met since the start: from then on a write makes sure that it is not led astray. */
  #damaged = false;
  /** Holds the row that was loaded last. */
  #loaded: Buffer = NOTHING;
  #write: WriteBuffer = writeBuffer(WRITE_BUFFER_BYTES);

  constructor(
    trees: Readonly<Record<Tree, Database>>,
    { lmdb, coding, onDamage }: { lmdb: RawLmdb; coding: RowCoding; onDamage: (error: KvError) => void },
  ) {
    this.#trees = trees as unknown as Readonly<Record<Tree, RawTree>>;
    this.#lmdb = lmdb;
    this.#onDamage = onDamage;
    if (readBuffer === undefined) see(lmdb.globalBuffer);
    this.#trees.rows.getBinaryFast(Buffer.from([0]));
    assert(coding.keyBuffer !== undefined, "lmdb shows its key buffer with the first read");
    this.#keyBuffer = coding.keyBuffer;
  }

  /** A new batch; `full`: there is no room, every put fails. */
  begin({ full }: { full: boolean }): void {
    this.failure = undefined;
    this.writes = 0;
    this.putBytes = 0;
    this.#full = full;
    this.writing = true;
  }

  /** The batch has run; before its transaction ends. */
  end(): void {
    this.writing = false;
    this.#closeCursors("writing");
  }

  /** Before the environment is closed. */
  close(): void {
    this.#closeCursors("reading");
  }

  #closeCursors(of: "reading" | "writing"): void {
    for (const idle of Object.values(this.#cursors[of])) for (const cursor of idle.splice(0)) cursor.free();
  }

  get(tree: Tree, key: Uint8Array): Buffer | undefined {
    const size = this.#load(tree, key);
    if (size < 0) return undefined;
    const copy = Buffer.allocUnsafe(size);
    this.#loaded.copy(copy, 0, 0, size);
    return copy;
  }

  view(tree: Tree, key: Uint8Array): Buffer | undefined {
    const size = this.#load(tree, key);
    return size < 0 ? undefined : this.#loaded.subarray(0, size);
  }

  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void {
    scanTree(this, tree, range, visit);
  }

  stored(tree: Tree, key: Uint8Array): StoredBytes | undefined {
    return storedRow(this, tree, key);
  }

  cursor(tree: Tree, from: Uint8Array, down: boolean, near = false): RowCursor {
    const cursor = this.#cursor(tree);
    cursor.seek(from, down, near);
    return cursor;
  }

  beside(tree: Tree, key: Uint8Array, down: boolean, near = false): RowView | undefined {
    const cursor = this.#cursor(tree);
    cursor.seek(key, down, near || this.writing);
    const found = cursor.next();
    cursor.close();
    return found ? cursor : undefined;
  }

  #cursor(tree: Tree): LmdbCursor {
    const idle = this.#cursors[this.writing ? "writing" : "reading"][tree];
    const cursor = idle.pop();
    if (cursor !== undefined) return cursor;
    const [raw, renews] = [this.#trees[tree], !this.writing];
    return new LmdbCursor({ lmdb: this.#lmdb, tree: raw, keyBuffer: this.#keyBuffer, idle, renews });
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

  /** Reads a row into #loaded; its size without the checksum, −1 when it is absent. */
  #load(tree: Tree, key: Uint8Array): number {
    if (key.length === 0) return -1;
    // The search of a cursor costs as much as a plain read, and shows the row behind the place where the key is not.
    const row = this.beside(tree, key, false);
    if (row === undefined || compare(row, key) !== 0) {
      verifyAbsent(this, tree, key, row);
      return -1;
    }
    this.#loaded = row.value;
    if (isWhole(row)) return row.valueEnd - CHECKSUM_BYTES;
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
}

interface CursorModules {
  readonly lmdb: RawLmdb;
  readonly tree: RawTree;
  readonly keyBuffer: Buffer;
  /** Where it goes when it is closed, to be used again. */
  readonly idle: LmdbCursor[];
  /** It belongs to the read snapshot, not to a write transaction. */
  readonly renews: boolean;
}

/** A row shows what lmdb has copied into its buffers, until the next call to lmdb. */
class LmdbCursor implements RowCursor {
  readonly key: Buffer;
  readonly keyStart = KEY_AT;
  keyEnd = 0;
  value: Buffer = NOTHING;
  readonly valueStart = 0;
  valueEnd = 0;
  readonly #modules: CursorModules;
  readonly #lmdb: RawLmdb;
  readonly #raw: RawCursor;
  readonly #address: number;
  /** Size of the value, and a number that isn't 0 when it was not copied. */
  readonly #sizes: Uint32Array;
  #from: Uint8Array = NOTHING;
  #down = false;
  #placed = false;
  #near = false;
  /** It stands somewhere. */
  #used = false;

  constructor(modules: CursorModules) {
    const { lmdb, tree, keyBuffer } = modules;
    this.#modules = modules;
    this.#lmdb = lmdb;
    if (modules.renews) tree.ensureReadTxn();
    this.#raw = new lmdb.Cursor(tree.db, 0);
    this.#address = this.#raw.address;
    this.key = keyBuffer;
    this.#sizes = new Uint32Array(keyBuffer.buffer, keyBuffer.byteOffset, 2);
  }

  /**
   * lmdb looks first whether the key belongs to the page where the cursor stands, and only then from the root. That is faster,
   * but among rotten keys it may end elsewhere than a search from the root, unless it is for the other side of the place where
   * the cursor stands: `near`. A first look (`beside`) may begin anywhere, since it is believed only together with one at the
   * other side; a snapshot's cursor must be renewed for it, and then begins at the root.
   */
  seek(from: Uint8Array, down: boolean, near: boolean): void {
    this.#near = near;
    this.#from = from;
    this.#down = down;
    this.#placed = false;
  }

  next(): boolean {
    const keySize = this.#placed ? this.#lmdb.iterate(this.#address) : this.#position();
    if (keySize <= 0) {
      if (keySize < 0) throw this.#lmdb.lmdbError(keySize);
      return false;
    }
    this.keyEnd = KEY_AT + keySize;
    const size = this.#sizes[0]!;
    if (this.#sizes[1] !== 0 || size > read.length) {
      see(this.#modules.tree._allocateGetBuffer(size));
      this.#lmdb.getCurrentValue(this.#address);
    }
    this.value = read;
    this.valueEnd = size;
    return true;
  }

  #position(): number {
    const { tree, renews } = this.#modules;
    this.#placed = true;
    let flags = this.#down ? WITH_VALUES | DOWN : WITH_VALUES;
    if (!this.#near && renews) {
      tree.ensureReadTxn();
      flags |= RENEW;
    } else if (!this.#near && this.#used) this.#lmdb.position(this.#address, 0, 0, 0, 0); // the first row
    this.#used = true;
    this.key.set(this.#from);
    return this.#lmdb.position(this.#address, flags, 0, this.#from.length, 0);
  }

  close(): void {
    this.#modules.idle.push(this);
  }

  free(): void {
    this.#raw.close();
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
