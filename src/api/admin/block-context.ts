import type { BlockDamage } from "../../block/damage-list.ts";
import type { QuarantinedFile, QuarantineTotals } from "../../block/quarantine.ts";
import type { WorkerInfo } from "../../task/worker.ts";

/** What the admin operations need of blocks and background work; filled in by the composition root. */
export interface BlockOperations {
  /** Damaged or missing blocks, as `block list-errors` shows them. */
  errors(): Promise<readonly BlockProblem[]>;
  workers(): readonly WorkerInfo[];
  scrub(command: "start" | "pause" | "resume" | "cancel"): Promise<void>;
  /** Moves files to the directories where the present capacities put them. */
  rebalance(): void;
  /**
   * What does not fit together, and what is allowed while work is under way; both empty on a quiet store whose janitor has run.
   */
  audit(): Promise<{ readonly broken: readonly string[]; readonly unfinished: readonly string[] }>;
  /** Drops references that nothing names, left by damaged rows that were overwritten or deleted; not while rows are damaged. */
  dropDanglingReferences(): Promise<DroppedReferences>;
  /** Files that no row knows of: how many there are, and the first of them. */
  quarantine(): Promise<QuarantineReport>;
  /** Puts quarantined blocks back where they lay. @returns how many. */
  restoreQuarantined(which: "all" | readonly string[]): Promise<number>;
  /**
   * Takes the metadata and the data folders as they are, though one may be an older copy. @returns what was accepted: a sentence
   * each.
   */
  acceptRestoredCopy(): Promise<readonly string[]>;
  variables(): Readonly<Record<string, string>>;
  /** Undefined: done; else a sentence that says why not. */
  setVariable(name: string, value: string): Promise<string | undefined>;
}

/** Not ok: rows that are damaged or missing may be what names them; nothing was dropped. */
export type DroppedReferences =
  | { readonly ok: true; readonly dropped: number }
  | { readonly ok: false; readonly inDoubt: readonly { readonly kind: string; readonly detail?: string }[] };

export interface QuarantineReport extends QuarantineTotals {
  readonly keepMs: number;
  readonly oldest: readonly QuarantinedFile[];
}

export interface BlockProblem extends BlockDamage {
  /** Claims that need the block. */
  readonly references: number;
}
