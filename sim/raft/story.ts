// A failing seed as text a person can follow: what kind of seed, what was violated, and the last things that happened to that group.
import type { RunResult } from "./run.ts";

const LINES = 45;

/** `result` must come from a run with `story: true`. @param full  all lines, of all groups. */
export function tellStory(result: RunResult, full = false): string {
  const { profile } = result;
  const on = [
    "crash",
    "pause",
    "partition",
    "reconfigure",
    "joint",
    "transfer",
    "damage",
    "slowDisk",
    "stalls",
    "wallJumps",
  ] as const;
  const head = [
    `seed ${result.seed} (${profile.focus}): ${result.failure ?? "all checks held"}`,
    `  ${profile.nodes} nodes, ${profile.groups} groups of ${[...new Set(profile.voters)].join("/")} voters, lease ${profile.leaseMs} ms, clocks up to ${profile.driftFactor}, loss ${profile.loss}, duplicates ${profile.duplicate}, faults: ${on.filter((name) => profile[name]).join(" ") || "none"}`,
  ];
  if (result.contradiction !== null)
    head.push("these contradict each other:", ...result.contradiction.split("\n").map((line) => `  ${line}`));
  const about = result.lines.filter((line) => full || result.group < 0 || line.about < 0 || line.about === result.group);
  const shown = full ? about : about.slice(-LINES);
  if (shown.length < about.length) head.push(`  … ${about.length - shown.length} earlier lines`);
  return [...head, ...shown.map((line) => `${line.at.toFixed(1).padStart(8)}  ${line.text}`)].join("\n");
}
