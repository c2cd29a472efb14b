import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { within } from "../process/support/wait-for.ts";

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A program that runs beside the test until it is stopped; killed with the test at the latest. */
export class Background {
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly ended: Promise<number | null>;

  /** @param logFile  name in `folder` for what it prints */
  constructor(argv: readonly string[], folder: string, env: Readonly<Record<string, string>>, logFile: string) {
    this.#logFile = join(folder, logFile);
    const log = openSync(this.#logFile, "a");
    const child = spawn(argv[0] as string, argv.slice(1), { cwd: folder, env, stdio: ["ignore", log, log] });
    closeSync(log);
    this.#child = child;
    running.add(child);
    this.ended = new Promise((resolve) => {
      child.on("error", () => resolve(null));
      child.on("close", resolve);
    });
    void this.ended.then(() => running.delete(child));
  }

  log(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    this.#child.kill(signal);
    return within(60_000, `${this.#child.spawnfile} ends`, this.ended);
  }
}
