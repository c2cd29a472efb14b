/**
 * The transactional, ordered key-value store of a node: one environment that holds the rows of all groups.
 * Engines: lmdb, node:sqlite, memory (tests and simulation); one contract suite (test/contract/kv) runs on all.
 */
export interface Kv {
  /**
   * Runs `fn` in a write transaction and settles when everything it wrote is on disk (fsynced, unless metadata_fsync is off).
   *
   * Transactions run one after the other in the order of the calls; those that wait together share one commit and one fsync (group commit).
   * Until the commit is on disk no read outside sees any of it.
   * `fn` is synchronous, reads its own writes, and must decide before it writes: a throw before the first write rejects this promise
   * and changes nothing; a throw after the first write is our bug and calls `fatal` (the process stops before the commit).
   *
   * @throws  KvError kv.full when the map or disk is full (nothing of the batch is kept) · kv.io
   */
  transact<T>(fn: (tx: KvWrite) => T): Promise<T>;

  /** Runs `fn` over one snapshot of what is on disk. `fn` is synchronous. A throw rejects the promise. */
  read<T>(fn: (tx: KvRead) => T): Promise<T>;

  /** Figures for metrics and `stats`. */
  stats(): KvStats;

  /** Waits for what is under way, then closes. */
  close(): Promise<void>;
}

/** Two trees, so that what a list scans stays small: `rows` for short rows, `bodies` for versions with inline bytes and block lists. */
export type Tree = "rows" | "bodies";

export interface KvRead {
  /** A copy of the value, owned by the caller; undefined when absent. @throws KvError kv.damaged when the row's checksum is wrong. */
  get(tree: Tree, key: Uint8Array): Buffer | undefined;
  /** As `get`, but a view that is valid only until the next call on this transaction. For hot paths that decode at once. */
  view(tree: Tree, key: Uint8Array): Buffer | undefined;
  /**
   * Visits the rows with start ≤ key < end in order (reverse: from the last below `end` down to `start`).
   * `visit` gets a RowView whose buffers are valid only during the call, and only until it calls this transaction again; it returns
   * undefined to go on, STOP to end, or a key to seek to (forward scans: the first row ≥ that key; must lie ahead).
   */
  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void;
}

export interface KvWrite extends KvRead {
  /** Stores a copy or takes the buffers: they belong to the store until `transact` settles. Keys are 1 ..= 4,000 bytes. */
  put(tree: Tree, key: Uint8Array, value: Uint8Array): void;
  /** Removes a row; nothing happens when it is absent. */
  remove(tree: Tree, key: Uint8Array): void;
}

export interface KvRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly reverse?: boolean;
}

/** Longest key that every engine takes. */
export const MAX_KEY_BYTES = 4000;

/** Key and value lie at [keyStart, keyEnd) of `key` and [valueStart, valueEnd) of `value`; no copy is made. The checksum is verified and cut off. */
export interface RowView {
  key: Buffer;
  keyStart: number;
  keyEnd: number;
  value: Buffer;
  valueStart: number;
  valueEnd: number;
}

export const STOP: unique symbol = Symbol("stop");
export type ScanStep = undefined | typeof STOP | Uint8Array;

export interface KvStats {
  readonly engine: "lmdb" | "sqlite" | "memory";
  readonly rows: Readonly<Record<Tree, number>>;
  /** On disk, with room inside that deleted rows left. */
  readonly sizeBytes: number;
  /** Without that room: falls when rows are removed. */
  readonly usedBytes: number;
  readonly commits: number;
  readonly fsyncs: number;
  readonly damagedRows: number;
}

export type KvErrorCode = "kv.full" | "kv.io" | "kv.damaged" | "kv.closed";

export class KvError extends Error {
  readonly code: KvErrorCode;
  /** Of kv.damaged: which row it is. The key itself may be what has rotted. */
  readonly key: Buffer | undefined;
  constructor(code: KvErrorCode, message: string, { key, ...options }: ErrorOptions & { readonly key?: Buffer } = {}) {
    super(message, options);
    this.name = "KvError";
    this.code = code;
    this.key = key;
  }
}

/** What every engine throws for a row whose checksum is wrong. `key` is copied. */
export function wrongChecksum(tree: Tree, key: Uint8Array): KvError {
  const own = Buffer.from(key);
  return new KvError("kv.damaged", `row ${own.toString("hex")} of ${tree} is damaged: its checksum is wrong`, { key: own });
}
