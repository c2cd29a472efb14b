import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const made = new Set<string>();
process.on("exit", () => {
  for (const path of made) rmSync(path, { recursive: true, force: true });
});

// The test runner ends a file that takes too long by SIGTERM: daemons and directories must go then too.
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => process.exit(1));

/** A fresh directory under the system's temporary one; gone at the end of the process at the latest. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "hangar-process-"));
  made.add(path);
  return path;
}

export function removeScratch(path: string): void {
  if (process.env["HANGAR_KEEP"] === "1") {
    made.delete(path);
    console.log(`kept: ${path}`);
    return;
  }
  rmSync(path, { recursive: true, force: true });
  made.delete(path);
}
