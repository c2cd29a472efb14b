import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, appendFileSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Kit } from "./client.ts";
import { debian, run, type Source } from "./sources.ts";

const VERSIONS = "/usr/lib/postgresql";
const COMMON = "/etc/postgresql-common/createcluster.conf";

/** PostgreSQL's server from Debian, without the database that Debian would make and start for it. */
export const postgresql: Source = {
  async install() {
    if (!existsSync(VERSIONS)) {
      await debian(["/usr/bin/pg_createcluster"], ["postgresql-common"]).install();
      if (!/^create_main_cluster *= *false/m.test(readFileSync(COMMON, "utf8")))
        appendFileSync(COMMON, "\ncreate_main_cluster = false\n");
    }
    return debian([VERSIONS], ["postgresql"]).install();
  },
};

/** Process ids by data folder: servers outlive the program that started them, but never the test. */
const running = new Map<string, number>();
process.on("exit", () => {
  for (const pid of running.values()) {
    try {
      process.kill(pid, "SIGQUIT");
    } catch {
      // It has ended by itself.
    }
  }
});

/**
 * A database server in a folder of its own, reached by a Unix socket only. It refuses to run as root: then it runs as `postgres`.
 */
export class Postgres {
  readonly #kit: Kit;
  readonly #programs: string;
  readonly uid: number | undefined;
  /** Of the socket. */
  readonly folder: string;

  private constructor(kit: Kit, programs: string, uid: number | undefined, folder: string) {
    this.#kit = kit;
    this.#programs = programs;
    this.uid = uid;
    this.folder = folder;
  }

  static async prepare(kit: Kit): Promise<Postgres> {
    const version = readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a))[0] as string;
    const root = process.getuid?.() === 0;
    const uid = root ? Number((await run(["id", "-u", "postgres"])).trim()) : undefined;
    const folder = join(kit.folder, "postgres");
    const server = new Postgres(kit, join(VERSIONS, version, "bin"), uid, folder);
    server.ownFolder(folder);
    if (root) for (const above of [kit.folder, dirname(kit.folder)]) chmodSync(above, 0o711);
    return server;
  }

  /** Makes a folder that the server's user may write. */
  ownFolder(path: string): void {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (this.uid !== undefined) chownSync(path, this.uid, this.uid);
  }

  /** Runs a program as the server's user. */
  must(
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly stdout: string; readonly stderr: string }> {
    return this.#kit.must(argv, {
      cwd: this.folder,
      env: { HOME: this.folder, ...env },
      timeoutMs: 180_000,
      ...(this.uid === undefined ? {} : { uid: this.uid }),
    });
  }

  async init(data: string, settings: Readonly<Record<string, string>>): Promise<void> {
    await this.must([join(this.#programs, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]);
    this.configure(data, settings);
  }

  configure(data: string, settings: Readonly<Record<string, string>>): void {
    const all = { listen_addresses: "", unix_socket_directories: this.folder, fsync: "off", ...settings };
    const lines = Object.entries(all).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
    appendFileSync(join(data, "postgresql.conf"), lines.join(""));
  }

  async start(data: string): Promise<void> {
    await this.must([join(this.#programs, "pg_ctl"), "-D", data, "-w", "-t", "120", "-l", join(this.folder, "log"), "start"]);
    running.set(data, Number(readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[0]));
  }

  async stop(data: string): Promise<void> {
    await this.must([join(this.#programs, "pg_ctl"), "-D", data, "-w", "-t", "120", "-m", "fast", "stop"]);
    running.delete(data);
  }

  /** Stops what may still run; for a step that failed halfway. */
  async stopIfRunning(data: string): Promise<void> {
    if (existsSync(join(data, "postmaster.pid"))) await this.stop(data).catch(() => undefined);
  }

  /** @returns the rows, one a line, columns separated by `|` */
  async sql(text: string): Promise<string> {
    const psql = [join(this.#programs, "psql"), "-X", "-A", "-t", "-h", this.folder, "-U", "postgres", "-d", "postgres"];
    return (await this.must([...psql, "-v", "ON_ERROR_STOP=1", "-c", text])).stdout.trim();
  }
}
