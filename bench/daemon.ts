// A real daemon for measuring: `bin/hangar server` of some source tree, on free ports, over a fresh store.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { SigningIdentity } from "../test/support/sign.ts";

export const BUCKET = "bench";
/** After a start the daemon gets this long to come to rest before its idle memory is read. */
const IDLE_MS = 2000;

export interface DaemonOptions {
  /** The source tree whose bin/hangar runs. */
  readonly tree: string;
  /** Folder of the run, for stores and the compile cache. */
  readonly work: string;
  /** Folder for V8's CPU profiles; written when the daemon stops. */
  readonly profiles?: string | undefined;
}

export class Daemon {
  readonly endpoint: string;
  readonly identity: SigningIdentity;
  readonly #child: ChildProcess;
  /** Resident memory after the second start, before the first request, bytes. */
  idleRss = 0;

  private constructor(child: ChildProcess, endpoint: string, identity: SigningIdentity) {
    this.#child = child;
    this.endpoint = endpoint;
    this.identity = identity;
  }

  /** Starts twice, so that store and compile cache are as on every start but the first. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const folder = mkdtempSync(join(options.work, "store-"));
    const [s3, rpc] = await freePorts();
    const identity: SigningIdentity = { keyId: `GK${"b".repeat(24)}`, secret: "5".repeat(64), region: "garage" };
    const config = join(folder, "hangar.toml");
    writeFileSync(
      config,
      `metadata_dir = "${folder}/meta"
data_dir = "${folder}/data"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:${rpc}"
rpc_secret = "${"ab".repeat(32)}"
[s3_api]
api_bind_addr = "127.0.0.1:${s3}"
s3_region = "garage"
`,
    );
    let daemon = await Daemon.#spawn({ ...options, profiles: undefined }, config, `127.0.0.1:${s3}`, identity);
    await daemon.stop();
    daemon = await Daemon.#spawn(options, config, `127.0.0.1:${s3}`, identity);
    await sleep(IDLE_MS);
    daemon.idleRss = daemon.memory("VmRSS");
    return daemon;
  }

  static async #spawn(
    { tree, work, profiles }: DaemonOptions,
    config: string,
    endpoint: string,
    identity: SigningIdentity,
  ): Promise<Daemon> {
    const child = spawn(join(tree, "bin/hangar"), ["-c", config, "server", "--single-node", "--default-bucket"], {
      stdio: ["ignore", "ignore", "inherit"],
      env: {
        ...process.env,
        HANGAR_DEFAULT_ACCESS_KEY: identity.keyId,
        HANGAR_DEFAULT_SECRET_KEY: identity.secret,
        HANGAR_DEFAULT_BUCKET: BUCKET,
        NODE_COMPILE_CACHE: join(work, "compile-cache"),
        HANGAR_LOG: "warn",
        ...(profiles === undefined ? undefined : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profiles}` }),
      },
    });
    const kill = (): void => void child.kill("SIGKILL");
    process.prependOnceListener("exit", kill); // Before its folder is removed.
    child.once("exit", () => process.removeListener("exit", kill));
    const daemon = new Daemon(child, endpoint, identity);
    await daemon.#untilReady();
    return daemon;
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + 20_000;
    for (;;) {
      if (this.#child.exitCode !== null) throw new Error(`the daemon ended with code ${this.#child.exitCode}`);
      try {
        await (await fetch(`http://${this.endpoint}/`)).arrayBuffer();
        return;
      } catch {
        if (performance.now() > deadline) throw new Error("the daemon did not start within 20 s");
        await sleep(50);
      }
    }
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((done) => this.#child.once("exit", done));
    this.#child.kill("SIGTERM");
    await gone;
  }

  /** A field of /proc/PID/status that is given in kB, as bytes. */
  memory(field: "VmRSS" | "VmHWM" | "RssAnon"): number {
    const text = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1];
    if (kilobytes === undefined) throw new Error(`/proc/PID/status has no ${field}`);
    return 1024 * Number(kilobytes);
  }

  /** CPU time of all threads so far, user and system, in microseconds (the kernel counts in ticks of 10 ms). */
  cpuMicros(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  }
}

async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    ports.push((server.address() as { port: number }).port);
  }
  for (const server of servers) await new Promise((done) => server.close(done));
  return ports as [number, number];
}
