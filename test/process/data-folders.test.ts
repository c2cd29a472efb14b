// Mistakes of operators and disks that go: copies put back, folders used twice, disks that vanish, lost markers. What was
// acknowledged is never lost by the daemon's own doing.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { blockNames, content } from "./support/content.ts";
import { BUCKET, Daemon, HANGAR } from "./support/daemon.ts";
import { blockFile, quarantined } from "./support/files.ts";
import { runProgram } from "./support/run-program.ts";
import { type S3Error, target } from "./support/s3-client.ts";
import { SmallDisk } from "./support/small-disk.ts";
import { waitFor } from "./support/wait-for.ts";

const SIZE = 100_000;
/** Everything that nobody needs goes within seconds. */
const HASTY = { block_gc_delay: "100ms", command_window: "1s" };

async function status(daemon: Daemon): Promise<string> {
  const { stdout, stderr, code } = await daemon.cli("status");
  assert.equal(code, 0, stderr);
  return stdout;
}

async function ask(daemon: Daemon, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const probe = request({ host: daemon.host, port: daemon.adminPort, path, agent: false, timeout: 5000 }, (answer) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        body += piece;
      });
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
    });
    probe.on("error", reject).end();
  });
}

async function holdsBytes(daemon: Daemon, key: string, number: number): Promise<void> {
  assert.ok((await daemon.s3.get(BUCKET, key))?.body.equals(content(number, SIZE)), key);
}

/** Walks of the orphan walk, and rounds of the janitor, that have ended. */
async function walks(daemon: Daemon): Promise<number> {
  const answer = (await daemon.admin("ListWorkers", {})) as { success: Record<string, { name: string; freeform: string[] }[]> };
  const walk = Object.values(answer.success)[0]?.find(({ name }) => name === "Orphan block walk");
  return Number(/ in (\d+) walks/.exec(walk?.freeform[0] ?? "")?.[1] ?? 0);
}

async function afterWalks(daemon: Daemon, count = 2): Promise<void> {
  const before = await walks(daemon);
  await waitFor("the walk comes round", async () => (await walks(daemon)) >= before + count);
}

