// Runs seeds of the simulation of raft groups. `--help` says how.
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type AnyDefect, NOT_PLANTED, PLANTED } from "./planted.ts";
import { FOCUSES, type Focus } from "./profile.ts";
import { runSeed } from "./run.ts";
import { searchDefect } from "./search-defect.ts";
import { tellStory } from "./story.ts";

const HELP = `Simulation of raft groups: random schedules with faults, checked for linearizability and the protocol's invariants.

  --seed S              one seed; prints its trace hash (equal for equal code), and a story if it fails
  --from S --seeds N    the seeds S … S + N - 1 (default: from 1, 300 seeds)
  --minutes M           as many seeds as fit
  --focus NAME          this kind of schedule for all seeds: ${FOCUSES.join(", ")}
  --defect NAME         with a planted defect (its own focus unless --focus is given); a violation is then expected, the search ends with it.
                        With --seed S: only that one, with its story; if it does not show the defect, says which recorded seed does
  --defect all          every planted defect in turn; with --save the seeds found are written to defects.json
  --story               prints the whole story of each seed, also of those that hold
  --stats               prints what occurred, summed over all seeds
  --record FILE         appends a line {commit, code, from, seeds, failures, cpuSeconds} for the run
  --resume --total N    goes on where the record for this code ends, until N seeds are recorded

Exit code 1 if a seed fails (or, with a defect, if none does).`;

interface Totals {
  seeds: number;
  failures: number[];
  stats: Record<string, number>;
}

main();

function main(): void {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      from: { type: "string" },
      seeds: { type: "string" },
      minutes: { type: "string" },
      focus: { type: "string" },
      defect: { type: "string" },
      story: { type: "boolean" },
      stats: { type: "boolean" },
      record: { type: "string" },
      resume: { type: "boolean" },
      total: { type: "string" },
      save: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const focus = checkedName(values.focus, FOCUSES, "focus") as Focus | null;
  if (values.defect !== undefined) {
    const names = Object.keys(PLANTED);
    const defects = values.defect === "all" ? names : [checkedName(values.defect, names, "defect")!];
    const how: DefectSearch = {
      from: Number(values.from ?? values.seed ?? 1),
      seeds: values.seed !== undefined ? 1 : values.seeds === undefined ? null : Number(values.seeds),
      focus,
      story: values.story === true || values.seed !== undefined,
      only: values.seed !== undefined,
    };
    process.exitCode = searchDefects(defects as AnyDefect[], how, values.save === true) > 0 ? 1 : 0;
    return;
  }
  if (values.seed !== undefined) {
    const result = runSeed(Number(values.seed), { focus, story: true });
    if (result.failure !== null || values.story) console.log(tellStory(result, values.story));
    else console.log(`seed ${values.seed} (${result.profile.focus}): all checks held`);
    console.log(`trace ${result.hash}`);
    process.exitCode = result.failure === null ? 0 : 1;
    return;
  }
  const file = values.record ?? (values.resume ? join(import.meta.dirname, "record.jsonl") : null);
  const code = codeHash();
  let from = Number(values.from ?? 1);
  let seeds = values.minutes === undefined ? Number(values.seeds ?? 300) : Number.MAX_SAFE_INTEGER;
  if (values.resume) {
    const total = Number(values.total ?? 20_000);
    from = recordedUpTo(file!, code) + 1;
    const left = Math.max(0, total - from + 1);
    seeds = values.seeds === undefined ? left : Math.min(left, Number(values.seeds));
    console.log(
      from > total
        ? `all ${total} seeds are recorded for this code`
        : `this code (${code}) is recorded up to seed ${from - 1} of ${total}`,
    );
  }
  const deadline = values.minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.minutes) * 60_000;
  // Recorded in pieces, so that an interrupted run loses little.
  const piece = file === null ? seeds : 1000;
  let failed = 0;
  const all: Totals = { seeds: 0, failures: [], stats: {} };
  const began = process.cpuUsage();
  while (seeds > 0 && Date.now() < deadline) {
    const before = process.cpuUsage();
    const totals = runMany(from, Math.min(piece, seeds), { focus, deadline, story: values.story === true });
    if (file !== null && totals.seeds > 0) {
      const line = {
        commit: commit(),
        code,
        from,
        seeds: totals.seeds,
        failures: totals.failures,
        cpuSeconds: cpuSeconds(before),
      };
      appendFileSync(file, `${JSON.stringify(line)}\n`);
    }
    from += totals.seeds;
    seeds -= totals.seeds;
    failed += totals.failures.length;
    all.seeds += totals.seeds;
    all.failures.push(...totals.failures);
    addStats(all.stats, totals.stats);
  }
  const spent = cpuSeconds(began);
  console.log(
    `${all.seeds} seeds, ${failed} failures${failed > 0 ? ` (${all.failures.slice(0, 20).join(" ")})` : ""}, ${spent.toFixed(1)} CPU-seconds, ${Math.round((all.seeds / Math.max(spent, 0.001)) * 60)} seeds a CPU-minute`,
  );
  if (values.stats)
    for (const [name, count] of Object.entries(all.stats).sort(([a], [b]) => a.localeCompare(b)))
      console.log(`  ${String(count).padStart(9)}  ${name}`);
  process.exitCode = failed > 0 ? 1 : 0;
}

