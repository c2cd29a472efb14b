// kv on node:sqlite. SQLite fsyncs synchronously, which would hold the event loop up (391 ms were seen), so we let it write and
// flush ourselves:
//
//   batch        BEGIN, run, COMMIT on the writer (WAL, synchronous=NORMAL: a COMMIT only writes to the -wal file), then an asynchronous
//                fdatasync of the -wal file, then the reader moves on and the promises settle. The next batch begins after that.
//   reads        a second connection holds a read transaction open: it sees the state that was last flushed, whatever the writer has committed.
//   checkpoint   between batches, when the log is long: a third connection (synchronous=OFF) copies it into the database file, then an
//                asynchronous fdatasync of that. Only then may the next batch start the log anew. A crash before finds the whole log.
//
// SQLite itself still fsyncs the log's header when it starts it anew; without that, old frames could be replayed over newer
// pages.
import { closeSync, fdatasync, fdatasyncSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { promisify } from "node:util";
import { KvError, type Kv, type KvRead, type KvStats, type KvWrite } from "../kv.ts";
import type { Log } from "../log.ts";
import { type BatchWrite, CommitPipeline } from "./kv-pipeline.ts";
import { sqliteErrorOf, SqliteTransaction } from "./kv-sqlite-rows.ts";
import { isOutOfRoom } from "./kv-room.ts";
import { syncDirectory } from "./sync-directory.ts";

const PAGE_BYTES = 4096;
/** Pages in the log after which it is copied into the database file: 8 MiB, some 5 to 10 ms of the event loop. */
const CHECKPOINT_PAGES = 2048;
/** Cache of the writer and of the reader, each, KiB. */
const CACHE_KIB = 16 * 1024;

const flush = promisify(fdatasync);

export interface SqliteOptions {
  /** The database file (`db.sqlite` in metadata_dir); SQLite puts `-wal` and `-shm` beside it. */
  readonly file: string;
  /** Whether commits are fsynced (`metadata_fsync`). */
  readonly sync: boolean;
  /** The database file never grows beyond this; by default until the disk is full. */
  readonly maxSizeBytes?: number;
  readonly log: Log;
  /** A transaction threw after it had written. Must not return. */
  readonly fatal: (error: unknown) => never;
  /**
   * A commit failed with kv.io; called before any promise of it settles. Should end the process (crash-only); else the store
   * refuses everything.
   */
  readonly failed: (error: KvError) => void;
}

/** Opens the second engine. A file is open once. */
export async function openSqliteKv(options: SqliteOptions): Promise<Kv> {
  const { DatabaseSync } = await import("node:sqlite");
  try {
    mkdirSync(dirname(options.file), { recursive: true });
    const kv = new SqliteKv(() => new DatabaseSync(options.file, { timeout: 5000 }), options);
    if (options.sync) await syncDirectory(dirname(options.file));
    return kv;
  } catch (error) {
    throw sqliteErrorOf(error);
  }
}

class SqliteKv implements Kv {
  readonly #writer: DatabaseSync;
  readonly #reader: DatabaseSync;
  readonly #checkpointer: DatabaseSync;
  readonly #statements: Readonly<
    Record<"begin" | "commit" | "rollback" | "pin" | "unpin" | "snapshot" | "checkpoint", StatementSync>
  >;
  readonly #write: SqliteTransaction;
  readonly #read: SqliteTransaction;
  readonly #pipeline: CommitPipeline;
  readonly #sync: boolean;
  readonly #log: Log;
  readonly #onFailure: (error: KvError) => void;
  readonly #logFile: string;
  readonly #files: { readonly database: number; readonly log: number };
  #logPages = 0;
  /** The log could not get longer: copied into the database file it starts anew, in the room that it has. */
  #logIsFull = false;
  readonly #figures = new Map<string, StatementSync>();
  #closing: Promise<void> | undefined;
  #lastStats: KvStats | undefined;
  #commits = 0;
  #fsyncs = 0;
  #damagedRows = 0;

  constructor(connect: () => DatabaseSync, { file, sync, maxSizeBytes, log, fatal, failed }: SqliteOptions) {
    this.#sync = sync;
    this.#log = log;
    this.#onFailure = failed;
    const writer = connect();
    writer.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;
      PRAGMA cache_size = -${CACHE_KIB};
      CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS bodies (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS counts (tree TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID;
      INSERT OR IGNORE INTO counts VALUES ('rows', 0), ('bodies', 0);`);
    if (maxSizeBytes !== undefined) writer.exec(`PRAGMA max_page_count = ${Math.max(8, Math.floor(maxSizeBytes / PAGE_BYTES))}`);
    const reader = connect();
    reader.exec(`PRAGMA cache_size = -${CACHE_KIB}; PRAGMA query_only = ON;`);
    const checkpointer = connect();
    checkpointer.exec("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0; SELECT count(*) FROM rows LIMIT 1");
    // Own descriptors for flushing. Closing one drops SQLite's locks on that file, so they are closed after the connections.
    this.#logFile = `${file}-wal`;
    this.#files = { database: openSync(file, "r+"), log: openSync(this.#logFile, "r+") };
    // What a killed process had written but not flushed is read again: it has to be on disk before anyone sees it.
    if (sync) {
      fdatasyncSync(this.#files.log);
      fdatasyncSync(this.#files.database);
    }
    this.#writer = writer;
    this.#reader = reader;
    this.#checkpointer = checkpointer;
    this.#statements = {
      begin: writer.prepare("BEGIN IMMEDIATE"),
      commit: writer.prepare("COMMIT"),
      rollback: writer.prepare("ROLLBACK"),
      pin: reader.prepare("BEGIN"),
      unpin: reader.prepare("COMMIT"),
      snapshot: reader.prepare("SELECT 1 FROM rows LIMIT 1"),
      checkpoint: checkpointer.prepare("PRAGMA wal_checkpoint(PASSIVE)"),
    };
    const onDamage = (error: KvError): void => this.#onDamage(error);
    const hasDamage = (): boolean => this.#damagedRows > 0;
    this.#write = new SqliteTransaction(writer, { writable: true, hasDamage, onDamage });
    this.#read = new SqliteTransaction(reader, { writable: false, hasDamage, onDamage });
    this.#pipeline = new CommitPipeline({ commit: (run) => this.#commit(run) }, { fatal, nowMs: () => performance.now() });
    this.#pin();
  }

  transact<T>(fn: (tx: KvWrite) => T): Promise<T> {
    return this.#pipeline.transact(fn);
  }

  read<T>(fn: (tx: KvRead) => T): Promise<T> {
    return this.#pipeline.read(fn, this.#read);
  }

  get failure(): KvError | undefined {
    return this.#pipeline.failure;
  }

  stats(): KvStats {
    if (this.#lastStats !== undefined) return this.#lastStats;
    const number = (sql: string): number => {
      let statement = this.#figures.get(sql);
      if (statement === undefined) this.#figures.set(sql, (statement = this.#reader.prepare(sql)));
      return Number(Object.values(statement.get() ?? {})[0] ?? 0);
    };
    return {
      engine: "sqlite",
      rows: {
        rows: number("SELECT rows FROM counts WHERE tree = 'rows'"),
        bodies: number("SELECT rows FROM counts WHERE tree = 'bodies'"),
      },
      sizeBytes: (number("PRAGMA page_count") + this.#logPages) * PAGE_BYTES,
      usedBytes: (number("PRAGMA page_count") - number("PRAGMA freelist_count") + this.#logPages) * PAGE_BYTES,
      commits: this.#commits,
      fsyncs: this.#fsyncs,
      damagedRows: this.#damagedRows,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#pipeline.close();
    this.#lastStats = this.stats();
    this.#statements.unpin.run();
    this.#reader.close();
    this.#checkpointer.close();
    this.#writer.close(); // the last one: copies the log into the file, flushes, removes the log
    closeSync(this.#files.log);
    closeSync(this.#files.database);
  }

  async #commit(run: (tx: BatchWrite) => void): Promise<void> {
    await undefined; // calls of this turn of the event loop come along
    if (this.#logPages >= CHECKPOINT_PAGES || this.#logIsFull) await this.#shortenLog();
    const { begin, commit, rollback } = this.#statements;
    const tx = this.#write;
    tx.begin();
    try {
      begin.run();
    } catch (error) {
      throw this.#failed(sqliteErrorOf(error));
    }
    try {
      run(tx);
    } catch (error) {
      rollback.run();
      throw error;
    }
    try {
      tx.end();
      commit.run();
    } catch (error) {
      if (this.#writer.isTransaction) rollback.run();
      throw this.#failed(sqliteErrorOf(error));
    }
    if (tx.writes === 0) return;
    await this.#flush(this.#files.log);
    this.#logPages += 2 * tx.writes; // an estimate, corrected by each checkpoint
    this.#commits += 1;
    this.#moveOn();
  }

  /** The reader sees what is flushed now, until the next call. No batch is committed and not flushed at this moment. */
  #pin(): void {
    this.#statements.pin.run();
    this.#statements.snapshot.get(); // SQLite takes the snapshot with the first read
  }

  #moveOn(): void {
    try {
      this.#statements.unpin.run();
      this.#pin();
    } catch (error) {
      throw this.#failed(sqliteErrorOf(error));
    }
  }

  /** Without room for the copy the batch is tried all the same: the log may have some left, and what deletes makes room. */
  async #shortenLog(): Promise<void> {
    this.#logIsFull = false;
    try {
      await this.#checkpoint();
    } catch (error) {
      if (!(error instanceof KvError) || error.code !== "kv.full") throw error;
    }
  }

  async #checkpoint(): Promise<void> {
    const { checkpoint } = this.#statements;
    let done: { log: number; checkpointed: number };
    try {
      done = checkpoint.get() as typeof done;
    } catch (error) {
      throw this.#failed(sqliteErrorOf(error));
    }
    await this.#flush(this.#files.database);
    this.#logPages = done.log - done.checkpointed;
    this.#logIsFull = false;
    this.#moveOn(); // off the log, so that it can start anew
  }

  async #flush(file: number): Promise<void> {
    if (!this.#sync) return;
    this.#fsyncs += 1;
    try {
      await flush(file);
    } catch (error) {
      // Also on a full disk: what the system had taken and could not write is lost, and nobody knows which pages those were.
      const failure = new KvError("kv.io", "the metadata store could not be flushed to disk", { cause: error });
      this.#onFailure(failure);
      throw failure;
    }
  }

  #failed(cause: KvError): KvError {
    let error = cause;
    if (error.code === "kv.io" && isOutOfRoom(this.#logFile))
      error = new KvError("kv.full", "the metadata store has no room: the disk is full", { cause });
    if (error.code === "kv.io") this.#onFailure(error);
    else if (error.code === "kv.full") {
      this.#logIsFull = true;
      this.#log.warn({ err: error }, "the metadata store is full; writes are refused");
    }
    return error;
  }

  #onDamage(error: KvError): void {
    this.#damagedRows += 1;
    this.#log.error({ err: error }, "a stored row is damaged");
  }
}
