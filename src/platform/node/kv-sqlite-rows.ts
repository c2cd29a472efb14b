import type { DatabaseSync, StatementSync } from "node:sqlite";
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
import { type PlacedRows, type RowCursor, scanTree, storedRow, verifyAbsent, verifyPlace } from "./kv-search.ts";

/** Rows that a cursor fetches at a time: 1, 4, 16, 64, 256 …: one that is closed soon fetches little, a long one seldom. */
const FIRST_ROWS = 1;
const MOST_ROWS = 256;
/** The lowest key there can be. An empty blob would be bound as NULL. */
const LOWEST = new Uint8Array(1);

interface TreeStatements {
  readonly get: StatementSync;
  /** The first row of `up` and of `down`. */
  readonly after: StatementSync;
  readonly before: StatementSync;
  readonly up: StatementSync;
  readonly down: StatementSync;
  /** As `down`, with the row of the key itself. */
  readonly downFrom: StatementSync;
  readonly writes: WriteStatements | undefined;
}

interface WriteStatements {
  readonly insert: StatementSync;
  readonly update: StatementSync;
  readonly remove: StatementSync;
  readonly count: StatementSync;
}

/** Rows through one connection: the writer's while a batch runs, the reader's pinned snapshot otherwise. */
export class SqliteTransaction implements BatchWrite, PlacedRows {
  wrote = false;
  failure: KvError | undefined;
  /** Puts and removes of this batch. */
  writes = 0;
  readonly #trees: Readonly<Record<Tree, TreeStatements>>;
  readonly #onDamage: (error: KvError) => void;
  readonly #connection: DatabaseSync;
  readonly #hasDamage: () => boolean;
  readonly #added: Record<Tree, number> = { rows: 0, bodies: 0 };

  /** @param hasDamage  damage was met since the start: from then on a write makes sure that it is not led astray. */
  constructor(
    connection: DatabaseSync,
    parts: { readonly writable: boolean; readonly hasDamage: () => boolean; readonly onDamage: (error: KvError) => void },
  ) {
    const { writable, hasDamage, onDamage } = parts;
    this.#hasDamage = hasDamage;
    this.#connection = connection;
    const statements = (tree: Tree): TreeStatements => {
      const prepare = (sql: string): StatementSync => {
        const statement = connection.prepare(sql.replace("TREE", tree));
        statement.setReturnArrays(true);
        return statement;
      };
      return {
        get: prepare("SELECT value FROM TREE WHERE key = ?"),
        after: prepare("SELECT key, value FROM TREE WHERE key >= ? ORDER BY key LIMIT 1"),
        before: prepare("SELECT key, value FROM TREE WHERE key < ? ORDER BY key DESC LIMIT 1"),
        up: prepare("SELECT key, value FROM TREE WHERE key >= ? ORDER BY key LIMIT ?"),
        down: prepare("SELECT key, value FROM TREE WHERE key < ? ORDER BY key DESC LIMIT ?"),
        downFrom: prepare("SELECT key, value FROM TREE WHERE key <= ? ORDER BY key DESC LIMIT ?"),
        writes: writable
          ? {
              insert: prepare("INSERT INTO TREE VALUES (?, ?) ON CONFLICT (key) DO NOTHING"),
              update: prepare("UPDATE TREE SET value = ? WHERE key = ?"),
              remove: prepare("DELETE FROM TREE WHERE key = ?"),
              count: prepare("UPDATE counts SET rows = rows + ? WHERE tree = 'TREE'"),
            }
          : undefined,
      };
    };
    this.#trees = { rows: statements("rows"), bodies: statements("bodies") };
    this.#onDamage = onDamage;
  }

  /** A new batch. */
  begin(): void {
    this.failure = undefined;
    this.writes = 0;
    this.#added.rows = 0;
    this.#added.bodies = 0;
  }

