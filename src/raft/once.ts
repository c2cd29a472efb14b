// Remembered command results (rules 28–30). SKELETON: signatures are final, bodies follow.
import type { Defect } from "./defects.ts";

export interface OnceOptions {
  /** W: the longest life a command may ask for, ms of log time. The same on all replicas of a group. */
  readonly windowMs: number;
  /** Most results remembered at once; above it commands are refused. The same on all replicas of a group. */
  readonly maxResults: number;
  readonly defects?: ReadonlySet<Defect>;
}
/** new: apply it, then `remember`. known: answer with the result, apply nothing. refused: apply nothing, answer 'unknown' (503). */
export type Verdict<R> =
  | { readonly kind: "new" }
  | { readonly kind: "known"; readonly result: R }
  | { readonly kind: "refused"; readonly why: "expired" | "too-far" | "full" };

export class Once<R> {
  constructor(options: OnceOptions) {
    void options;
  }
  /** Log time: the highest stamp seen. */
  get timeMs(): number {
    return 0;
  }
  /** Call for every applied entry first, with its stamp: log time goes on, expired results go. */
  advance(stampMs: number): void {
    void stampMs;
  }
  judge(id: string, expiresMs: number): Verdict<R> {
    void id, void expiresMs;
    return { kind: "new" };
  }
  /** After applying a new command, failures too (rule 29). */
  remember(id: string, expiresMs: number, result: R): void {
    void id, void expiresMs, void result;
  }
  /** A result by id outside apply (a leader that gets a retry of a finished command); undefined if unknown. */
  peek(id: string): R | undefined {
    void id;
    return undefined;
  }
  get size(): number {
    return 0;
  }
  /** Plain data for a snapshot or for a copy (rule 4): equal at equal positions on all replicas. */
  export(): OnceState<R> {
    return { timeMs: 0, results: [] };
  }
  import(state: OnceState<R>): void {
    void state;
  }
}
export interface OnceState<R> {
  readonly timeMs: number;
  /** [id, expiresMs, result] in the order of remembering. */
  readonly results: readonly (readonly [string, number, R])[];
}