function runMany(from: number, seeds: number, how: { focus: Focus | null; deadline: number; story: boolean }): Totals {
  const totals: Totals = { seeds: 0, failures: [], stats: {} };
  for (let seed = from; seed < from + seeds; seed++) {
    if (seed % 16 === 0 && Date.now() > how.deadline) break;
    const result = runSeed(seed, { focus: how.focus });
    totals.seeds++;
    addStats(totals.stats, result.stats);
    if (result.failure !== null) {
      totals.failures.push(seed);
      if (totals.failures.length <= 3) console.log(tellStory(runSeed(seed, { focus: how.focus, story: true }), how.story));
      else if (totals.failures.length <= 20) console.log(`seed ${seed} (${result.profile.focus}): ${result.failure}`);
    }
  }
  return totals;
}

/** Sums, but of the slowest the slowest. */
function addStats(to: Record<string, number>, stats: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(stats))
    to[name] = name.startsWith("slowest") ? Math.max(to[name] ?? 0, count) : (to[name] ?? 0) + count;
}

interface DefectSearch {
  readonly from: number;
  /** Null: as many as the table states. */
  readonly seeds: number | null;
  readonly focus: Focus | null;
  readonly story: boolean;
  /** Just the one seed: it may well not show the defect. */
  readonly only: boolean;
}
interface RecordedDefect {
  readonly seed: number;
  readonly focus: Focus;
  readonly failure: string | undefined;
}
/** Returns how many were not found though they should be. */
function searchDefects(defects: readonly AnyDefect[], how: DefectSearch, save: boolean): number {
  const file = join(import.meta.dirname, "defects.json");
  const record = (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {}) as Record<string, RecordedDefect>;
  let missed = 0;
  for (const defect of defects) {
    const { focus, within, rule } = PLANTED[defect];
    const chosen = how.focus ?? focus;
    const seeds = how.seeds ?? (within === 0 ? 300 : within);
    const found = searchDefect(defect, { from: how.from, seeds, focus: chosen });
    if (found === null) {
      if (how.only) {
        console.log(
          `${defect} (rule ${rule}, ${chosen}): seed ${how.from} does not show it${tellRecorded(defect, record[defect])}`,
        );
        missed++;
        continue;
      }
      console.log(
        `${defect} (rule ${rule}, ${chosen}): not found in ${seeds} seeds${within === 0 ? ", as expected: not needed for safety" : ""}`,
      );
      if (within > 0) missed++;
      continue;
    }
    console.log(`${defect} (rule ${rule}, ${chosen}): seed ${found.seed}: ${found.failure}`);
    if (how.story) console.log(tellStory(runSeed(found.seed, { defect, focus: chosen, story: true })));
    record[defect] = { seed: found.seed, focus: chosen, failure: found.failure?.split(";")[0] };
  }
  if (defects.length > 1) for (const [name, why] of Object.entries(NOT_PLANTED)) console.log(`${name}: not planted: ${why}`);
  if (save) writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
  return missed;
}

/** Which seed is known to show a defect, and how to see it. */
function tellRecorded(defect: AnyDefect, known: RecordedDefect | undefined): string {
  if (PLANTED[defect].within === 0) return ": none is expected to, it is not needed for safety";
  if (known === undefined) return `; none is recorded yet: --defect ${defect} without --seed looks for one`;
  return `; seed ${known.seed} is recorded: npm run sim:raft -- --defect ${defect} --focus ${known.focus} --seed ${known.seed}`;
}

function checkedName(name: string | undefined, known: readonly string[], what: string): string | null {
  if (name === undefined) return null;
  if (known.includes(name)) return name;
  console.error(`no ${what} is called ${name}; there are: ${known.join(", ")}`);
  process.exit(2);
}

/** Names the code that was run: the sources of the core, the simulator and the checker. */
function codeHash(): string {
  const root = join(import.meta.dirname, "../..");
  const hash = createHash("sha256");
  const files = globSync(
    ["src/raft/*.ts", "src/util/assert.ts", "sim/raft/*.ts", "sim/engine/*.ts", "sim/linearizability/*.ts"],
    { cwd: root },
  ).filter((file) => !file.endsWith(".test.ts"));
  for (const file of files.sort()) hash.update(file).update(readFileSync(join(root, file)));
  return hash.digest("hex").slice(0, 16);
}
function commit(): string {
  try {
    return execFileSync("git", ["-C", dirname(import.meta.filename), "rev-parse", "--short", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}
/** How far the seeds from 1 on are covered by lines for this code. */
function recordedUpTo(file: string, code: string): number {
  if (!existsSync(file)) return 0;
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  const runs = lines
    .map((line) => JSON.parse(line) as { code: string; from: number; seeds: number })
    .filter((run) => run.code === code);
  let covered = 0;
  for (const run of runs.sort((a, b) => a.from - b.from))
    if (run.from <= covered + 1) covered = Math.max(covered, run.from + run.seeds - 1);
  return covered;
}
function cpuSeconds(since: NodeJS.CpuUsage): number {
  const used = process.cpuUsage(since);
  return Math.round((used.user + used.system) / 1e4) / 100;
}