  /** Before the commit. @throws the failure of the batch */
  end(): void {
    if (this.failure !== undefined) throw this.failure;
    for (const tree of ["rows", "bodies"] as const)
      if (this.#added[tree] !== 0) this.#writable(tree).count.run(this.#added[tree]);
  }

  get(tree: Tree, key: Uint8Array): Buffer | undefined {
    let row: [Uint8Array] | undefined;
    try {
      row = this.#trees[tree].get.get(key) as [Uint8Array] | undefined;
    } catch (error) {
      throw this.#readError(tree, key, error);
    }
    if (row === undefined) {
      verifyAbsent(this, tree, key);
      return undefined;
    }
    const stored = bufferOf(row[0]);
    const size = stored.length - CHECKSUM_BYTES;
    if (size >= 0 && stored.readUInt32LE(size) === rowChecksum(key, 0, key.length, stored, 0, size))
      return stored.subarray(0, size);
    const error = damagedRow(tree, key);
    this.onDamage(error);
    throw error;
  }

  view(tree: Tree, key: Uint8Array): Buffer | undefined {
    return this.get(tree, key);
  }

  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void {
    scanTree(this, tree, range, visit);
  }

  stored(tree: Tree, key: Uint8Array): StoredBytes | undefined {
    return storedRow(this, tree, key);
  }

  cursor(tree: Tree, from: Uint8Array, down: boolean): RowCursor {
    const { up, down: below, downFrom } = this.#trees[tree];
    return new SqliteCursor(down ? { first: below, again: downFrom } : { first: up, again: up }, {
      from: from.length === 0 ? LOWEST : from,
      writes: () => this.writes,
      everyRow: () => {
        const statement = this.#connection.prepare(`SELECT key, value FROM ${tree} ORDER BY key${down ? " DESC" : ""}`);
        statement.setReturnArrays(true);
        return statement.iterate() as IterableIterator<unknown> as IterableIterator<StoredPair>;
      },
      failed: (error) => this.#readError(tree, from, error),
    });
  }

  beside(tree: Tree, key: Uint8Array, down: boolean): RowView | undefined {
    const { after, before } = this.#trees[tree];
    let pair: StoredPair | undefined;
    try {
      pair = (down ? before : after).get(key.length === 0 ? LOWEST : key) as StoredPair | undefined;
    } catch (error) {
      throw this.#readError(tree, key, error);
    }
    return pair === undefined ? undefined : rowView(pair);
  }

  onDamage(error: KvError): void {
    this.#onDamage(error);
  }

  /** A page that SQLite can't make sense of is damage that no checksum of ours has to find. */
  #readError(tree: Tree, key: Uint8Array, cause: unknown): unknown {
    const error = sqliteErrorOf(cause);
    if (error.code !== "kv.damaged") return cause;
    const named = new KvError("kv.damaged", `${error.message}, at row ${Buffer.from(key).toString("hex")} of ${tree}`, {
      cause,
      key: Buffer.from(key),
    });
    this.onDamage(named);
    return named;
  }

  put(tree: Tree, key: Uint8Array, value: Uint8Array): void {
    assert(key.length >= 1 && key.length <= MAX_KEY_BYTES, "keys have 1 to 4,000 bytes");
    const stored = Buffer.allocUnsafe(value.length + CHECKSUM_BYTES);
    stored.set(value);
    stored.writeUInt32LE(rowChecksum(key, 0, key.length, value, 0, value.length), value.length);
    const { insert, update } = this.#writable(tree);
    this.#change(() => {
      if (this.#hasDamage()) verifyPlace(this, tree, key);
      // Counting a table takes SQLite a scan of it, so rows are counted as they come and go.
      if (insert.run(key, stored).changes === 0) update.run(stored, key);
      else this.#added[tree] += 1;
    });
  }

  remove(tree: Tree, key: Uint8Array): void {
    const { remove } = this.#writable(tree);
    this.#change(() => {
      if (this.#hasDamage() && key.length > 0) verifyPlace(this, tree, key);
      if (key.length > 0 && remove.run(key).changes !== 0) this.#added[tree] -= 1;
    });
  }

  #writable(tree: Tree): WriteStatements {
    const { writes } = this.#trees[tree];
    assert(writes !== undefined, "writes happen inside transact");
    return writes;
  }

  #change(write: () => void): void {
    if (this.failure !== undefined) throw this.failure;
    this.wrote = true;
    this.writes += 1;
    try {
      write();
    } catch (error) {
      throw (this.failure = sqliteErrorOf(error));
    }
  }
}

type StoredPair = [Uint8Array, Uint8Array];

interface CursorStatements {
  readonly first: StatementSync;
  /** With the row of the key itself. */
  readonly again: StatementSync;
}

interface CursorModules {
  readonly from: Uint8Array;
  /** Counts what this transaction writes: rows that were fetched before a write are stale. */
  readonly writes: () => number;
  /** All rows of the tree by their place, slowly. */
  readonly everyRow: () => IterableIterator<StoredPair>;
  readonly failed: (error: unknown) => unknown;
}

