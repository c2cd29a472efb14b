// Checks what the type checker and the linter can't: the order of the layers, that clocks, randomness and I/O stay in
// platform/node, import cycles, files that nothing reaches, and the naming rules. Part of `npm run check`. Prints one line a
// finding, exits 1 if any.
import { readFileSync, globSync, existsSync } from "node:fs";
import { dirname, join, normalize, basename } from "node:path";
import process from "node:process";

/**
 * Layers of the design, lowest first. A file imports its own layer and lower ones; folders of one layer never import each other.
 */
const LAYERS: readonly (readonly string[])[] = [
  ["util"],
  ["platform", "codec"],
  ["platform/node"],
  ["raft", "layout", "task"],
  ["cluster"],
  ["group", "block"],
  ["model"],
  ["api/common"],
  ["api/s3", "api/k2v", "api/admin", "web"],
  ["config"],
  ["node"],
  ["cli"],
];
/** Inside `model`, lowest first: what lies beside these folders is the contract between them. */
const MODEL_LAYERS = ["", "partition", "control", "bytes", "upkeep", "objects", "repair", "inspection"];
/** The APIs call services; rows and groups lie behind those, and so does who tells their failures. */
const API_NEVER_IMPORTS = /^src\/(group|model\/(partition|bytes|upkeep|repair|objects))\//;
/** Pages that state the numbered rules which comments and tests name. */
const RULE_PAGES = ["docs/consensus.md", "docs/data-rules.md"];
/** Columns of prose in pages. */
const PROSE_COLUMNS = 100;
/** Importing platform/node is for the composition root and what stands above it. */
const NODE_PLATFORM_USERS = ["platform/node", "node", "cli"];
/** The CLI speaks the admin operations; it never imports the server's inside. */
const CLI_MAY_IMPORT = ["util", "platform", "platform/node", "codec", "config", "cli"];
/** The one file of the CLI that loads the server: the daemon's own process. */
const DAEMON_PROCESS = "src/cli/server.ts";
/**
 * Modules that bring a clock, randomness or I/O; only platform/node (and the CLI, which is a program of its own) may use them.
 */
const IO_MODULES =
  /^(node:)?(fs|fs\/promises|net|tls|http|https|http2|dgram|dns|timers|timers\/promises|worker_threads|child_process|os|sqlite|cluster|readline|process|perf_hooks)$|^(lmdb|pino|@node-rs\/crc32)$/;
