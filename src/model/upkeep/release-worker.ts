import type { Groups } from "../../group/groups.ts";
import type { Log } from "../../platform/log.ts";
import type { Worker, WorkerStatus, WorkStep } from "../../task/worker.ts";
import type { GroupId } from "../../util/ids.ts";
import type { PartitionCommand } from "../commands.ts";
import { type ReleaseCursor, type ReleasePiece, releasedBlocks } from "../partition/data-reads.ts";
import { type OutboxEntry, readOutbox } from "../partition/outbox-row.ts";
import type { Placement } from "../placement.ts";
import type { ReadPins } from "../bytes/read-pins.ts";
import { MAX_PER_COMMAND, type ReferenceName } from "../bytes/lazy-references.ts";

export interface ReleaseWorkerOptions {
  /** Rest between rounds, so that one round takes many releases together. */
  readonly roundMs: number;
}

export interface ReleaseWorkerModules {
  readonly groups: Groups;
  readonly placement: Placement;
  readonly pins: ReadPins;
  readonly log: Log;
}

/** Entries of one group taken in one round; of all, they are gathered up to this many references and rows. */
const ENTRIES_PER_GROUP = 128;
const WORK_PER_ROUND = 8192;

/**
 * Carries out releases: what replaced or deleted versions, parts and uploads no longer need is in the outbox of their group;
 * their references are dropped in the groups of the hashes, many per command, and only then is the entry ticked off. Both may be
 * repeated, so a kill at any moment costs a repetition. An entry whose body is being read waits.
 */
export class ReleaseWorker implements Worker {
  readonly name = "Block reference release";
  readonly #options: ReleaseWorkerOptions;
  readonly #modules: ReleaseWorkerModules;
  #released = 0;
  #held = 0;
  #queue = 0;

  constructor(options: ReleaseWorkerOptions, modules: ReleaseWorkerModules) {
    this.#options = options;
    this.#modules = modules;
  }

  status(): WorkerStatus {
    return {
      queueLength: this.#queue,
      freeform: [`${this.#released} references released`, `${this.#held} releases wait for readers`],
    };
  }

  async work({ signal }: { readonly signal: AbortSignal }): Promise<WorkStep> {
    const { left } = await this.runOnce({ signal });
    return left
      ? { state: "throttled", delayMs: this.#options.roundMs }
      : { state: "idle", delayMs: Math.max(5000, this.#options.roundMs) };
  }

  /** One round over all groups. `left`: there is more, or some of it waits for readers. */
  async runOnce({ signal }: { readonly signal?: AbortSignal } = {}): Promise<{ readonly done: number; readonly left: boolean }> {
    const { groups } = this.#modules;
    const all = Array.from({ length: groups.partitions }, (_, group) => group as GroupId);
    const found: { readonly group: GroupId; readonly entries: readonly OutboxEntry[] }[] = [];
    await groups.readAll(all, (rows) => {
      // It runs anew after a repair.
      found.length = 0;
      for (const group of all) {
        const entries = readOutbox(rows, group, { after: 0, limit: ENTRIES_PER_GROUP });
        if (entries.length > 0) found.push({ group, entries });
      }
    });
    this.#queue = found.reduce((sum, { entries }) => sum + entries.length, 0);
    let left = found.some(({ entries }) => entries.length === ENTRIES_PER_GROUP);
    let done = 0;
    let round = new Round(this.#modules);
    this.#held = 0;
    for (const { group, entries } of found)
      for (const entry of entries) {
        if (signal?.aborted) return { done, left: true };
        if (this.#isHeld(entry)) {
          this.#held++;
          left = true;
          continue;
        }
        await this.#gather(round, group, entry);
        done++;
        if (round.work < WORK_PER_ROUND) continue;
        await round.carryOut();
        this.#released += round.released;
        round = new Round(this.#modules);
      }
    await round.carryOut();
    this.#released += round.released;
    this.#queue = Math.max(0, this.#queue - done);
    return { done, left };
  }

  #isHeld(entry: OutboxEntry): boolean {
    return this.#modules.pins.isPinned(entry.kind === "body" ? entry.claim : entry.upload);
  }

  /** All references of one entry; a big one is dropped piece by piece, so that memory stays bounded. */
  async #gather(round: Round, group: GroupId, entry: OutboxEntry): Promise<void> {
    let cursor: ReleaseCursor | undefined;
    do {
      const at = cursor;
      const piece = await this.#modules.groups.read(group, (rows) => releasedBlocks(rows, group, entry, at));
      round.add(piece);
      cursor = piece.next;
      if (cursor && round.work >= WORK_PER_ROUND) await round.dropNow();
    } while (cursor);
    round.finish(group, entry.sequence);
  }
}

/** Drops gathered for one round, and the entries to tick off after them. */
class Round {
  readonly #modules: ReleaseWorkerModules;
  readonly #drops = new Map<GroupId, ReferenceName[]>();
  readonly #finished = new Map<GroupId, number[]>();
  #gathered = 0;
  /** References dropped or to be dropped. */
  released = 0;
  /** References and rows that go: bounds how long carrying out holds the event loop. */
  work = 0;

  constructor(modules: ReleaseWorkerModules) {
    this.#modules = modules;
  }

  add({ blocks, parts }: ReleasePiece): void {
    for (const block of blocks) {
      const group = this.#modules.placement.ofHash(block.hash);
      const list = this.#drops.get(group);
      if (list) list.push(block);
      else this.#drops.set(group, [block]);
    }
    this.#gathered += blocks.length;
    this.released += blocks.length;
    this.work += blocks.length + parts;
  }

  finish(group: GroupId, sequence: number): void {
    const list = this.#finished.get(group);
    if (list) list.push(sequence);
    else this.#finished.set(group, [sequence]);
  }

  async dropNow(): Promise<void> {
    if (this.#gathered === 0) return;
    const commands: Promise<unknown>[] = [];
    for (const [group, refs] of this.#drops)
      for (let at = 0; at < refs.length; at += MAX_PER_COMMAND) {
        const command: PartitionCommand = { op: "drop-refs", refs: refs.slice(at, at + MAX_PER_COMMAND) };
        commands.push(this.#modules.groups.propose(group, command));
      }
    this.#drops.clear();
    this.#gathered = 0;
    await Promise.all(commands);
  }

  async carryOut(): Promise<void> {
    await this.dropNow();
    const commands = [...this.#finished].map(([group, sequences]) => {
      const command: PartitionCommand = { op: "outbox-done", sequences };
      return this.#modules.groups.propose(group, command);
    });
    await Promise.all(commands);
  }
}
