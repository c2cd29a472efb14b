// Is there one order of the operations on a key, respecting real time, that explains every outcome? Sweeps (sweep.ts) that carry more and more
// configurations along: a right history mostly shows an order to a narrow one; a wrong one is wrong when a sweep ends that left nothing out.
import type { Problem } from "./problem.ts";
import { sweep } from "./sweep.ts";
import { toTimeline } from "./timeline.ts";

export type Verdict = "linearizable" | "not linearizable" | "undecided";

const FIRST_WIDTH = 8;
const WIDER = 4;

/** @param maxPositions  positions to visit before the search gives up with "undecided". */
export function search(problem: Problem, maxPositions: number): Verdict {
  const timeline = toTimeline(problem);
  let left = maxPositions;
  for (let width = FIRST_WIDTH; ; width *= WIDER) {
    const { reached, exact, positions } = sweep(problem, timeline, { width, maxPositions: left });
    left -= positions;
    if (left < 0) return "undecided";
    if (reached) return "linearizable";
    if (exact) return "not linearizable";
  }
}
