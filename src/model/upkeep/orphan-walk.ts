import { BlockError } from "../../block/block-store.ts";
import { BlockWalk, type FoundFile, LEAVES } from "../../block/block-walk.ts";
import type { FileBlockStore } from "../../block/file-block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Cpu } from "../../platform/cpu.ts";
import { type Disk, DiskError } from "../../platform/disk.ts";
import type { Log } from "../../platform/log.ts";
import { Tranquilizer } from "../../task/tranquilizer.ts";
import type { Worker, WorkerStatus, WorkStep } from "../../task/worker.ts";
import type { Hash } from "../../util/ids.ts";
import { isDamage } from "../partition/damage.ts";
import { isReferenced, zeroSince } from "../partition/reference-row.ts";
import { zeroKey } from "../partition/row-keys.ts";
import type { Placement } from "../placement.ts";
import { eachDamagedRow } from "./consistency-check.ts";

export interface OrphanWalkOptions {
  /** Rest between two walks. */
  readonly everyMs: number;
  /** Pace: rests this often the time that it worked. */
  readonly tranquility: number;
}

export interface OrphanWalkModules {
  readonly groups: Groups;
  readonly blocks: FileBlockStore;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly cpu: Cpu;
  readonly disk: Disk;
  readonly log: Log;
  /** Whether files may be removed now: not while the metadata may be an older copy than the blocks. */
  readonly mayRemove: () => boolean;
}

/**
 * Walks the data directories for files that no row knows of: blocks whose upload died before it added a reference, files aside of
 * a process that died, damaged copies that nobody needs any more. They go by the same rule as every other block: untouched for
 * `block_gc_delay`, no reference, under the lock of the hash. Blocks with a zero row are the janitor's. That no row knows of a
 * block may also be the rows' fault (an older copy of the metadata); so whole blocks and damaged copies go into the quarantine. A
 * damaged row may be the reference, with a key that has rotted: a walk that finds a block to remove reads all short rows first,
 * and while one of them is damaged blocks and damaged copies stay.
 */
export class OrphanWalk implements Worker {
  readonly name = "Orphan block walk";
  readonly #options: OrphanWalkOptions;
  readonly #modules: OrphanWalkModules;
  readonly #walk: BlockWalk;
  readonly #tranquilizer = new Tranquilizer();
  #position = 0;
  /** Whether every short row could be read; asked once a walk, when it matters. */
  #rowsAreWhole: Promise<boolean> | undefined;
  #removed = 0;
  #quarantined = 0;
  #toldQuarantined = 0;
  #walks = 0;

  constructor(options: OrphanWalkOptions, modules: OrphanWalkModules) {
    this.#options = options;
    this.#modules = modules;
    this.#walk = new BlockWalk(modules.blocks.directories, modules.disk);
  }

