import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, loopbackHost } from "./ports.ts";
import { isAlive } from "./proc.ts";
import { cleanEnvironment, type ProgramResult, runProgram } from "./run-program.ts";
import { S3Client } from "./s3-client.ts";
import { removeScratch, scratchDirectory } from "./scratch.ts";
import { waitFor, within } from "./wait-for.ts";

export const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");
export const HANGAR = join(REPOSITORY, "bin/hangar");
export const BUCKET = "first";

type Toml = string | number | boolean;

export interface DaemonOptions {
  /** Top-level keys of the configuration file, beside or instead of the usual ones; undefined leaves a usual one out. */
  readonly settings?: Readonly<Record<string, Toml | undefined>>;
  /** What stands before the command, such as strace and its options. It must `exec` the rest (`strace -D` does as much). */
  readonly wrap?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where the daemon keeps things, when not in its scratch directory. */
  readonly metadataDir?: string;
  readonly dataDir?: string;
  /** Program instead of `bin/hangar` of this clone. */
  readonly program?: string;
  readonly startWithinMs?: number;
}

const running = new Set<Daemon>();
process.on("exit", () => {
  for (const daemon of running) daemon.killNow();
});

/** A real daemon with directories, addresses and a configuration file of its own, and the means to kill it. */
export class Daemon {
  readonly home: string;
  readonly metadataDir: string;
  readonly dataDir: string;
  readonly configFile: string;
  readonly host: string;
  readonly s3Port: number;
  readonly adminPort: number;
  readonly rpcPort: number;
  readonly adminToken = randomBytes(16).toString("hex");
  readonly keyId = `GK${randomBytes(12).toString("hex")}`;
  readonly secret = randomBytes(32).toString("hex");
  readonly s3: S3Client;
  readonly #options: DaemonOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }> | undefined;
  #starts = 0;

  /** Directories and configuration; nothing runs yet. */
  static async prepare(options: DaemonOptions = {}): Promise<Daemon> {
    const host = loopbackHost();
    return new Daemon(options, host, [await freePort(host), await freePort(host), await freePort(host)]);
  }

  /** Prepares and starts one. */
  static async run(options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = await Daemon.prepare(options);
    try {
      await daemon.start();
    } catch (error) {
      await daemon.dispose();
      throw error;
    }
    return daemon;
  }

  private constructor(options: DaemonOptions, host: string, [s3Port, adminPort, rpcPort]: [number, number, number]) {
    this.#options = options;
    this.home = scratchDirectory();
    this.metadataDir = options.metadataDir ?? join(this.home, "meta");
    this.dataDir = options.dataDir ?? join(this.home, "data");
    this.configFile = join(this.home, "hangar.toml");
    this.host = host;
    this.s3Port = s3Port;
    this.adminPort = adminPort;
    this.rpcPort = rpcPort;
    this.s3 = new S3Client(host, s3Port, { keyId: this.keyId, secret: this.secret, region: "garage" });
    this.configure();
  }

  /** Writes the configuration file anew. */
  configure(settings: Readonly<Record<string, Toml | undefined>> = {}): void {
    const top: Record<string, Toml | undefined> = {
      metadata_dir: this.metadataDir,
      data_dir: this.dataDir,
      replication_factor: 1,
      rpc_bind_addr: `${this.host}:${this.rpcPort}`,
      rpc_secret: randomSecretOf(this.home),
      ...this.#options.settings,
      ...settings,
    };
    const lines = (entries: Record<string, Toml | undefined>): string =>
      Object.entries(entries)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`)
        .join("");
    const s3 = lines({ api_bind_addr: `${this.host}:${this.s3Port}`, s3_region: "garage" });
    const admin = lines({ api_bind_addr: `${this.host}:${this.adminPort}`, admin_token: this.adminToken });
    writeFileSync(this.configFile, `${lines(top)}\n[s3_api]\n${s3}\n[admin]\n${admin}`, { mode: 0o600 });
  }

  get endpoint(): string {
    return `http://${this.host}:${this.s3Port}`;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error("the daemon does not run");
    return pid;
  }

  get alive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Everything the daemon has printed, over all its starts. */
  log(): string {
    let text = "";
    for (let start = 1; start <= this.#starts; start++)
      text += `--- start ${start}\n${readFileSync(this.#logFile(start), "utf8")}`;
    return text;
  }

  /** What the daemon has printed since its last start. */
  lastLog(): string {
    return this.#starts === 0 ? "" : readFileSync(this.#logFile(this.#starts), "utf8");
  }

  #logFile(start: number): string {
    return join(this.home, `log.${start}`);
  }

