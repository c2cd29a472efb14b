// The engines that live on disk, as processes: killed, stopped by fatal, out of room.
// HANGAR_KV_KILLS sets how often each is killed (20), HANGAR_SEED repeats a run's choice of moments.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { suite, test, type TestContext } from "node:test";
import { seededRandom } from "../../sim/engine/random.ts";
import type { Kv } from "../../src/platform/kv.ts";
import { freshDirectory, openEngine } from "./kv-engines.ts";

const CHILD = join(import.meta.dirname, "kv-child.ts");
const KILLS = Number(process.env["HANGAR_KV_KILLS"] ?? 20);

suite("kv processes", { concurrency: 2 }, () => {
  for (const engine of ["lmdb", "sqlite"] as const) {
    test(`kill -9 of ${engine}, ${KILLS} times: everything acknowledged is there, transactions are whole`, async (t) => {
      const directory = freshDirectory(t);
      const seed = Number(process.env["HANGAR_SEED"] ?? Date.now() % 1e6);
      t.diagnostic(`HANGAR_SEED=${seed}`);
      const random = seededRandom(seed);
      const acknowledged = new Map<number, number>();
      for (let kill = 0; kill < KILLS; kill++) {
        const child = run(t, [engine, directory, "write"]);
        const lines = createInterface({ input: child.stdout! });
        let left = 1 + Math.floor(random() * 400);
        lines.on("line", (line) => {
          const { writer, at } = JSON.parse(line) as { writer: number; at: number };
          acknowledged.set(writer, at);
          left -= 1;
          if (left === 0) setTimeout(() => child.kill("SIGKILL"), random() * 8);
        });
        // What was said before the kill is read to the end: it counts.
        const [complaint] = await Promise.all([text(child.stderr!), once(child, "exit"), once(lines, "close")]);
        assert.equal(child.signalCode, "SIGKILL", complaint);
        const kv = await openEngine(engine, directory);
        for (let writer = 0; writer < 8; writer++) await checkWriter(kv, writer, acknowledged.get(writer) ?? 0);
        await kv.close();
      }
    });

    test(`${engine}: a throw after a write stops the process; nothing of the batch is on disk`, async (t) => {
      const directory = freshDirectory(t);
      const child = run(t, [engine, directory, "fatal"]);
      const [said] = await Promise.all([text(child.stdout!), once(child, "exit")]);
      assert.equal(child.signalCode, "SIGABRT");
      assert.equal(said, '{"committed":true}\n');
      const kv = await openEngine(engine, directory);
      const rows: string[] = [];
      await kv.read((tx) =>
        tx.scan("rows", { start: Buffer.alloc(0), end: Buffer.from([0xff]) }, (row) => {
          rows.push(row.key.toString("latin1", row.keyStart, row.keyEnd));
          return undefined;
        }),
      );
      assert.deepEqual(rows, ["good"]);
      await kv.close();
    });

    test(`${engine}: a failing write keeps nothing of its batch; when it works again the store goes on`, async (t) => {
      const directory = freshDirectory(t);
      // Files end at 2 MiB: the write that crosses it is cut short.
      const child = spawn(
        "/bin/sh",
        ["-c", 'ulimit -S -f 4096; exec "$@"', "sh", process.execPath, CHILD, engine, directory, "full"],
        {
          stdio: ["ignore", "pipe", "ignore"],
        },
      );
      t.after(() => child.kill("SIGKILL"));
      const [said] = await Promise.all([text(child.stdout!), once(child, "exit")]);
      const { code, stored, again, kept, after } = JSON.parse(said) as Record<string, unknown>;
      assert.ok(code === "kv.io" || code === "kv.full", String(code));
      assert.ok(again === "kv.io" || again === "kv.full", String(again));
      assert.ok((stored as number) > 20, `${stored} rows fitted`);
      assert.deepEqual([kept, after], [stored, (stored as number) + 1]);
    });

    test(`${engine}: a full disk is told as such`, async (t) => {
      const disk = join(freshDirectory(t), "disk");
      mkdirSync(disk);
      if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m", "hangar-test", disk]).status !== 0)
        return t.skip("needs the right to mount a tmpfs");
      let said: string;
      try {
        const child = run(t, [engine, disk, "full", disk]);
        [said] = await Promise.all([text(child.stdout!), once(child, "exit")]);
      } finally {
        spawnSync("umount", [disk]);
      }
      const { code, stored, again, kept, after } = JSON.parse(said) as Record<string, unknown>;
      assert.deepEqual([code, again, kept, after], ["kv.full", "kv.full", stored, (stored as number) + 1]);
    });
  }
});

async function checkWriter(kv: Kv, writer: number, acknowledged: number): Promise<void> {
  await kv.read((tx) => {
    const last = Number(tx.get("rows", Buffer.from(`last ${writer}`))?.toString() ?? 0);
    assert.ok(last >= acknowledged, `writer ${writer}: ${acknowledged} was acknowledged, ${last} is there`);
    for (let at = Math.max(1, last - 50); at <= last + 1; at++) {
      const name = Buffer.from(`row ${writer} ${at}`);
      const there = at > last - 40 && at <= last;
      assert.equal(tx.get("rows", name)?.toString(), there ? String(at) : undefined);
      const body = tx.get("bodies", name);
      assert.equal(body?.length, there ? 1 + ((at * 977) % 20_000) : undefined);
      if (body !== undefined) assert.ok(body.every((byte) => byte === (at & 0xff)));
    }
  });
}

function run(t: TestContext, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

async function text(stream: Readable): Promise<string> {
  let all = "";
  for await (const piece of stream) all += String(piece);
  return all;
}
