// `npm start` twice: the first makes key and bucket and prints what to paste, the second finds everything as it was. Ctrl-C stops
// it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { content } from "./support/content.ts";
import { HANGAR, REPOSITORY } from "./support/daemon.ts";
import { freePort, loopbackHost } from "./support/ports.ts";
import { cleanEnvironment, runProgram } from "./support/run-program.ts";
import { S3Client } from "./support/s3-client.ts";
import { removeScratch, scratchDirectory } from "./support/scratch.ts";
import { waitFor, within } from "./support/wait-for.ts";

const home = scratchDirectory();
const folder = join(home, "hangar-data");
let child: ChildProcess | undefined;
after(() => {
  endGroup("SIGKILL");
  removeScratch(home);
});

test("npm start, Ctrl-C, npm start, kill -9, bin/hangar quickstart, Ctrl-C", async () => {
  const host = loopbackHost();
  const bind = `${host}:${await freePort(host)}`;

  const first = await start(["npm", "start", "--"], bind);
  assert.ok(first.text.includes(folder), "the folder is named");
  for (const command of ["aws --endpoint-url", "rclone ", "s3cmd --host"]) assert.ok(first.text.includes(command), first.text);
  assert.equal(statSync(folder).mode & 0o077, 0, "the folder is private");
  const [address, port] = bind.split(":") as [string, string];
  const client = new S3Client(address, Number(port), { keyId: first.keyId, secret: first.secret, region: "garage" });
  await client.put("my-bucket", "a", content(1, 50_000));
  await client.put("my-bucket", "b", content(2, 50));

  // Ctrl-C reaches every process of the terminal's foreground group.
  client.reset();
  endGroup("SIGINT");
  await within(60_000, "Ctrl-C ends npm", first.ended);
  await waitFor("the port is closed", () => portFree(address, Number(port)));

  const second = await start(["npm", "start", "--"], bind);
  assert.deepEqual([second.keyId, second.secret], [first.keyId, first.secret]);
  assert.ok((await client.get("my-bucket", "a"))?.body.equals(content(1, 50_000)));
  assert.deepEqual(
    (await client.list("my-bucket")).map((one) => one.key),
    ["a", "b"],
  );
  client.reset();
  endGroup("SIGKILL");
  await second.ended;
  await waitFor("the port is closed", () => portFree(address, Number(port)));

  // Without npm in between, the exit code is the daemon's own.
  const third = await start([HANGAR, "quickstart"], bind);
  assert.equal(third.keyId, first.keyId);
  assert.ok((await client.get("my-bucket", "b"))?.body.equals(content(2, 50)));
  // A second one says which process has the store, where the system tells; and how to get at the store, in its folder.
  const again = await runProgram([HANGAR, "quickstart", "--data", folder]);
  assert.equal(again.code, 1);
  const how = process.platform === "linux" ? ` \\(process ${child?.pid}\\): .*Ctrl-C.*\`kill ${child?.pid}\`` : ": .*Ctrl-C";
  assert.match(again.stderr, new RegExp(`^Error: a daemon is running on .*/hangar-data/meta already${how}`));
  if (!existsSync("/etc/hangar.toml") && !existsSync("/etc/garage.toml")) {
    const lost = await runProgram([HANGAR, "status"], { cwd: home });
    assert.match(
      lost.stderr,
      /^Error: cannot read .*\/etc\/hangar\.toml: ENOENT[^,]*\(.*-c hangar-data\/hangar\.toml, before the verb\)$/m,
    );
  }
  client.reset();
  endGroup("SIGINT");
  assert.equal(await within(60_000, "Ctrl-C ends it", third.ended), 0);
  // Another address than the store has is not passed over in silence.
  const elsewhere = await runProgram([HANGAR, "quickstart", "--data", folder, "--bind", "127.0.0.1:1"]);
  assert.equal(elsewhere.code, 1);
  assert.match(elsewhere.stderr, /^Error: --bind is for the first start.*hangar\.toml/);
  assert.ok(existsSync(join(folder, "hangar.toml")));
  assert.equal(statSync(join(folder, "hangar.toml")).mode & 0o077, 0);
  assert.match(readFileSync(join(folder, "hangar.toml"), "utf8"), /rpc_secret/);
});