  /** Starts it and waits until the S3 and admin ports answer. @throws with the log when it ends instead. */
  async start(): Promise<void> {
    this.spawn();
    this.s3.reset();
    try {
      await waitFor(
        "the daemon answers",
        async () => {
          if (!this.alive) return "ended";
          return (await this.#health()) === 200 && "ready";
        },
        { withinMs: this.#options.startWithinMs ?? 120_000, everyMs: 30 },
      ).then((state) => {
        if (state === "ended") throw new Error(`the daemon ended (code ${this.#child?.exitCode}) instead of starting`);
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.lastLog()}`);
    }
  }

  /** Starts it without waiting. */
  spawn(flags: readonly string[] = ["--single-node", "--default-bucket"]): void {
    if (this.alive) throw new Error("the daemon runs already");
    mkdirSync(this.home, { recursive: true });
    const argv = [...(this.#options.wrap ?? []), ...[this.#options.program ?? HANGAR, "-c", this.configFile, "server", ...flags]];
    this.#starts++;
    const log = openSync(this.#logFile(this.#starts), "a");
    const child = spawn(argv[0] as string, argv.slice(1), {
      stdio: ["ignore", log, log],
      cwd: this.home,
      env: this.environment({
        GARAGE_DEFAULT_ACCESS_KEY: this.keyId,
        GARAGE_DEFAULT_SECRET_KEY: this.secret,
        GARAGE_DEFAULT_BUCKET: BUCKET,
        ...this.#options.env,
      }),
    });
    closeSync(log);
    this.#child = child;
    running.add(this);
    this.#exited = new Promise((resolve) => {
      child.on("exit", (code, signal) => {
        running.delete(this);
        resolve({ code, signal });
      });
      child.on("error", () => {
        running.delete(this);
        resolve({ code: null, signal: null });
      });
    });
  }

  environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return cleanEnvironment({ HOME: this.home, NODE_COMPILE_CACHE: COMPILE_CACHE, ...more });
  }

  /** How it ended; waits for that. */
  async exit(withinMs = 90_000): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    if (!this.#exited) throw new Error("the daemon was never started");
    return within(withinMs, "the daemon ends", this.#exited);
  }

  /** Sends a signal to its process. */
  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }

  /** SIGKILL, and waits until the process is gone. */
  async kill(): Promise<void> {
    if (this.alive) this.signal("SIGKILL");
    await this.exit();
    this.s3.reset();
  }

  /** SIGTERM. @returns its exit code. */
  async stop(withinMs = 90_000): Promise<number | null> {
    this.s3.reset();
    if (this.alive) this.signal("SIGTERM");
    return (await this.exit(withinMs)).code;
  }

  killNow(): void {
    const pid = this.#child?.pid;
    if (this.alive && pid !== undefined && isAlive(pid)) process.kill(pid, "SIGKILL");
  }

  /** Kills it and removes its directories. For `after`. */
  async dispose(): Promise<void> {
    if (this.#child) await this.kill();
    this.s3.reset();
    removeScratch(this.home);
  }

  /** Runs a verb of the command-line tool against this daemon. */
  cli(...args: string[]): Promise<ProgramResult> {
    return runProgram([this.#options.program ?? HANGAR, "-c", this.configFile, ...args], {
      env: this.environment(),
      cwd: this.home,
    });
  }

  /** An admin operation by `json-api`. @throws when it fails. */
  async admin(name: string, input?: unknown): Promise<unknown> {
    const result = await this.cli("json-api", name, ...(input === undefined ? [] : [JSON.stringify(input)]));
    if (result.code !== 0) throw new Error(`json-api ${name}: ${result.stderr}`);
    return JSON.parse(result.stdout);
  }

  /** What `repair audit` finds. Read while background work goes on, a finding may be gone a moment later. */
  async audit(): Promise<{ readonly broken: readonly string[]; readonly unfinished: readonly string[] }> {
    const { success } = (await this.admin("AuditNode")) as {
      success: Record<string, { broken: string[]; unfinished: string[] }>;
    };
    return Object.values(success)[0] as { broken: string[]; unfinished: string[] };
  }

  /** Waits until references, blocks and files agree and nothing is under way. */
  settled(withinMs = 60_000): Promise<true> {
    return this.#audited("references, blocks and files agree", withinMs, ({ broken, unfinished }) => [...broken, ...unfinished]);
  }

  /** Nothing is broken, though work may be under way. */
  sound(): Promise<true> {
    return this.#audited("nothing is broken", 5_000, ({ broken }) => broken);
  }

  #audited(
    what: string,
    withinMs: number,
    pick: (found: { broken: readonly string[]; unfinished: readonly string[] }) => readonly string[],
  ): Promise<true> {
    return waitFor(
      what,
      async () => {
        const left = pick(await this.audit());
        if (left.length === 0) return true;
        throw new Error(`${left.length} findings: ${left.slice(0, 5).join("; ")}`);
      },
      { withinMs, everyMs: 400 },
    );
  }

  #health(): Promise<number> {
    return new Promise((resolve, reject) => {
      const probe = request({ host: this.host, port: this.adminPort, path: "/health", agent: false, timeout: 2000 }, (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      });
      probe.on("timeout", () => probe.destroy(new Error("timeout")));
      probe.on("error", reject);
      probe.end();
    });
  }
}

/** Compiled code shared by all daemons of the tests: without it each would compile everything anew. */
const COMPILE_CACHE = join(REPOSITORY, "node_modules/.cache/hangar-test");

function randomSecretOf(home: string): string {
  const file = join(home, "rpc-secret");
  if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString("hex"), { mode: 0o600 });
  return readFileSync(file, "utf8");
}
