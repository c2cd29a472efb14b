// `npm run bench`: what each operation of a real daemon costs, driven by wrk with requests that were signed beforehand (so the
// client costs little).
//   npm run bench                             all cases            npm run bench -- put-1k get-4k-16   only these (by the beginning of their names)
//   npm run bench -- --seconds 10             length of each case  npm run bench -- --list             the names
//   npm run bench -- --no-fsyncs              without the second run under strace
//   npm run bench -- --profile DIR            V8's CPU profiles of the daemon and its workers into DIR; read them with bench/read-profile.ts
//   npm run bench -- --compare REV            this tree and another revision in turn; prints ratios (a slow minute of the machine hits both)
// Prints per case: operations/s, MB/s (10⁶ bytes), p50 and p99, server CPU-µs per operation, fsyncs per operation; idle and peak
// RSS. Appends a line per run to bench/history.jsonl. Needs wrk, ab, strace. Any answer that is an error, or not what was stored,
// ends the run.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, closeSync, fsyncSync, mkdtempSync, openSync, rmSync, symlinkSync, unlinkSync, writeSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { CASES, type Case, MI } from "./cases.ts";
import { Daemon } from "./daemon.ts";
import { Driver, type Figures } from "./driver.ts";

const COMPARE_ROUNDS = 3;
const SEQUENTIAL_BYTES = 64 * MI;
const PACKAGES = { wrk: "wrk", ab: "apache2-utils", strace: "strace" } as const;

const { values: flags, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "5" },
    list: { type: "boolean", default: false },
    compare: { type: "string" },
    profile: { type: "string" },
    "no-fsyncs": { type: "boolean", default: false },
  },
});
const cases = words.length === 0 ? CASES : CASES.filter((one) => words.some((word) => one.name.startsWith(word)));
const seconds = Number(flags.seconds);

