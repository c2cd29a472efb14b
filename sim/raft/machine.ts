// The state machine that the simulated groups replicate: a conditional key-value store that remembers results (rules 28–30).
import { Once, type OnceState } from "../../src/raft/once.ts";
import type { Defect } from "../../src/raft/defects.ts";
import type { Entry } from "../../src/raft/messages.ts";

export interface Command {
  readonly id: string;
  /** Index of the key in its group. */
  readonly key: number;
  /** clear: deletes every key of the group. */
  readonly kind: "put" | "delete" | "clear";
  readonly value: number;
  /** undefined: unconditional; null: if absent. */
  readonly want: number | null | undefined;
  readonly expiresMs: number;
  /** Node whose client waits. */
  readonly coordinator: number;
}
export type Result = "done" | "refused" | "expired";

interface Row {
  readonly value: number;
  /** The command that wrote it. */
  readonly id: string;
}
/** Rows and the dedup table at one position. Never mutated. */
export interface MachineState {
  readonly index: number;
  readonly rows: ReadonlyMap<number, Row>;
  readonly once: OnceState<Result>;
  readonly digest: number;
}

/** In place of a key: a list, or a command that concerns every key. */
export const ALL_KEYS = "all";

/** Longest life of a command, ms of log time. */
export const WINDOW_MS = 300;

export class Machine {
  index = 0;
  /** Hash over everything applied, chained: equal positions must have equal digests on all replicas. */
  digest = 0;
  rows = new Map<number, Row>();
  readonly once: Once<Result>;
  readonly #rowOnly: boolean;

  /** @param rowOnly planted: goes by the id in the row instead of the dedup table (rule 30). */
  constructor(defects: ReadonlySet<Defect>, rowOnly: boolean) {
    this.once = new Once<Result>({ windowMs: WINDOW_MS, maxResults: 4096, defects });
    this.#rowOnly = rowOnly;
  }

  apply(entry: Entry<Command>): Result | null {
    const result = this.#decide(entry);
    this.index = entry.index;
    this.digest = mix(mix(mix(this.digest, entry.index), entry.term * 8 + (result === null ? 0 : result.length)), this.once.size);
    return result;
  }
  value(key: number): number | null {
    return this.rows.get(key)?.value ?? null;
  }
  export(): MachineState {
    return { index: this.index, rows: new Map(this.rows), once: this.once.export(), digest: this.digest };
  }
  import(state: MachineState): void {
    this.index = state.index;
    this.rows = new Map(state.rows);
    this.once.import(state.once);
    this.digest = state.digest;
  }

  #decide(entry: Entry<Command>): Result | null {
    this.once.advance(entry.stampMs);
    const command = entry.data;
    if (command === null) return null;
    if (this.#rowOnly) return this.rows.get(command.key)?.id === command.id ? "done" : this.#write(command);
    const verdict = this.once.judge(command.id, command.expiresMs);
    if (verdict.kind === "known") return verdict.result;
    if (verdict.kind === "refused") return "expired";
    const result = this.#write(command);
    this.once.remember(command.id, command.expiresMs, result, result === "done");
    return result;
  }
  #write(command: Command): Result {
    if (command.want !== undefined && this.value(command.key) !== command.want) return "refused";
    if (command.kind === "clear") this.rows.clear();
    else if (command.kind === "delete") this.rows.delete(command.key);
    else this.rows.set(command.key, { value: command.value, id: command.id });
    return "done";
  }
}

/** What is at a position when nothing was ever applied. */
export function emptyState(): MachineState {
  return { index: 0, rows: new Map(), once: { timeMs: 0, results: [] }, digest: 0 };
}

function mix(hash: number, x: number): number {
  return (Math.imul(hash ^ x, 0x01000193) + (hash >>> 7)) | 0;
}
