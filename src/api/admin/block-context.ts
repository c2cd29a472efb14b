/** What the admin operations need of blocks and background work; filled in by the composition root. */
export interface BlockOperations {
  /** Damaged or missing blocks, as `block list-errors` shows them. */
  errors(): readonly BlockProblem[];
  workers(): readonly WorkerFacts[];
  scrub(command: "start" | "pause" | "resume" | "cancel"): void;
  /** Moves files to the directories where the present capacities put them. */
  rebalance(): void;
  /** References without file, files without reference, and the like; empty when all agree. */
  audit(): Promise<readonly string[]>;
  variables(): Readonly<Record<string, string>>;
  /** False: no such variable, or the value does not fit; the text says which. */
  setVariable(name: string, value: string): string | undefined;
}

export interface BlockProblem {
  readonly hash: string;
  readonly references: number;
  readonly errors: number;
  readonly lastTryMs: number;
  readonly message: string;
}

export interface WorkerFacts {
  readonly id: number;
  readonly name: string;
  readonly state: "busy" | "throttled" | "idle" | "done";
  readonly errors: number;
  readonly consecutiveErrors: number;
  readonly lastError?: { readonly message: string; readonly atMs: number };
  readonly tranquility?: number;
  readonly progress?: string;
  readonly queueLength?: number;
  readonly freeform: readonly string[];
}
