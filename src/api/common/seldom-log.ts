import type { Clock } from "../../platform/clock.ts";
import type { Log, LogFields } from "../../platform/log.ts";

/** Lines of one kind that are written in one window; what comes beyond is counted, and told with the next line of that kind. */
export const SELDOM = { lines: 10, windowMs: 10_000 } as const;

interface Kind {
  startMs: number;
  written: number;
  left: number;
}

/**
 * A log for trouble that every request may meet: a store whose disk is full answers thousands of requests a second with an error,
 * and must not fill what is left of the disk with lines about it.
 */
export class SeldomLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #kinds = new Map<string, Kind>();

  constructor({ log, clock }: { readonly log: Log; readonly clock: Clock }) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param kind  what is counted together: one of few, never made of a client's words. */
  write(level: "warn" | "error", kind: string, fields: LogFields, message: string): void {
    const nowMs = this.#clock.monotonicMs();
    let known = this.#kinds.get(kind);
    if (known === undefined) {
      known = { startMs: nowMs, written: 0, left: 0 };
      this.#kinds.set(kind, known);
    } else if (nowMs - known.startMs >= SELDOM.windowMs) {
      known.startMs = nowMs;
      known.written = 0;
    }
    if (known.written >= SELDOM.lines) {
      known.left++;
      return;
    }
    known.written++;
    this.#log[level](known.left === 0 ? fields : { ...fields, notLogged: known.left }, message);
    known.left = 0;
  }
}