if (flags.list) for (const one of CASES) console.log(one.name);
else if (cases.length === 0) fail(`no case begins with ${words.join(" or ")} (--list names them)`);
else if (!(seconds >= 1)) fail("--seconds takes a whole number of at least 1");
else {
  requireTools();
  const work = mkdtempSync(join(tmpdir(), "hangar-bench-"));
  process.on("exit", () => rmSync(work, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
  if (flags.compare === undefined) await single(work);
  else await compare(work, flags.compare);
}

async function single(work: string): Promise<void> {
  const profiles = flags.profile === undefined ? undefined : resolve(flags.profile);
  const daemon = await Daemon.start({ tree: resolve("."), work, profiles });
  const driver = new Driver(daemon, { work, seconds, fsyncs: !flags["no-fsyncs"] && profiles === undefined });
  console.log(`idle RSS (second start): ${megabytes(daemon.idleRss)}`);
  const sequential = sequentialRate(work);
  console.log(`MD5, SHA-256, write and fsync of 64 MiB one after another: ${sequential.toFixed(0)} MB/s`);
  console.log(
    `${"case".padEnd(16)} ${["ops/s", "MB/s", "p50 ms", "p99 ms", "CPU-µs/op", "fsyncs/op"].map((name) => name.padStart(9)).join(" ")}`,
  );
  const results: Record<string, Figures> = {};
  for (const one of cases) {
    const figures = await driver.run(one);
    results[one.name] = figures;
    console.log(row(one, figures));
  }
  const peakRss = daemon.memory("VmHWM");
  console.log(`peak RSS: ${megabytes(peakRss)}`);
  await daemon.stop();
  if (profiles !== undefined) return;
  const line = {
    date: new Date().toISOString(),
    revision: execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim(),
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    sequentialMegabytesPerSecond: sequential,
    idleRss: daemon.idleRss,
    peakRss,
    results,
  };
  appendFileSync("bench/history.jsonl", `${JSON.stringify(line)}\n`);
}

/** Both run side by side, case by case in turn. */
async function compare(work: string, revision: string): Promise<void> {
  const other = join(work, "other");
  git("worktree", "add", "--detach", other, revision);
  process.on("exit", () => git("worktree", "remove", "--force", other));
  symlinkSync(resolve("node_modules"), join(other, "node_modules"));
  const mine = await Daemon.start({ tree: resolve("."), work });
  const theirs = await Daemon.start({ tree: other, work });
  const options = { work, seconds, fsyncs: false };
  const drivers = [new Driver(mine, options), new Driver(theirs, options)] as const;
  console.log(`idle RSS (second start): ${megabytes(mine.idleRss)} : ${megabytes(theirs.idleRss)}`);
  console.log(`ratios, this tree : ${revision}; median of ${COMPARE_ROUNDS} rounds; CPU-µs/op: the least of each`);
  console.log(`${"case".padEnd(16)} ${["rate", "p99", "CPU/op", "CPU-µs/op"].map((name) => name.padStart(9)).join(" ")}`);
  for (const one of cases) {
    const rounds: (readonly [Figures, Figures])[] = [];
    for (let round = 0; round < COMPARE_ROUNDS; round++) {
      const order = round % 2 === 0 ? [0, 1] : [1, 0];
      const pair: Figures[] = [];
      for (const at of order as [0 | 1, 0 | 1]) pair[at] = await drivers[at].run(one);
      rounds.push(pair as [Figures, Figures]);
    }
    const ratio = (of: (figures: Figures) => number): string =>
      median(rounds.map(([a, b]) => of(a) / of(b)))
        .toFixed(2)
        .padStart(9);
    const least = ([0, 1] as const).map((at) => Math.min(...rounds.map((pair) => pair[at].cpuMicros)).toFixed(0)).join(" : ");
    console.log(
      `${one.name.padEnd(16)} ${ratio((f) => f.perSecond)} ${ratio((f) => f.p99Ms)} ${ratio((f) => f.cpuMicros)}   ${least}`,
    );
  }
  console.log(`peak RSS: ${megabytes(mine.memory("VmHWM"))} : ${megabytes(theirs.memory("VmHWM"))}`);
  await mine.stop();
  await theirs.stop();
}

/** What a large PUT has to do, by one thread and nothing in parallel; the best of three. MB/s. */
function sequentialRate(work: string): number {
  const bytes = Buffer.alloc(SEQUENTIAL_BYTES, "some bytes that are not nought");
  const file = join(work, "sequential");
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const started = performance.now();
    createHash("md5").update(bytes).digest();
    createHash("sha256").update(bytes).digest();
    const handle = openSync(file, "w");
    for (let at = 0; at < bytes.byteLength; ) at += writeSync(handle, bytes, at);
    fsyncSync(handle);
    best = Math.min(best, performance.now() - started);
    closeSync(handle);
    unlinkSync(file);
  }
  return SEQUENTIAL_BYTES / 1e3 / best;
}

function requireTools(): void {
  const needed = [
    ...(cases.some(({ method }) => method !== "HEAD") ? (["wrk"] as const) : []),
    ...(cases.some(({ method }) => method === "HEAD") ? (["wrk", "ab"] as const) : []),
    ...(flags["no-fsyncs"] || flags.compare !== undefined || flags.profile !== undefined ? [] : (["strace"] as const)),
  ];
  const missing = [...new Set(needed)].filter((tool) => spawnSync(tool, ["-V"]).error !== undefined);
  if (missing.length === 0) return;
  const packages = missing.map((tool) => PACKAGES[tool]).join(" ");
  fail(`missing: ${missing.join(", ")}. On Debian: apt-get install ${packages}`);
}

function fail(sentence: string): void {
  console.error(sentence);
  process.exit(1);
}

function git(...args: readonly string[]): void {
  execFileSync("git", args, { stdio: ["ignore", "ignore", "inherit"] });
}

function row({ name }: Case, f: Figures): string {
  const fields = [
    f.perSecond.toFixed(0),
    f.megabytesPerSecond.toFixed(1),
    f.p50Ms.toFixed(2),
    f.p99Ms.toFixed(2),
    f.cpuMicros.toFixed(0),
    f.fsyncsPerOperation?.toFixed(2) ?? "",
  ];
  return `${name.padEnd(16)} ${fields.map((field) => field.padStart(9)).join(" ")}`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