describe("copies that were put back", { timeout: 900_000 }, () => {
  for (const [engine, end] of [
    ["lmdb", "stop"],
    ["sqlite", "kill"],
  ] as const)
    test(`metadata older than the blocks, ${engine}, ${end}: nothing is removed, it says so, and newer metadata finds every block`, async () => {
      const daemon = await Daemon.prepare({ settings: { ...HASTY, db_engine: engine } });
      const older = `${daemon.metadataDir}.older`;
      const newer = `${daemon.metadataDir}.newer`;
      try {
        await daemon.start();
        await daemon.s3.put(BUCKET, "old", content(1, SIZE));
        await daemon.stop();
        cpSync(daemon.metadataDir, older, { recursive: true });
        await daemon.start();
        assert.doesNotMatch(await status(daemon), /PROBLEMS/);
        await daemon.s3.put(BUCKET, "new", content(2, SIZE));
        await daemon.s3.put(BUCKET, "gone", content(3, SIZE));
        if (end === "stop") await daemon.stop();
        else await daemon.kill();
        renameSync(daemon.metadataDir, newer);
        renameSync(older, daemon.metadataDir);
        const [block] = blockNames(content(2, SIZE));
        const untouched = statSync(blockFile(daemon.dataDir, block as string) as string).ino;
        // Serves what it knows, and takes more; says what is wrong; collects nothing, over several starts.
        for (let start = 0; start < 2; start++) {
          await daemon.start();
          assert.match(daemon.lastLog(), /"error".*older than the blocks.*accept-restored-copy/);
          assert.match(await status(daemon), /PROBLEMS[\s\S]*older than the blocks/);
          assert.match((await ask(daemon, "/metrics")).body, /^block_collection_held 1$/m);
          assert.equal((await ask(daemon, "/health")).status, 200);
          await holdsBytes(daemon, "old", 1);
          await daemon.s3.put(BUCKET, `later-${start}`, content(10 + start, SIZE));
          await daemon.s3.delete(BUCKET, `later-${start}`);
          await new Promise((resolve) => setTimeout(resolve, 1500));
          assert.equal(statSync(blockFile(daemon.dataDir, block as string) as string).ino, untouched);
          assert.deepEqual(quarantined(daemon.dataDir), []);
          if (start === 0) await daemon.kill();
        }
        // Accepted: what no row knows goes into the quarantine, and is not lost there either.
        assert.equal((await daemon.cli("repair", "accept-restored-copy")).code, 0);
        assert.equal((await daemon.cli("repair", "accept-restored-copy")).code, 1, "nothing is left to accept");
        assert.doesNotMatch(await status(daemon), /PROBLEMS/);
        await waitFor("unknown blocks are in quarantine", () => quarantined(daemon.dataDir).length >= 2);
        assert.equal(blockFile(daemon.dataDir, block as string), undefined);
        await daemon.settled();
        await holdsBytes(daemon, "old", 1);
        await daemon.stop();
        // The newer metadata turns up again: every object is whole.
        rmSync(daemon.metadataDir, { recursive: true });
        renameSync(newer, daemon.metadataDir);
        await daemon.start();
        for (const [key, number] of [
          ["old", 1],
          ["new", 2],
          ["gone", 3],
        ] as const)
          await holdsBytes(daemon, key, number);
        assert.ok(blockFile(daemon.dataDir, block as string));
        assert.match(await status(daemon), /PROBLEMS[\s\S]*older than the blocks/, "blocks were written since");
        await daemon.cli("repair", "accept-restored-copy");
        await daemon.settled();
        assert.equal(await daemon.stop(), 0);
      } finally {
        await daemon.dispose();
      }
    });

  test("a data folder older than the metadata: missing blocks are said to be missing", async () => {
    const daemon = await Daemon.prepare({ settings: HASTY });
    const older = `${daemon.dataDir}.older`;
    try {
      await daemon.start();
      await daemon.s3.put(BUCKET, "old", content(1, SIZE));
      await daemon.stop();
      cpSync(daemon.dataDir, older, { recursive: true });
      await daemon.start();
      await daemon.s3.put(BUCKET, "new", content(2, SIZE));
      await daemon.stop();
      renameSync(daemon.dataDir, `${daemon.dataDir}.newer`);
      renameSync(older, daemon.dataDir);
      await daemon.start();
      assert.match(
        daemon.lastLog(),
        /"error".*is older \(generation \d+\) than the metadata|"error".*is older than the metadata/,
      );
      assert.match(await status(daemon), /PROBLEMS[\s\S]*older than the metadata/);
      await holdsBytes(daemon, "old", 1);
      await assert.rejects(daemon.s3.get(BUCKET, "new"), (error: S3Error) => error.status === 500);
      await daemon.stop();
      // The newer folder back: all is there.
      rmSync(daemon.dataDir, { recursive: true });
      renameSync(`${daemon.dataDir}.newer`, daemon.dataDir);
      await daemon.start();
      await holdsBytes(daemon, "new", 2);
      await daemon.cli("repair", "accept-restored-copy");
      assert.doesNotMatch(await status(daemon), /PROBLEMS/);
    } finally {
      await daemon.dispose();
    }
  });

  test("kills, also while it starts, never look like a copy", async () => {
    const daemon = await Daemon.prepare({ settings: HASTY });
    try {
      await daemon.start();
      for (let round = 0; round < 6; round++) {
        await daemon.s3.put(BUCKET, `key-${round}`, content(round, SIZE));
        await daemon.kill();
        for (let start = 0; start < 2; start++) {
          daemon.spawn();
          await waitFor("the start has begun", () => !daemon.alive || daemon.lastLog().length > 0 || start === 0, { everyMs: 5 });
          await new Promise((resolve) => setTimeout(resolve, 60 * round + 200 * start));
          await daemon.kill();
          assert.doesNotMatch(daemon.lastLog(), /older/);
        }
        await daemon.start();
        assert.doesNotMatch(daemon.lastLog(), /older/);
        assert.doesNotMatch(await status(daemon), /PROBLEMS/);
      }
    } finally {
      await daemon.dispose();
    }
  });
});

