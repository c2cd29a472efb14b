import type { Disk } from "../platform/disk.ts";
import type { Log } from "../platform/log.ts";
import type { Worker, WorkerStatus, WorkStep } from "../task/worker.ts";
import { BlockWalk, LEAVES } from "./block-walk.ts";
import type { FileBlockStore } from "./file-block-store.ts";

/**
 * Brings every block to the data directory where it belongs after capacities or directories were changed (`repair rebalance`). On
 * demand; until it has run, blocks are found where they lie. What lies in read-only directories stays.
 */
export class Rebalance implements Worker {
  readonly name = "Block rebalance worker";
  readonly #store: FileBlockStore;
  readonly #readOnly: readonly string[];
  readonly #walk: BlockWalk;
  readonly #log: Log;
  #position: number | undefined;
  #moved = 0;

  constructor({ store, disk, log }: { readonly store: FileBlockStore; readonly disk: Disk; readonly log: Log }) {
    this.#store = store;
    this.#readOnly = store.directories.all.filter(({ readOnly }) => readOnly).map(({ path }) => path + "/");
    this.#walk = new BlockWalk(store.directories, disk);
    this.#log = log;
  }

  /** Begins from the first block. The caller wakes the worker. */
  start(): void {
    this.#position = 0;
    this.#moved = 0;
  }

  get running(): boolean {
    return this.#position !== undefined;
  }
  get movedBlocks(): number {
    return this.#moved;
  }

  async work(): Promise<WorkStep> {
    if (this.#position === undefined) return { state: "idle" };
    const { files, next } = await this.#walk.next(this.#position);
    for (const { hash, path, kind } of files)
      if (kind === "block" && !this.#readOnly.some((root) => path.startsWith(root)) && (await this.#store.moveHome(hash, path)))
        this.#moved++;
    this.#position = next;
    if (next < LEAVES) return { state: "busy" };
    this.#position = undefined;
    this.#log.info({ moved: this.#moved }, "rebalance completed");
    return { state: "idle" };
  }

  status(): WorkerStatus {
    if (this.#position === undefined) return { freeform: [`not running; ${this.#moved} blocks moved`] };
    return { progress: `${((100 * this.#position) / LEAVES).toFixed(2)}%`, freeform: [`${this.#moved} blocks moved`] };
  }
}
