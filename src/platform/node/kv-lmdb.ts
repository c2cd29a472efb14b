import { join } from "node:path";
import type { Database, RootDatabase } from "lmdb";
import { KvError, type Kv, type KvRead, type KvStats, type KvWrite, type Tree } from "../kv.ts";
import type { Log } from "../log.ts";
import { kvErrorOf, LmdbTransaction, type RawLmdb, RowCoding } from "./kv-lmdb-rows.ts";
import { type BatchWrite, CommitPipeline } from "./kv-pipeline.ts";
import { isOutOfRoom } from "./kv-room.ts";
import { syncDirectory } from "./sync-directory.ts";

/** Keys of 4,000 bytes need it; pages of 4 KiB end at 1,978. */
const PAGE_BYTES = 8192;

export interface LmdbOptions {
  /** Directory of the environment (`db.lmdb` in metadata_dir); made when absent. */
  readonly directory: string;
  /** Address space to map, and the size above which puts are refused with kv.full (`lmdb_map_size`). */
  readonly mapSizeBytes: number;
  /** Whether commits are fsynced (`metadata_fsync`). */
  readonly sync: boolean;
  readonly log: Log;
  /** A transaction threw after it had written. Must not return. */
  readonly fatal: (error: unknown) => never;
  /**
   * A commit failed with kv.io; called before any promise of it settles. Should end the process (crash-only); else the store
   * refuses everything.
   */
  readonly failed: (error: KvError) => void;
}

/** Opens the default engine. An environment is open once in a process, and in one process. */
export async function openLmdbKv(options: LmdbOptions): Promise<Kv> {
  const { open, ABORT, nativeAddon } = (await import("lmdb")) as typeof import("lmdb") & { readonly nativeAddon: RawLmdb };
  try {
    const root = open({
      path: options.directory,
      noSubdir: false,
      pageSize: PAGE_BYTES,
      mapSize: options.mapSizeBytes,
      maxDbs: 4,
      // A commit becomes visible and settles only when flushed: no read sees what a power cut could take back.
      overlappingSync: false,
      noSync: !options.sync,
      // Our pipeline makes the batches; lmdb's own, per turn of the event loop, would only add instructions.
      eventTurnBatching: false,
      encoding: "binary",
      keyEncoding: "binary",
    });
    const kv = new LmdbKv({ root, abort: ABORT, lmdb: nativeAddon }, options);
    if (options.sync) await syncDirectory(options.directory);
    return kv;
  } catch (error) {
    throw kvErrorOf(error);
  }
}

class LmdbKv implements Kv {
  readonly #root: RootDatabase;
  readonly #abort: unknown;
  readonly #directory: string;
  readonly #trees: Readonly<Record<Tree, Database>>;
  readonly #tx: LmdbTransaction;
  readonly #pipeline: CommitPipeline;
  readonly #mapSizeBytes: number;
  readonly #sync: boolean;
  readonly #log: Log;
  readonly #onFailure: (error: KvError) => void;
  /** What the rows took when it was last measured. */
  #usedBytes: number;
  #closing: Promise<void> | undefined;
  #lastStats: KvStats | undefined;
  #commits = 0;
  #damagedRows = 0;

  constructor(
    { root, abort, lmdb }: { root: RootDatabase; abort: unknown; lmdb: RawLmdb },
    { directory, mapSizeBytes, sync, log, fatal, failed }: LmdbOptions,
  ) {
    this.#root = root;
    this.#abort = abort;
    this.#directory = directory;
    this.#mapSizeBytes = mapSizeBytes;
    this.#sync = sync;
    this.#log = log;
    this.#onFailure = failed;
    const coding = new RowCoding();
    const { keyEncoder, encoder, encoding } = coding;
    const tree = (name: string): Database => root.openDB({ name, keyEncoder, encoder, encoding } as object as { name: string });
    this.#trees = { rows: tree("rows"), bodies: tree("bodies") };
    this.#tx = new LmdbTransaction(this.#trees, { lmdb, coding, onDamage: (error) => this.#onDamage(error) });
    this.#pipeline = new CommitPipeline({ commit: (run) => this.#commit(run) }, { fatal, nowMs: () => performance.now() });
    this.#usedBytes = this.#measure();
  }

  transact<T>(fn: (tx: KvWrite) => T): Promise<T> {
    return this.#pipeline.transact(fn);
  }

