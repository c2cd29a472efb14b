import { setTimeout as pause } from "node:timers/promises";

/**
 * Waits for a condition. @returns what `probe` returned once that was neither undefined nor false.
 * @throws after `withinMs`, with `what` and the last thing that `probe` threw.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  { withinMs = 60_000, everyMs = 50 }: { readonly withinMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    let failure: unknown;
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > end)
      throw new Error(`waited ${withinMs} ms in vain: ${what}${failure === undefined ? "" : ` (${String(failure)})`}`, {
        cause: failure,
      });
    await pause(everyMs);
  }
}

/** The promise, or a rejection after `ms`; for what must not hang. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  try {
    return await Promise.race([
      promise,
      pause(ms, undefined, { signal: timer.signal }).then(() => {
        throw new Error(`not done within ${ms} ms: ${what}`);
      }),
    ]);
  } finally {
    timer.abort();
  }
}
