/** Time as the rest of the program sees it. Simulated time implements the same contract. */
export interface Clock {
  /** Wall clock, milliseconds since 1970; may jump. For stamps shown to people and signature checks only. */
  wallMs(): number;
  /**
   * Milliseconds from an arbitrary start; never goes back; stands still while the machine sleeps. For durations and deadlines.
   */
  monotonicMs(): number;
  /**
   * Calls `fn` once, not before `delayMs` from now; `cancel` makes that never. An unfinished timer does not keep the process
   * alive.
   */
  timer(delayMs: number, fn: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Settles after `delayMs`, or as soon as the signal aborts (then it resolves to false; cancellation is not a failure). */
export function sleep(clock: Clock, delayMs: number, { signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(false);
    const onAbort = (): void => {
      timer.cancel();
      resolve(false);
    };
    const timer = clock.timer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(true);
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
