import type { Clock } from "../platform/clock.ts";
import type { Disk } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Random } from "../platform/random.ts";
import { Tranquilizer } from "../task/tranquilizer.ts";
import type { Worker, WorkerStatus, WorkStep } from "../task/worker.ts";
import { BlockWalk, type FoundFile, LEAVES } from "./block-walk.ts";
import type { FileBlockStore } from "./file-block-store.ts";

export interface ScrubOptions {
  /** A small file in the metadata directory: where the scrub stands, when it ran, what it found. */
  readonly statePath: string;
  /** Scrubs only when told to (`disable_scrub`). */
  readonly manualOnly: boolean;
}

export interface ScrubModules {
  readonly store: FileBlockStore;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What outlives a restart. Times are wall clock milliseconds. */
interface ScrubState {
  /** Where a running scrub goes on; undefined when none is running. */
  position: number | undefined;
  nextRunMs: number;
  lastCompletedMs: number | undefined;
  corruptions: number;
  tranquility: number;
  pausedUntilMs: number | undefined;
}

export interface ScrubInfo {
  readonly running: boolean;
  readonly paused: boolean;
  /** 0 ..= 1 */
  readonly progress: number;
  readonly bytesPerSecond: number;
  readonly secondsLeft: number | undefined;
  readonly lastCompletedMs: number | undefined;
  readonly nextRunMs: number;
  readonly corruptions: number;
  readonly tranquility: number;
}

const DAY_MS = 24 * 3600 * 1000;
const SAVE_EVERY_MS = 60 * 1000;
/** A pause ends by itself. */
const LONGEST_PAUSE_MS = DAY_MS;
const DEFAULT_TRANQUILITY = 4;
/** How soon a scrub goes on after a data folder is back. */
const AWAY_MS = 10_000;

/**
 * Reads every block now and then and verifies it, so that silent damage is found while another copy still exists. By itself every
 * 25–35 days (drawn, so that nodes don't scrub together); at a pace that leaves the disk to the requests; goes on after a
 * restart.
 */
export class Scrub implements Worker {
  readonly name = "Block scrub worker";
  readonly #options: ScrubOptions;
  readonly #modules: ScrubModules;
  readonly #walk: BlockWalk;
  readonly #tranquilizer = new Tranquilizer();
  #state: ScrubState;
  #files: FoundFile[] = [];
  /** The position to save once all #files are through. */
  #behind = 0;
  #savedMs = 0;
  #beganMs = 0;
  #beganAt = 0;
  #bytes = 0;

  private constructor(options: ScrubOptions, modules: ScrubModules, state: ScrubState) {
    this.#options = options;
    this.#modules = modules;
    this.#state = state;
    this.#walk = new BlockWalk(modules.store.directories, modules.disk);
    this.#beginAt(state.position ?? 0);
  }

  static async open(options: ScrubOptions, modules: ScrubModules): Promise<Scrub> {
    const saved = await modules.disk.read(options.statePath);
    const fresh: ScrubState = {
      position: undefined,
      nextRunMs: nextRun(modules),
      lastCompletedMs: undefined,
      corruptions: 0,
      tranquility: DEFAULT_TRANQUILITY,
      pausedUntilMs: undefined,
    };
    return new Scrub(
      options,
      modules,
      saved === undefined ? fresh : { ...fresh, ...parseState(saved, options.statePath, modules.log) },
    );
  }