describe("a data folder in use", { timeout: 900_000 }, () => {
  for (const how of ["the same path", "a symbolic link"] as const)
    test(`is not opened by a daemon with a copied metadata_dir, by ${how}`, async () => {
      const daemon = await Daemon.prepare({ settings: HASTY });
      const copy = `${daemon.metadataDir}.copy`;
      const link = `${daemon.dataDir}.link`;
      let twin: Daemon | undefined;
      try {
        await daemon.start();
        await daemon.s3.put(BUCKET, "kept", content(1, SIZE));
        await daemon.stop();
        cpSync(daemon.metadataDir, copy, { recursive: true });
        symlinkSync(daemon.dataDir, link);
        twin = await Daemon.prepare({
          settings: HASTY,
          metadataDir: copy,
          dataDir: how === "a symbolic link" ? link : daemon.dataDir,
        });
        await daemon.start();
        // The copy knows the folder by its path; a link is a folder that it never had.
        const result = await runProgram([HANGAR, "-c", twin.configFile, "server"], { env: twin.environment() });
        assert.equal(result.code, 1, result.stderr);
        assert.match(result.stderr, /^Error: data_dir: another daemon is running on .*\n$/m);
        await daemon.s3.put(BUCKET, "more", content(2, SIZE));
        await afterWalks(daemon);
        await holdsBytes(daemon, "kept", 1);
        // Gone with the process, however it ended.
        await daemon.kill();
        await daemon.start();
        await holdsBytes(daemon, "more", 2);
      } finally {
        await twin?.dispose();
        await daemon.dispose();
      }
    });

  test("is locked anew when its lock was removed", async () => {
    const daemon = await Daemon.run({ settings: HASTY });
    const copy = `${daemon.metadataDir}.copy`;
    let twin: Daemon | undefined;
    try {
      await daemon.stop();
      cpSync(daemon.metadataDir, copy, { recursive: true });
      await daemon.start();
      rmSync(join(daemon.dataDir, "hangar-lock"));
      await waitFor("there is a lock again", () => existsSync(join(daemon.dataDir, "hangar-lock")));
      twin = await Daemon.prepare({ settings: HASTY, metadataDir: copy, dataDir: daemon.dataDir });
      const result = await runProgram([HANGAR, "-c", twin.configFile, "server"], { env: twin.environment() });
      assert.equal(result.code, 1, result.stderr);
      assert.match(result.stderr, /^Error: data_dir: another daemon is running on .*\n$/m);
      await daemon.s3.put(BUCKET, "kept", content(1, SIZE));
      assert.equal((await ask(daemon, "/health")).status, 200);
    } finally {
      await twin?.dispose();
      await daemon.dispose();
    }
  });

  test("named twice, by two paths", async () => {
    const daemon = await Daemon.prepare();
    try {
      await daemon.start();
      await daemon.stop();
      const link = `${daemon.dataDir}.link`;
      symlinkSync(daemon.dataDir, link);
      const file = readFileSync(daemon.configFile, "utf8");
      const list = `data_dir = [{ path = "${daemon.dataDir}", capacity = 1 }, { path = "${link}", capacity = 1 }]`;
      writeFileSync(daemon.configFile, file.replace(/^data_dir = .*$/m, list));
      const result = await runProgram([HANGAR, "-c", daemon.configFile, "server"], { env: daemon.environment() });
      assert.match(result.stderr, /^Error: data_dir: .* are the same disk/m);
    } finally {
      await daemon.dispose();
    }
  });
});

