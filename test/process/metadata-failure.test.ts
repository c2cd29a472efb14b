// The metadata's disk fails under a running daemon: it stops at once with the exit code that docs/configuration.md names,
// acknowledges nothing that it can't vouch for, and the next start has everything that was acknowledged. strace makes the system
// calls fail.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { EXIT_STORE_FAILED } from "../../src/platform/node/fatal.ts";
import { content } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { target } from "./support/s3-client.ts";
import { within } from "./support/wait-for.ts";

const REASON = spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0 ? undefined : "needs strace and the right to trace";

describe("a failing metadata disk", { timeout: 180_000, ...(REASON === undefined ? {} : { skip: REASON }) }, () => {
  for (const engine of ["lmdb", "sqlite"])
    for (const call of ["fdatasync", "pwrite64"])
      test(`${engine}, ${call} answers EIO once`, async () => {
        const daemon = await Daemon.run({ settings: { db_engine: engine } });
        let saboteur: ChildProcess | undefined;
        try {
          for (let at = 0; at < 5; at++) await daemon.s3.put(BUCKET, `before-${at}`, content(at, 1000));
          saboteur = await sabotage(daemon.pid, `${call}:error=EIO:when=2`);
          const acknowledged = new Map<string, number>();
          const writers = Array.from({ length: 8 }, async (_, writer) => {
            for (let at = 0; daemon.alive && at < 500; at++) {
              const number = 1000 * (writer + 1) + at;
              const answer = await daemon.s3
                .send("PUT", target(BUCKET, `${writer}-${at}`), { body: content(number, 1000) })
                .catch(() => undefined);
              if (answer === undefined) return;
              assert.equal(answer.status, 200, "what fails is not answered: the process ends");
              acknowledged.set(`${writer}-${at}`, number);
            }
          });
          const { code, signal } = await daemon.exit();
          await Promise.all(writers);
          assert.deepEqual([code, signal], [EXIT_STORE_FAILED, null], daemon.lastLog());
          const said = daemon.lastLog().match(/the metadata store failed: what was being written/g);
          assert.equal(said?.length, 1, daemon.lastLog());
          await daemon.start();
          for (let at = 0; at < 5; at++)
            assert.ok((await daemon.s3.get(BUCKET, `before-${at}`))?.body.equals(content(at, 1000)), `before-${at}`);
          for (const [key, number] of acknowledged)
            assert.ok((await daemon.s3.get(BUCKET, key))?.body.equals(content(number, 1000)), `${key} was acknowledged`);
          await daemon.sound();
          assert.equal(await daemon.stop(), 0);
        } finally {
          saboteur?.kill("SIGKILL");
          await daemon.dispose();
        }
      });
});

/** Attaches to a running process; the rule counts per thread. */
async function sabotage(pid: number, rule: string): Promise<ChildProcess> {
  const call = rule.slice(0, rule.indexOf(":"));
  const args = ["-f", "-p", String(pid), "-o", "/dev/null", "-e", `trace=${call}`, "-e", `inject=${rule}`];
  const strace = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  const attached = (async () => {
    for await (const piece of strace.stderr) {
      said += String(piece);
      if (/attached/.test(said)) return;
    }
    throw new Error(`strace did not attach: ${said}`);
  })();
  await within(30_000, "strace attaches", Promise.race([attached, once(strace, "exit").then(() => attached)]));
  return strace;
}
