import type { Log, LogFields } from "../../src/platform/log.ts";

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly atMs: number;
  readonly message: string;
  readonly fields: LogFields;
}

/** Keeps the last lines of a node, for the report of a seed that failed and for tests that look for one. */
export class MemoryLog implements Log {
  readonly debugEnabled = true;
  readonly lines: LogLine[];
  readonly #fields: LogFields;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => 0, fields: LogFields = {}, lines: LogLine[] = []) {
    this.#nowMs = nowMs;
    this.#fields = fields;
    this.lines = lines;
  }
  debug(fields: LogFields, message: string): void {
    this.#keep("debug", fields, message);
  }
  info(fields: LogFields, message: string): void {
    this.#keep("info", fields, message);
  }
  warn(fields: LogFields, message: string): void {
    this.#keep("warn", fields, message);
  }
  error(fields: LogFields, message: string): void {
    this.#keep("error", fields, message);
  }
  child(fields: LogFields): Log {
    return new MemoryLog(this.#nowMs, { ...this.#fields, ...fields }, this.lines);
  }

  #keep(level: LogLine["level"], fields: LogFields, message: string): void {
    if (this.lines.length >= MOST_LINES) this.lines.splice(0, MOST_LINES / 2);
    this.lines.push({ level, atMs: this.#nowMs(), message, fields: { ...this.#fields, ...fields } });
  }
}

const MOST_LINES = 2000;
