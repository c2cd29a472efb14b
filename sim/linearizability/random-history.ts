// Histories of a real atomic register under random clients: right by construction. For tests and benchmarks.
import type { Call, Condition, Operation, Outcome, Value } from "./operation.ts";

export interface HistoryOptions {
  readonly operations: number;
  readonly clients: number;
  /** Share of outcomes that the client never learns, 0 … 1; half of those took effect, sometimes much later. */
  readonly unknown: number;
  /** How many different values are written; unlimited: every write its own. */
  readonly values?: number;
  /** What the clients do and what becomes of them; "mixed" when left out. */
  readonly shape?: keyof typeof SHAPES;
  /** The register forgets the first write that it acknowledges after so many operations: a defect. */
  readonly losesWriteAfter?: number;
  /** 0 ≤ random() < 1. */
  readonly random: () => number;
}

interface Shape {
  readonly reads: number;
  /** Of the writes: deletes, and those with a condition. */
  readonly deletes: number;
  readonly conditions: number;
  /** Writes go from the present value to the next, on that condition. */
  readonly counts?: boolean;
  /** Share of operations that take a hundred times as long. */
  readonly stalls?: number;
  /** After so many operations all outcomes under way are lost at once. */
  readonly crashEvery?: number;
}

export const SHAPES = {
  mixed: { reads: 0.45, deletes: 0.18, conditions: 0.4 },
  reading: { reads: 0.85, deletes: 0.2, conditions: 0.3 },
  writing: { reads: 0.1, deletes: 0.1, conditions: 0.2 },
  counting: { reads: 0.3, deletes: 0, conditions: 1, counts: true },
  stalling: { reads: 0.45, deletes: 0.18, conditions: 0.4, stalls: 0.01 },
  crashing: { reads: 0.45, deletes: 0.18, conditions: 0.4, crashEvery: 200 },
} as const satisfies Record<string, Shape>;

export function randomHistory(options: HistoryOptions): Operation[] {
  const { random } = options;
  const shape: Shape = SHAPES[options.shape ?? "mixed"];
  const history: Operation[] = [];
  const pending: { at: number; run: () => void }[] = [];
  let now = 0;
  let state: Value | null = null;
  let written = 0;
  let open = 0;
  let loseAfter = options.losesWriteAfter ?? Number.POSITIVE_INFINITY;
  let crashAfter = shape.crashEvery ?? Number.POSITIVE_INFINITY;
  const underWay = new Set<() => void>();
  const recent: Value[] = [];
  const at = (delay: number, run: () => void): void => {
    pending.push({ at: now + delay, run });
  };
  const drawCall = (): Call => {
    if (random() < shape.reads) return { kind: "get" };
    const guess: Condition =
      recent.length > 0 && random() < 0.8 ? { is: recent[Math.floor(random() * recent.length)]! } : "absent";
    const condition = random() < shape.conditions ? guess : undefined;
    if (random() < shape.deletes) return { kind: "delete", if: condition };
    if (shape.counts) {
      const next = Number(state ?? 0) + 1;
      return { kind: "put", value: next % (options.values ?? options.operations), if: state === null ? "absent" : { is: state } };
    }
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
    const slowness = random() < (shape.stalls ?? 0) ? 100 : 1;
    const finish = (outcome: Outcome): void => {
      if (!underWay.delete(giveUp)) return;
      open--;
      const returnedAt = outcome === "unknown" ? Number.POSITIVE_INFINITY : now;
      history.push({ client: name, key: "k", call, invokedAt, returnedAt, outcome });
      at(random() * 2, () => client(name));
      if (history.length < crashAfter) return;
      crashAfter += shape.crashEvery!;
      for (const lose of [...underWay]) lose();
    };
    const giveUp = (): void => finish("unknown");
    underWay.add(giveUp);
    const decide = (): Outcome => {
      if (call.kind === "get") return { value: state };
      if (call.if !== undefined && state !== (call.if === "absent" ? null : call.if.is)) return "refused";
      const loses = !lost && history.length >= loseAfter;
      if (loses) loseAfter = Number.POSITIVE_INFINITY;
      else state = call.kind === "put" ? call.value : null;
      return "done";
    };
    if (lost) {
      if (random() < 0.5) at(random() * (random() < 0.2 ? 500 : 10), decide);
      at(random() * 10, giveUp);
      return;
    }
    at(random() * 5 * slowness, () => {
      const outcome = decide();
      at(random() * 5 * slowness, () => finish(outcome));
    });
  };
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

/**
 * One outcome told wrongly: a read sees what another one saw, a done write was refused, a refused one done. The history may still
 * be right.
 */
export function withOneWrongOutcome(history: readonly Operation[], random: () => number): Operation[] {
  const values = history.flatMap(({ outcome }) => (typeof outcome === "object" ? [outcome] : []));
  for (let attempt = 0; attempt < 1000; attempt++) {
    const index = Math.floor(random() * history.length);
    const operation = history[index]!;
    const outcome = wrongOutcome(operation, values[Math.floor(random() * values.length)] ?? { value: null });
    if (outcome !== null) return history.with(index, { ...operation, outcome });
  }
  return [...history];
}

function wrongOutcome({ call, outcome }: Operation, seen: { readonly value: Value | null }): Outcome | null {
  if (typeof outcome === "object") return outcome.value === seen.value ? null : seen;
  if (outcome === "unknown" || call.kind === "get" || call.if === undefined) return null;
  return outcome === "done" ? "refused" : "done";
}
