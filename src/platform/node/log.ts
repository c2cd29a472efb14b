import { createRequire } from "node:module";
import process from "node:process";
import type { Logger } from "pino";
import type { Log, LogFields } from "../log.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

export interface LogOptions {
  /** Lines below this level are dropped. `trace` shows what `debug` shows. */
  readonly level: LogLevel;
  /** Where lines go, each with its newline; standard error by default. */
  readonly destination?: LogDestination;
  /** `text`: one line for people; `json`: one object a line. By default text on a terminal, else json. */
  readonly format?: "text" | "json";
}

export interface LogDestination {
  write(line: string): void;
}

/**
 * A log over pino. Writes are synchronous: a line is out when the call returns, so the last words before an abort are never lost
 * (a line costs a few microseconds; what happens per request is logged at debug).
 * pino is loaded by the first call, not by importing this file: commands that don't log don't pay for it.
 */
export function createLog({ level, destination, format }: LogOptions): Log {
  const { pino } = createRequire(import.meta.url)("pino") as typeof import("pino");
  const sink = destination ?? pino.destination({ fd: process.stderr.fd, sync: true });
  const text = (format ?? (destination === undefined && process.stderr.isTTY ? "text" : "json")) === "text";
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: text ? pino.stdSerializers.err : pino.stdSerializers.errWithCause },
    },
    text ? { write: (line: string) => sink.write(textLine(line)) } : sink,
  );
  return new PinoLog(logger);
}

class PinoLog implements Log {
  readonly #logger: Logger;
  readonly debugEnabled: boolean;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.debugEnabled = logger.isLevelEnabled("debug");
  }
  debug(fields: LogFields, message: string): void {
    this.#logger.debug(fields, message);
  }
  info(fields: LogFields, message: string): void {
    this.#logger.info(fields, message);
  }
  warn(fields: LogFields, message: string): void {
    this.#logger.warn(fields, message);
  }
  error(fields: LogFields, message: string): void {
    this.#logger.error(fields, message);
  }
  child(fields: LogFields): Log {
    return new PinoLog(this.#logger.child(fields));
  }
}

/** `2026-01-31T12:00:00.000Z WARN  message key=value …`; the stack of an `err` follows, indented, on error lines. */
function textLine(json: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  let line = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(msg ?? "")}`;
  for (const [name, value] of Object.entries(fields)) line += ` ${name}=${plain(value)}`;
  if (err === undefined) return line + "\n";
  const { message, stack } = (typeof err === "object" && err !== null ? err : { message: err }) as Record<string, unknown>;
  line += ` err=${plain(message ?? err)}\n`;
  if (level === "error" && typeof stack === "string") line += stack.replace(/^/gm, "    ") + "\n";
  return line;
}

function plain(value: unknown): string {
  if (typeof value === "string" && /^[^\s"=\\]+$/.test(value)) return value;
  return JSON.stringify(value);
}
