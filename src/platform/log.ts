/** Structured log. Fields are plain values; an `err` field holds the cause. Never pass secrets. */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** Whether debug lines are kept; guards expensive fields. */
  readonly debugEnabled: boolean;
  /** The same log with fields added to every line. */
  child(fields: LogFields): Log;
}

export type LogFields = Readonly<Record<string, unknown>>;
