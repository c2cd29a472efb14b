import type { DatabaseSync, StatementSync } from "node:sqlite";
import { assert } from "../../util/assert.ts";
import { CHECKSUM_BYTES, rowChecksum } from "../../util/row-checksum.ts";
import { KvError, MAX_KEY_BYTES, STOP, type KvRange, type RowView, type ScanStep, type Tree, wrongChecksum } from "../kv.ts";
import type { BatchWrite } from "./kv-pipeline.ts";

/** Rows that a scan fetches at a time: 4, 16, 64, 256 …: a scan that seeks soon fetches little, a long one seldom. */
const FIRST_ROWS = 4;
const MOST_ROWS = 256;
/** The lowest key there can be. An empty blob would be bound as NULL. */
const LOWEST = new Uint8Array(1);

interface TreeStatements {
  readonly get: StatementSync;
  readonly forward: StatementSync;
  readonly reverse: StatementSync;
  readonly writes: WriteStatements | undefined;
}

interface WriteStatements {
  readonly insert: StatementSync;
  readonly update: StatementSync;
  readonly remove: StatementSync;
  readonly count: StatementSync;
}

/** Rows through one connection: the writer's while a batch runs, the reader's pinned snapshot otherwise. */
export class SqliteTransaction implements BatchWrite {
  wrote = false;
  failure: KvError | undefined;
  /** Puts and removes of this batch. */
  writes = 0;
  readonly #trees: Readonly<Record<Tree, TreeStatements>>;
  readonly #onDamage: (error: KvError) => void;
  readonly #added: Record<Tree, number> = { rows: 0, bodies: 0 };

  constructor(connection: DatabaseSync, { writable, onDamage }: { writable: boolean; onDamage: (error: KvError) => void }) {
    const statements = (tree: Tree): TreeStatements => {
      const prepare = (sql: string): StatementSync => {
        const statement = connection.prepare(sql.replace("TREE", tree));
        statement.setReturnArrays(true);
        return statement;
      };
      return {
        get: prepare("SELECT value FROM TREE WHERE key = ?"),
        forward: prepare("SELECT key, value FROM TREE WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"),
        reverse: prepare("SELECT key, value FROM TREE WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"),
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
    const row = this.#trees[tree].get.get(key) as [Uint8Array] | undefined;
    if (row === undefined) return undefined;
    const stored = bufferOf(row[0]);
    const size = this.#verify(tree, key, stored);
    return stored.subarray(0, size);
  }

  view(tree: Tree, key: Uint8Array): Buffer | undefined {
    return this.get(tree, key);
  }

  scan(tree: Tree, { start, end, reverse = false }: KvRange, visit: (row: RowView) => ScanStep): void {
    if (end.length === 0) return;
    const statement = reverse ? this.#trees[tree].reverse : this.#trees[tree].forward;
    const view: RowView = { key: EMPTY, keyStart: 0, keyEnd: 0, value: EMPTY, valueStart: 0, valueEnd: 0 };
    let low: Uint8Array = start.length === 0 ? LOWEST : start;
    let high = end;
    let limit = FIRST_ROWS;
    for (;;) {
      const rows = statement.all(low, high, limit) as unknown as [Uint8Array, Uint8Array][];
      const { writes } = this;
      let seek: Uint8Array | undefined;
      for (const [key, stored] of rows) {
        view.key = bufferOf(key);
        view.keyEnd = key.length;
        view.value = bufferOf(stored);
        view.valueEnd = this.#verify(tree, key, view.value);
        const step = visit(view);
        if (step === STOP) return;
        if (step !== undefined) {
          assert(!reverse, "only forward scans seek");
          seek = step;
          break;
        }
        if (reverse) high = key;
        else low = key;
        // What was fetched is stale once the visitor has written.
        if (this.writes !== writes) break;
      }
      if (seek !== undefined) {
        low = seek;
        limit = FIRST_ROWS;
        continue;
      }
      if (rows.length < limit && this.writes === writes) return;
      if (!reverse) low = Buffer.concat([low, LOWEST]); // the next possible key
      limit = Math.min(MOST_ROWS, limit * 4);
    }
  }

  put(tree: Tree, key: Uint8Array, value: Uint8Array): void {
    assert(key.length >= 1 && key.length <= MAX_KEY_BYTES, "keys have 1 to 4,000 bytes");
    const stored = Buffer.allocUnsafe(value.length + CHECKSUM_BYTES);
    stored.set(value);
    stored.writeUInt32LE(rowChecksum(key, 0, key.length, value, 0, value.length), value.length);
    const { insert, update } = this.#writable(tree);
    this.#change(() => {
      // Counting a table takes SQLite a scan of it, so rows are counted as they come and go.
      if (insert.run(key, stored).changes === 0) update.run(stored, key);
      else this.#added[tree] += 1;
    });
  }

  remove(tree: Tree, key: Uint8Array): void {
    const { remove } = this.#writable(tree);
    this.#change(() => {
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

  /** The size of the value without its checksum. */
  #verify(tree: Tree, key: Uint8Array, stored: Buffer): number {
    const size = stored.length - CHECKSUM_BYTES;
    if (size >= 0 && stored.readUInt32LE(size) === rowChecksum(key, 0, key.length, stored, 0, size)) return size;
    const error = wrongChecksum(tree, key);
    this.#onDamage(error);
    throw error;
  }
}

const EMPTY = Buffer.alloc(0);

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
}

const SQLITE_FULL = 13;

/** What node:sqlite throws, in the words of the seam. */
export function sqliteErrorOf(error: unknown): KvError {
  if (error instanceof KvError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const primary = Number((error as { errcode?: unknown } | null)?.errcode ?? 0) & 0xff;
  if (primary === SQLITE_FULL) return new KvError("kv.full", `the metadata store has no room: ${message}`, { cause: error });
  return new KvError("kv.io", `the metadata store failed: ${message}`, { cause: error });
}