/** Rows in batches, each fetched from the last row on: a search that doesn't find that row again has been led astray. */
class SqliteCursor implements RowCursor {
  key: Buffer = EMPTY;
  readonly keyStart = 0;
  keyEnd = 0;
  value: Buffer = EMPTY;
  readonly valueStart = 0;
  valueEnd = 0;
  readonly #statements: CursorStatements;
  readonly #modules: CursorModules;
  #rows: readonly StoredPair[] = [];
  #at = 0;
  #limit = FIRST_ROWS;
  #fetchedAt = -1;
  #last: StoredPair | undefined;
  #placed: IterableIterator<StoredPair> | undefined;

  constructor(statements: CursorStatements, modules: CursorModules) {
    this.#statements = statements;
    this.#modules = modules;
  }

  next(): boolean {
    const row = this.#next();
    if (row === undefined) return false;
    this.#last = row;
    this.key = bufferOf(row[0]);
    this.keyEnd = row[0].length;
    this.value = bufferOf(row[1]);
    this.valueEnd = row[1].length;
    return true;
  }

  close(): void {
    this.#placed?.return?.();
  }

  #next(): StoredPair | undefined {
    try {
      if (this.#placed !== undefined) return rowOf(this.#placed);
      const stale = this.#fetchedAt !== this.#modules.writes();
      if (stale || this.#at === this.#rows.length) {
        // A batch that was not full was the last one.
        if (!stale && this.#rows.length < this.#limit) return undefined;
        if (!this.#fetch(stale)) return this.#seekPlaced();
      }
      return this.#rows[this.#at++];
    } catch (error) {
      throw this.#modules.failed(error);
    }
  }

  /** @returns false when the last row is not found again though nothing was written */
  #fetch(stale: boolean): boolean {
    const last = this.#last;
    const { first, again } = this.#statements;
    const started = this.#fetchedAt >= 0;
    this.#fetchedAt = this.#modules.writes();
    if (last === undefined) {
      this.#rows = first.all(this.#modules.from, this.#limit) as unknown as StoredPair[];
      this.#at = 0;
      return true;
    }
    this.#limit = stale ? Math.max(2, this.#limit) : Math.min(MOST_ROWS, this.#limit * 4);
    this.#rows = again.all(last[0], this.#limit) as unknown as StoredPair[];
    const [next] = this.#rows;
    // By its value too: a key that has rotted may be the key of another row.
    const found =
      next !== undefined && Buffer.compare(next[0], last[0]) === 0 && (stale || Buffer.compare(next[1], last[1]) === 0);
    this.#at = found ? 1 : 0;
    return found || (stale && started);
  }

  #seekPlaced(): StoredPair | undefined {
    const rows = this.#modules.everyRow();
    const [key, value] = this.#last as StoredPair;
    this.#placed = rows;
    for (let row = rowOf(rows); row !== undefined; row = rowOf(rows))
      if (Buffer.compare(row[0], key) === 0 && Buffer.compare(row[1], value) === 0) return rowOf(rows);
    return undefined;
  }
}

function rowOf(rows: IterableIterator<StoredPair>): StoredPair | undefined {
  const { done, value } = rows.next();
  return done === true ? undefined : (value as StoredPair);
}

function rowView([key, value]: StoredPair): RowView {
  return {
    key: bufferOf(key),
    keyStart: 0,
    keyEnd: key.length,
    value: bufferOf(value),
    valueStart: 0,
    valueEnd: value.length,
  };
}

const EMPTY = Buffer.alloc(0);

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
}

const SQLITE_FULL = 13;
const SQLITE_CORRUPT = 11;

/** What node:sqlite throws, in the words of the seam. */
export function sqliteErrorOf(error: unknown): KvError {
  if (error instanceof KvError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const primary = Number((error as { errcode?: unknown } | null)?.errcode ?? 0) & 0xff;
  if (primary === SQLITE_FULL) return new KvError("kv.full", `the metadata store has no room: ${message}`, { cause: error });
  if (primary === SQLITE_CORRUPT)
    return new KvError("kv.damaged", `a page of the metadata store is damaged: ${message}`, { cause: error });
  return new KvError("kv.io", `the metadata store failed: ${message}`, { cause: error });
}
