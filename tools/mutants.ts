// Plants known defects one at a time in a copy of the tree and demands that the test named for each of them fails, and passes
// without it. The form of a defect: test/mutants/README.md.
//   npm run test:mutants                     all of them
//   npm run test:mutants -- fsync quota      only those whose file name contains one of the words
//   npm run test:mutants -- --ci             the ten that CI plants, none of which may be left out
//   npm run test:mutants -- --list           prints them
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";

interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly defect: string;
  /** Command line whose failure shows the defect; its first word is `node`. */
  readonly noticedBy: readonly string[];
  /**
   * What a command that isn't `node --test` must print beside failing, else a defect that only breaks the program would count.
   */
  readonly shows: RegExp | undefined;
  readonly costS: number;
  readonly ci: boolean;
}

type Verdict = { readonly mark: "PASS" | "FAIL" | "SKIP"; readonly why: string };
type Run = { readonly outcome: "passed" | "failed" | "left-out" | "broken"; readonly why: string };

const PATTERN = "--test-name-pattern=";
/** A run that takes longer hangs: the slowest named test takes a twentieth of it. */
const RUN_MS = 180_000;
/** After SIGTERM, for a test file to end its daemons. */
const GRACE_MS = 20_000;

const options = process.argv.slice(2).filter((word) => word.startsWith("--"));
const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const from = options.find((option) => option.startsWith("--from="))?.slice("--from=".length) ?? "test/mutants";
const isCi = options.includes("--ci");

