import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";

/** Log time may lead by as much: clocks are set back a little now and then, and such a lead melts away. */
export const TOLERATED_LEAD_MS = 60_000;
const REMIND_AFTER_MS = 3_600_000;
const SECOND_MS = 1000;
const UNITS = [
  ["days", 86_400_000],
  ["hours", 3_600_000],
  ["minutes", 60_000],
] as const;

export interface ClockWatchModules {
  /** As of GroupHost. */
  readonly groups: { logTimeLead(beyondMs: number): { readonly mostMs: number; readonly groups: number } };
  readonly clock: Pick<Clock, "monotonicMs" | "wallMs">;
  readonly log: Pick<Log, "warn" | "info">;
}

/**
 * Tells of groups whose log time is ahead of the wall clock: the clock was once wrong, and commands took its time. A lone voter
 * has no others to ask, so while the clock is wrong nobody can know; afterwards log time goes on at half pace until the clock has
 * caught up.
 */
export class ClockWatch {
  readonly #modules: ClockWatchModules;
  #toldAtMs: number | undefined;

  constructor(modules: ClockWatchModules) {
    this.#modules = modules;
  }

  /** How far the group that is furthest ahead leads. */
  get leadSeconds(): number {
    return this.#modules.groups.logTimeLead(0).mostMs / SECOND_MS;
  }

  /** What an operator should know, in a sentence; undefined when all is well. */
  problem(): string | undefined {
    const { groups, clock } = this.#modules;
    const { mostMs, groups: count } = groups.logTimeLead(TOLERATED_LEAD_MS);
    if (count === 0) return undefined;
    // Half of what passes is gained.
    const end = new Date(Math.min(clock.wallMs() + 2 * mostMs, MAX_DATE_MS)).toISOString().slice(0, 16);
    return `the clock of this machine was ahead for a while, or is behind now: what is written to ${count} ${count === 1 ? "group" : "groups"} gets a Last-Modified that is up to ${shown(mostMs)} ahead (nothing else suffers); it melts away by half a second a second, until ${end}Z. If the clock is behind, set it right`;
  }

  /** To be called now and then: writes a line when such a lead comes, every hour while it lasts, and when it has gone. */
  look(): void {
    const { clock, log, groups } = this.#modules;
    const problem = this.problem();
    if (problem === undefined) {
      if (this.#toldAtMs !== undefined) log.info({}, "the wall clock has caught up with the log time of all groups");
      this.#toldAtMs = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    if (this.#toldAtMs !== undefined && nowMs - this.#toldAtMs < REMIND_AFTER_MS) return;
    this.#toldAtMs = nowMs;
    const lead = groups.logTimeLead(TOLERATED_LEAD_MS);
    log.warn({ leadMs: lead.mostMs, groups: lead.groups }, problem);
  }
}

/** Of a JavaScript date. */
const MAX_DATE_MS = 8.64e15;

function shown(ms: number): string {
  const [unit, size] = UNITS.find(([, of]) => ms >= 2 * of) ?? ["seconds", SECOND_MS];
  return `${Math.floor(ms / size)} ${unit}`;
}