test("the usual ports are another program's: the first start takes others and keeps them; later a taken port is named with its key", async () => {
  const data = join(home, "second-store");
  const file = join(data, "hangar.toml");
  // Where another store runs already, these three are taken anyway.
  const others = await Promise.all([3900, 3901, 3903].map((port) => occupied("127.0.0.1", port)));
  let held: Server | undefined;
  try {
    const first = await start([HANGAR, "quickstart"], undefined, data);
    const endpoint = /endpoint +http:\/\/127\.0\.0\.1:(\d+)$/m.exec(first.text)?.[1] ?? "";
    assert.ok(!["3900", "3901", "3903", ""].includes(endpoint), first.text);
    assert.match(
      first.text,
      /127\.0\.0\.1:3900 and .*127\.0\.0\.1:3903 are taken by another program: this store has other ports/,
    );
    assert.ok(readFileSync(file, "utf8").includes(`api_bind_addr = "127.0.0.1:${endpoint}"`));
    const client = new S3Client("127.0.0.1", Number(endpoint), { ...first, region: "garage" });
    await client.put("my-bucket", "a", content(1, 100));
    client.reset();
    endGroup("SIGINT");
    await within(60_000, "Ctrl-C ends it", first.ended);

    // The ports are the store's now: nothing is chosen anew.
    const second = await start([HANGAR, "quickstart"], undefined, data);
    assert.ok(second.text.includes(`http://127.0.0.1:${endpoint}`), second.text);
    assert.doesNotMatch(second.text, /taken/);
    assert.ok((await client.get("my-bucket", "a"))?.body.equals(content(1, 100)));
    client.reset();
    endGroup("SIGINT");
    await within(60_000, "Ctrl-C ends it", second.ended);

    held = await occupied("127.0.0.1", Number(endpoint));
    const third = await runProgram([HANGAR, "quickstart", "--data", data]);
    assert.equal(third.code, 1, third.stdout);
    assert.match(third.stderr, /^Error: \[s3_api\] api_bind_addr = "127\.0\.0\.1:\d+": this address is in use already/m);
    assert.ok(third.stderr.includes(`"127.0.0.1:${endpoint}"`) && third.stderr.includes(file), third.stderr);
  } finally {
    for (const server of [...others, held]) server?.close();
  }
});

test("--bind with an address that can't be had leaves no store behind", async () => {
  const data = join(home, "never-made");
  const host = loopbackHost();
  const port = await freePort(host);
  const other = await occupied(host, port);
  try {
    const refusals: readonly (readonly [string, RegExp])[] = [
      [`${host}:${port}`, /another program listens there/],
      ["somewhere", /expects "ip:port"/],
      ["203.0.113.7:3900", /EADDRNOTAVAIL/],
    ];
    for (const [bind, why] of refusals) {
      const refused = await runProgram([HANGAR, "quickstart", "--data", data, "--bind", bind]);
      assert.equal(refused.code, 1, refused.stdout);
      assert.ok(refused.stderr.startsWith(`Error: --bind ${bind}: `), refused.stderr);
      assert.match(refused.stderr, why);
      assert.ok(!existsSync(join(data, "hangar.toml")));
    }
  } finally {
    other?.close();
  }
  // The very next try is a first start like any other; only the ports beside S3's are chosen.
  const beside = await occupied(host, port + 3);
  try {
    const started = await start([HANGAR, "quickstart"], `${host}:${port}`, data);
    assert.ok(started.text.includes(`http://${host}:${port}`), started.text);
    assert.match(
      readFileSync(join(data, "hangar.toml"), "utf8"),
      new RegExp(`\\[admin\\]\\napi_bind_addr = "${host}:(?!${port + 3}")`),
    );
    endGroup("SIGINT");
    await within(60_000, "Ctrl-C ends it", started.ended);
  } finally {
    beside?.close();
  }
});

/** Listens there; undefined when somebody does already. */
function occupied(host: string, port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, host, () => resolve(server));
  });
}

async function start(
  program: readonly string[],
  bind?: string,
  data = folder,
): Promise<{ text: string; keyId: string; secret: string; ended: Promise<number | null> }> {
  const started = spawn(
    program[0] as string,
    [...program.slice(1), "--data", data, ...(bind === undefined ? [] : ["--bind", bind])],
    {
      cwd: REPOSITORY,
      env: cleanEnvironment({ HOME: home, npm_config_update_notifier: "false" }),
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    },
  );
  child = started;
  let text = "";
  started.stdout.on("data", (piece: Buffer) => (text += piece.toString()));
  started.stderr.on("data", (piece: Buffer) => (text += piece.toString()));
  const ended = new Promise<number | null>((resolve) => started.on("exit", (code) => resolve(code)));
  await waitFor("it says that it runs", () => {
    if (started.exitCode !== null) return "ended";
    return /secret key +\S+/.test(text) && text.includes("Ctrl-C") && "ready";
  }).then((state) => assert.equal(state, "ready", text));
  const keyId = /key id +(\S+)/.exec(text)?.[1] ?? "";
  const secret = /secret key +(\S+)/.exec(text)?.[1] ?? "";
  assert.match(keyId, /^GK[0-9a-f]{24}$/);
  return { text, keyId, secret, ended };
}

/** To npm and what it started: a group that this test made. */
function endGroup(signal: NodeJS.Signals): void {
  if (child?.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // All gone already.
  }
}

function portFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(port, host, () => {
      probe.destroy();
      resolve(false);
    });
    probe.on("error", () => resolve(true));
  });
}
