import { randomBytes } from "node:crypto";
import { Worker } from "node:worker_threads";
import type {
  BlockRead,
  BlockWritten,
  Cpu,
  CpuStats,
  DigestAlgorithm,
  Digester,
  Digests,
  ReadBlock,
  WriteBlock,
} from "../cpu.ts";
import { CpuError } from "../cpu.ts";
import type { Log } from "../log.ts";
import type { FromWorker, ToWorker, View } from "./block-worker-messages.ts";
import { diskError } from "./disk-errors.ts";
import { collectGarbage } from "./garbage.ts";
import { Hashers } from "./hashers.ts";
import { SharedMemory } from "./shared-memory.ts";

export interface NodeCpuOptions {
  /** Upper bound of worker threads (each costs about 10 MB); the first starts with the first job, others when it is busy. */
  readonly workers?: number;
  /** Shared memory kept for reuse. */
  readonly keepBytes?: number;
  /** The program of the threads; another one only in tests. */
  readonly program?: URL;
}

/** How often shared memory that nobody needed is let go. */
const TRIM_EVERY_MS = 5000;
/** A collection costs some 20 ms of CPU: only for as much as this. */
const COLLECT_BYTES = 8 * 1024 * 1024;

/** The seam on worker threads over shared memory. Jobs go to the worker with the fewest bytes to work through. */
export class NodeCpu implements Cpu {
  readonly asideToken = randomBytes(6).toString("hex");
  readonly #options: Required<NodeCpuOptions>;
  readonly #log: Log;
  readonly #hashers = new Hashers();
  readonly #memory: SharedMemory;
  readonly #workers: WorkerHandle[] = [];
  #jobsDone = 0;
  #deaths = 0;
  #digesters = 0;
  #closed = false;
  readonly #trimming: NodeJS.Timeout;
  #forgottenBytes = 0;

