import { assert } from "../../util/assert.ts";
import { KvError, type KvRead, type KvWrite } from "../kv.ts";

/** Calls that share one commit at most: bounds the time of a batch (some 10 ms) and what a full disk rejects at once. */
export const BATCH_CALLS = 1024;
/** The event loop is not held longer than this by one batch, unless a single call is. */
export const BATCH_MS = 20;

/** The write transaction of an engine while a batch runs. */
export interface BatchWrite extends KvWrite {
  /** Set by `put` and `remove`; cleared by the pipeline before each call. */
  wrote: boolean;
  /** Set by the engine when it refused a write (map full, I/O): the batch is lost, whatever the call makes of it. */
  failure: KvError | undefined;
}

export interface CommitEngine {
  /**
   * Opens a write transaction, calls `run` once with it, and commits. Settles when all of it is on disk, and only then visible to
   * reads. When `tx.failure` is set or the commit fails, nothing of it is kept and the promise rejects with a KvError.
   */
  commit(run: (tx: BatchWrite) => void): Promise<void>;
}

interface Job {
  readonly fn: (tx: KvWrite) => unknown;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  failed: boolean;
  outcome: unknown;
}

/**
 * Group commit, the same for every engine: calls that arrive while a commit is under way wait and share the next one. One batch
 * at a time, calls in order, each settled after the commit that holds it. After a commit that failed with kv.io nobody knows what
 * is on disk; no later batch may run, or it would be durable where an earlier one is not.
 */
export class CommitPipeline {
  readonly #engine: CommitEngine;
  readonly #fatal: (error: unknown) => never;
  readonly #nowMs: () => number;
  #waiting: Job[] = [];
  #batch: Job[] = [];
  #closed = false;
  #failure: KvError | undefined;
  #idle: (() => void) | undefined;
  #running = false;
  #inBatch = false;
  readonly #run = (tx: BatchWrite): void => {
    this.#inBatch = true;
    try {
      this.#runBatch(tx);
    } finally {
      this.#inBatch = false;
    }
  };
  readonly #settle = (): void => this.#settleBatch();
  readonly #fail = (error: unknown): void => this.#failBatch(error);

  constructor(engine: CommitEngine, { fatal, nowMs }: { fatal: (error: unknown) => never; nowMs: () => number }) {
    this.#engine = engine;
    this.#fatal = fatal;
    this.#nowMs = nowMs;
  }

  transact<T>(fn: (tx: KvWrite) => T): Promise<T> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ fn, resolve, reject, failed: false, outcome: undefined });
      if (!this.#running) this.#start();
    });
  }

  /** Takes no more calls; settles when those that wait are done. */
  close(): Promise<void> {
    this.#closed = true;
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** The kv.io that a commit failed with. */
  get failure(): KvError | undefined {
    return this.#failure;
  }

  #refusal(): KvError | undefined {
    return this.#closed ? new KvError("kv.closed", "the store is closed") : this.#failure;
  }

  /**
   * Runs a read of the last flushed state at once; `tx` reads it. Refused after `close`, and inside a transaction, whose writes
   * it might show.
   */
  read<T>(fn: (tx: KvRead) => T, tx: KvRead): Promise<T> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    try {
      assert(!this.#inBatch, "a transaction reads through itself, never through the store");
      const result = fn(tx);
      assert(!(result instanceof Promise), "reads of the store are synchronous");
      return Promise.resolve(result);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #start(): void {
    this.#running = true;
    this.#engine.commit(this.#run).then(this.#settle, this.#fail);
  }

  #runBatch(tx: BatchWrite): void {
    const waiting = this.#waiting;
    const untilMs = this.#nowMs() + BATCH_MS;
    let count = 0;
    while (count < waiting.length && count < BATCH_CALLS && tx.failure === undefined) {
      const job = waiting[count++]!;
      tx.wrote = false;
      try {
        job.outcome = job.fn(tx);
        assert(!(job.outcome instanceof Promise), "transactions are synchronous");
      } catch (error) {
        if (tx.wrote && tx.failure === undefined)
          this.#fatal(new Error("a transaction threw after it had written", { cause: error }));
        job.failed = true;
        job.outcome = error;
      }
      if ((count & 15) === 0 && this.#nowMs() > untilMs) break;
    }
    if (count === waiting.length) {
      this.#batch = waiting;
      this.#waiting = [];
    } else {
      this.#batch = waiting.splice(0, count);
    }
  }

  #settleBatch(): void {
    const batch = this.#batch;
    this.#batch = [];
    for (const job of batch) {
      if (job.failed) job.reject(job.outcome);
      else job.resolve(job.outcome as never);
    }
    this.#next();
  }

  #failBatch(error: unknown): void {
    if (error instanceof KvError && error.code === "kv.io") this.#failure = error;
    // A transaction that could not even begin has run nothing: then all that wait are refused. So are they after the last batch
    // there will be.
    const batch = this.#batch;
    if (batch.length === 0 || this.#failure !== undefined) batch.push(...this.#waiting.splice(0));
    this.#batch = [];
    for (const job of batch) job.reject(job.failed && !(job.outcome instanceof KvError) ? job.outcome : error);
    this.#next();
  }

  #next(): void {
    if (this.#waiting.length > 0) {
      this.#start();
    } else {
      this.#running = false;
      this.#idle?.();
    }
  }
}
