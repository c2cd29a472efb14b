import type { Clock, Timer } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import type { Worker, WorkerInfo, WorkStep } from "./worker.ts";

/** Drives workers: one unit after the other, waits as they ask, backs off after errors, stops them with the node. */
export class WorkerRunner {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #running: Running[] = [];
  readonly #abort = new AbortController();

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Starts a worker; returns what wakes it when there is something to do. */
  add(worker: Worker): () => void {
    const running = new Running(this.#running.length + 1, worker, {
      clock: this.#clock,
      log: this.#log,
      signal: this.#abort.signal,
    });
    this.#running.push(running);
    running.wake();
    return () => running.wake();
  }

  list(): readonly WorkerInfo[] {
    return this.#running.map((running) => running.info());
  }

  /** Begins no further unit; settles when those under way are through. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#running.map((running) => running.stop()));
  }
}

const FIRST_BACK_OFF_MS = 1000;
const LONGEST_BACK_OFF_MS = 5 * 60 * 1000;
const IDLE_MS = 10 * 60 * 1000;

interface RunningModules {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

class Running {
  readonly #id: number;
  readonly #worker: Worker;
  readonly #modules: RunningModules;
  #state: WorkerInfo["state"] = "idle";
  #errors = 0;
  #consecutive = 0;
  #last: { readonly message: string; readonly atMs: number } | undefined;
  #timer: Timer | undefined;
  #unit: Promise<void> | undefined;
  #woken = false;

  constructor(id: number, worker: Worker, modules: RunningModules) {
    this.#id = id;
    this.#worker = worker;
    this.#modules = modules;
  }

  /** A unit begins now, or right after the one under way. Errors are waited out all the same. */
  wake(): void {
    if (this.#modules.signal.aborted || this.#state === "done") return;
    if (this.#unit) {
      this.#woken = true;
      return;
    }
    if (this.#consecutive > 0 && this.#timer) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unit = this.#run().finally(() => {
      this.#unit = undefined;
      if (!this.#woken) return;
      this.#woken = false;
      if (this.#consecutive === 0) this.wake();
    });
  }

  stop(): Promise<void> {
    this.#timer?.cancel();
    return this.#unit ?? Promise.resolve();
  }

  info(): WorkerInfo {
    const last = this.#last;
    return {
      id: this.#id,
      name: this.#worker.name,
      state: this.#state,
      errors: this.#errors,
      consecutiveErrors: this.#consecutive,
      lastError: last && {
        message: last.message,
        secondsAgo: Math.round((this.#modules.clock.monotonicMs() - last.atMs) / 1000),
      },
      ...this.#worker.status(),
    };
  }

  /** Units until there is a reason to wait. */
  async #run(): Promise<void> {
    const { clock, log, signal } = this.#modules;
    while (!signal.aborted) {
      this.#state = "busy";
      let step: WorkStep;
      try {
        step = await this.#worker.work({ signal });
        this.#consecutive = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#errors++;
        this.#consecutive++;
        this.#last = { message: error instanceof Error ? error.message : String(error), atMs: clock.monotonicMs() };
        const delayMs = Math.min(LONGEST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** (this.#consecutive - 1));
        log.warn({ err: error, worker: this.#worker.name, retryMs: delayMs }, "background work failed");
        this.#sleep("throttled", delayMs);
        return;
      }
      if (step.state === "busy") continue;
      if (step.state === "done") this.#state = "done";
      else this.#sleep(step.state, step.state === "throttled" ? step.delayMs : (step.delayMs ?? IDLE_MS));
      return;
    }
  }

  #sleep(state: "throttled" | "idle", delayMs: number): void {
    this.#state = state;
    if (this.#modules.signal.aborted) return;
    this.#timer = this.#modules.clock.timer(delayMs, () => {
      this.#timer = undefined;
      this.wake();
    });
  }
}