  constructor({ workers = 2, keepBytes = 32 * 1024 * 1024, program = PROGRAM }: NodeCpuOptions, { log }: { readonly log: Log }) {
    this.#options = { workers, keepBytes, program };
    this.#log = log;
    this.#memory = new SharedMemory({
      keepBytes,
      onForget: (slab) => {
        for (const worker of this.#workers) worker.forget(slab);
      },
    });
    this.#trimming = setInterval(() => this.#trim(), TRIM_EVERY_MS).unref();
  }

  #trim(): void {
    this.#forgottenBytes += this.#memory.trim();
    if (this.#forgottenBytes < COLLECT_BYTES) return;
    this.#forgottenBytes = 0;
    for (const worker of this.#workers) worker.send({ op: "collect" });
    collectGarbage();
  }

  allocate(sizeBytes: number): Uint8Array {
    return this.#memory.allocate(sizeBytes);
  }

  free(bytes: Uint8Array): void {
    this.#memory.free(bytes);
  }

  async digest(bytes: Uint8Array, algorithms: readonly DigestAlgorithm[]): Promise<Digests> {
    if (bytes.byteLength > HERE_BYTES)
      return this.#withShared(bytes, (worker, data) => worker.run<Digests>({ op: "digest", data, algorithms }, bytes.byteLength));
    await this.#hashers.prepare(algorithms);
    return this.#hashers.once(bytes, algorithms);
  }

  digester(algorithms: readonly DigestAlgorithm[]): Digester {
    const worker = this.#pick();
    const digester = this.#digesters++;
    worker.send({ op: "digester", digester, algorithms });
    return {
      update: (bytes) =>
        this.#withShared(bytes, (_, data) => worker.run<void>({ op: "update", digester, data }, bytes.byteLength), worker),
      finish: () => worker.run<Digests>({ op: "finish", digester }, 0),
      discard: () => worker.send({ op: "discard", digester }),
    };
  }

  writeBlock(job: WriteBlock): Promise<BlockWritten> {
    const { hash, paths, roots = [], verify, digests: algorithms = [], compressionLevel: level, sync } = job;
    const path = paths[0] as string;
    return this.#withShared(job.data, (worker, data) =>
      worker.run<BlockWritten>(
        { op: "write", data, hash, paths, roots, verify, algorithms, level, sync },
        job.data.byteLength,
        path,
      ),
    );
  }

  async readBlock(job: ReadBlock): Promise<BlockRead> {
    const { hash, paths, compressedFirst, setAside } = job;
    const run = (into: Uint8Array): Promise<BlockRead> => {
      const worker = this.#pick();
      const view = worker.view(into);
      return worker.run<BlockRead>({ op: "read", hash, paths, into: view, compressedFirst, setAside }, into.byteLength, paths[0]);
    };
    if (this.#memory.slabOf(job.into)) return run(job.into);
    const shared = this.#memory.allocate(job.into.byteLength);
    try {
      const read = await run(shared);
      if (read.outcome === "ok") job.into.set(shared.subarray(0, read.sizeBytes));
      return read;
    } finally {
      this.#memory.free(shared);
    }
  }

  stats(): CpuStats {
    return {
      workers: this.#workers.length,
      jobsUnderWay: this.#workers.reduce((sum, worker) => sum + worker.jobs, 0),
      jobsDone: this.#jobsDone,
      workerDeaths: this.#deaths,
      bytesInUse: this.#memory.bytesInUse,
      bytesKept: this.#memory.bytesKept,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#trimming);
    await Promise.all(
      this.#workers.splice(0).map((worker) => worker.stop(new CpuError("cpu.closed", "the workers are stopped"))),
    );
  }

  /** Runs over `bytes`, in place when they are shared already, else over one copy. */
  async #withShared<T>(
    bytes: Uint8Array,
    run: (worker: WorkerHandle, view: View) => Promise<T>,
    fixed?: WorkerHandle,
  ): Promise<T> {
    const worker = fixed ?? this.#pick();
    if (this.#memory.slabOf(bytes)) return run(worker, worker.view(bytes));
    const copy = this.#memory.allocate(bytes.byteLength);
    copy.set(bytes);
    try {
      return await run(worker, worker.view(copy));
    } finally {
      this.#memory.free(copy);
    }
  }

  #pick(): WorkerHandle {
    if (this.#closed) throw new CpuError("cpu.closed", "the workers are stopped");
    let best = this.#workers[0];
    for (const worker of this.#workers) if (best && worker.load < best.load) best = worker;
    if (best && (best.load === 0 || this.#workers.length >= this.#options.workers)) return best;
    const started = new WorkerHandle({
      program: this.#options.program,
      token: this.asideToken,
      memory: this.#memory,
      onDone: () => this.#jobsDone++,
      onDeath: (worker, error) => this.#onDeath(worker, error),
    });
    this.#workers.push(started);
    return started;
  }

  #onDeath(worker: WorkerHandle, error: unknown): void {
    const at = this.#workers.indexOf(worker);
    if (at < 0) return;
    this.#workers.splice(at, 1);
    this.#deaths++;
    this.#log.error({ err: error }, "a block worker died; its jobs fail and the next job starts a new one");
  }
}

/** Up to here a checksum is cheaper than the hop to a worker. */
const HERE_BYTES = 16 * 1024;
/** What a job costs beside its bytes, in bytes of hashing. */
const JOB_WEIGHT = 32 * 1024;

/** The program of the threads; beside this file, as source or as built. */
const PROGRAM = new URL("./block-worker.ts", import.meta.url);
if (import.meta.url.endsWith(".js")) PROGRAM.pathname = PROGRAM.pathname.replace(/\.ts$/, ".js");

interface Job {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  readonly weight: number;
  readonly path: string;
}

type WithoutJob<T> = T extends unknown ? Omit<T, "job"> : never;

class WorkerHandle {
  readonly #worker: Worker;
  readonly #memory: SharedMemory;
  readonly #onDone: () => void;
  readonly #pending = new Map<number, Job>();
  readonly #slabs = new Set<number>();
  #outgoing: ToWorker[] = [];
  #count = 0;
  #dead: CpuError | undefined;
  load = 0;

  constructor(parts: {
    readonly program: URL;
    readonly token: string;
    readonly memory: SharedMemory;
    readonly onDone: () => void;
    readonly onDeath: (worker: WorkerHandle, error: unknown) => void;
  }) {
    this.#memory = parts.memory;
    this.#onDone = parts.onDone;
    this.#worker = new Worker(parts.program, { name: "hangar-blocks", workerData: parts.token });
    this.#worker.unref(); // Pending work keeps the process alive through `ref` in run().
    this.#worker.on("message", (messages: readonly FromWorker[]) => {
      for (const message of messages) this.#settle(message);
    });
    const die = (error: unknown): void => {
      if (this.#dead) return;
      this.#fail(new CpuError("cpu.worker-died", "a block worker died", { cause: error }));
      parts.onDeath(this, error);
    };
    this.#worker.on("error", die);
    this.#worker.on("exit", (code) => die(new Error(`exit code ${code}`)));
  }

  get jobs(): number {
    return this.#pending.size;
  }

  /** `bytes` must be shared memory. */
  view(bytes: Uint8Array): View {
    const slab = this.#memory.slabOf(bytes);
    if (slab === undefined) throw new Error("not shared memory");
    if (!this.#slabs.has(slab.id)) {
      this.#slabs.add(slab.id);
      this.send({ op: "slab", slab: slab.id, memory: slab.memory });
    }
    return { slab: slab.id, offset: bytes.byteOffset, length: bytes.byteLength };
  }

  forget(slab: number): void {
    if (this.#slabs.delete(slab)) this.send({ op: "forget-slab", slab });
  }

  send(message: WithoutJob<ToWorker>): void {
    this.#post({ ...message, job: -1 });
  }

  /** Messages of one turn travel together: one costs 20–80 µs, whatever it holds. */
  #post(message: ToWorker): void {
    if (this.#dead || this.#outgoing.push(message) > 1) return;
    setImmediate(() => {
      const messages = this.#outgoing;
      this.#outgoing = [];
      if (!this.#dead) this.#worker.postMessage(messages);
    });
  }

  run<T>(message: WithoutJob<ToWorker>, bytes: number, path = ""): Promise<T> {
    if (this.#dead) return Promise.reject(this.#dead);
    const job = this.#count++;
    const weight = bytes + JOB_WEIGHT;
    this.load += weight;
    if (this.#pending.size === 0) this.#worker.ref();
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(job, { resolve: resolve as (result: never) => void, reject, weight, path });
      this.#post({ ...message, job } as ToWorker);
    });
  }

  async stop(why: CpuError): Promise<void> {
    this.#fail(why);
    await this.#worker.terminate();
  }

  #settle(message: FromWorker): void {
    const job = this.#pending.get(message.job);
    if (job === undefined) return;
    this.#pending.delete(message.job);
    this.load -= job.weight;
    if (this.#pending.size === 0) this.#worker.unref();
    this.#onDone();
    if (message.error === undefined) job.resolve(message.result as never);
    else job.reject(diskError(message.error, message.error.path ?? job.path));
  }

  #fail(error: CpuError): void {
    this.#dead = error;
    for (const job of this.#pending.values()) job.reject(error);
    this.#pending.clear();
    this.load = 0;
  }
}
