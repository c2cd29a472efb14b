/** Settings and figures of background work that `worker get` and `worker set` show, by name. */
export interface WorkerVariable {
  get(): string;
  /** Absent: read-only. Rejects with a RangeError whose message says what is allowed. */
  set?(value: string): Promise<void>;
}

export type WorkerVariables = Readonly<Record<string, WorkerVariable>>;

/** Reads a whole number in low ..= high. */
export function parseWhole(name: string, value: string, { low, high }: { readonly low: number; readonly high: number }): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < low || number > high)
    throw new RangeError(`${name} must be a whole number from ${low} to ${high}, not "${value}"`);
  return number;
}
