import type { Clock, Timer } from "../../platform/clock.ts";
import type { Log } from "../../platform/log.ts";
import type { Groups } from "../../group/groups.ts";
import type { ClaimId, GroupId, Hash } from "../../util/ids.ts";
import type { PartitionCommand } from "../commands.ts";
import type { Placement } from "../placement.ts";

/** A reference by name. */
export interface ReferenceName {
  readonly hash: Hash;
  readonly claim: ClaimId;
}

/**
 * Marks references as in use, or drops them, some time soon: many at once, one command per group and round, off the path of any
 * answer. What is lost with the process, or fails, is found by the janitor: a reference that is neither settled nor dropped gets
 * its claim resolved.
 */
export class LazyReferences {
  readonly #delayMs: number;
  readonly #groups: Groups;
  readonly #placement: Placement;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #waiting: Record<Op, Map<GroupId, ReferenceName[]>> = { "confirm-refs": new Map(), "drop-refs": new Map() };
  #count = 0;
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(
    { delayMs }: { readonly delayMs: number },
    parts: { readonly groups: Groups; readonly placement: Placement; readonly clock: Clock; readonly log: Log },
  ) {
    this.#delayMs = delayMs;
    this.#groups = parts.groups;
    this.#placement = parts.placement;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  add(op: Op, claim: ClaimId, blocks: readonly { readonly hash: Hash }[]): void {
    const by = this.#waiting[op];
    for (const { hash } of blocks) {
      const group = this.#placement.ofHash(hash);
      const list = by.get(group);
      if (list) list.push({ hash, claim });
      else by.set(group, [{ hash, claim }]);
    }
    this.#count += blocks.length;
    if (this.#count >= FLUSH_AT) void this.flush();
    else this.#timer ??= this.#clock.timer(this.#delayMs, () => void this.flush());
  }

  /** Carries out what waits now. Never rejects. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#flushing = this.#flushing.then(() => this.#carryOut());
    return this.#flushing;
  }

  get waiting(): number {
    return this.#count;
  }

  async #carryOut(): Promise<void> {
    if (this.#count === 0) return;
    this.#count = 0;
    const commands: Promise<unknown>[] = [];
    for (const op of ["confirm-refs", "drop-refs"] as const) {
      for (const [group, refs] of this.#waiting[op])
        for (let at = 0; at < refs.length; at += MAX_PER_COMMAND) {
          const command: PartitionCommand = { op, refs: refs.slice(at, at + MAX_PER_COMMAND) };
          commands.push(this.#groups.propose(group, command));
        }
      this.#waiting[op].clear();
    }
    for (const done of await Promise.allSettled(commands))
      if (done.status === "rejected") this.#log.debug({ err: done.reason }, "references are left to the janitor");
  }
}

type Op = "confirm-refs" | "drop-refs";

const FLUSH_AT = 4096;
/** References in one command: bounds how long its apply holds the event loop. */
export const MAX_PER_COMMAND = 512;