describe("a data disk that vanishes while the daemon runs", { timeout: 900_000 }, () => {
  test("acknowledges nothing for an empty folder of the same file system, where no device tells (a bind mount, a move)", async () => {
    const daemon = await Daemon.run({ settings: HASTY });
    const away = `${daemon.dataDir}.away`;
    try {
      const kept = new Map<string, number>();
      const put = async (number: number): Promise<number> => {
        const { status } = await daemon.s3.send("PUT", target(BUCKET, `key-${number}`), { body: content(number, SIZE) });
        if (status === 200) kept.set(`key-${number}`, number);
        return status;
      };
      for (let number = 1; number <= 3; number++) assert.equal(await put(number), 200);
      renameSync(daemon.dataDir, away);
      mkdirSync(daemon.dataDir);
      // At once, and for longer than the daemon takes to look for itself.
      for (let number = 100; number < 120; number++) assert.equal(await put(number), 503);
      await waitFor("/health says it", async () => (await ask(daemon, "/health")).status === 503);
      assert.deepEqual(readdirSync(daemon.dataDir), []);
      rmSync(daemon.dataDir, { recursive: true });
      renameSync(away, daemon.dataDir);
      await waitFor("it goes on by itself", async () => (await ask(daemon, "/health")).status === 200);
      assert.equal(await put(200), 200);
      for (const [key, number] of kept) await holdsBytes(daemon, key, number);
      await daemon.settled();
    } finally {
      await daemon.dispose();
    }
  });

  test("acknowledges nothing that is not on it, says so, and goes on when it is back", async (t) => {
    const disk = await SmallDisk.mount(64);
    if (typeof disk === "string") return t.skip(disk);
    const daemon = await Daemon.prepare({ settings: HASTY });
    // The disk is mounted a second time, below the daemon; there it can be taken away and brought back.
    const mountPoint = daemon.dataDir;
    mkdirSync(mountPoint);
    const mount = async (): Promise<void> => {
      const { code, stderr } = await runProgram(["mount", "--bind", disk.path, mountPoint]);
      assert.equal(code, 0, stderr);
    };
    const unmount = async (): Promise<void> => {
      const { code, stderr } = await runProgram(["umount", "-l", mountPoint]);
      assert.equal(code, 0, stderr);
    };
    let isMounted = false;
    try {
      await mount();
      isMounted = true;
      await daemon.start();
      const kept = new Map<string, number>();
      for (let number = 1; number <= 5; number++) {
        await daemon.s3.put(BUCKET, `before-${number}`, content(number, SIZE));
        kept.set(`before-${number}`, number);
      }
      // Writers go on while the disk goes.
      let next = 100;
      let refusals = 0;
      const writers = Array.from({ length: 4 }, async () => {
        for (let at = 0; at < 60; at++) {
          const number = next++;
          const answer = await daemon.s3.send("PUT", target(BUCKET, `during-${number}`), { body: content(number, SIZE) });
          if (answer.status === 200) kept.set(`during-${number}`, number);
          else {
            assert.equal(answer.status, 503, answer.body.toString());
            refusals++;
          }
        }
      });
      await waitFor("some are written", () => kept.size >= 10, { everyMs: 5 });
      await unmount();
      isMounted = false;
      await Promise.all(writers);
      assert.ok(refusals > 0, "the disk went while they wrote");
      // A block of another folder pair, and one that is known: both are refused, and reads too.
      for (const number of [1, 7777]) {
        const answer = await daemon.s3.send("PUT", target(BUCKET, "refused"), { body: content(number, SIZE) });
        assert.equal(answer.status, 503, answer.body.toString());
        assert.match(answer.body.toString(), /<Code>ServiceUnavailable</);
      }
      await assert.rejects(daemon.s3.get(BUCKET, "before-1"), (error: S3Error) => error.status === 503);
      await daemon.s3.put(BUCKET, "inline", content(1, 100));
      await waitFor("/health says it", async () => (await ask(daemon, "/health")).status === 503);
      assert.match(await status(daemon), /PROBLEMS[\s\S]*not mounted/);
      assert.match((await daemon.cli("health")).stdout, /unavailable/);
      const { body } = await ask(daemon, "/metrics");
      assert.match(body, /^data_directory_available\{path=".*"\} 0$/m);
      assert.match(body, /^cluster_healthy 0$/m);
      assert.match(daemon.lastLog(), /"error".*not mounted/);
      // Deletions go on; their blocks' files are on the disk, and are not forgotten.
      await daemon.s3.delete(BUCKET, "before-5");
      kept.delete("before-5");
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assert.deepEqual(
        (await runProgram(["find", mountPoint, "-type", "f"])).stdout,
        "",
        "nothing was written below the mount point",
      );
      await mount();
      isMounted = true;
      await waitFor("it goes on by itself", async () => (await ask(daemon, "/health")).status === 200);
      await daemon.s3.put(BUCKET, "after", content(9999, SIZE));
      kept.set("after", 9999);
      for (const [key, number] of kept) await holdsBytes(daemon, key, number);
      assert.doesNotMatch(await status(daemon), /PROBLEMS/);
      await daemon.settled();
      await daemon.stop();
      await daemon.start();
      assert.doesNotMatch(await status(daemon), /PROBLEMS/);
      for (const [key, number] of kept) await holdsBytes(daemon, key, number);
    } finally {
      await daemon.dispose().catch(() => {});
      if (isMounted) await unmount();
      await disk.unmount();
    }
  });
});

