// Every verb of the command-line tool against a real daemon: what it prints, what it refuses, its exit code. Times are reported,
// not judged.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { content } from "./support/content.ts";
import { BUCKET, Daemon, HANGAR } from "./support/daemon.ts";
import { type ProgramResult, runProgram } from "./support/run-program.ts";
import { S3Client, type S3Error } from "./support/s3-client.ts";
import { waitFor } from "./support/wait-for.ts";

describe("the command line", () => {
  let daemon: Daemon;
  const times: { readonly call: string; readonly wallMs: number }[] = [];
  before(async () => {
    daemon = await Daemon.run();
    await daemon.s3.put(BUCKET, "object", content(1, 1_500_000));
    await daemon.s3.put(BUCKET, "small", content(2, 10));
  });
  after(async () => daemon?.dispose());

  async function call(...args: string[]): Promise<ProgramResult> {
    const result = await daemon.cli(...args);
    times.push({ call: args.join(" "), wallMs: result.wallMs });
    return result;
  }
  /** Exit code 0 and all of the patterns. */
  async function says(args: readonly string[], ...patterns: readonly RegExp[]): Promise<string> {
    const result = await call(...args);
    assert.equal(result.code, 0, `${args.join(" ")}: ${result.stderr}${result.stdout}`);
    for (const pattern of patterns) assert.match(result.stdout, pattern, args.join(" "));
    return result.stdout;
  }
  /** Exit code 1, and "Error: …" on stderr with all of the patterns; no stack, nothing on stdout. */
  async function refuses(args: readonly string[], ...patterns: readonly RegExp[]): Promise<void> {
    const result = await call(...args);
    const all = `${args.join(" ")}: code ${result.code}\n${result.stderr}${result.stdout}`;
    assert.equal(result.code, 1, all);
    assert.match(result.stderr, /^[Ee]rror: ./m, all);
    assert.doesNotMatch(result.stderr, /^\s+at /m, all);
    for (const pattern of patterns) assert.match(result.stderr, pattern, all);
    assert.equal(result.stdout, "", all);
  }

  test("status, health, node id, stats", async () => {
    const id = (await says(["node", "id", "-q"], /^[0-9a-f]{64}\n$/)).trim();
    await says(["node", "id"], new RegExp(`^${id}\n`));
    await says(["status"], /==== HEALTHY NODES ====/, new RegExp(id.slice(0, 16)), /dc1/, /default/);
    await says(["health"], /Cluster health: +healthy/, /Partitions: +256/);
    assert.equal((await call("health", "--quiet")).stdout, "");
    await says(["stats"], /==== NODE/, /==== CLUSTER STATISTICS ====/);
    await says(["stats", "-a"], /==== CLUSTER STATISTICS ====/);
  });

  test("key create, info, list, rename, set, allow, deny, delete", async () => {
    const made = await says(["key", "create", "first key"], /==== ACCESS KEY INFORMATION ====/, /Key name: +first key/);
    const id = /Key ID: +(GK[0-9a-f]{24})/.exec(made)?.[1] as string;
    assert.match(made, /Secret key: +[0-9a-f]{64}/);
    await says(["key", "list"], new RegExp(`${id}.*first key`), new RegExp(daemon.keyId));
    await says(["key", "info", "first key"], /\(redacted\)/, /Can create buckets: +false/);
    await says(["key", "info", id.slice(0, 12), "--show-secret"], /Secret key: +[0-9a-f]{64}/);
    await says(["key", "rename", id, "second name"], /Key name: +second name/);
    await says(["key", "set", id, "--expires-in", "30d"], /Validity: +valid/, /Expiration: +20\d\d-/);
    await says(["key", "set", id, "--never-expires"], /Expiration: +never/);
    await says(["key", "allow", "--create-bucket", id], /Can create buckets: +true/);
    await says(["key", "deny", "--create-bucket", id], /Can create buckets: +false/);
    await refuses(["key", "allow", id], /--create-bucket/);
    await refuses(["key", "set", id], /--expires-in/);
    await refuses(["key", "set", id, "--expires-in", "soon"], /soon/);
    await refuses(["key", "info", "no such key"], /no such key/);
    await refuses(["key", "info", "GK"], /GK/);
    await refuses(["key", "delete", id], /--yes/);
    await says(["key", "info", id], /second name/);
    await says(["key", "delete", id, "--yes"], new RegExp(id));
    await refuses(["key", "info", id], new RegExp(id));
    await refuses(["key", "delete", id, "--yes"]);
  });

  test("key import; an imported key works at once, an id is used only once", async () => {
    const id = "imported-key.1";
    const secret = "not-a-hex-secret-but-long-enough";
    await refuses(["key", "import", id, secret], /--yes/);
    await says(["key", "import", id, secret, "-n", "mine", "--yes"], /Key name: +mine/);
    const client = new S3Client(daemon.host, daemon.s3Port, { keyId: id, secret, region: "garage" });
    await assert.rejects(client.put(BUCKET, "x", content(1, 10)), (error: S3Error) => error.code === "AccessDenied");
    await says(["bucket", "allow", BUCKET, "--key", id, "--write"], new RegExp(`W +${id}`));
    await client.put(BUCKET, "by-imported", content(3, 10));
    await refuses(["key", "import", id, secret, "--yes"], /exist/i);
    await says(["key", "delete", "mine", "--yes"]);
    await assert.rejects(client.put(BUCKET, "x", content(1, 10)), (error: S3Error) => error.code === "InvalidAccessKeyId");
    await refuses(["key", "import", id, secret, "--yes"], /exist|used/i);
    await refuses(["key", "import", "short", secret, "--yes"]);
    await refuses(["key", "import", "long-enough-id", "short", "--yes"]);
  });

  test("key delete-expired", async () => {
    await says(["key", "create", "passing", "--expires-in", "1ms"]);
    await refuses(["key", "delete-expired"], /--yes/);
    await says(["key", "delete-expired", "--yes"], /^1 /);
    await says(["key", "delete-expired", "--yes"], /^0 /);
  });

  test("bucket create, info, list, alias, unalias, delete", async () => {
    await says(["bucket", "create", "cli-bucket"], /==== BUCKET INFORMATION ====/, /Global alias: +cli-bucket/);
    await refuses(["bucket", "create", "cli-bucket"], /cli-bucket|exist/);
    await refuses(["bucket", "create", "Not_A_Name"], /name/i);
    const info = await says(["bucket", "info", "cli-bucket"], /Objects: +0/, /==== KEYS FOR THIS BUCKET ====/);
    const id = /Bucket: +([0-9a-f]{64})/.exec(info)?.[1] as string;
    await says(["bucket", "info", id.slice(0, 16)], /cli-bucket/);
    await says(["bucket", "list"], /cli-bucket/, new RegExp(BUCKET));
    await says(["bucket", "alias", "cli-bucket", "other-name"], /other-name/);
    await says(["bucket", "alias", "cli-bucket", "local-name", "--local", daemon.keyId], /local-name/);
    await says(["bucket", "allow", "cli-bucket", "--key", daemon.keyId, "--read", "--write"], /RW +/);
    await daemon.s3.put("local-name", "through-local", content(4, 10));
    assert.ok(await daemon.s3.get("other-name", "through-local"));
    await refuses(["bucket", "alias", "cli-bucket", BUCKET], /another bucket/);
    const names = new RegExp(`other names \\(cli-bucket, other-name, ${daemon.keyId}:local-name\\).*unalias`);
    await refuses(["bucket", "delete", "cli-bucket", "--yes"], names);
    await says(["bucket", "unalias", "local-name", "--local", daemon.keyId]);
    await assert.rejects(daemon.s3.list("local-name"), (error: S3Error) => error.code === "NoSuchBucket");
    await says(["bucket", "unalias", "other-name"]);
    await refuses(["bucket", "unalias", "cli-bucket"], /last|only|alias/i);
    await refuses(["bucket", "unalias", "never-there"], /never-there/);
    await refuses(["bucket", "delete", "cli-bucket"], /--yes/);
    await refuses(["bucket", "delete", "cli-bucket", "--yes"], /empty/i);
    await daemon.s3.delete("cli-bucket", "through-local");
    await says(["bucket", "delete", "cli-bucket", "--yes"], /deleted/);
    await refuses(["bucket", "info", "cli-bucket"], /cli-bucket/);
  });

  test("bucket allow and deny decide what a key may do", async () => {
    const secret = "another-secret-that-is-long-enough";
    await says(["key", "import", "reader-key", secret, "-n", "reader", "--yes"]);
    const reader = new S3Client(daemon.host, daemon.s3Port, { keyId: "reader-key", secret, region: "garage" });
    const denied = (error: S3Error): boolean => error.code === "AccessDenied" && error.status === 403;
    await assert.rejects(reader.list(BUCKET), denied);
    await says(["bucket", "allow", BUCKET, "--read", "--key", "reader"], /R +reader-key/);
    assert.ok((await reader.list(BUCKET)).length >= 2);
    await assert.rejects(reader.delete(BUCKET, "small"), denied);
    await says(["bucket", "allow", BUCKET, "--write", "--owner", "--key", "reader-key"], /RWO +reader-key/);
    await reader.put(BUCKET, "by-reader", content(5, 10));
    await says(["bucket", "deny", BUCKET, "--write", "--owner", "--key", "reader-key"], /R +reader-key/);
    await assert.rejects(reader.put(BUCKET, "by-reader-2", content(5, 10)), denied);
    await refuses(["bucket", "allow", BUCKET, "--key", "reader-key"], /--read/);
    await refuses(["bucket", "allow", BUCKET, "--read", "--key", "nobody"], /nobody/);
    await refuses(["bucket", "allow", "no-bucket", "--read", "--key", "reader"], /no-bucket/);
  });

  test("bucket set-quotas holds", async () => {
    await says(["bucket", "create", "limited"]);
    await says(["bucket", "allow", "limited", "--key", daemon.keyId, "--read", "--write"]);
    await says(["bucket", "set-quotas", "limited", "--max-objects", "2", "--max-size", "30KiB"]);
    await says(["bucket", "info", "limited"], /maximum size: +30\.0 KiB/, /maximum number of objects: +2/);
    await daemon.s3.put("limited", "a", content(1, 10_000));
    await daemon.s3.put("limited", "b", content(1, 10_000));
    await assert.rejects(daemon.s3.put("limited", "c", content(1, 1)), (error: S3Error) => error.status === 403, "third object");
    await assert.rejects(
      daemon.s3.put("limited", "a", content(1, 25_000)),
      (error: S3Error) => error.status === 403,
      "too large",
    );
    await says(["bucket", "set-quotas", "limited", "--max-objects", "none", "--max-size", "none"]);
    await daemon.s3.put("limited", "c", content(1, 100_000), { headers: { "x-amz-acl": "public-read" } });
    await says(
      ["bucket", "info", "limited"],
      /Objects: +3/,
      /Size: +1\d\d\.\d KiB/,
      /Canned ACLs: +taken, grant nothing .*: public-read/,
    );
    await refuses(["bucket", "set-quotas", "limited"], /--max-size/);
    await refuses(["bucket", "set-quotas", "limited", "--max-size", "lots"], /lots/);
  });

  test("bucket website, inspect-object, cleanup-incomplete-uploads", async () => {
    await says(["bucket", "website", BUCKET, "--allow", "-e", "error.html"], /allowed/);
    await says(["bucket", "info", BUCKET], /Website access: +true/, /error\.html/);
    await says(["bucket", "website", BUCKET, "--deny"], /denied/);
    await refuses(["bucket", "website", BUCKET], /--allow/);
    const inspected = JSON.parse(await says(["bucket", "inspect-object", BUCKET, "object"])) as {
      versions: { blocks: { hash: string }[]; size: number }[];
    };
    assert.equal(inspected.versions[0]?.size, 1_500_000);
    assert.equal(inspected.versions[0]?.blocks.length, 2);
    await refuses(["bucket", "inspect-object", BUCKET, "no such object"], /no such object|not/i);
    const upload = await daemon.s3.startUpload(BUCKET, "never-completed");
    await daemon.s3.uploadPart(BUCKET, "never-completed", upload, 1, content(6, 100_000));
    await says(["bucket", "cleanup-incomplete-uploads", BUCKET], /: 0 /);
    await says(["bucket", "cleanup-incomplete-uploads", BUCKET, "--older-than", "0s"], /: 1 /);
    assert.deepEqual(await daemon.s3.uploads(BUCKET), []);
    await refuses(["bucket", "cleanup-incomplete-uploads", BUCKET, "--older-than", "ages"], /ages/);
  });

  test("layout show, assign, config, apply, revert, history", async () => {
    const id = (await says(["node", "id", "-q"])).trim();
    await says(["layout", "show"], /==== CURRENT CLUSTER LAYOUT ====/, /Current cluster layout version: 1/);
    await says(["layout", "assign", id.slice(0, 8), "-z", "attic", "-c", "5G", "-t", "old", "-t", "slow"], /staged/);
    await says(
      ["layout", "show"],
      /==== STAGED ROLE CHANGES ====/,
      /attic/,
      /old/,
      /==== NEW CLUSTER LAYOUT AFTER APPLYING CHANGES ====/,
      /hangar layout apply --version 2/,
    );
    await says(["status"], /dc1/);
    await refuses(["layout", "revert"], /--yes/);
    await says(["layout", "revert", "--yes"], /cancel/);
    assert.doesNotMatch(await says(["layout", "show"]), /STAGED/);
    await says(["layout", "assign", id, "-c", "7G"], /staged/);
    await refuses(["layout", "apply"], /--version/, /2/);
    await refuses(["layout", "apply", "--version", "9"], /version/);
    await says(["layout", "apply", "--version", "2"], /applied/);
    await says(["layout", "show"], /Current cluster layout version: 2/, /7\.0 GB/);
    await says(["layout", "history"], /#?2 +current/i);
    await says(["layout", "config", "-r", "max"]);
    await says(["layout", "revert", "--yes"]);
    await refuses(["layout", "config", "-r", "some"], /some/);
    await refuses(["layout", "assign", "ffff", "-z", "a", "-c", "1G"], /ffff/);
    await refuses(["layout", "assign", id, "-c", "many"], /many/);
    await refuses(["layout", "assign", id, "-c", "1G", "-g"], /gateway/);
    await refuses(["layout", "remove", "ffff"], /ffff/);
    // The store has worked through all of it.
    assert.ok((await daemon.s3.get(BUCKET, "object"))?.body.equals(content(1, 1_500_000)));
  });

  test("admin-token create, list, info, rename, set, delete; the token opens the admin port", async () => {
    const status = async (token: string, name = "GetClusterStatus"): Promise<number> => {
      const answer = await fetch(`http://${daemon.host}:${daemon.adminPort}/v2/${name}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      await answer.arrayBuffer();
      return answer.status;
    };
    assert.equal(await status(daemon.adminToken), 200);
    assert.equal(await status("wrong"), 403);
    const token = (await says(["admin-token", "create", "mine", "--scope", "GetClusterStatus", "-q"])).trim();
    assert.match(token, /^[0-9a-f]{24}\.\S{43}$/);
    assert.equal(await status(token), 200);
    assert.equal(await status(token, "ListKeys"), 403);
    await says(["admin-token", "list"], /mine/, /^- /m);
    await says(["admin-token", "info", "mine"], /Scope: +GetClusterStatus/);
    await says(["admin-token", "set", "mine", "--scope", "+ListKeys"], /GetClusterStatus, ?ListKeys/);
    assert.equal(await status(token, "ListKeys"), 200);
    await says(["admin-token", "rename", "mine", "yours"], /yours/);
    await refuses(["admin-token", "delete", "yours"], /--yes/);
    await says(["admin-token", "delete", "yours", "--yes"], /deleted/);
    assert.equal(await status(token), 403);
    await refuses(["admin-token", "info", "yours"], /yours/);
    await refuses(["admin-token", "create", "odd", "--scope", "NoSuchCall"], /NoSuchCall/);
    await says(["admin-token", "create", "passing", "--expires-in", "1ms"]);
    await says(["admin-token", "delete-expired", "--yes"], /^1 /);
  });

  test("worker, block, repair", async () => {
    const list = await says(["worker", "list"], /TID/, /janitor/i);
    const [tid] = /^\s*(\d+)/m.exec(list) ?? [];
    await says(["worker", "info", (tid as string).trim()], /"name"/);
    await refuses(["worker", "info", "999"], /999/);
    const variables = await says(["worker", "get"], /scrub-tranquility/);
    assert.ok(variables.trim().split("\n").length >= 1);
    await says(["worker", "set", "scrub-tranquility", "7"], /7/);
    await says(["worker", "get", "scrub-tranquility"], /7/);
    await refuses(["worker", "set", "scrub-tranquility", "fast"], /scrub-tranquility|number/);
    await refuses(["worker", "get", "no-such-variable"], /no-such-variable/);
    await says(["block", "list-errors"], /Hash/);
    await says(["repair", "audit"], /agree|Nothing is broken/);
    await says(["repair", "scrub", "start"]);
    await says(["repair", "scrub", "pause"]);
    await says(["repair", "scrub", "resume"]);
    await says(["repair", "scrub", "cancel"]);
    await refuses(["repair", "scrub", "polish"], /polish|start/);
    await says(["repair", "rebalance"]);
  });

  test("json-api", async () => {
    const health = JSON.parse(await says(["json-api", "GetClusterHealth"])) as { status: string };
    assert.equal(health.status, "healthy");
    const info = JSON.parse(await says(["json-api", "GetBucketInfo", JSON.stringify({ globalAlias: BUCKET })])) as { id: string };
    assert.match(info.id, /^[0-9a-f]{64}$/);
    const fromInput = await runProgram([HANGAR, "-c", daemon.configFile, "json-api", "CreateKey", "-"], {
      env: daemon.environment(),
      input: '{"name": "from stdin"}',
    });
    assert.equal((JSON.parse(fromInput.stdout) as { name: string }).name, "from stdin", fromInput.stderr);
    const { accessKeyId } = JSON.parse(fromInput.stdout) as { accessKeyId: string };
    await says(["json-api", "UpdateKey", JSON.stringify({ id: accessKeyId, body: { name: "renamed" } })], /renamed/);
    await refuses(["json-api", "NoSuchOperation"], /NoSuchOperation/);
    await refuses(["json-api", "GetBucketInfo", "{not json"], /JSON/);
    await refuses(["json-api", "GetBucketInfo", '{"globalAlias": 5, "colour": "blue"}']);
    await refuses(["json-api", "CreateKey", '{"name": 5}'], /name/);
  });

  test("--help of every verb, --version, and what is no verb", async (t) => {
    const seen: string[] = [];
    const walk = async (path: readonly string[]): Promise<void> => {
      const help = await call(...path, "--help");
      assert.equal(help.code, 0, path.join(" "));
      assert.match(help.stdout, new RegExp(`Usage: hangar ${path.join(" ")}`), path.join(" "));
      seen.push(path.join(" "));
      const wide = help.stdout.split("\n").filter((line) => line.length > 84);
      assert.deepEqual(wide, [], `help of ${path.join(" ")} fits a terminal`);
      const bare = /^Usage: .*[<[][a-z-]+[>\]]/.test(help.stdout.replace("[options]", "").replace("[command]", ""));
      if (bare) assert.match(help.stdout, /^Arguments:$/m, `help of ${path.join(" ")} explains its arguments`);
      const listed = /Commands:\n([\s\S]*?)(\n\n|$)/.exec(help.stdout)?.[1] ?? "";
      const verbs = [...listed.matchAll(/^ {2}([a-z][a-z0-9-]*)(?:\|\S+)?(?: |$)/gm)].map((match) => match[1] as string);
      for (const verb of verbs) if (verb !== "help") await walk([...path, verb]);
    };
    await walk([]);
    assert.ok(seen.length > 50, `only ${seen.length} verbs: ${seen.join(", ")}`);
    for (const verb of [
      "server",
      "key import",
      "bucket inspect-object",
      "layout apply",
      "repair audit",
      "json-api",
      "quickstart",
    ])
      assert.ok(seen.includes(verb), `${verb} is not in any help`);
    await says(["--version"], /^hangar \d+\.\d+\.\d+$/m);
    for (const args of [
      ["frobnicate"],
      ["bucket", "frobnicate"],
      ["bucket", "info"],
      ["key", "create", "a", "b", "c"],
      ["status", "--frob"],
    ]) {
      const result = await call(...args);
      assert.equal(result.code, 1, args.join(" "));
      assert.match(result.stderr, /error/i);
    }
    t.diagnostic(`${seen.length} verbs`);
  });

  test("it says so when the daemon does not run, or the secret is another", async () => {
    const other = join(daemon.home, "other.toml");

    const config = readFileSync(daemon.configFile, "utf8");
    writeFileSync(other, config.replace(/rpc_secret = "\w+"/, `rpc_secret = "${"ab".repeat(32)}"`), { mode: 0o600 });
    const wrong = await runProgram([HANGAR, "-c", other, "status"], { env: daemon.environment() });
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /^Error: .*secret/im);
    const byOption = await runProgram([HANGAR, "-c", daemon.configFile, "-s", "ab".repeat(32), "status"], {
      env: daemon.environment(),
    });
    assert.equal(byOption.code, 1);
    // The environment names the file as well as -c does; Garage's name for it too.
    const byEnvironment = await runProgram([HANGAR, "status"], {
      env: daemon.environment({ GARAGE_CONFIG_FILE: daemon.configFile }),
    });
    assert.equal(byEnvironment.code, 0, byEnvironment.stderr);
    await daemon.stop();
    const stopped = await daemon.cli("status");
    assert.equal(stopped.code, 1);
    assert.match(stopped.stderr, /^Error: .*running/m);
    assert.match((await daemon.cli("node", "id", "-q")).stdout, /^[0-9a-f]{64}\n$/);
    // The layout was changed by hand above, and a daemon that is told to manage it alone says so.
    await assert.rejects(daemon.start(), /Error: --single-node: the layout has version 2/);
  });

  test("without [s3_api] or [admin] it starts, and says that there is no such port", async () => {
    const closed = await Daemon.prepare();
    try {
      const config = readFileSync(closed.configFile, "utf8");
      for (const [misspelt, patterns] of [
        [config, [`S3 on ${closed.host}:${closed.s3Port}, admin on ${closed.host}:${closed.adminPort}"`]],
        [
          config.replace("[s3_api]", "[s3api]"),
          ["no S3 port (api_bind_addr in [s3_api] opens one), admin on ", "did you mean s3_api?"],
        ],
        [config.replace("[admin]", "[admn]"), ["no admin port (api_bind_addr in [admin] opens one)", "did you mean admin?"]],
      ] as const) {
        writeFileSync(closed.configFile, misspelt);
        closed.spawn(["--single-node"]);
        await waitFor("it is ready", () => closed.lastLog().includes("is ready") || !closed.alive);
        for (const pattern of patterns) assert.ok(closed.lastLog().includes(pattern), closed.lastLog());
        await closed.stop();
      }
    } finally {
      await closed.dispose();
    }
  });

  test("how long the calls took", (t) => {
    const sorted = times.map(({ wallMs }) => wallMs).sort((a, b) => a - b);
    const slowest = times.reduce((a, b) => (b.wallMs > a.wallMs ? b : a));
    t.diagnostic(
      `${times.length} calls: median ${sorted[sorted.length >> 1]?.toFixed(0)} ms, slowest ${slowest.wallMs.toFixed(0)} ms (${slowest.call})`,
    );
  });
});
