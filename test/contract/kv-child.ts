// A process that writes to a kv, for the tests that kill it, delay its fsyncs or fill its disk:
//   kv-child.ts ENGINE DIRECTORY write | watch | checkpoint | fatal | full [TMPFS] | fail | fail-stop | COMMITS
import { execFileSync } from "node:child_process";
import { writeSync } from "node:fs";
import process from "node:process";
import type { Kv } from "../../src/platform/kv.ts";
import { nodeFailStop, nodeFatal } from "../../src/platform/node/fatal.ts";
import { createLog } from "../../src/platform/node/log.ts";
import { openEngine } from "./kv-engines.ts";
import { driveIntoFailure } from "./kv-failure.ts";

const [, , engine, directory = "", mode, remount] = process.argv;
const log = createLog({ level: mode === "fatal" ? "error" : "silent", format: "text" });
let failures = 0;
const kv = await openEngine(engine === "sqlite" ? "sqlite" : "lmdb", directory, {
  log,
  fatal: nodeFatal(log),
  failed: mode === "fail-stop" ? nodeFailStop(log) : () => void failures++,
});
const key = (text: string): Buffer => Buffer.from(text);

switch (mode) {
  case "write":
    await Promise.all(Array.from({ length: 8 }, (_, writer) => writeForever(kv, writer)));
    break;
  case "watch":
    await watch(kv);
    break;
  case "checkpoint":
    // Far more pages than sqlite's log may have, so that the next commit copies them into the database first.
    await kv.transact((tx) => {
      for (let at = 0; at < 3000; at++) tx.put("rows", key(`row ${at}`), Buffer.alloc(1000, at));
    });
    for (let at = 0; at < 3; at++) await kv.transact((tx) => tx.put("rows", key(`later ${at}`), key("value")));
    say({ committed: true });
    process.kill(process.pid, "SIGKILL"); // no close: it may flush
    break;
  case "fatal":
    await kv.transact((tx) => tx.put("rows", key("good"), key("1")));
    say({ committed: true });
    await Promise.allSettled([
      kv.transact((tx) => tx.put("rows", key("same batch"), key("1"))),
      kv.transact((tx) => {
        tx.put("rows", key("half"), key("1"));
        throw new Error("after a write");
      }),
    ]);
    say({ survived: true });
    break;
  case "fail":
  case "fail-stop":
    say({ ...(await driveIntoFailure(kv, (at) => say({ at }))), failures });
    process.kill(process.pid, "SIGKILL");
    break;
  case "full":
    await fillDisk(kv);
    break;
  default: {
    const commits = Number(mode);
    for (let at = 0; at < commits; at++) await kv.transact((tx) => tx.put("rows", key(`row ${at}`), key("value")));
    say(kv.stats());
    process.kill(process.pid, "SIGKILL"); // no close: it may flush
  }
}

/** Straight to the pipe: what is said has left the process, whatever happens to it next. */
function say(line: object): void {
  for (;;) {
    try {
      writeSync(1, JSON.stringify(line) + "\n");
      return;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "EAGAIN") throw error; // the pipe is full: the reader is slow
    }
  }
}

/** Two rows a transaction; a row that grows by one; old rows go. Each acknowledgement is said. */
async function writeForever(store: Kv, writer: number): Promise<never> {
  const last = await store.read((tx) => Number(tx.get("rows", key(`last ${writer}`))?.toString() ?? 0));
  for (let at = last + 1; ; at++) {
    await store.transact((tx) => {
      tx.put("rows", key(`last ${writer}`), key(String(at)));
      tx.put("rows", key(`row ${writer} ${at}`), key(String(at)));
      tx.put("bodies", key(`row ${writer} ${at}`), Buffer.alloc(1 + ((at * 977) % 20_000), at));
      tx.remove("rows", key(`row ${writer} ${at - 40}`));
      tx.remove("bodies", key(`row ${writer} ${at - 40}`));
    });
    say({ writer, at });
  }
}

/** Says when a write was made, when a read showed it, and when its promise settled. */
async function watch(store: Kv): Promise<void> {
  for (const tree of ["rows", "bodies"] as const) {
    let ranMs = 0;
    let settledMs = 0;
    let seenMs = 0;
    const write = store
      .transact((tx) => {
        tx.put(tree, key("watched"), key("new"));
        ranMs = performance.now();
      })
      .then(() => {
        settledMs = performance.now();
      });
    let reads = 0;
    while (seenMs === 0) {
      const seen = await store.read((tx) => {
        let scanned = false;
        tx.scan(tree, { start: key("w"), end: key("x") }, () => {
          scanned = true;
          return undefined;
        });
        return scanned || tx.get(tree, key("watched")) !== undefined;
      });
      if (seen) seenMs = performance.now();
      else reads += 1;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await write;
    say({ tree, reads, settledAfterMs: settledMs - ranMs, seenAfterMs: seenMs - ranMs });
  }
  process.kill(process.pid, "SIGKILL");
}

/** Runs into the limit on file sizes that the shell has set, or into the end of a tmpfs; has it lifted; goes on. */
async function fillDisk(store: Kv): Promise<void> {
  let stored = 0;
  let refusal: unknown;
  while (refusal === undefined && stored < 5000) {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, at) =>
        store.transact((tx) => tx.put("bodies", key(`row ${stored + at}`), Buffer.alloc(10_000, 1))),
      ),
    );
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    if (refused.length > 0) refusal = refused[0]!.reason;
    stored += outcomes.length - refused.length;
    if (refused.length > 0 && refused.length < outcomes.length) say({ torn: true });
  }
  const count = async (): Promise<number> => {
    let rows = 0;
    await store.read((tx) => tx.scan("bodies", { start: key("r"), end: key("s") }, () => void (rows += 1)));
    return rows;
  };
  // More than any file may hold: sqlite may have emptied its log since, and there would be room for less.
  const again = await store
    .transact((tx) => {
      for (let at = 0; at < 20; at++) tx.put("bodies", key(`row again ${at}`), Buffer.alloc(200_000));
    })
    .then(
      () => "stored",
      (error: { code?: string }) => error.code,
    );
  const kept = await count();
  if (remount === undefined) execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=unlimited"]);
  else execFileSync("mount", ["-o", "remount,size=64m", remount]);
  await store.transact((tx) => tx.put("bodies", key("row later"), Buffer.alloc(200_000)));
  say({ code: (refusal as { code?: string } | undefined)?.code, stored, again, kept, after: await count() });
  await store.close();
}