describe("markers that were lost", { timeout: 900_000 }, () => {
  test("both: the folder is known by its blocks; one: by the other; all files: nothing is removed", async () => {
    const daemon = await Daemon.prepare({ settings: HASTY });
    const lose = (...names: string[]): void => {
      for (const name of names) rmSync(join(daemon.dataDir, name));
    };
    try {
      await daemon.start();
      for (let number = 0; number < 8; number++) await daemon.s3.put(BUCKET, `key-${number}`, content(number, SIZE));
      const check = async (): Promise<void> => {
        await daemon.start();
        for (let number = 0; number < 8; number++) await holdsBytes(daemon, `key-${number}`, number);
        await daemon.stop();
      };
      await daemon.stop();
      const id = readFileSync(join(daemon.dataDir, "hangar-marker"), "utf8");
      lose("hangar-marker", "hangar-node");
      await check();
      assert.match(daemon.lastLog(), /"warn".*lost its files/);
      assert.equal(readFileSync(join(daemon.dataDir, "hangar-marker"), "utf8"), id);
      lose("hangar-marker");
      await check();
      assert.equal(readFileSync(join(daemon.dataDir, "hangar-marker"), "utf8"), id);
      lose("hangar-node");
      await check();
      lose("hangar-marker", "hangar-node", "hangar-generation", "hangar-lock");
      await daemon.start();
      assert.match(await status(daemon), /PROBLEMS[\s\S]*hangar-generation is lost/);
      await daemon.cli("repair", "accept-restored-copy");
      await afterWalks(daemon);
      assert.deepEqual(quarantined(daemon.dataDir), []);
      await daemon.stop();
      await check();
    } finally {
      await daemon.dispose();
    }
  });

  test("a folder with some of the store's blocks, such as a mount point that was written to, is not taken for it", async () => {
    const daemon = await Daemon.prepare({ settings: HASTY });
    try {
      await daemon.start();
      for (let number = 0; number < 12; number++) await daemon.s3.put(BUCKET, `key-${number}`, content(number, SIZE));
      await daemon.stop();
      const [first] = blockNames(content(0, SIZE));
      const file = blockFile(daemon.dataDir, first as string) as string;
      renameSync(daemon.dataDir, `${daemon.dataDir}.disk`);
      mkdirSync(dirname(file), { recursive: true });
      cpSync(file.replace(daemon.dataDir, `${daemon.dataDir}.disk`), file);
      const server = (): ReturnType<typeof runProgram> =>
        runProgram([HANGAR, "-c", daemon.configFile, "server"], { env: daemon.environment() });
      const { code, stderr } = await server();
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^Error: data_dir: .*rows know 1 of 1 of its blocks, and 1 of 12 .*disk mounted.*hangar-node: [0-9a-f]{64}\n$/m,
      );
      rmSync(daemon.dataDir, { recursive: true });
      renameSync(`${daemon.dataDir}.disk`, daemon.dataDir);
      await daemon.start();
      // What the sentence says works: the node's id makes it this store's.
      await daemon.stop();
      for (const name of ["hangar-marker", "hangar-node"]) rmSync(join(daemon.dataDir, name));
      for (let number = 0; number < 12; number += 2) {
        const [hash] = blockNames(content(number, SIZE));
        rmSync(blockFile(daemon.dataDir, hash as string) as string);
      }
      const refused = await server();
      assert.equal(refused.code, 1);
      const id = /hangar-node: ([0-9a-f]{64})\n$/.exec(refused.stderr)?.[1] as string;
      writeFileSync(join(daemon.dataDir, "hangar-node"), `${id}\n`);
      await daemon.start();
      await holdsBytes(daemon, "key-1", 1);
    } finally {
      await daemon.dispose();
    }
  });
});