const IO_CALLS: readonly [RegExp, string][] = [
  [/\bDate\.now\s*\(|\bnew Date\s*\(\s*\)/, "reads the wall clock"],
  [/\bperformance\.now\s*\(|\bprocess\.hrtime\b/, "reads a clock"],
  [/\bMath\.random\s*\(|\brandomBytes\s*\(|\brandomUUID\s*\(|\bgetRandomValues\s*\(/, "draws randomness"],
  [/\b(setTimeout|setInterval|setImmediate)\s*\(/, "sets a timer"],
  [/\bprocess\.(env|argv|exit|cwd|on|stdout|stderr)\b/, "touches the process"],
];
const BANNED_NAMES = ["index.ts", "utils.ts", "helpers.ts", "types.ts"];

const findings: string[] = [];
const sources = globSync("src/**/*.ts").sort();
const roots = globSync(["bin/*.ts", "sim/**/*.ts", "test/**/*.ts", "bench/**/*.ts", "tools/**/*.ts"]).sort();
const imports = new Map<string, string[]>();
/** Without `import type`: what is loaded at run time, where a cycle bites. */
const loads = new Map<string, string[]>();

for (const file of [...sources, ...roots]) {
  const text = readFileSync(file, "utf8");
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
  const local: string[] = [];
  const loaded: string[] = [];
  for (const match of code.matchAll(/(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+|new URL\(\s*)"([^"]+)"/gm)) {
    const target = match[1] ?? "";
    if (target.startsWith(".")) {
      if (!target.endsWith(".ts")) continue;
      const path = normalize(join(dirname(file), target));
      local.push(path);
      if (!isTypeOnly(code, match.index)) loaded.push(path);
    }
    if (!target.startsWith(".") && isProduct(file) && IO_MODULES.test(target) && !mayDoIo(file))
      findings.push(`${file}: imports ${target}; only platform/node may`);
  }
  imports.set(file, local);
  loads.set(file, loaded);
  if (!isProduct(file)) continue;
  const name = basename(file);
  if (BANNED_NAMES.includes(name)) findings.push(`${file}: name a file after what it does, not ${name}`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(name)) findings.push(`${file}: file names are kebab-case`);
  if (!mayDoIo(file))
    for (const [pattern, what] of IO_CALLS) if (pattern.test(code)) findings.push(`${file}: ${what}; take it from the platform`);
  if (/\bexport\s+default\b/.test(code)) findings.push(`${file}: named exports only`);
  if (/\bprocess\.env\b/.test(code) && !/^src\/(cli|config|platform\/node)\//.test(file))
    findings.push(`${file}: reads the environment`);
}

for (const [file, targets] of imports) {
  for (const target of targets) {
    if (!existsSync(target)) findings.push(`${file}: imports ${target}, which does not exist`);
    if (!file.startsWith("src/") || isTest(file)) continue;
    if (!target.startsWith("src/")) findings.push(`${file}: imports ${target}; nothing in src imports from outside`);
    else checkLayer(file, target);
  }
}
findCycles();
findDead();
checkRules();
checkPages();

for (const finding of findings) console.log(finding);
console.log(findings.length === 0 ? `tidy: ${sources.length} files, nothing to mend` : `tidy: ${findings.length} findings`);
process.exitCode = findings.length === 0 ? 0 : 1;

/** Whether the import or export whose `from` stands at `index` begins with `import type` or `export type`. */
function isTypeOnly(code: string, index: number): boolean {
  const statement = code.slice(Math.max(code.lastIndexOf(";", index), code.lastIndexOf("\n\n", index)) + 1, index);
  return /^\s*(import|export)\s+type\b/.test(statement);
}
function isTest(file: string): boolean {
  return file.endsWith(".test.ts") || file.includes("/testing/");
}
function isProduct(file: string): boolean {
  return file.startsWith("src/") && !isTest(file);
}
function mayDoIo(file: string): boolean {
  return file.startsWith("src/platform/node/") || file.startsWith("src/cli/");
}
function layerOf(file: string): [number, string] {
  const path = file.slice("src/".length);
  let best: [number, string] = [-1, ""];
  LAYERS.forEach((folders, level) => {
    for (const folder of folders) if (path.startsWith(folder + "/") && folder.length > best[1].length) best = [level, folder];
  });
  return best;
}
function checkLayer(file: string, target: string): void {
  const [from, fromFolder] = layerOf(file);
  const [to, toFolder] = layerOf(target);
  if (from < 0) findings.push(`${file}: lies in no layer (ARCHITECTURE.md names them)`);
  else if (to > from) findings.push(`${file}: imports ${target}, a higher layer`);
  else if (to === from && toFolder !== fromFolder) findings.push(`${file}: imports ${target}, a sibling layer`);
  else if (toFolder === "platform/node" && !NODE_PLATFORM_USERS.includes(fromFolder))
    findings.push(`${file}: imports ${target}; take the seam from platform`);
  else if (fromFolder === "model" && toFolder === "model") checkModelLayer(file, target);
  else if (isReachingBehindServices(file, target))
    findings.push(`${file}: imports ${target}; the APIs call services, which tell what lies behind them`);
  else if (fromFolder === "cli" && !CLI_MAY_IMPORT.includes(toFolder) && file !== DAEMON_PROCESS)
    findings.push(`${file}: imports ${target}; the CLI never imports the server's inside`);
}
function isReachingBehindServices(file: string, target: string): boolean {
  return file.startsWith("src/api/") && API_NEVER_IMPORTS.test(target);
}
function checkModelLayer(file: string, target: string): void {
  const [from, to] = [file, target].map((path) =>
    MODEL_LAYERS.indexOf(/^src\/model\/(?:([^/]+)\/)?[^/]+$/.exec(path)?.[1] ?? ""),
  ) as [number, number];
  if (from < 0 || to < 0) findings.push(`${file}: model has the folders ${MODEL_LAYERS.join(", ")}`);
  else if (to > from) findings.push(`${file}: imports ${target}, which lies higher inside model`);
}
/** A rule that code names must stand in a page. */
function checkRules(): void {
  const stated = new Set<number>();
  for (const page of RULE_PAGES)
    for (const row of readFileSync(page, "utf8").matchAll(/^\| (\d+) \|/gm)) stated.add(Number(row[1]));
  for (const file of [...sources, ...roots])
    for (const named of readFileSync(file, "utf8").matchAll(/\b[Rr]ules? (\d+(?:(?:, | and |[–-])\d+)*)/g))
      for (const number of (named[1] ?? "").split(/\D+/))
        if (!stated.has(Number(number)))
          findings.push(`${file}: names rule ${number}, which no page states (${RULE_PAGES.join(", ")})`);
}
/** Files that a page names exist; prose is wrapped. */
function checkPages(): void {
  for (const page of globSync(["*.md", "docs/**/*.md", "src/**/*.md", "sim/**/*.md", "findings/*.md"])) {
    let fenced = false;
    for (const [at, line] of readFileSync(page, "utf8").split("\n").entries()) {
      if (/^\s*```/.test(line)) fenced = !fenced;
      if (fenced || /^\s*\||^ {4}/.test(line)) continue;
      if (line.length > PROSE_COLUMNS && /\s/.test(line.trimStart().slice(0, PROSE_COLUMNS - 8)))
        findings.push(`${page}:${at + 1}: prose is wrapped at ${PROSE_COLUMNS} columns`);
    }
    for (const [, path] of readFileSync(page, "utf8").matchAll(/`((?:src|sim|test|tools|bench)\/[\w./-]+\.(?:ts|json|md))`/g))
      if (!existsSync(path as string) && page !== "CHANGELOG.md") findings.push(`${page}: names ${path}, which does not exist`);
  }
}
function findCycles(): void {
  const state = new Map<string, "open" | "done">();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      findings.push(`import cycle: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`);
      return;
    }
    state.set(file, "open");
    path.push(file);
    for (const target of loads.get(file) ?? []) visit(target);
    path.pop();
    state.set(file, "done");
  };
  for (const file of loads.keys()) visit(file);
}
function findDead(): void {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const target of imports.get(file) ?? []) visit(target);
  };
  for (const file of sources) if (/^src\/cli\/main\.ts$|^src\/node\/daemon\.ts$/.test(file)) visit(file);
  // Simulation, benchmarks and planned layers count as users; a test alone does not make code alive.
  for (const file of roots) if (!file.endsWith(".test.ts")) visit(file);
  for (const file of sources) if (isProduct(file) && !reached.has(file)) findings.push(`${file}: nothing reaches it`);
}
