/**
 * The transactional, ordered key-value store of a node: one environment that holds the rows of all groups.
 * Engines: lmdb, node:sqlite, memory (tests and simulation); one contract suite (test/contract/kv) runs on all.
 */
export interface Kv {
  /**
   * Runs `fn` in a write transaction and settles when everything it wrote is on disk (fsynced, unless metadata_fsync is off).
   *
   * Transactions run one after the other in the order of the calls; those that wait together share one commit and one fsync
   * (group commit). Until the commit is on disk no read outside sees any of it. `fn` is synchronous, reads its own writes, and
   * must decide before it writes: a throw before the first write rejects this promise and changes nothing; a throw after the
   * first write is our bug and calls `fatal` (the process stops before the commit).
   *
   * @throws  KvError kv.full when the map or disk is full (nothing of the batch is kept; later calls may succeed) ·
   *          kv.damaged when a page that must be changed can't be read, or the tree leads astray at a key that is written
   *          (nothing of the batch is kept) · kv.io when a commit failed. What is on disk is unknown then, so the store stops for
   *          good: `failed` of its options is called once, and every later call is refused with the same error (`failure`).
   */
  transact<T>(fn: (tx: KvWrite) => T): Promise<T>;

  /** Runs `fn` over one snapshot of what is on disk. `fn` is synchronous. A throw rejects the promise. */
  read<T>(fn: (tx: KvRead) => T): Promise<T>;

  /** Why this store has stopped for good: a commit failed with kv.io. Undefined while it works. */
  readonly failure: KvError | undefined;

  /** Figures for metrics and `stats`. */
  stats(): KvStats;

  /** Waits for what is under way, then closes. */
  close(): Promise<void>;
}

/**
 * Two trees, so that what a list scans stays small: `rows` for short rows, `bodies` for versions with inline bytes and block
 * lists.
 */
export type Tree = "rows" | "bodies";

export interface KvRead {
  /**
   * A copy of the value, owned by the caller; undefined when absent.
   * @throws KvError kv.damaged when the row's checksum is wrong, or it isn't found where its neighbours don't show that it is
   *         absent.
   */
  get(tree: Tree, key: Uint8Array): Buffer | undefined;
  /** As `get`, but a view that is valid only until the next call on this transaction. For hot paths that decode at once. */
  view(tree: Tree, key: Uint8Array): Buffer | undefined;
  /**
   * Visits the rows with start ≤ key < end in order (reverse: from the last below `end` down to `start`). `visit` gets a RowView
   * whose buffers are valid only during the call, and only until it calls this transaction again; it returns undefined to go on,
   * STOP to end, or a key to seek to (forward scans: the first row ≥ that key; must lie ahead). Rows come by their place in the
   * tree: a key that has rotted hides itself only.
   * @throws KvError kv.damaged at a damaged row that is, or may be, in the range, unless the range has `onDamaged`
   */
  scan(tree: Tree, range: KvRange, visit: (row: RowView) => ScanStep): void;
  /**
   * The damaged row of `key` (under the key that it shows, where that has rotted) or of whatever row lies under it, as it is
   * stored and unverified, the checksum behind its value. For keeping what is about to be replaced, never for an answer.
   */
  stored(tree: Tree, key: Uint8Array): StoredBytes | undefined;
}

/** A row as it is stored. Copies. */
export interface StoredBytes {
  readonly key: Buffer;
  readonly value: Buffer;
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
  /**
   * Is called for each damaged row that is, or may be, in the range, and the scan goes on after it. May read. `key`, a copy, is
   * the row's own where one flipped bit explains the damage, else what is stored: a hint, which may lie anywhere. The scan may
   * tell of a row again after a seek.
   */
  readonly onDamaged?: (key: Buffer) => void;
}

/** Longest key that every engine takes. */
export const MAX_KEY_BYTES = 4000;

/**
 * Key and value lie at [keyStart, keyEnd) of `key` and [valueStart, valueEnd) of `value`; no copy is made. The checksum is
 * verified and cut off.
 */
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
  /** On disk, with room inside that deleted rows left, and that new rows may take without the disk giving more. */
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

/**
 * What every engine throws for a row whose checksum is wrong. `key` is copied; `stored` is the key that the row shows, where that
 * has rotted.
 */
export function damagedRow(tree: Tree, key: Uint8Array, stored: Uint8Array = key): KvError {
  const own = Buffer.from(key);
  const shown = Buffer.compare(own, stored) === 0 ? "" : ` (its key has rotted to ${Buffer.from(stored).toString("hex")})`;
  return new KvError("kv.damaged", `row ${own.toString("hex")} of ${tree} is damaged: its checksum is wrong${shown}`, {
    key: own,
  });
}

/**
 * What every engine throws when rows beside the place where `key` should be are out of order: it may be there, and can't be
 * found.
 */
export function misledSearch(tree: Tree, key: Uint8Array): KvError {
  const own = Buffer.from(key);
  return new KvError("kv.damaged", `the tree of ${tree} is damaged: the search for row ${own.toString("hex")} goes astray`, {
    key: own,
  });
}