const root = process.cwd();
const children = new Set<ChildProcess>();
const trees: string[] = [];
process.on("exit", () => {
  for (const child of children) end(child, "SIGKILL");
  for (const tree of trees) rmSync(tree, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    for (const child of children) end(child, "SIGTERM");
    process.exit(1);
  });

const mutants = globSync(`${from}/*.patch`)
  .sort()
  .map(readMutant)
  .filter((mutant) => (!isCi || mutant.ci) && (words.length === 0 || words.some((word) => mutant.name.includes(word))));

if (options.includes("--list")) {
  for (const { name, defect, noticedBy, costS, ci } of mutants)
    console.log(`${name}${ci ? " (ci)" : ""}, ${costS} s: ${defect}\n    ${noticedBy.join(" ")}`);
} else if (mutants.length === 0) {
  console.error(`no defect in ${from} matches ${words.join(" ")}`);
  process.exitCode = 1;
} else {
  await plantAll();
}

async function plantAll(): Promise<void> {
  const slots = Array.from({ length: Math.min(2, availableParallelism()) }, copyOfTree);
  const groups = Map.groupBy(mutants, groupOf);
  const without = new Map<string, Run>();
  await each(slots, [...groups], async (tree, [group, members]) => {
    without.set(group, await runIn(tree, together(members), undefined));
  });
  let passed = 0;
  let failed = 0;
  const slowestFirst = mutants.toSorted((a, b) => b.costS - a.costS);
  await each(slots, slowestFirst, async (tree, mutant) => {
    const began = performance.now();
    const { mark, why } = await judge(tree, mutant, without.get(groupOf(mutant)) as Run);
    if (mark === "PASS") passed++;
    if (mark === "FAIL") failed++;
    console.log(`${mark} ${mutant.name} (${((performance.now() - began) / 1000).toFixed(1)} s): ${why}`);
  });
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

async function judge(tree: string, mutant: Mutant, without: Run): Promise<Verdict> {
  if (without.outcome === "left-out") return { mark: isCi ? "FAIL" : "SKIP", why: `its test was left out here (${without.why})` };
  if (without.outcome !== "passed")
    return { mark: "FAIL", why: `what should notice it does not pass without it either (${without.why})` };
  const broken = plant(tree, mutant);
  try {
    if (broken !== undefined) return { mark: "FAIL", why: broken };
    const run = await runIn(tree, mutant.noticedBy, mutant.shows);
    if (run.outcome === "failed") return { mark: "PASS", why: run.why };
    if (run.outcome === "broken") return { mark: "FAIL", why: `broke the program instead of planting a defect: ${run.why}` };
    return { mark: "FAIL", why: `NOT NOTICED by ${mutant.noticedBy.join(" ")}` };
  } finally {
    for (const file of filesOf(mutant)) cpSync(join(root, file), join(tree, file));
  }
}

/** @returns what is wrong with the patch. */
function plant(tree: string, mutant: Mutant): string | undefined {
  try {
    // Less context is asked for than a patch has: what changes beside a defect must not make its patch useless.
    execFileSync("git", ["apply", "-C1", "--recount", resolve(mutant.file)], {
      cwd: tree,
      env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(tree) },
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (error) {
    return `does not apply: ${firstLine(String((error as { stderr?: unknown }).stderr ?? error))}`;
  }
  for (const file of filesOf(mutant).filter((path) => path.endsWith(".ts")))
    try {
      stripTypeScriptTypes(readFileSync(join(tree, file), "utf8"));
    } catch (error) {
      return `leaves ${file} without sense: ${firstLine((error as Error).message)}`;
    }
  return undefined;
}

async function runIn(tree: string, argv: readonly string[], shows: RegExp | undefined): Promise<Run> {
  const isTest = argv.includes("--test");
  const args = isTest ? ["--test-reporter=tap", "--test-timeout=90000", ...argv.slice(1)] : argv.slice(1);
  const { code, output } = await run(tree, args);
  if (code === undefined) return { outcome: "broken", why: `did not end within ${RUN_MS / 1000} s` };
  if (!isTest) {
    if (code === 0) return { outcome: "passed", why: "" };
    const shown = shows?.exec(output);
    return shown ? { outcome: "failed", why: shown[0] } : { outcome: "broken", why: lastLine(output) };
  }
  const tests = testsOf(output);
  const failure = tests.find((test) => test.result === "not ok");
  if (failure) return { outcome: "failed", why: `${failure.name}: ${failure.error}` };
  if (code !== 0) return { outcome: "broken", why: firstLine(/^\s*(?:# )?\w*Error.*$/m.exec(output)?.[0] ?? lastLine(output)) };
  const left = tests.find((test) => test.result === "skipped");
  if (tests.some((test) => test.result === "ok")) return { outcome: "passed", why: "" };
  return left ? { outcome: "left-out", why: left.error } : { outcome: "broken", why: "no test has this name" };
}

interface Tested {
  readonly name: string;
  readonly result: "ok" | "not ok" | "skipped";
  readonly error: string;
}

/**
 * The tests of a TAP report that ran or were left out; not suites, nor what only fell with a suite, nor files that could not be
 * loaded. What waits for ever has failed, though Node calls it cancelled.
 */
function testsOf(tap: string): readonly Tested[] {
  const found: Tested[] = [];
  for (const match of tap.matchAll(/^( *)(ok|not ok) \d+ - (.*?)(?: # SKIP ?(.*))?\n\1 {2}---\n([\s\S]*?)\n\1 {2}\.\.\.$/gm)) {
    const [, , result, name = "", skipped, detail = ""] = match;
    if (!/^ *type: 'test'$/m.test(detail) || name.endsWith(".test.ts")) continue;
    if (skipped !== undefined) found.push({ name, result: "skipped", error: skipped });
    else if (result === "ok") found.push({ name, result, error: "" });
    else if (!/failureType: '(cancelledByParent|hookFailed|subtestsFailed)'/.test(detail) || /is still pending/.test(detail))
      found.push({ name, result: "not ok", error: firstLine(/error: (?:\|-\n)?([\s\S]*)/.exec(detail)?.[1] ?? "") });
  }
  return found;
}

function run(tree: string, args: readonly string[]): Promise<{ code: number | null | undefined; output: string }> {
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: tree, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    children.add(child);
    let output = "";
    let late = false;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    const timers = [
      setTimeout(() => {
        late = true;
        end(child, "SIGTERM");
      }, RUN_MS),
      setTimeout(() => end(child, "SIGKILL"), RUN_MS + GRACE_MS),
    ];
    child.on("close", (code) => {
      for (const timer of timers) clearTimeout(timer);
      children.delete(child);
      resolve({ code: late ? undefined : code, output });
    });
  });
}

/** A test's process and those that it started, which share its group. */
function end(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // Gone.
  }
}

/** Tests of one file are run once without any defect, all that are named together; other commands each. */
function groupOf({ noticedBy }: Mutant): string {
  return noticedBy.includes("--test") ? withoutPattern(noticedBy).join(" ") : noticedBy.join(" ");
}
function together(members: readonly Mutant[]): readonly string[] {
  const isWhole = members.some(({ noticedBy }) => !noticedBy.some((word) => word.startsWith(PATTERN)));
  const patterns = isWhole
    ? []
    : new Set(members.flatMap(({ noticedBy }) => noticedBy.filter((word) => word.startsWith(PATTERN))));
  const [node = "", ...rest] = withoutPattern((members[0] as Mutant).noticedBy);
  return [node, ...patterns, ...rest];
}
function withoutPattern(argv: readonly string[]): readonly string[] {
  return argv.filter((word) => !word.startsWith(PATTERN));
}

async function each<T>(
  slots: readonly string[],
  items: readonly T[],
  work: (tree: string, item: T) => Promise<void>,
): Promise<void> {
  const left = [...items];
  await Promise.all(
    slots.map(async (tree) => {
      for (let item = left.shift(); item !== undefined; item = left.shift()) await work(tree, item);
    }),
  );
}

/** What git knows or would know, as it is now, and the installed packages. */
function copyOfTree(): string {
  const tree = mkdtempSync(join(tmpdir(), "hangar-mutants-"));
  trees.push(tree);
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" });
  for (const file of new Set(listed.split("\0"))) {
    if (file === "") continue;
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    cpSync(join(root, file), join(tree, file), { verbatimSymlinks: true });
  }
  // One link a package: the tests keep compiled code in node_modules/.cache, and that of the copy must go with it.
  mkdirSync(join(tree, "node_modules"));
  for (const name of readdirSync(join(root, "node_modules")))
    if (name !== ".cache") symlinkSync(join(root, "node_modules", name), join(tree, "node_modules", name));
  return tree;
}

function readMutant(file: string): Mutant {
  const name = basename(file, ".patch");
  const text = readFileSync(file, "utf8");
  const head = new Map<string, string>();
  for (const line of text.slice(0, text.indexOf("\n--- ")).split("\n")) {
    const field = /^([a-z-]+): (.+)$/.exec(line);
    if (field) head.set(field[1] as string, field[2] as string);
  }
  const must = (field: string): string => {
    const value = head.get(field);
    if (value === undefined) throw new Error(`${file}: its head names no ${field}`);
    return value;
  };
  const noticedBy = (must("noticed-by").match(/(?:[^\s"]|"[^"]*")+/g) ?? []).map((word) => word.replaceAll('"', ""));
  if (noticedBy[0] !== "node") throw new Error(`${file}: noticed-by is a command line that begins with node`);
  // Behind the file it would be an argument of the file, and all its tests would run.
  const pattern = noticedBy.findLastIndex((word) => word.startsWith(PATTERN));
  if (pattern > noticedBy.findIndex((word) => word.endsWith(".ts")))
    throw new Error(`${file}: the pattern belongs before the file`);
  const shows = head.get("shows");
  if (!noticedBy.includes("--test") && shows === undefined) throw new Error(`${file}: shows is missing: what the command prints`);
  return {
    name,
    file,
    defect: must("defect"),
    noticedBy,
    shows: shows === undefined ? undefined : new RegExp(shows, "m"),
    costS: Number.parseFloat(must("cost")),
    ci: head.get("ci") === "yes",
  };
}

function filesOf({ file }: Mutant): readonly string[] {
  return [...readFileSync(file, "utf8").matchAll(/^\+\+\+ b\/(\S+)/gm)].map((match) => match[1] as string);
}
function firstLine(text: string): string {
  return text.trim().split("\n")[0]?.trim().slice(0, 160) ?? "";
}
function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim().slice(0, 160) ?? "";
}
