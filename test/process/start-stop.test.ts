// How the daemon stops, and what it says when it can't start: one sentence, exit code 1.
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { content } from "./support/content.ts";
import { BUCKET, Daemon, HANGAR } from "./support/daemon.ts";
import { type ProgramResult, runProgram } from "./support/run-program.ts";
import { type S3Error, target } from "./support/s3-client.ts";
import { removeScratch, scratchDirectory } from "./support/scratch.ts";
import { waitFor, within } from "./support/wait-for.ts";

const NOBODY = 65534;

// No deadline for a whole file or group: how long many starts take says nothing on a machine with other work. Each wait has its
// own.
describe("stopping", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    test(`${signal} while requests are under way`, async () => {
      const daemon = await Daemon.run();
      try {
        const { s3 } = daemon;
        const big = content(1, 6 * 2 ** 20);
        await s3.put(BUCKET, "big", big);
        await s3.put(BUCKET, "small", content(2, 300));
        // Half of each upload is there when the signal comes, and a download has begun.
        const uploads = Array.from({ length: 8 }, (_, at) => {
          const body = content(100 + at, at % 2 === 0 ? 3000 : 2 * 2 ** 20);
          const open = s3.open("PUT", target(BUCKET, `upload-${at}`), { "content-length": String(body.byteLength) });
          open.request.write(body.subarray(0, body.byteLength / 2));
          return { ...open, body, key: `upload-${at}` };
        });
        const download = s3.open("GET", target(BUCKET, "big"));
        download.request.end();
        const reading = await download.answered;
        // An answer to a later request tells that the halves have arrived as well.
        await s3.head(BUCKET, "small");
        daemon.signal(signal);
        await waitFor("no new connection is taken", () => refused(daemon));
        for (const { request, body } of uploads) request.end(body.subarray(body.byteLength / 2));
        for (const { answered, key } of uploads) {
          const answer = await within(60_000, key, answered);
          answer.resume();
          assert.equal(answer.statusCode, 200, key);
        }
        const pieces: Buffer[] = [];
        for await (const piece of reading) pieces.push(piece as Buffer);
        assert.ok(Buffer.concat(pieces).equals(big), "the download under way is whole");
        assert.deepEqual(await daemon.exit(), { code: 0, signal: null });
        await daemon.start();
        for (const { key, body } of uploads) assert.ok((await s3.get(BUCKET, key))?.body.equals(body), key);
        assert.ok((await s3.get(BUCKET, "big"))?.body.equals(big));
        assert.equal((await s3.list(BUCKET)).length, 10);
      } finally {
        await daemon.dispose();
      }
    });

  for (const signal of ["SIGTERM", "SIGINT"] as const)
    test(`${signal} while it starts ends it at once, also as the first process of a container`, async () => {
      const daemon = await Daemon.prepare();
      try {
        daemon.spawn();
        // The lock is taken early in a start; the node is not ready by then.
        await waitFor("the start has begun", () => existsSync(join(daemon.metadataDir, "daemon.lock")), { everyMs: 1 });
        daemon.signal(signal);
        const { code } = await daemon.exit();
        assert.ok(code === 0 || code === (signal === "SIGTERM" ? 143 : 130), `code ${code}: a handler must have answered`);
        await daemon.start();
        await daemon.s3.put(BUCKET, "works", content(1, 10));
      } finally {
        await daemon.dispose();
      }
    });

  test("a second signal ends a stop that waits for a client", async () => {
    const daemon = await Daemon.run();
    try {
      const stuck = daemon.s3.open("PUT", target(BUCKET, "stuck"), { "content-length": "1000000" });
      stuck.answered.catch(() => {});
      stuck.request.write(content(1, 1000));
      await daemon.s3.put(BUCKET, "other", content(2, 10));
      // Two at once may be one signal on two ways (npm passes on what the terminal sent to both): that is no second wish.
      daemon.signal("SIGTERM");
      daemon.signal("SIGINT");
      await waitFor("the stop has begun", () => daemon.lastLog().includes('"stopping"'));
      await assert.rejects(daemon.exit(300), "the stop goes on");
      await waitFor("another signal ends it", () => {
        if (daemon.alive) daemon.signal("SIGTERM");
        return !daemon.alive;
      });
      assert.deepEqual(await daemon.exit(), { code: 143, signal: null });
      await daemon.start();
      assert.ok(await daemon.s3.get(BUCKET, "other"));
    } finally {
      await daemon.dispose();
    }
  });

  test("a client that never ends its request does not hold the stop up for ever", async () => {
    const daemon = await Daemon.run();
    try {
      const stuck = daemon.s3.open("PUT", target(BUCKET, "stuck"), { "content-length": "1000000" });
      stuck.request.write(content(1, 1000));
      await daemon.s3.put(BUCKET, "other", content(2, 10));
      daemon.signal("SIGTERM");
      assert.deepEqual(await daemon.exit(), { code: 0, signal: null });
      await assert.rejects(
        stuck.answered.then((answer) => {
          assert.ok((answer.statusCode ?? 0) >= 400, `answered ${answer.statusCode} for half a body`);
          throw new Error("refused");
        }),
      );
      await daemon.start();
      assert.equal(await daemon.s3.get(BUCKET, "stuck"), undefined);
    } finally {
      await daemon.dispose();
    }
  });
});