  read<T>(fn: (tx: KvRead) => T): Promise<T> {
    return this.#pipeline.read(fn, this.#tx);
  }

  get failure(): KvError | undefined {
    return this.#pipeline.failure;
  }

  stats(): KvStats {
    if (this.#lastStats !== undefined) return this.#lastStats;
    const rows = statsOf(this.#trees.rows);
    return {
      engine: "lmdb",
      rows: { rows: rows.entryCount, bodies: statsOf(this.#trees.bodies).entryCount },
      sizeBytes: (rows.lastPageNumber + 1) * PAGE_BYTES,
      usedBytes: this.#measure(),
      commits: this.#commits,
      fsyncs: this.#sync ? this.#commits : 0,
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
    this.#tx.close();
    await this.#root.close();
  }

  async #commit(run: (tx: BatchWrite) => void): Promise<void> {
    const tx = this.#tx;
    const full = this.#isFull();
    let thrown: { error: unknown } | undefined;
    const batch = (): unknown => {
      tx.begin({ full });
      try {
        run(tx);
      } catch (error) {
        thrown = { error };
      }
      tx.end();
      return tx.failure === undefined && thrown === undefined ? undefined : this.#abort;
    };
    try {
      // lmdb grows its map by itself, so reaching our limit is no error of its own: the batch is taken back as a child, which
      // costs a little more.
      await (full ? this.#root.childTransaction(batch as () => undefined) : this.#root.transaction(batch));
    } catch (error) {
      throw this.#failed(await causeOf(error));
    }
    if (thrown !== undefined) throw thrown.error;
    if (tx.failure !== undefined) throw this.#failed(tx.failure);
    this.#usedBytes += tx.putBytes;
    if (tx.writes > 0) this.#commits += 1;
  }

  /**
   * What a failed batch means. Without room nothing of it is kept and the store goes on. After anything else it must not: lmdb
   * may have given its environment up, and version 3.5.6 writes past a buffer when it words why a write failed, so its heap can't
   * be trusted. All this happens in the turn in which lmdb reports the failure, before a timer of its own trips over it.
   */
  #failed(cause: unknown): KvError {
    let error = kvErrorOf(cause);
    // A write that is cut short, as full disks and quotas do it, is an I/O error to lmdb.
    if (error.code === "kv.io" && isOutOfRoom(join(this.#directory, "data.mdb")))
      error = new KvError("kv.full", "the metadata store has no room: the disk is full", { cause: error });
    if (error.code !== "kv.io" && this.#givenUp())
      error = new KvError("kv.io", "the metadata store failed: lmdb has given it up", { cause: error });
    if (error.code === "kv.io") this.#onFailure(error);
    else if (error.code === "kv.full") this.#log.warn({ err: error }, "the metadata store is full; writes are refused");
    return error;
  }

  /** When writing its meta page fails lmdb refuses every new transaction, also of readers; a write would then never settle. */
  #givenUp(): boolean {
    try {
      this.#root.resetReadTxn();
      this.#trees.rows.getBinaryFast(Buffer.from([0]));
      return false;
    } catch {
      return true;
    }
  }

  /** Measures only when what was put since the last time could have reached the limit (a row takes at most thrice its bytes). */
  #isFull(): boolean {
    if (this.#usedBytes < this.#mapSizeBytes) return false;
    this.#usedBytes = this.#measure();
    return this.#usedBytes >= this.#mapSizeBytes;
  }

  /** Bytes of all pages in use: the file less what is free in it. */
  #measure(): number {
    const { root, free, ...rows } = statsOf(this.#trees.rows);
    let pages = 2; // the meta pages
    for (const tree of [root, free, rows, statsOf(this.#trees.bodies)])
      pages += tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages;
    return pages * PAGE_BYTES;
  }

  #onDamage(error: KvError): void {
    this.#damagedRows += 1;
    this.#log.error({ err: error }, "a stored row is damaged");
  }
}

interface TreeStats {
  readonly entryCount: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

function statsOf(
  tree: Database,
): TreeStats & { readonly root: TreeStats; readonly free: TreeStats; readonly lastPageNumber: number } {
  return tree.getStats() as ReturnType<typeof statsOf>;
}

/** lmdb's rejection of a commit holds a second promise, which rejects with the reason. */
async function causeOf(error: unknown): Promise<unknown> {
  const reason = (error as { commitError?: Promise<never> } | null)?.commitError;
  if (reason === undefined) return error;
  return reason.catch((cause: unknown) => cause);
}