describe("the quarantine", { timeout: 900_000 }, () => {
  /** A block that no row knows of, as an upload leaves it that died before its reference was added. */
  function orphan(daemon: Daemon, number: number): string {
    const bytes = content(number, SIZE);
    const [hash] = blockNames(bytes) as [string];
    const file = join(daemon.dataDir, hash.slice(0, 2), hash.slice(2, 4), hash);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
    return hash;
  }

  test("takes what no row knows, lists it, gives it back by hand and when it is asked for, and counts as free room", async () => {
    const daemon = await Daemon.prepare({ settings: HASTY });
    try {
      await daemon.start();
      await daemon.s3.put(BUCKET, "kept", content(1, SIZE));
      const orphans = [orphan(daemon, 50), orphan(daemon, 51)];
      await waitFor("they are in quarantine", () => quarantined(daemon.dataDir).length === 2);
      await waitFor("the log says so", () => /"warn".*moved into the quarantine/.test(daemon.lastLog()));
      for (const hash of orphans) assert.equal(blockFile(daemon.dataDir, hash), undefined);
      const shown = await daemon.cli("block", "quarantine", "list");
      assert.match(shown.stdout, /^2 files, 200(\.0)? kB; kept for 7 d/, shown.stdout);
      for (const hash of orphans) assert.match(shown.stdout, new RegExp(`${hash} .*\\d+ s .*good`));
      assert.match((await ask(daemon, "/metrics")).body, /^block_quarantine_bytes 200000$/m);
      // After a restart they are known again, and an upload of the same bytes takes the file there is.
      await daemon.kill();
      await daemon.start();
      await waitFor("counted", async () => /^2 files/.test((await daemon.cli("block", "quarantine", "list")).stdout));
      await daemon.s3.put(BUCKET, "again", content(50, SIZE));
      assert.equal(quarantined(daemon.dataDir).length, 1);
      await holdsBytes(daemon, "again", 50);
      // By hand; the walk takes it again, since no row knows it still.
      const restored = await daemon.cli("block", "quarantine", "restore", orphans[1] as string);
      assert.equal(restored.stdout, "1 blocks were put back.\n");
      await waitFor("it returns", () => quarantined(daemon.dataDir).length === 1);
      assert.equal((await daemon.cli("block", "quarantine", "restore", "--all")).stdout, "1 blocks were put back.\n");
      // A block that is needed and lies in quarantine is no missing one.
      await daemon.stop();
      const [hash] = blockNames(content(1, SIZE)) as [string];
      const day = join(daemon.dataDir, "quarantine", new Date().toISOString().slice(0, 10));
      mkdirSync(day, { recursive: true });
      renameSync(blockFile(daemon.dataDir, hash) as string, join(day, hash));
      await daemon.start();
      await holdsBytes(daemon, "kept", 1);
      assert.ok(blockFile(daemon.dataDir, hash));
      // A rotten one is never served.
      await daemon.stop();
      const rotten = content(1, SIZE);
      rotten[5_000]! ^= 1;
      rmSync(blockFile(daemon.dataDir, hash) as string);
      writeFileSync(join(day, hash), rotten);
      await daemon.start();
      await assert.rejects(daemon.s3.get(BUCKET, "kept"), (error: S3Error) => error.status === 500);
    } finally {
      await daemon.dispose();
    }
  });

  test("lets files go when their time is over (block_quarantine_keep)", async () => {
    const daemon = await Daemon.prepare({ settings: { ...HASTY, block_quarantine_keep: "1h" } });
    try {
      await daemon.start();
      await daemon.s3.put(BUCKET, "kept", content(1, SIZE));
      orphan(daemon, 50);
      const [file] = await waitFor(
        "it is in quarantine",
        () => quarantined(daemon.dataDir).length === 1 && quarantined(daemon.dataDir),
      );
      await daemon.stop();
      const old = Date.now() / 1000 - 7200;
      utimesSync(file as string, old, old);
      const days = dirname(dirname(file as string));
      renameSync(dirname(file as string), join(days, new Date(old * 1000).toISOString().slice(0, 10)));
      await daemon.start();
      await waitFor("it has gone", () => quarantined(daemon.dataDir).length === 0);
      await holdsBytes(daemon, "kept", 1);
    } finally {
      await daemon.dispose();
    }
  });

  test("gives way on a full disk, the oldest first", async (t) => {
    const disk = await SmallDisk.mount(48);
    if (typeof disk === "string") return t.skip(disk);
    const daemon = await Daemon.prepare({ settings: HASTY, dataDir: `${disk.path}/data` });
    try {
      await daemon.start();
      await daemon.s3.put(BUCKET, "kept", content(1, SIZE));
      const available = (): Promise<number> =>
        daemon.admin("GetClusterStatistics").then((answer) => (answer as { dataAvail: number }).dataAvail);
      const before = await available();
      await daemon.stop();
      const day = join(daemon.dataDir, "quarantine/2026-01-02");
      mkdirSync(day, { recursive: true });
      const now = Date.now() / 1000;
      for (let at = 0; at < 30; at++) {
        const name = join(day, randomBytes(32).toString("hex"));
        writeFileSync(name, Buffer.alloc(1_000_000, at));
        utimesSync(name, now - at, now - at);
      }
      const byAge = quarantined(daemon.dataDir).sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs);
      await daemon.start();
      await waitFor("it counts as free room", async () => Math.abs((await available()) - before) < 1_000_000);
      disk.fill(500_000);
      for (let number = 10; number < 15; number++) {
        const answer = await daemon.s3.send("PUT", target(BUCKET, `key-${number}`), { body: content(number, 2_000_000) });
        assert.equal(answer.status, 200, answer.body.toString());
      }
      const left = quarantined(daemon.dataDir);
      assert.ok(left.length > 0 && left.length < 30, `${left.length} are left`);
      assert.deepEqual([...left].sort(), byAge.slice(30 - left.length).sort(), "the oldest went");
      for (let number = 10; number < 15; number++)
        assert.ok((await daemon.s3.get(BUCKET, `key-${number}`))?.body.equals(content(number, 2_000_000)));
    } finally {
      await daemon.dispose();
      await disk.unmount();
    }
  });
});
