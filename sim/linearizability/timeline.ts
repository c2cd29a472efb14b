// The moments of a history in order, and a small number (slot) for each operation while it is under way.
import type { Problem } from "./problem.ts";

/** In this order at equal times: an operation invoked at the moment when another returns overlaps it. */
export const INVOKED = 0;
export const APPEARED = 1;
export const RETURNED = 2;

export interface Moment {
  readonly at: number;
  /** APPEARED: one more unknown operation of a class may take effect from now on. */
  readonly kind: typeof INVOKED | typeof APPEARED | typeof RETURNED;
  /** In `known`; of APPEARED: in `unknown`. */
  readonly index: number;
}

export interface Timeline {
  readonly moments: readonly Moment[];
  /** Per known operation: its slot, which is free again once it has returned. */
  readonly slotOf: readonly number[];
  /** How many are under way at once, at most. */
  readonly slots: number;
}

export function toTimeline({ known, unknown }: Problem): Timeline {
  const moments: Moment[] = [];
  for (const [index, step] of known.entries()) {
    moments.push({ at: step.invokedAt, kind: INVOKED, index }, { at: step.returnedAt, kind: RETURNED, index });
  }
  for (const [index, group] of unknown.entries()) {
    for (const at of group.invokedAt) moments.push({ at, kind: APPEARED, index });
  }
  // Compared, not subtracted: times may be infinite.
  moments.sort((a, b) => (a.at === b.at ? a.kind - b.kind : a.at < b.at ? -1 : 1));
  const slotOf: number[] = new Array<number>(known.length).fill(0);
  const free: number[] = [];
  let slots = 0;
  for (const { kind, index } of moments) {
    if (kind === INVOKED) slotOf[index] = free.pop() ?? slots++;
    else if (kind === RETURNED) free.push(slotOf[index]!);
  }
  return { moments, slotOf, slots };
}
