/**
 * Background work: something that can do one small unit at a time, say how it went, and describe itself.
 * Scrub, rebalance, release of references and janitor are workers; one runner drives each of them.
 */
export interface Worker {
  /** As `worker list` shows it. */
  readonly name: string;
  /** Does one unit (some 10–100 ms). A rejection counts as an error and is retried with back-off. */
  work(options: { readonly signal: AbortSignal }): Promise<WorkStep>;
  status(): WorkerStatus;
}

export type WorkStep =
  /** There is more to do at once. */
  | { readonly state: "busy" }
  /** There is more to do, but not before `delayMs`. */
  | { readonly state: "throttled"; readonly delayMs: number }
  /** Nothing to do; look again after `delayMs`, or when woken. */
  | { readonly state: "idle"; readonly delayMs?: number }
  /** Never again. */
  | { readonly state: "done" };

/** What a worker says of itself; all optional. */
export interface WorkerStatus {
  readonly tranquility?: number;
  /** For people, such as "41.20% (12 m left)". */
  readonly progress?: string;
  readonly queueLength?: number;
  readonly persistentErrors?: number;
  readonly freeform?: readonly string[];
}

/** A worker as the runner knows it: a row of `worker list`. */
export interface WorkerInfo extends WorkerStatus {
  readonly id: number;
  readonly name: string;
  readonly state: "busy" | "throttled" | "idle" | "done";
  readonly errors: number;
  readonly consecutiveErrors: number;
  readonly lastError: { readonly message: string; readonly secondsAgo: number } | undefined;
}
