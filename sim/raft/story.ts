// A failing seed as text a person can follow: what kind of seed, what was violated, what decided it, and the last things that
// happened to that group. What decides may lie far back (who applied the entry that is missing now): such lines are shown
// wherever they are.
import type { Line } from "../engine/trace.ts";
import type { RunResult } from "./run.ts";

/** Of what happened last. */
const LAST_LINES = 45;
/** Of what decided and lies before that: its beginning and its end. */
const DECISIVE_LINES = 30;

/** `result` must come from a run with `story: true`. @param full  all lines, of all groups. */
export function tellStory(result: RunResult, full = false): string {
  const lines = head(result);
  const { told, candidates } = full ? { told: new Set(result.lines), candidates: result.lines } : choose(result);
  let skipped = 0;
  for (const line of candidates) {
    if (!told.has(line)) {
      skipped++;
      continue;
    }
    if (skipped > 0) lines.push(`  … ${skipped} ${skipped === 1 ? "line" : "lines"}`);
    skipped = 0;
    lines.push(`${line.at.toFixed(1).padStart(8)}  ${line.text}`);
  }
  return lines.join("\n");
}

function head(result: RunResult): string[] {
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
    "slowWays",
    "stalls",
    "wallJumps",
  ] as const;
  const text = [
    `seed ${result.seed} (${profile.focus}): ${result.failure ?? "all checks held"}`,
    `  ${profile.nodes} nodes, ${profile.groups} groups of ${[...new Set(profile.voters)].join("/")} voters, lease ${profile.leaseMs} ms, clocks up to ${profile.driftFactor}, loss ${profile.loss}, duplicates ${profile.duplicate}, faults: ${on.filter((name) => profile[name]).join(" ") || "none"}`,
  ];
  if (result.contradiction !== null)
    text.push("these contradict each other:", ...result.contradiction.split("\n").map((line) => `  ${line}`));
  return text;
}

/** `told`: the lines that decided, and the last of the others. `candidates`: those, and what is left out between them. */
function choose(result: RunResult): { told: Set<Line>; candidates: Line[] } {
  const about = result.lines.filter((line) => result.group < 0 || line.about < 0 || line.about === result.group);
  const deciding = about.filter((line) => isDecisive(line, result));
  // Between the events that decide, who led is part of the story.
  const since = deciding[0]?.at ?? Number.POSITIVE_INFINITY;
  const pinned = about.filter((line) => deciding.includes(line) || (line.topic.leads === true && line.at >= since));
  const half = DECISIVE_LINES / 2;
  const kept = pinned.length <= DECISIVE_LINES ? pinned : [...pinned.slice(0, half), ...pinned.slice(-half)];
  const last = about.filter((line) => line.topic.fine !== true).slice(-LAST_LINES);
  const told = new Set([...kept, ...last]);
  return { told, candidates: about.filter((line) => line.topic.fine !== true || told.has(line)) };
}

function isDecisive({ topic, about }: Line, { decisive, group }: RunResult): boolean {
  if (topic.call !== undefined && decisive.calls.includes(topic.call)) return true;
  const { entries } = topic;
  if (entries === undefined || (about !== group && group >= 0)) return false;
  return decisive.entries.some((index) => index >= entries[0] && index <= entries[1]);
}
