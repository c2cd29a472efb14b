// Remembered command results (rules 28–30): a retry is answered, not repeated. A value that the group's apply owns;
// deterministic, so that replicas that have applied the same entries hold the same results. Works in log time only.
import { assert } from "../util/assert.ts";
import type { Defect } from "./defects.ts";

export interface OnceOptions {
  /** commandWindow: the longest life a command may ask for, ms of log time. The same on all replicas of a group. */
  readonly windowMs: number;
  /** Most results remembered at once; above it commands are refused. The same on all replicas of a group. */
  readonly maxResults: number;
  readonly defects?: ReadonlySet<Defect>;
}
/**
 * new: apply it, then `remember`. known: answer with the result, apply nothing. refused: apply nothing, answer 'unknown' (503).
 */
export type Verdict<R> =
  | { readonly kind: "new" }
  | { readonly kind: "known"; readonly result: R }
  | { readonly kind: "refused"; readonly why: "expired" | "too-far" | "full" };

/** Plain data for a snapshot (rule 4). */
export interface OnceState<R> {
  readonly timeMs: number;
  /** [id, expiresMs, result] in the order of remembering. */
  readonly results: readonly (readonly [string, number, R])[];
}

const NEW = { kind: "new" } as const;
const EXPIRED = { kind: "refused", why: "expired" } as const;
const TOO_FAR = { kind: "refused", why: "too-far" } as const;
const FULL = { kind: "refused", why: "full" } as const;
/** Results that end within the same span are forgotten together: no heap, no sorting. */
const SPAN_MS = 1000;

interface Remembered<R> {
  readonly expiresMs: number;
  readonly result: R;
}

export class Once<R> {
  readonly #options: OnceOptions;
  #results = new Map<string, Remembered<R>>();
  /** Ids by the span in which they end. */
  #spans = new Map<number, string[]>();
  /** All spans below are gone. */
  #sweptTo = 0;
  #timeMs = 0;

  constructor(options: OnceOptions) {
    assert(options.windowMs > 0 && options.maxResults > 0, "a window and room for results");
    this.#options = options;
  }

  /** Log time: the highest stamp seen. */
  get timeMs(): number {
    return this.#timeMs;
  }
  /** Results held; some may have expired within the last second and count no more. */
  get size(): number {
    return this.#results.size;
  }

  /**
   * Call first for every applied entry, with its stamp: log time goes on (never back, rule 28), results whose expiry has passed
   * go.
   */
  advance(stampMs: number): void {
    if (stampMs <= this.#timeMs) return;
    this.#timeMs = stampMs;
    const span = Math.floor(stampMs / SPAN_MS); // what ends in this very span may still be needed
    if (span <= this.#sweptTo) return;
    if (this.#spans.size < span - this.#sweptTo) for (const key of [...this.#spans.keys()]) this.#sweep(key, span);
    else for (let key = this.#sweptTo; key < span; key++) this.#sweep(key, span);
    this.#sweptTo = span;
  }
  #sweep(key: number, below: number): void {
    const ids = key < below ? this.#spans.get(key) : undefined;
    if (ids === undefined) return;
    for (const id of ids) this.#results.delete(id);
    this.#spans.delete(key);
  }

  /** What to do with a command of this id and expiry (log time), which are the same in every retry. */
  judge(id: string, expiresMs: number): Verdict<R> {
    if (this.#broken("no-ids")) return this.#judgeLife(expiresMs);
    const known = this.#results.get(id);
    // Exactly until the expiry has passed, though memory is freed by the second: what counts never depends on when it was swept.
    if (known !== undefined && known.expiresMs >= this.#timeMs) return { kind: "known", result: known.result };
    return this.#judgeLife(expiresMs);
  }
  #judgeLife(expiresMs: number): Verdict<R> {
    if (this.#broken("ids-no-expiry")) return NEW;
    // rule 29: a result may have been forgotten once the expiry has passed; and none is remembered for longer than `windowMs`.
    if (expiresMs < this.#timeMs) return EXPIRED;
    if (expiresMs > this.#timeMs + this.#options.windowMs) return TOO_FAR;
    return this.#results.size >= this.#options.maxResults ? FULL : NEW; // rule 30: memory has a bound, the command's fate is known: not applied
  }

  /**
   * After applying a new command: its result, failures too (rule 29). @param ok only for the planted defect 'ids-success-only'.
   */
  remember(id: string, expiresMs: number, result: R, ok = true): void {
    if (!ok && this.#broken("ids-success-only")) return;
    if (this.#broken("ids-fixed-window")) expiresMs = this.#timeMs + this.#options.windowMs / 4;
    assert(!this.#results.has(id) || this.#options.defects !== undefined, "a command is applied once (rule 29)");
    this.#put(id, expiresMs, result);
  }

  /** A result by id outside apply (a leader that gets a retry of a finished command); undefined if unknown or expired. */
  peek(id: string): R | undefined {
    const known = this.#results.get(id);
    return known !== undefined && known.expiresMs >= this.#timeMs ? known.result : undefined;
  }

  /**
   * For a snapshot or a copy (rule 4): the same on all replicas at the same position, also what expired within the last second
   * ('full' counts it).
   */
  export(): OnceState<R> {
    const results: [string, number, R][] = [];
    for (const [id, { expiresMs, result }] of this.#results) results.push([id, expiresMs, result]);
    return { timeMs: this.#timeMs, results };
  }

  /** Replaces everything by what a snapshot held. */
  import(state: OnceState<R>): void {
    this.#results = new Map();
    this.#spans = new Map();
    this.#timeMs = state.timeMs;
    this.#sweptTo = Math.floor(state.timeMs / SPAN_MS);
    for (const [id, expiresMs, result] of state.results) this.#put(id, expiresMs, result);
  }
  #put(id: string, expiresMs: number, result: R): void {
    this.#results.set(id, { expiresMs, result });
    const span = Math.floor(expiresMs / SPAN_MS);
    const ids = this.#spans.get(span);
    if (ids === undefined) this.#spans.set(span, [id]);
    else ids.push(id);
  }

  #broken(defect: Defect): boolean {
    return this.#options.defects?.has(defect) === true;
  }
}