describe("what keeps it from starting is said in one sentence", () => {
  const disposals: (() => Promise<void>)[] = [];
  after(async () => {
    for (const dispose of disposals) await dispose();
  });
  async function prepared(options: Parameters<typeof Daemon.prepare>[0] = {}): Promise<Daemon> {
    const daemon = await Daemon.prepare(options);
    disposals.push(() => daemon.dispose());
    return daemon;
  }
  const server = (daemon: Daemon, env: Record<string, string> = {}, uid?: number): Promise<ProgramResult> =>
    runProgram([HANGAR, "-c", daemon.configFile, "server", "--single-node"], {
      env: daemon.environment(env),
      ...(uid === undefined ? {} : { uid }),
    });

  for (const [port, key] of [
    ["s3Port", "[s3_api] api_bind_addr"],
    ["adminPort", "[admin] api_bind_addr"],
  ] as const)
    test(`a port in use: ${key}`, async () => {
      const daemon = await prepared();
      const other = createServer();
      await new Promise<void>((resolve) => other.listen(daemon[port], daemon.host, resolve));
      try {
        const result = await server(daemon);
        assertSentence(result, /in use/);
        for (const told of [`${key} = "${daemon.host}:${daemon[port]}"`, daemon.configFile])
          assert.ok(result.stderr.includes(told), result.stderr);
      } finally {
        other.close();
      }
    });

  test("a second daemon on the same directories", async () => {
    const daemon = await prepared();
    await daemon.start();
    const twin = await prepared({ metadataDir: daemon.metadataDir, dataDir: daemon.dataDir });
    assertSentence(await server(twin), /running/);
    await daemon.s3.put(BUCKET, "still", content(1, 100));
  });

  test("two daemons started at the same moment on the same directories", async () => {
    for (const born of [false, true]) {
      const daemon = await prepared();
      const twin = await prepared({ metadataDir: daemon.metadataDir, dataDir: daemon.dataDir });
      if (born) {
        await daemon.start();
        await daemon.kill();
      }
      daemon.spawn();
      twin.spawn();
      const loser = await Promise.race([daemon.exit().then(() => daemon), twin.exit().then(() => twin)]);
      assert.equal((await loser.exit()).code, 1);
      assert.match(loser.lastLog(), /^Error: .*running/m, loser.lastLog());
      const winner = loser === daemon ? twin : daemon;
      await waitFor("the other one is ready", () => winner.lastLog().includes("is ready"));
      assert.ok(winner.alive, winner.lastLog());
      await winner.kill();
    }
  });

  for (const which of ["metadata_dir", "data_dir"] as const)
    test(`no right to use ${which}`, async () => {
      const daemon = await prepared();
      const root = process.getuid?.() === 0;
      const locked = which === "metadata_dir" ? daemon.metadataDir : daemon.dataDir;
      const open = which === "metadata_dir" ? daemon.dataDir : daemon.metadataDir;
      mkdirSync(locked, { mode: 0o700 });
      mkdirSync(open, { mode: 0o700 });
      if (root) {
        // Root may read everything: the daemon runs as somebody else, who owns all but the one directory.
        chownSync(daemon.home, NOBODY, NOBODY);
        chownSync(open, NOBODY, NOBODY);
        chownSync(daemon.configFile, NOBODY, NOBODY);
      } else chmodSync(locked, 0o000);
      const env = { NODE_COMPILE_CACHE: join(daemon.home, "cache") };
      const result = await server(daemon, env, root ? NOBODY : undefined);
      if (!root) chmodSync(locked, 0o700);
      assertSentence(result, /denied|access|permission/i);
      assert.match(result.stderr, new RegExp(locked));
    });

  test("metadata_dir below a file", async () => {
    const directory = scratchDirectory();
    disposals.push(async () => removeScratch(directory));
    writeFileSync(join(directory, "file"), "");
    assertSentence(await server(await prepared({ metadataDir: join(directory, "file/meta") })), /file\/meta|not a directory/i);
  });

  test("no configuration file", async () => {
    const result = await runProgram([HANGAR, "-c", "/nonexistent/hangar.toml", "server"]);
    assertSentence(result, /\/nonexistent\/hangar\.toml/);
  });

  test("all faults of a configuration file at once, each with key and reason", async () => {
    const daemon = await prepared({
      settings: {
        metadata_dir: undefined,
        db_engine: "sled",
        block_size: "many",
        replication_factor: "one",
        metadata_fsync: "yes",
        rpc_secret: "short",
        compression_level: 99,
        index_shards: 3,
        colour: "blue",
      },
    });
    const result = await server(daemon);
    assert.equal(result.code, 1);
    const wrong = "metadata_dir db_engine block_size replication_factor metadata_fsync rpc_secret compression_level index_shards";
    for (const key of wrong.split(" ")) assert.match(result.stderr, new RegExp(`^ *${key} \\S+ \\S+`, "m"));
    assert.doesNotMatch(result.stderr, /colour.*(required|expects)|^\s+at /m);
    // The CLI says the same.
    const cli = await daemon.cli("status");
    assert.equal(cli.code, 1);
    assert.match(cli.stderr, /db_engine/);
  });

  test("a file that is not TOML", async () => {
    const daemon = await prepared();
    writeFileSync(daemon.configFile, 'metadata_dir = "unclosed\n');
    assertSentence(await server(daemon), /TOML/, 3);
  });

  test("unknown keys are only warned of, and so are variables without effect", async () => {
    const env = { HANGAR_LOG: "loud", GARAGE_LOG_TO_SYSLOG: "true" };
    const daemon = await prepared({ settings: { colour: "blue" }, env });
    await daemon.start();
    assert.match(daemon.log(), /colour/);
    assert.match(daemon.log(), /"warn".*HANGAR_LOG = .*loud/);
    assert.match(daemon.log(), /"warn".*LOG_TO_SYSLOG/);
  });

  test("a secret file that others may read", async () => {
    const daemon = await prepared({ settings: { rpc_secret: undefined } });
    const file = join(daemon.home, "secret");
    writeFileSync(file, "ab".repeat(32), { mode: 0o644 });
    chmodSync(file, 0o644);
    daemon.configure({ rpc_secret_file: file });
    const result = await server(daemon);
    assertSentence(result, /rpc_secret_file.*chmod 600/s, 2);
    // Commands don't care, and neither does the daemon once the file is private or it is allowed.
    assert.match((await daemon.cli("status")).stderr, /is the daemon running/);
    daemon.configure({ rpc_secret_file: file, allow_world_readable_secrets: true });
    await daemon.start();
    await daemon.stop();
    chmodSync(file, 0o600);
    daemon.configure({ rpc_secret_file: file });
    await daemon.start();
  });

  test("a configuration file with secrets that every user may read is warned of, with the command that repairs it", async () => {
    const daemon = await prepared();
    chmodSync(daemon.configFile, 0o644);
    await daemon.start();
    const warning = (): string | undefined =>
      daemon
        .lastLog()
        .split("\n")
        .find((line) => line.includes('"warn"') && line.includes(daemon.configFile));
    assert.match(warning() ?? "", /holds rpc_secret, admin\.admin_token and every user may read it \(mode 644\)/);
    const command = /`(.*)`/.exec((JSON.parse(warning() ?? "{}") as { msg: string }).msg)?.[1] ?? "";
    assert.equal(command, `chmod 600 ${daemon.configFile}`);
    assert.equal((await daemon.cli("status")).stderr, "", "commands say nothing");
    await daemon.stop();
    assert.equal((await runProgram(["sh", "-c", command])).code, 0);
    await daemon.start();
    assert.equal(warning(), undefined);
    await daemon.stop();
    chmodSync(daemon.configFile, 0o644);
    daemon.configure({ allow_world_readable_secrets: true });
    chmodSync(daemon.configFile, 0o644);
    await daemon.start();
    assert.equal(warning(), undefined, "it is allowed");
  });

  test("no rpc_secret", async () => {
    assertSentence(await server(await prepared({ settings: { rpc_secret: undefined } })), /rpc_secret/);
  });

  test("a disk that is not mounted: the marker of data_dir is missing", async () => {
    const daemon = await prepared();
    await daemon.start();
    const body = content(1, 100_000);
    await daemon.s3.put(BUCKET, "kept", body);
    await daemon.stop();
    renameSync(daemon.dataDir, `${daemon.dataDir}.unmounted`);
    mkdirSync(daemon.dataDir);
    assertSentence(await server(daemon), /hangar-marker.*mounted/s);
    rmSync(daemon.dataDir, { recursive: true });
    assertSentence(await server(daemon), /hangar-marker.*mounted/s);
    rmSync(daemon.dataDir, { recursive: true, force: true });
    renameSync(`${daemon.dataDir}.unmounted`, daemon.dataDir);
    const marker = join(daemon.dataDir, "hangar-marker");
    const id = readFileSync(marker);
    writeFileSync(marker, `${"0".repeat(32)}\n`);
    assertSentence(await server(daemon), /another disk is mounted/);
    writeFileSync(marker, id);
    await daemon.start();
    assert.ok((await daemon.s3.get(BUCKET, "kept"))?.body.equals(body));
  });

  test("the data_dir of another node: its blocks are not taken for waste", async () => {
    const daemon = await prepared();
    await daemon.start();
    const body = content(1, 100_000);
    await daemon.s3.put(BUCKET, "kept", body);
    const stranger = await prepared({ dataDir: daemon.dataDir, settings: { block_gc_delay: "100ms" } });
    assertSentence(await server(stranger), /data_dir.*belongs to another node/);
    await daemon.stop();
    assertSentence(await server(stranger), /data_dir.*belongs to another node/);
    await daemon.start();
    assert.ok((await daemon.s3.get(BUCKET, "kept"))?.body.equals(body));
    await daemon.stop();
    const owner = join(daemon.dataDir, "hangar-node");
    const name = readFileSync(owner);
    writeFileSync(owner, "");
    assertSentence(await server(daemon), /hangar-node is damaged.*write its id into it/);
    writeFileSync(owner, name);
    // Without the name on it, the blocks are still not the stranger's.
    renameSync(join(daemon.dataDir, "hangar-node"), join(daemon.home, "name"));
    assertSentence(await server(stranger), /blocks that this store knows nothing of.*metadata_dir is new or empty/);
    // An empty folder may be anybody's.
    rmSync(daemon.dataDir, { recursive: true });
    await stranger.start();
    assert.equal(readFileSync(join(daemon.dataDir, "hangar-node"), "utf8").length, 65);
  });

  test("lost metadata, or another engine's, does not make waste of the blocks", async () => {
    const daemon = await prepared({ settings: { block_gc_delay: "100ms" } });
    await daemon.start();
    const body = content(1, 100_000);
    await daemon.s3.put(BUCKET, "kept", body);
    await daemon.stop();
    daemon.configure({ db_engine: "sqlite" });
    assertSentence(await server(daemon), /db_engine = "sqlite".*made with lmdb/);
    daemon.configure();
    const database = join(daemon.metadataDir, "db.lmdb");
    renameSync(database, `${database}.away`);
    assertSentence(await server(daemon), /blocks that this store knows nothing of.*metadata_dir is new or empty/);
    // A second look changes nothing: the refused start has not bootstrapped a store.
    assertSentence(await server(daemon), /metadata_dir is new or empty/);
    rmSync(database, { recursive: true });
    renameSync(`${database}.away`, database);
    await daemon.start();
    assert.ok((await daemon.s3.get(BUCKET, "kept"))?.body.equals(body));
  });

  test("Garage's folders", async () => {
    const daemon = await prepared();
    mkdirSync(daemon.metadataDir);
    writeFileSync(join(daemon.metadataDir, "cluster_layout"), "");
    assertSentence(await server(daemon), /is Garage's/);
    rmSync(join(daemon.metadataDir, "cluster_layout"));
    const block = join(daemon.dataDir, "ab/cd", "ab".repeat(32));
    mkdirSync(join(block, ".."), { recursive: true });
    writeFileSync(block, "bytes");
    assertSentence(await server(daemon), /blocks that this store knows nothing of/);
    assert.equal(readFileSync(block, "utf8"), "bytes");
    // Nor may they be added to a store that lives.
    const other = await prepared();
    await other.start();
    await other.stop();
    const file = readFileSync(other.configFile, "utf8");
    const list = `data_dir = [{ path = "${other.dataDir}", capacity = 1 }, { path = "${daemon.dataDir}", capacity = 1 }]`;
    writeFileSync(other.configFile, file.replace(/^data_dir = .*$/m, list));
    assertSentence(await server(other), /put there by something else/);
    assert.equal(readFileSync(block, "utf8"), "bytes");
  });

  test("a metadata_dir whose path is too long for a socket in it", async () => {
    const directory = scratchDirectory();
    disposals.push(async () => removeScratch(directory));
    const daemon = await prepared({ metadataDir: join(directory, "long".repeat(25), "longer".repeat(10)) });
    for (let time = 0; time < 2; time++) {
      await daemon.start();
      const status = await daemon.cli("status");
      assert.match(status.stdout, /HEALTHY NODES/, status.stderr);
      await daemon.kill();
    }
    await daemon.start();
    assert.equal(await daemon.stop(), 0);
  });

  test("without a layout it takes no data, and says what to do", async () => {
    const daemon = await prepared();
    daemon.spawn([]);
    await waitFor("it is ready", () => daemon.lastLog().includes("is ready"));
    assert.match(daemon.lastLog(), /"warn".*no role yet.*layout assign/);
    const cli = async (...args: string[]): Promise<void> => assert.equal((await daemon.cli(...args)).code, 0, args.join(" "));
    await cli("key", "import", daemon.keyId, daemon.secret, "--yes");
    await cli("bucket", "create", BUCKET);
    await cli("bucket", "allow", BUCKET, "--key", daemon.keyId, "--read", "--write");
    await assert.rejects(
      daemon.s3.put(BUCKET, "early", content(1, 10)),
      (error: S3Error) => error.status === 503 && /layout apply --version 1/.test(error.message),
    );
    await cli("layout", "assign", (await daemon.cli("node", "id", "-q")).stdout.trim(), "-z", "here", "-c", "1G");
    await cli("layout", "apply", "--version", "1");
    await daemon.s3.put(BUCKET, "now", content(1, 10));
    assert.equal(await daemon.stop(), 0);
  });

  for (const engine of ["lmdb", "sqlite"])
    test(`what it writes is private, whatever the folder allows: ${engine}`, async () => {
      const daemon = await prepared({ settings: { db_engine: engine } });
      for (const folder of [daemon.metadataDir, daemon.dataDir]) mkdirSync(folder, { mode: 0o755 });
      await daemon.start();
      await daemon.s3.put(BUCKET, "large", content(1, 100_000));
      await daemon.stop();
      for (const folder of [daemon.metadataDir, daemon.dataDir])
        for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
          const path = join(entry.parentPath, entry.name);
          if (entry.name !== "node_key.pub") assert.equal(statSync(path).mode & 0o077, 0, path);
        }
    });

  test("a data_dir that is left out, and another number of partitions, are told of", async () => {
    const daemon = await prepared();
    await daemon.start();
    const body = content(1, 100_000);
    await daemon.s3.put(BUCKET, "kept", body);
    await daemon.stop();
    daemon.configure({ data_dir: join(daemon.home, "mistyped"), partitions: 64 });
    await daemon.start();
    assert.match(daemon.lastLog(), /"error".*not in data_dir any more/);
    assert.ok(daemon.lastLog().includes(JSON.stringify(daemon.dataDir)));
    assert.match(daemon.lastLog(), /"warn".*partitions = 64 has no effect: this store was made with 256/);
    await daemon.stop();
    daemon.configure();
    await daemon.start();
    assert.ok((await daemon.s3.get(BUCKET, "kept"))?.body.equals(body));
  });

  test("an address that is none of this machine's, a host that nobody knows", async () => {
    const daemon = await prepared();
    const file = readFileSync(daemon.configFile, "utf8");
    const bound = `api_bind_addr = "${daemon.host}:${daemon.s3Port}"`;
    writeFileSync(daemon.configFile, file.replace(bound, 'api_bind_addr = "203.0.113.7:3900"'));
    assertSentence(await server(daemon), /203\.0\.113\.7:3900.*none of this machine's/);
    writeFileSync(daemon.configFile, file.replace(bound, 'api_bind_addr = "no.such.host.invalid:3900"'));
    assertSentence(await server(daemon), /no\.such\.host\.invalid:3900.*can't be resolved/);
  });

  test("another replication_factor than this release has", async () => {
    assertSentence(await server(await prepared({ settings: { replication_factor: 3 } })), /replication_factor/);
  });

  test("--default-bucket without its environment", async () => {
    const daemon = await prepared();
    const result = await runProgram([HANGAR, "-c", daemon.configFile, "server", "--single-node", "--default-bucket"]);
    assertSentence(result, /DEFAULT_ACCESS_KEY/);
  });

  test("a default key that no `key import` would take", async () => {
    const daemon = await prepared();
    const result = await runProgram([HANGAR, "-c", daemon.configFile, "server", "--single-node", "--default-access-key"], {
      env: daemon.environment({ HANGAR_DEFAULT_ACCESS_KEY: "GK1", HANGAR_DEFAULT_SECRET_KEY: "abc" }),
    });
    assertSentence(result, /default access key.*8 to 128 characters/);
  });

  test("a default key that exists with another secret", async () => {
    const daemon = await prepared();
    await daemon.start();
    await daemon.stop();
    const result = await runProgram([HANGAR, "-c", daemon.configFile, "server", "--single-node", "--default-access-key"], {
      env: daemon.environment({
        HANGAR_DEFAULT_ACCESS_KEY: daemon.keyId,
        HANGAR_DEFAULT_SECRET_KEY: "another-secret-of-some-length",
      }),
    });
    assertSentence(result, /secret/);
  });
});

/** Exit code 1, and on stderr "Error: …" in `lines` lines at most, without a stack; beside it only log lines. */
function assertSentence(result: ProgramResult, pattern: RegExp, lines = 1): void {
  const all = `code ${result.code} ${result.signal ?? ""}\nstderr: ${result.stderr}\nstdout: ${result.stdout}`;
  assert.equal(result.code, 1, all);
  assert.match(result.stderr, /^Error: /m, all);
  assert.match(result.stderr, pattern, all);
  assert.doesNotMatch(result.stderr, /^\s+at /m, all);
  const said = result.stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
  assert.ok(said.length <= lines, `more than ${lines} lines: ${all}`);
}

async function refused(daemon: Daemon): Promise<boolean> {
  const probe = daemon.s3.open("HEAD", target(BUCKET, "small"), {}, { agent: false });
  probe.request.end();
  try {
    (await probe.answered).resume();
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  }
}
