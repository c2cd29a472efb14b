// Histories of a real atomic register under random clients: right by construction. For tests and benchmarks.
import type { Call, Condition, Operation, Outcome, Value } from "./operation.ts";

export interface HistoryOptions {
  readonly operations: number;
  readonly clients: number;
  /** Share of outcomes that the client never learns, 0 … 1; half of those took effect, sometimes much later. */
  readonly unknown: number;
  /** How many different values are written; unlimited: every write its own. */
  readonly values?: number;
  /** 0 ≤ random() < 1. */
  readonly random: () => number;
}

export function randomHistory(options: HistoryOptions): Operation[] {
  const { random } = options;
  const history: Operation[] = [];
  const pending: { at: number; run: () => void }[] = [];
  let now = 0;
  let state: Value | null = null;
  let written = 0;
  const recent: Value[] = [];
  const at = (delay: number, run: () => void): void => {
    pending.push({ at: now + delay, run });
  };
  const drawCall = (): Call => {
    const draw = random();
    if (draw < 0.45) return { kind: "get" };
    const guess: Condition =
      recent.length > 0 && random() < 0.8 ? { is: recent[Math.floor(random() * recent.length)]! } : "absent";
    const condition = random() < 0.4 ? guess : undefined;
    if (draw < 0.55) return { kind: "delete", if: condition };
    const value = options.values === undefined ? ++written : Math.floor(random() * options.values);
    recent.push(value);
    if (recent.length > 3) recent.shift();
    return { kind: "put", value, if: condition };
  };
  const client = (name: string): void => {
    if (history.length + open >= options.operations) return;
    open++;
    const call = drawCall();
    const invokedAt = now;
    const lost = random() < options.unknown;
    const finish = (outcome: Outcome): void => {
      open--;
      history.push({
        client: name,
        key: "k",
        call,
        invokedAt,
        returnedAt: outcome === "unknown" ? Number.POSITIVE_INFINITY : now,
        outcome,
      });
      at(random() * 2, () => client(name));
    };
    const decide = (): Outcome => {
      if (call.kind === "get") return { value: state };
      if (call.if !== undefined && state !== (call.if === "absent" ? null : call.if.is)) return "refused";
      state = call.kind === "put" ? call.value : null;
      return "done";
    };
    if (lost) {
      if (random() < 0.5) at(random() * (random() < 0.2 ? 500 : 10), decide);
      at(random() * 10, () => finish("unknown"));
      return;
    }
    at(random() * 5, () => {
      const outcome = decide();
      at(random() * 5, () => finish(outcome));
    });
  };
  let open = 0;
  for (let i = 0; i < options.clients; i++) client(`c${i}`);
  while (pending.length > 0) {
    let first = 0;
    for (let i = 1; i < pending.length; i++) if (pending[i]!.at < pending[first]!.at) first = i;
    const [event] = pending.splice(first, 1);
    now = event!.at;
    event!.run();
  }
  return history;
}