  async work(): Promise<WorkStep> {
    const { clock } = this.#modules;
    const state = this.#state;
    // A scrub that passes over a disk which is not there would count as one.
    if (this.#modules.store.directories.away().length > 0) return { state: "idle", delayMs: AWAY_MS };
    if (state.pausedUntilMs !== undefined) {
      const leftMs = state.pausedUntilMs - clock.wallMs();
      if (leftMs > 0) return { state: "idle", delayMs: Math.min(leftMs, DAY_MS / 24) };
      await this.resume();
    }
    if (state.position === undefined) {
      const leftMs = state.nextRunMs - clock.wallMs();
      if (this.#options.manualOnly) return { state: "idle" };
      if (leftMs > 0) return { state: "idle", delayMs: Math.min(leftMs, DAY_MS / 24) };
      await this.start();
    }
    return this.#unit();
  }

  async #unit(): Promise<WorkStep> {
    const { clock, store } = this.#modules;
    const state = this.#state;
    const beganMs = clock.monotonicMs();
    if (this.#files.length === 0) {
      const { files, next } = await this.#walk.next(state.position as number);
      if (state.position === undefined) return { state: "busy" }; // Cancelled meanwhile.
      if (files.length === 0 && next === LEAVES) {
        await this.#complete();
        return { state: "busy" };
      }
      this.#files = files.filter(({ kind }) => kind === "block");
      this.#behind = next;
      if (this.#files.length === 0) state.position = next;
      return { state: "busy" };
    }
    const file = this.#files.pop() as FoundFile;
    const { outcome, sizeBytes } = await store.verifyFile(file.hash, file.path);
    this.#bytes += sizeBytes;
    if (outcome === "damaged") state.corruptions++;
    if (this.#files.length === 0 && state.position !== undefined) state.position = this.#behind;
    if (beganMs - this.#savedMs > SAVE_EVERY_MS) await this.#save();
    const delayMs = this.#tranquilizer.restMs(clock.monotonicMs() - beganMs, state.tranquility);
    return delayMs >= 1 ? { state: "throttled", delayMs } : { state: "busy" };
  }

  /** Begins a scrub from the first block, unless one is running. The caller wakes the worker. */
  async start(): Promise<void> {
    if (this.#state.position !== undefined) return;
    this.#state.position = 0;
    this.#state.pausedUntilMs = undefined;
    this.#beginAt(0);
    this.#modules.log.info({}, "scrub begins");
    await this.#save();
  }

  async pause(forMs = LONGEST_PAUSE_MS): Promise<void> {
    this.#state.pausedUntilMs = this.#modules.clock.wallMs() + Math.min(forMs, LONGEST_PAUSE_MS);
    await this.#save();
  }

  async resume(): Promise<void> {
    this.#state.pausedUntilMs = undefined;
    this.#beginAt(this.#state.position ?? 0);
    await this.#save();
  }

  /** Ends the running scrub; the next one comes at its time. */
  async cancel(): Promise<void> {
    this.#state.position = undefined;
    this.#state.pausedUntilMs = undefined;
    this.#files = [];
    await this.#save();
  }

  async setTranquility(tranquility: number): Promise<void> {
    this.#state.tranquility = tranquility;
    await this.#save();
  }

  info(): ScrubInfo {
    const { clock } = this.#modules;
    const { position, nextRunMs, lastCompletedMs, corruptions, tranquility, pausedUntilMs } = this.#state;
    const seconds = Math.max(0.001, (clock.monotonicMs() - this.#beganMs) / 1000);
    const done = (position ?? 0) - this.#beganAt;
    return {
      running: position !== undefined,
      paused: pausedUntilMs !== undefined && pausedUntilMs > clock.wallMs(),
      progress: (position ?? 0) / LEAVES,
      bytesPerSecond: position === undefined ? 0 : this.#bytes / seconds,
      secondsLeft: position === undefined || done <= 0 ? undefined : ((LEAVES - position) * seconds) / done,
      lastCompletedMs,
      nextRunMs,
      corruptions,
      tranquility,
    };
  }

  status(): WorkerStatus {
    const { running, paused, progress, secondsLeft, bytesPerSecond, corruptions, tranquility } = this.info();
    const left = secondsLeft === undefined ? "" : ` (${durationText(secondsLeft)} left)`;
    return {
      tranquility,
      persistentErrors: corruptions,
      ...(running ? { progress: `${(100 * progress).toFixed(2)}%${left}` } : {}),
      freeform: [paused ? "paused" : running ? `${(bytesPerSecond / 1e6).toFixed(1)} MB/s` : "not running"],
    };
  }

  #beginAt(position: number): void {
    this.#beganMs = this.#modules.clock.monotonicMs();
    this.#beganAt = position;
    this.#bytes = 0;
    this.#files = [];
  }

  async #complete(): Promise<void> {
    const state = this.#state;
    state.position = undefined;
    state.lastCompletedMs = this.#modules.clock.wallMs();
    state.nextRunMs = nextRun(this.#modules);
    this.#modules.log.info({ bytes: this.#bytes, corruptions: state.corruptions }, "scrub completed");
    await this.#save();
  }

  async #save(): Promise<void> {
    this.#savedMs = this.#modules.clock.monotonicMs();
    const text = JSON.stringify(this.#state) + "\n";
    await this.#modules.disk.writeDurable(this.#options.statePath, [new TextEncoder().encode(text)], { sync: true });
  }
}

function nextRun({ clock, random }: Pick<ScrubModules, "clock" | "random">): number {
  return clock.wallMs() + 25 * DAY_MS + random.below(10 * 24 * 3600) * 1000;
}

/** A state that can't be read only costs an early or late scrub. */
function parseState(saved: Uint8Array, path: string, log: Log): Partial<ScrubState> {
  try {
    return JSON.parse(new TextDecoder().decode(saved)) as Partial<ScrubState>;
  } catch (error) {
    log.warn({ err: error, path }, "the scrub's state can't be read; it begins anew");
    return {};
  }
}

export function durationText(seconds: number): string {
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} m`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} m` : `${Math.round(minutes / 60 / 24)} d`;
}
