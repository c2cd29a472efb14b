// Where the clients' programs come from. What is installed lands in the user's cache (HANGAR_CLIENTS_CACHE, else
// $XDG_CACHE_HOME/hangar-clients, else ~/.cache/hangar-clients), which outlives `npm ci`, and is found there the next time.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { cleanEnvironment, runProgram } from "../process/support/run-program.ts";

const CACHE = resolve(
  process.env["HANGAR_CLIENTS_CACHE"] || join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "hangar-clients"),
);
const PYTHON = "/usr/bin/python3";

export interface Source {
  /**
   * Installs what is not there yet.
   * @returns  the folder of the programs; for Maven the class path.
   * @throws   with what is missing (toolchain, registry, package) in one line.
   */
  install(): Promise<string>;
}

/** Programs of Debian's packages. Those that are there, in whatever way they came, are taken as they are. */
export function debian(programs: readonly string[], packages: readonly string[]): Source {
  return once(async () => {
    await needDebian(programs, packages);
    return "/usr/bin";
  });
}

/** A virtual environment with exactly what a file of requirements in this folder pins. @returns its `bin` */
export function pypi(requirements: string): Source {
  return once(async () => {
    const file = here(requirements);
    return kept(`pypi-${basename(requirements, ".txt")}`, readFileSync(file, "utf8"), async (folder) => {
      await needDebian([PYTHON], ["python3"]);
      // Debian's python3 has no pip for new environments unless python3-venv is there.
      if ((await runProgram([PYTHON, "-c", "import ensurepip"])).code !== 0) await installDebian(["python3-venv"]);
      await run([PYTHON, "-m", "venv", folder]);
      await run([
        join(folder, "bin/python"),
        ...["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"],
        // Wheels only: nothing is compiled, and a group is complete as it is pinned.
        ...["--only-binary", ":all:", "--no-deps", "-r", file],
      ]);
      return "bin";
    });
  });
}

/** A program of a Go module, built by a Go that is there already (Debian's is too old for most). @returns its folder */
export function goProgram(module: string, version: string, path = ""): Source {
  return once(() =>
    kept(`go-${module.replaceAll("/", "-")}-${version}`, `${module}${path}@${version}`, async (folder) => {
      mkdirSync(folder, { recursive: true });
      // In the module's own folder: `go install` refuses modules that replace others (OpenTofu).
      await runGo(["build", "-trimpath", "-o", `${folder}/`, `.${path}`], { cwd: await goModule(module, version) });
      return ".";
    }),
  );
}

/** @returns the folder of a module's source, which is read only. */
export async function goModule(module: string, version: string): Promise<string> {
  return (JSON.parse(await runGo(["mod", "download", "-json", `${module}@${version}`])) as { Dir: string }).Dir;
}

/** The class path of a Maven project's dependencies; they stay in the user's local repository. */
export function maven(pom: string): Source {
  return once(async () => {
    const file = here(pom);
    const folder = await kept(`maven-${basename(pom, ".xml")}`, readFileSync(file, "utf8"), async (folder) => {
      await needDebian(["/usr/bin/javac", "/usr/bin/mvn"], ["default-jdk-headless", "maven"]);
      mkdirSync(folder, { recursive: true });
      const output = `-Dmdep.outputFile=${join(folder, "class-path")}`;
      await run(["mvn", "-B", "-ntp", "-q", "-f", file, "dependency:build-classpath", "-Dmdep.includeScope=runtime", output]);
      return ".";
    });
    const classPath = readFileSync(join(folder, "class-path"), "utf8").trim();
    if (!classPath.split(":").every((jar) => existsSync(jar))) {
      rmSync(folder, { recursive: true, force: true });
      throw new Error("the local Maven repository has lost some of the class path; run again");
    }
    return classPath;
  });
}

/** Several sources for one client. @returns what the first one returns */
export function all(first: Source, ...others: readonly Source[]): Source {
  return once(async () => {
    const path = await first.install();
    for (const other of others) await other.install();
    return path;
  });
}

/**
 * A source of a client's own: `make` fills the folder, which is moved afterwards, and says where in it the programs are. `made`
 * changes when it must be made anew.
 */
export function built(name: string, made: string, make: (folder: string) => Promise<string>): Source {
  return once(() => kept(name, made, make));
}

/** Runs `go`, one package at a time, with the newest language its own toolchain knows. */
export async function runGo(
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<string> {
  const version = await runProgram(["go", "version"]).catch(() => undefined);
  if (version?.code !== 0) throw new Error("no Go toolchain (`go` is not in PATH)");
  return run(["nice", "go", ...args], {
    ...options,
    env: { GOFLAGS: "-p=1 -buildvcs=false", GOTOOLCHAIN: "local", ...options.env },
    timeoutMs: 1_800_000,
  });
}

/** Runs a program that installs something. @returns its standard output @throws with the end of what it said */
export async function run(
  argv: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string; readonly timeoutMs?: number } = {},
): Promise<string> {
  const result = await runProgram(argv, {
    env: cleanEnvironment(options.env),
    timeoutMs: options.timeoutMs ?? 600_000,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (result.code === 0) return result.stdout;
  const said = `${result.stdout}\n${result.stderr}`.trim().split("\n").slice(-4).join(" | ");
  throw new Error(`${argv.slice(0, 4).join(" ")} ended with ${result.code ?? result.signal}: ${said.slice(-800)}`);
}

export function here(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function once(install: () => Promise<string>): Source {
  let installing: Promise<string> | undefined;
  return { install: () => (installing ??= install()) };
}

/**
 * A folder that holds what was made for `made`, else a new one. It gets its name once it is whole, so that a run that is killed
 * leaves nothing that looks whole, and of two runs at once the later one takes what the earlier one made.
 */
async function kept(name: string, made: string, make: (folder: string) => Promise<string>): Promise<string> {
  const folder = join(CACHE, `${name}-${createHash("sha256").update(made).digest("hex").slice(0, 12)}`);
  const inside = join(folder, ".programs");
  if (!existsSync(inside)) {
    mkdirSync(CACHE, { recursive: true });
    const own = `${folder}.${process.pid}`;
    try {
      rmSync(own, { recursive: true, force: true });
      writeFileSync(join(own, ".programs"), await make(own));
      try {
        renameSync(own, folder);
      } catch (error) {
        if (!existsSync(inside)) throw error;
      }
    } finally {
      rmSync(own, { recursive: true, force: true });
    }
  }
  return join(folder, readFileSync(inside, "utf8"));
}

async function needDebian(programs: readonly string[], packages: readonly string[]): Promise<void> {
  if (programs.every((program) => existsSync(program))) return;
  await installDebian(packages);
  const missing = programs.filter((program) => !existsSync(program));
  if (missing.length > 0) throw new Error(`${missing.join(", ")} is not there, though ${packages.join(" ")} is installed`);
}

async function installDebian(packages: readonly string[]): Promise<void> {
  const names = packages.join(" ");
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get"))
    throw new Error(`to be installed by hand (Debian's ${names}): only root can`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await run(["apt-get", "update", "-qq"], { env });
  await run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...packages], { env });
}
