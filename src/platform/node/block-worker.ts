import { hash as hashOnce } from "node:crypto";
import { dirname } from "node:path";
import { parentPort, threadId, workerData } from "node:worker_threads";
import type { BlockRead, BlockWritten, Digests } from "../cpu.ts";
import type { FileIdentity } from "../disk.ts";
import type { Hash } from "../../util/ids.ts";
import { Turns } from "../../util/turns.ts";
import { BlockFiles, COMPRESSED, compressIfSmaller } from "./block-files.ts";
import type { FromWorker, ToWorker, View } from "./block-worker-messages.ts";
import { checkDirectory } from "./device-check.ts";
import { collectGarbage } from "./garbage.ts";
import { type HashState, Hashers } from "./hashers.ts";

/** The program of a worker thread: takes jobs over blocks in shared memory, one after the other; only fsyncs overlap. */

const port = parentPort;
if (port === null) throw new Error("runs as a worker thread only");

const hashers = new Hashers();
const files = new BlockFiles(`${workerData as string}-${threadId}x`);
/**
 * Writes under way, each with up to four files open while it waits for the disk: http-limits.ts keeps so many files for them.
 * Node's four threads, which all workers share, could not write more at a time anyway.
 */
const writes = new Turns(8);
const slabs = new Map<number, SharedArrayBuffer>();
const digesters = new Map<number, { readonly algorithms: readonly (keyof Digests)[]; readonly states: HashState[] }>();

/** Jobs that came while a checksum's code was being loaded; their order must be kept. */
let waiting: ToWorker[] | undefined;

port.on("message", (messages: readonly ToWorker[]) => {
  for (const message of messages) take(message);
});

function take(message: ToWorker): void {
  if (waiting !== undefined) {
    waiting.push(message);
    return;
  }
  const prepared = "algorithms" in message ? hashers.prepare(message.algorithms) : undefined;
  if (prepared === undefined) {
    run(message);
    return;
  }
  waiting = [];
  const go = (): void => {
    const queue = waiting ?? [];
    waiting = undefined;
    run(message);
    for (const next of queue) take(next);
  };
  prepared.then(go, (error: unknown) => {
    throw error;
  });
}

function run(message: ToWorker): void {
  try {
    const done = work(message);
    if (done instanceof Promise)
      done.then(
        (result) => answer(message.job, result),
        (error: unknown) => fail(message.job, error),
      );
    else answer(message.job, done);
  } catch (error) {
    fail(message.job, error);
  }
}

function work(message: ToWorker): unknown {
  switch (message.op) {
    case "slab":
      slabs.set(message.slab, message.memory);
      return NO_ANSWER;
    case "forget-slab":
      slabs.delete(message.slab);
      return NO_ANSWER;
    case "collect":
      collectGarbage();
      return NO_ANSWER;
    case "digest":
      return hashers.once(view(message.data), message.algorithms);
    case "digester":
      digesters.set(message.digester, {
        algorithms: message.algorithms,
        states: message.algorithms.map((algorithm) => hashers.state(algorithm)),
      });
      return NO_ANSWER;
    case "update": {
      const bytes = view(message.data);
      for (const state of digesters.get(message.digester)?.states ?? []) state.update(bytes);
      return undefined;
    }
    case "finish": {
      const digester = digesters.get(message.digester);
      digesters.delete(message.digester);
      return Object.fromEntries((digester?.algorithms ?? []).map((name, at) => [name, digester?.states[at]?.digest()]));
    }
    case "discard":
      digesters.delete(message.digester);
      return NO_ANSWER;
    case "write":
      return writes.run(() => write(message));
    case "read":
      return read(message);
  }
}

async function write(job: Extract<ToWorker, { op: "write" }>): Promise<BlockWritten> {
  const data = view(job.data);
  const digests = job.algorithms.length > 0 ? hashers.once(data, job.algorithms) : {};
  if (job.verify) {
    const known = digests.SHA256;
    const actual = known ? Buffer.from(known).toString("hex") : hashOnce("sha256", data, "hex");
    if (actual !== job.hash) return { outcome: "wrong-hash", actual: actual as Hash, digests };
  }
  const { paths, roots, sync } = job;
  const path = paths[0] as string;
  const devices = roots.map(({ device }) => device);
  const found = await files.findSame({ paths, devices, sync }, data);
  const { storedSize, corrupted } = found;
  if (storedSize !== undefined) {
    checkRoot(paths[found.at] as string, roots[found.at]);
    return { outcome: "existed", storedSize, digests, corrupted };
  }
  const packed = job.level === undefined ? undefined : compressIfSmaller(data, job.level);
  checkRoot(path, roots[0]); // So that nothing is made in another one.
  await files.write(packed ? path + COMPRESSED : path, packed ?? data, { sync, device: devices[0] });
  checkRoot(path, roots[0]);
  return { outcome: "written", storedSize: (packed ?? data).byteLength, digests, corrupted };
}

/** @throws what becomes disk.away, when the ROOT of ROOT/xx/yy/NAME is another directory than was opened */
function checkRoot(path: string, root: FileIdentity | undefined): void {
  if (root !== undefined) checkDirectory(dirname(dirname(dirname(path))), root);
}

function read(job: Extract<ToWorker, { op: "read" }>): BlockRead {
  return files.read(job.paths, job.hash, view(job.into), job);
}

function view({ slab, offset, length }: View): Buffer {
  const memory = slabs.get(slab);
  if (memory === undefined) throw new Error(`unknown memory ${slab}`);
  return Buffer.from(memory, offset, length);
}

const NO_ANSWER = Symbol("no answer");

function answer(job: number, result: unknown): void {
  if (result !== NO_ANSWER) post({ job, result });
}

function fail(job: number, error: unknown): void {
  const { code, path, message } = error as NodeJS.ErrnoException;
  post({ job, error: { code, path, message } });
}

/** Answers of one turn travel together: a message between threads costs more than many a job. */
let answers: FromWorker[] = [];

function post(message: FromWorker): void {
  if (answers.push(message) > 1) return;
  setImmediate(() => {
    port?.postMessage(answers);
    answers = [];
  });
}
