// Looks for the first seed that shows a planted defect.
import type { AnyDefect } from "./planted.ts";
import type { Focus } from "./profile.ts";
import { runSeed, type RunResult } from "./run.ts";

export function searchDefect(defect: AnyDefect, where: { from: number; seeds: number; focus: Focus }): RunResult | null {
  const { focus } = where;
  for (let seed = where.from; seed < where.from + where.seeds; seed++) {
    const result = runSeed(seed, { defect, focus });
    // A violation that happens without the defect too shows nothing about it.
    if (result.failure !== null && runSeed(seed, { focus }).failure === null) return result;
  }
  return null;
}
