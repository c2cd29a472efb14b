import type { BlockDamage } from "../../block/damage-list.ts";
import type { WorkerInfo } from "../../task/worker.ts";

/** What the admin operations need of blocks and background work; filled in by the composition root. */
export interface BlockOperations {
  /** Damaged or missing blocks, as `block list-errors` shows them. */
  errors(): Promise<readonly BlockProblem[]>;
  workers(): readonly WorkerInfo[];
  scrub(command: "start" | "pause" | "resume" | "cancel"): void;
  /** Moves files to the directories where the present capacities put them. */
  rebalance(): void;
  /** References without file, files without reference, and the like; empty when all agree. */
  audit(): Promise<readonly string[]>;
  variables(): Readonly<Record<string, string>>;
  /** False: no such variable, or the value does not fit; the text says which. */
  setVariable(name: string, value: string): string | undefined;
}

export interface BlockProblem extends BlockDamage {
  /** Claims that need the block. */
  readonly references: number;
}
