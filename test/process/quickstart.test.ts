// `npm start` twice: the first makes key and bucket and prints what to paste, the second finds everything as it was. Ctrl-C stops it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createConnection } from "node:net";
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

test("npm start, Ctrl-C, npm start, kill -9, bin/hangar quickstart, Ctrl-C", { timeout: 120_000 }, async () => {
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
  await within(20_000, "Ctrl-C ends npm", first.ended);
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
  client.reset();
  endGroup("SIGINT");
  assert.equal(await within(20_000, "Ctrl-C ends it", third.ended), 0);
  // Another address than the store has is not passed over in silence.
  const elsewhere = await runProgram([HANGAR, "quickstart", "--data", folder, "--bind", "127.0.0.1:1"]);
  assert.equal(elsewhere.code, 1);
  assert.match(elsewhere.stderr, /^Error: --bind is for the first start.*hangar\.toml/);
  assert.ok(existsSync(join(folder, "hangar.toml")));
  assert.equal(statSync(join(folder, "hangar.toml")).mode & 0o077, 0);
  assert.match(readFileSync(join(folder, "hangar.toml"), "utf8"), /rpc_secret/);
});

async function start(
  program: readonly string[],
  bind: string,
): Promise<{ text: string; keyId: string; secret: string; ended: Promise<number | null> }> {
  const started = spawn(program[0] as string, [...program.slice(1), "--data", folder, "--bind", bind], {
    cwd: REPOSITORY,
    env: cleanEnvironment({ HOME: home, npm_config_update_notifier: "false" }),
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
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
