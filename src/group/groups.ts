import type { KvRead, KvWrite } from "../platform/kv.ts";
import type { CommandId, GroupId, Stamp } from "../util/ids.ts";

/**
 * Replicated state machines as their users see them. With one member (this release) proposing, deciding and applying are one
 * transaction; with several, a Raft log stands behind the same calls. Nothing above this seam knows the difference.
 */
export interface Groups {
  /**
   * Has a command decided and applied; settles with apply's result when that is durable on a majority.
   *
   * @param options.id        the command's identity; a retry with the same id is answered from memory, not repeated (rules
   *             28–30).
   * @param options.expiry    log time after which the command is refused as unknown; at most the command window commandWindow
   *             ahead.
   * @throws GroupError group.unknown-outcome (may or may not have happened, unless `notDone`) · group.not-here · group.stopping ·
   *         group.no-space · group.overloaded
   */
  propose<C, R>(group: GroupId, command: C, options?: ProposeOptions): Promise<R>;

  /**
   * Reads rows of a group, linearizably: sees every command whose acknowledgement began before the call (lease or read index
   * behind it). `fn` is synchronous, over one snapshot of this node's kv.
   */
  read<T>(group: GroupId, fn: (rows: KvRead) => T): Promise<T>;

  /**
   * As `read` over several groups at once, one snapshot where they are local; `fn` runs once per set of groups that share a node.
   */
  readAll<T>(groups: readonly GroupId[], fn: (rows: KvRead) => T): Promise<T>;

  /**
   * As `read` over what this node has stored, damage and all: kv.damaged passes, and nothing is repaired for it. For what looks
   * for damage, and for repairs.
   */
  inspect<T>(group: GroupId, fn: (rows: KvRead) => T): Promise<T>;

  /** The group's log time now: what its leader would stamp on an entry. For expiries. */
  logTime(group: GroupId): Stamp;

  /** Number of partitions, fixed at bootstrap (256 by default). */
  readonly partitions: number;
}

export interface ProposeOptions {
  readonly id?: CommandId;
  readonly expiry?: Stamp;
  /** A repair: damage that it meets passes, for it must not wait for itself. */
  readonly isRepair?: boolean;
}

/**
 * One kind of group: the sequential code that decides. Deterministic: no clock, no randomness, nothing but rows, command and
 * entry.
 */
export interface StateMachine<C, R> {
  /**
   * Decides first, then writes: no throw after the first put. Reads its own earlier writes of the batch.
   * A command that is refused is a result, not a throw.
   */
  apply(rows: KvWrite, command: C, entry: Entry): R;
  /** Called once per transaction after the last apply of this group: writes what was gathered in memory (usage). */
  flush?(rows: KvWrite): void;
}

export interface Entry {
  readonly group: GroupId;
  /** Log index, 1, 2, 3 … */
  readonly index: number;
  readonly stamp: Stamp;
}

export type GroupErrorCode =
  | "group.unknown-outcome"
  | "group.not-here"
  | "group.stopping"
  | "group.no-space"
  /** A named limit is reached: nothing happened; answer 503 SlowDown. */
  | "group.overloaded";

export class GroupError extends Error {
  readonly code: GroupErrorCode;
  /**
   * The command certainly changed nothing and never will. Said only by who knows, for the command was decided by nobody: a code
   * alone is no proof, as what one member meets says nothing of the others.
   */
  readonly notDone: boolean;
  constructor(code: GroupErrorCode, message: string, options?: ErrorOptions & { readonly notDone?: boolean }) {
    super(message, options);
    this.name = "GroupError";
    this.code = code;
    this.notDone = options?.notDone ?? false;
  }
}