  status(): WorkerStatus {
    return {
      tranquility: this.#options.tranquility,
      ...(this.#position > 0 ? { progress: `${((100 * this.#position) / LEAVES).toFixed(2)}%` } : {}),
      freeform: [
        this.#modules.mayRemove()
          ? `${this.#removed} files removed in ${this.#walks} walks, ${this.#quarantined} of them blocks (into the quarantine)`
          : "held: the metadata may be older than the blocks",
      ],
    };
  }

  async work(): Promise<WorkStep> {
    const { clock, mayRemove } = this.#modules;
    if (!mayRemove()) return { state: "idle", delayMs: HELD_MS };
    const beganMs = clock.monotonicMs();
    const { files, next } = await this.#walk.next(this.#position);
    await this.#lookAt(files);
    this.#position = next;
    if (next === LEAVES) {
      this.#endWalk();
      return { state: "idle", delayMs: this.#options.everyMs };
    }
    const delayMs = this.#tranquilizer.restMs(clock.monotonicMs() - beganMs, this.#options.tranquility);
    return delayMs >= 1 ? { state: "throttled", delayMs } : { state: "busy" };
  }

  /** One whole walk at full speed; returns how many files went. */
  async runOnce(): Promise<number> {
    if (!this.#modules.mayRemove()) return 0;
    const before = this.#removed;
    this.#rowsAreWhole = undefined;
    for (let position = 0; position < LEAVES; ) {
      const { files, next } = await this.#walk.next(position);
      await this.#lookAt(files);
      position = next;
    }
    return this.#removed - before;
  }

  #endWalk(): void {
    this.#position = 0;
    this.#rowsAreWhole = undefined;
    this.#walks++;
    const blocks = this.#quarantined - this.#toldQuarantined;
    this.#toldQuarantined = this.#quarantined;
    if (blocks > 0)
      this.#modules.log.warn(
        { blocks },
        "blocks that no row knows of were moved into the quarantine: uploads that died leave some; many mean that metadata is missing (`hangar block quarantine list`)",
      );
  }

  async #lookAt(files: readonly FoundFile[]): Promise<void> {
    for (const file of files)
      try {
        if (file.kind === "aside") await this.#lookAtAside(file);
        else if (file.kind === "corrupted") await this.#lookAtCorrupted(file);
        else if (this.#modules.blocks.untouched(file.hash) && !(await this.#isKnown(file.hash))) await this.#quarantine(file);
      } catch (error) {
        // One file or row must not end the walk; the next one comes by again.
        if (!(error instanceof BlockError || error instanceof DiskError || isDamage(error))) throw error;
        this.#modules.log.warn({ err: error, path: file.path }, "a file could not be looked at; it stays");
      }
  }

  async #quarantine({ hash, path }: FoundFile): Promise<void> {
    if (!(await this.#isNamedByNothing())) return;
    const outcome = await this.#modules.blocks.quarantineUnneeded(hash, async () => !(await this.#isKnown(hash)));
    if (outcome !== "removed") return;
    this.#removed++;
    this.#quarantined++;
    this.#modules.log.debug({ path }, "moved a block that no row knows of into the quarantine");
  }

  /** Whether certainly nobody needs a block that is to leave the quarantine for good. */
  async isWaste(hash: Hash): Promise<boolean> {
    try {
      return this.#modules.mayRemove() && (await this.#isNamedByNothing()) && !(await this.#isKnown(hash));
    } catch (error) {
      if (!isDamage(error)) throw error;
      return false;
    }
  }

  /** Of this process: it is being written. Of another: its writer is dead. */
  async #lookAtAside({ path }: FoundFile): Promise<void> {
    const { cpu, disk, log } = this.#modules;
    if (path.includes(`.${cpu.asideToken}-`)) return;
    if (await disk.remove(path)) this.#removed++;
    log.debug({ path }, "removed what a process that died was writing");
  }

  /** Kept and listed as long as somebody needs the block: it may be all that is left of it. */
  async #lookAtCorrupted({ hash, path }: FoundFile): Promise<void> {
    const { blocks } = this.#modules;
    if (await this.#isKnown(hash)) {
      if ((await blocks.filesOf(hash)).length === 0) blocks.noteDamage(hash, path);
    } else if ((await this.#isNamedByNothing()) && (await blocks.quarantineDamaged(hash, path))) this.#removed++;
  }

  /** Whether "no row was found" may be believed. */
  #isNamedByNothing(): Promise<boolean> {
    this.#rowsAreWhole ??= this.#readRows();
    return this.#rowsAreWhole;
  }

  async #readRows(): Promise<boolean> {
    let whole = true;
    const onDamaged = (message: string): void => {
      whole = false;
      this.#modules.log.warn({ row: message }, "a damaged row may name blocks that no other names: their files stay");
    };
    await eachDamagedRow(this.#modules.groups, onDamaged, ["rows"]);
    return whole;
  }

  #isKnown(hash: Hash): Promise<boolean> {
    const { groups, placement } = this.#modules;
    const group = placement.ofHash(hash);
    return groups.read(group, (rows) => isReferenced(rows, group, hash) || zeroSince(rows, zeroKey(group, hash)) !== undefined);
  }
}

/** How soon the walk begins after its hold has ended. */
const HELD_MS = 5000;
