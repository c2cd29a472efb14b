import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "./run-program.ts";
import { removeScratch, scratchDirectory } from "./scratch.ts";

/** A file system of its own that can be filled up and emptied again. */
export class SmallDisk {
  readonly path: string;
  readonly #home: string;
  #fillers = 0;

  /** @returns why there is none (no right to mount), or the disk. */
  static async mount(megabytes: number): Promise<SmallDisk | string> {
    if (process.platform !== "linux") return "needs Linux";
    if (process.getuid?.() !== 0) return "needs root, to mount a small file system";
    const home = scratchDirectory();
    const path = join(home, "disk");
    mkdirSync(path);
    const mounted = await runProgram(["mount", "-t", "tmpfs", "-o", `size=${megabytes}m,mode=755`, "tmpfs", path]);
    if (mounted.code === 0) return new SmallDisk(home, path);
    removeScratch(home);
    return `cannot mount a small file system: ${mounted.stderr.trim()}`;
  }

  private constructor(home: string, path: string) {
    this.#home = home;
    this.path = path;
  }

  /** Takes all the space but this. */
  fill(leaveBytes = 0): void {
    const { bavail, bsize } = statfsSync(this.path);
    const bytes = bavail * bsize - leaveBytes;
    if (bytes > 0) writeFileSync(join(this.path, `filler-${++this.#fillers}`), Buffer.alloc(bytes, 1));
  }

  empty(): void {
    for (; this.#fillers > 0; this.#fillers--) rmSync(join(this.path, `filler-${this.#fillers}`), { force: true });
  }

  async unmount(): Promise<void> {
    const result = await runProgram(["umount", "-l", this.path]);
    if (result.code !== 0) throw new Error(result.stderr);
    removeScratch(this.#home);
  }
}
