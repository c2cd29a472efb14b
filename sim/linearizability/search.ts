// Is there one order of the operations on a key, respecting real time, that explains every outcome? Two kinds of sweeps
// (sweep.ts) in turn:
//   – Narrow ones, to find an order: they carry only the most promising configurations along. One that fails is repeated, later with more width,
//     and each time other unknown operations are held dear: what was used up too early is a matter of luck. A sweep that fails
//     without having left anything out has shown that there is no order.
//   – Generous ones, to find that there is none: no configuration is left out, but unknown operations may happen as often as they like, except those
//     that write a value for want of which a narrow sweep failed. That has few configurations to carry, and mostly fails where the history is wrong.
import { seededRandom } from "../engine/random.ts";
import type { Problem } from "./problem.ts";
import { type SweepLimits, type SweepResult, sweep } from "./sweep.ts";
import { toTimeline } from "./timeline.ts";

export type Verdict = "linearizable" | "not linearizable" | "undecided";

export interface SearchResult {
  readonly verdict: Verdict;
  /** Configurations looked at: what the search cost, the same on every machine. */
  readonly positions: number;
}

const FIRST_WIDTH = 8;
const TRIES_PER_WIDTH = 3;

/** @param maxPositions  positions to visit before the search gives up with "undecided". */
export function search(problem: Problem, maxPositions: number): SearchResult {
  const timeline = toTimeline(problem);
  const random = seededRandom(1);
  let spent = 0;
  const run = (limits: SweepLimits): SweepResult => {
    const result = sweep(problem, timeline, limits);
    spent += result.positions;
    return result;
  };
  const scarce = new Set<number>();
  let mayBeWrong = true;
  for (let attempt = 1, width = FIRST_WIDTH; ; attempt++) {
    const prices = problem.unknown.map(() => (attempt === 1 ? 4 : 2 + Math.floor(random() * 7)));
    const narrow = run({ width, maxPositions: maxPositions - spent, prices });
    if (narrow.reached) return { verdict: "linearizable", positions: spent };
    if (narrow.exact) return { verdict: "not linearizable", positions: spent };
    for (const value of narrow.missed) {
      if (!scarce.has(value)) mayBeWrong = true;
      scarce.add(value);
    }
    if (mayBeWrong) {
      const generous = run({
        width: Number.POSITIVE_INFINITY,
        maxPositions: Math.min(maxPositions - spent, spent),
        prices: problem.unknown.map(({ effect }) => (scarce.has(effect) ? 1 : 0)),
      });
      if (generous.exact && !generous.reached) return { verdict: "not linearizable", positions: spent };
      mayBeWrong = !generous.reached;
    }
    if (spent >= maxPositions) return { verdict: "undecided", positions: spent };
    if (attempt % TRIES_PER_WIDTH === 0) width *= 2;
  }
}
