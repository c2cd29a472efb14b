// The verbs that cli.test.ts does not drive, against a whole node in this process: each call is the real program.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { AdminNode, NODE_ID, RPC_SECRET } from "../../src/api/admin/testing/admin-node.ts";
import { ADMIN_OPERATIONS } from "../../src/api/admin/admin-operations.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe("verbs of the command line", () => {
  let node: AdminNode;
  let file: string;
  before(async () => {
    node = await AdminNode.start();
    file = join(node.home, "hangar.toml");
    writeFileSync(
      file,
      `metadata_dir = ${JSON.stringify(join(node.home, "meta"))}
data_dir = "/unused"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:3901"
rpc_secret = "${RPC_SECRET}"
`,
    );
  });
  after(() => node.stop());

  function run(
    args: readonly string[],
    { input = "", env = {} }: { input?: string; env?: Record<string, string> } = {},
  ): Promise<Outcome> {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN, ...args], {
      env: { PATH: process.env["PATH"] ?? "", HANGAR_CONFIG_FILE: file, NODE_COMPILE_CACHE: join(node.home, "cache"), ...env },
    });
    child.stdin.end(input);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (piece: Buffer) => (stdout += piece.toString()));
    child.stderr.on("data", (piece: Buffer) => (stderr += piece.toString()));
    return new Promise((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
  }
  async function says(args: readonly string[], ...patterns: readonly RegExp[]): Promise<string> {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    for (const pattern of patterns) assert.match(stdout, pattern, args.join(" "));
    return stdout;
  }
  async function refuses(args: readonly string[], ...patterns: readonly RegExp[]): Promise<void> {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 1, `${args.join(" ")}: ${stdout}${stderr}`);
    assert.match(stderr, /^Error: \S/, args.join(" "));
    assert.doesNotMatch(stderr, /^\s+at /m);
    assert.equal(stdout, "");
    for (const pattern of patterns) assert.match(stderr, pattern, args.join(" "));
  }

  test("block info and purge", async () => {
    const { id } = (await node.post("CreateBucket", { globalAlias: "blocks" })).json;
    await node.put(id, "an object", Buffer.alloc(70_000, 9));
    const [{ uuid, blocks }] = (await node.get("InspectObject", { bucketId: id, key: "an object" })).json.versions;
    const { hash } = blocks[0];
    await says(
      ["block", "info", hash.slice(0, 10)],
      /==== BLOCK INFORMATION ====/,
      new RegExp(hash),
      new RegExp(`${uuid}.*${id.slice(0, 16)}.*an object.*active`),
    );
    await refuses(["block", "info", "ab"], /4 hexadecimal/);
    await refuses(["block", "purge", hash], /--yes/);
    await says(["block", "purge", hash, "--yes"], /deleted 1 objects/);
    await refuses(["bucket", "inspect-object", "blocks", "an object"], /nothing is stored/);
    await refuses(["block", "retry-now"], /--all/);
    await refuses(["block", "retry-now", "--all"], /nowhere/);
  });

  test("what makes sense only in clusters, or not at all here, says so", async () => {
    await refuses(["meta", "snapshot", "--all"], /metadata_dir and data_dir as they were at one moment.*copy both/);
    await refuses(["node", "connect", `${NODE_ID}@127.0.0.1:3901`], /one node/);
    await refuses(["layout", "skip-dead-nodes", "--version", "1"], /single node/);
    for (const what of ["tables", "mpu", "block-rc"])
      await refuses(
        ["repair", "-a", "--yes", what],
        new RegExp(`repair ${what}: nothing to repair`),
        /there are scrub, rebalance, audit, block-refs, accept-restored-copy /,
      );
    await refuses(["repair", "scrub", "polish"], /polish.*start, pause, resume, cancel/);
    await refuses(["layout", "skip-dead-nodes", "--version", "last"], /--version last: expects a whole number/);
    await refuses(["worker", "info", "first"], /worker first: expects a whole number/);
    await says(["worker", "get", "-a"], /scrub-tranquility/);
    await says(["worker", "set", "-a", "scrub-tranquility", "5"], /scrub-tranquility +5/);
    await refuses(["layout", "config", "-r", "some"], /max, none or a number/);
  });

  test("--rpc-host may name the node that is here, and no other; an environment variable is not overlooked", async () => {
    const here = `${NODE_ID}@192.0.2.1:3901`;
    const other = `${"0".repeat(64)}@192.0.2.1:3901`;
    writeFileSync(join(node.home, "meta/node_key.pub"), Buffer.from(NODE_ID, "hex"));
    await says(["-h", here, "status"], /HEALTHY NODES/);
    await says(["-h", NODE_ID, "status"], /HEALTHY NODES/);
    await refuses(["-h", other, "status"], /--rpc-host: this release talks only to the daemon of .*another/);
    await refuses(["-h", "somewhere", "status"], /--rpc-host somewhere: expects id@host:port/);
    for (const name of ["HANGAR_RPC_HOST", "GARAGE_RPC_HOST"]) {
      const { code, stdout, stderr } = await run(["key", "create", "elsewhere"], { env: { [name]: other } });
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^Error: HANGAR_RPC_HOST \(or GARAGE_RPC_HOST\): this release talks only/);
      assert.equal((await run(["status"], { env: { [name]: here } })).code, 0);
    }
    await refuses(["key", "info", "elsewhere"], /elsewhere/);
  });

  test("node id is what other programs take: the address only when others can use it", async () => {
    writeFileSync(join(node.home, "meta/node_key.pub"), Buffer.from(NODE_ID, "hex"));
    for (const args of [
      ["node", "id"],
      ["node", "id", "-q"],
    ])
      assert.equal(await says(args), `${NODE_ID}\n`);
    assert.match((await run(["node", "id"])).stderr, /rpc_public_addr is not set/);
    assert.equal((await run(["node", "id", "-q"])).stderr, "");
    const reachable = join(node.home, "reachable.toml");
    writeFileSync(reachable, `rpc_public_addr = "s3.example.org:3901"\n${readFileSync(file, "utf8")}`);
    for (const args of [
      ["node", "id"],
      ["node", "id", "-q"],
    ])
      assert.equal(await says(["-c", reachable, ...args]), `${NODE_ID}@s3.example.org:3901\n`);
  });

  test("--allow-world-readable-secrets takes true or false, as Garage's does", async () => {
    await says(["--allow-world-readable-secrets", "true", "status"]);
    await says(["--allow-world-readable-secrets=false", "status"]);
    await refuses(["--allow-world-readable-secrets", "perhaps", "status"], /true or false, not "perhaps"/);
    const { code, stderr } = await run(["status"], { env: { GARAGE_ALLOW_WORLD_READABLE_SECRETS: "perhaps" } });
    assert.equal(code, 1);
    assert.match(stderr, /true or false, not "perhaps"/);
  });

  test("status and layout speak the words that scripts look for", async () => {
    await says(
      ["status"],
      /^==== HEALTHY NODES ====\nID +Hostname +Address +Tags +Zone +Capacity +DataAvail +Version\nab12ab12ab12ab12 {2}test-host/,
    );
    await says(["layout", "assign", "ab12", "-z", "here", "-c", "2T"], /staged/);
    await says(["status"], /==== STAGED ROLE CHANGES ====/);
    const shown = await says(["layout", "show"], /Current cluster layout version: 1$/m);
    assert.ok(shown.includes("\n    hangar layout apply --version 2\n"));
    await says(["layout", "revert", "--yes"]);
    await says(["health"], /Cluster health: +healthy/);
    assert.equal(await says(["health", "-q"]), "");
  });

  test("keys: exact words, odd names, an id that exists", async () => {
    const made = await says(
      ["key", "new", "tricky\u001b[31m name"],
      /==== ACCESS KEY INFORMATION ====/,
      /Key name: +tricky·\[31m name/,
      /Can create buckets: +false/,
    );
    const id = /Key ID: +(\S+)/.exec(made)?.[1] as string;
    await refuses(["key", "import", id, "s".repeat(20), "--yes"], new RegExp(`${id}.*exists`));
    await says(["key", "info", id.slice(0, 12)], /\(redacted\)/);
    await refuses(["key", "set", id], /--expires-in or --never-expires/);
    await refuses(["key", "set", id, "--expires-in", "1d", "--never-expires"], /either/);
    await refuses(["key", "create", "x", "--expires-in", "99999999y"], /--expires-in/);
    await says(["key", "set", id, "--expires-in", "1d"], /Expiration: +20/);
  });

  test("an empty name is refused, not taken for none", async () => {
    await node.post("CreateBucket", { globalAlias: "named" });
    const { accessKeyId } = (await node.post("CreateKey", { name: "named" })).json;
    await node.post("CreateAdminToken", { name: "named" });
    for (const args of [
      ["bucket", "create", ""],
      ["key", "rename", accessKeyId, ""],
      ["admin-token", "rename", "named", ""],
    ])
      await refuses(args, /name is empty/);
    for (const args of [
      ["bucket", "alias", "named", ""],
      ["bucket", "unalias", ""],
      ["bucket", "info", ""],
      ["bucket", "delete", "", "--yes"],
      ["bucket", "allow", "named", "--read", "--key", ""],
      ["key", "info", ""],
      ["key", "delete", "", "--yes"],
      ["admin-token", "info", ""],
    ])
      await refuses(args, /name.* is empty/);
    await refuses(["bucket", "inspect-object", "named", ""], /the key of the object is empty/);
    await refuses(["layout", "assign", "ab12", "-z", "", "-c", "1G"], /the zone is empty/);
  });

  test("a name that a key gave over S3 finds no bucket; the refusal says whose it is and which id does", async () => {
    const keys: string[] = [];
    for (const name of ["one", "two"]) keys.push((await node.post("CreateKey", { name })).json.accessKeyId);
    const [first, second] = keys as [string, string];
    const make = async (accessKeyId: string): Promise<string> =>
      (await node.post("CreateBucket", { localAlias: { accessKeyId, alias: "photos" } })).json.id.slice(0, 16);
    const id = await make(first);
    const known = `photos is no global name, but a local one of key ${first} for the bucket ${id}`;
    for (const args of [
      ["bucket", "info", "photos"],
      ["bucket", "allow", "--read", "photos", "--key", "two"],
      ["bucket", "delete", "photos", "--yes"],
    ])
      await refuses(args, new RegExp(`^Error: ${known}; use the id$`, "m"));
    await refuses(["bucket", "unalias", "photos"], new RegExp(`no bucket named photos: ${known}$`, "m"));
    await says(["bucket", "info", id], new RegExp(`${first}.*photos`));
    const other = await make(second);
    await refuses(["bucket", "info", "photos"], new RegExp(`${first} for the bucket ${id}`), new RegExp(`${second} .*${other}`));
    // The way out that README names: a global name beside the local one.
    await says(["bucket", "alias", id, "photos"], /Global alias: +photos/);
    await says(["bucket", "info", "photos"], new RegExp(id));
  });

  test("values that can't be read: what was given, and what would do", async () => {
    await node.post("CreateBucket", { globalAlias: "limits" });
    const setQuotas = ["bucket", "set-quotas", "limits"];
    await refuses([...setQuotas, "--max-size", "1X"], /--max-size 1X: expects a size such as 30GiB, or none/);
    for (const count of ["many", "-1", "9".repeat(20)])
      await refuses([...setQuotas, `--max-objects=${count}`], /--max-objects \S+: expects a whole number such as 1000, or none/);
    for (const args of [
      ["block", "quarantine", "restore", "abc"],
      ["block", "purge", "abc", "--yes"],
    ])
      await refuses(args, /^Error: abc: expects the hash of a block with all its 64 hexadecimal digits/);
  });

  test("bucket website", async () => {
    await node.post("CreateBucket", { globalAlias: "website" });
    await refuses(["bucket", "website", "website"], /--allow or --deny/);
    await refuses(["bucket", "website", "website", "--allow", "--deny"], /--allow or --deny/);
    await refuses(["bucket", "website", "website", "--deny", "-e", "x"], /--deny/);
    await refuses(["bucket", "website", "website", "--allow", "-i", "a/b"], /-i a\/b: .*such as index\.html, without slashes/);
    await says(["bucket", "website", "website", "--allow"], /allowed/);
    await says(["bucket", "info", "website"], /index document: +index\.html/);
  });

  test("admin-token set needs something to set", async () => {
    await says(
      ["admin-token", "create", "robot", "--scope", "ListKeys,Metrics"],
      /^This is your secret bearer token/,
      /Scope: +ListKeys, Metrics/,
    );
    await refuses(["admin-token", "set", "robot"], /--scope/);
    await says(["admin-token", "set", "robot", "--scope", "-Metrics"], /Scope: +ListKeys$/m);
  });

  test("json-api from the command line and from standard input", async () => {
    const piped = await run(["json-api", "CreateKey", "-"], { input: '{"name":"piped"}' });
    assert.equal(JSON.parse(piped.stdout).name, "piped");
    assert.equal(
      JSON.parse(await says(["json-api", "GetKeyInfo", '{"search":"piped"}'])).accessKeyId,
      JSON.parse(piped.stdout).accessKeyId,
    );
    await refuses(["json-api", "GetKeyInfo", '{"search":'], /not valid JSON/);
  });

  test("help in every way, mistakes with a hint", async () => {
    await says(["help"], /^Usage: hangar /);
    await says(["help", "bucket"], /^Usage: hangar bucket /);
    await says(["bucket", "help", "allow"], /^Usage: hangar bucket allow /);
    await says(["help", "bucket", "allow"], /^Usage: hangar bucket allow /);
    await refuses(["help", "bucket", "borrow"], /no verb bucket borrow/);
    await says(["bucket", "allow", "--help"], /--key <key>/);
    await says(["--version"], /^hangar \d/);
    await refuses(["buckte"], /Did you mean bucket/);
    await refuses(["bucket", "info"], /missing required argument/);
    await refuses(["bucket", "allow", "x"], /--key/);
    await refuses(["status", "-c", file], /unknown option '-c'\n-c goes before the verb: hangar --config <file> VERB/);
    await refuses(["bucket", "list", `--config=${file}`], /--config goes before the verb/);
    assert.doesNotMatch((await run(["status", "--frob"])).stderr, /before the verb/);
    await says(["repair", "scrub", "--help"], /"start", "pause",\s+"resume", "cancel"/);
    await says(["layout", "apply", "--help"], /hangar layout apply --version 2/);
    await says(["worker", "set", "--help"], /hangar worker set scrub-tranquility 4/);
    assert.equal((await run(["bucket"])).code, 1, "a verb alone shows its help");
  });

  test("configuration faults come all at once, with the file's name", async () => {
    const broken = join(node.home, "broken.toml");
    writeFileSync(broken, 'data_dir = []\nreplication_factor = "x"\n');
    await refuses(
      ["-c", broken, "status"],
      /broken\.toml can't be used:/,
      /data_dir/,
      /metadata_dir/,
      /replication_factor/,
      /rpc_bind_addr/,
    );
    const none = join(node.home, "none.toml");
    const { stderr } = await run(["-c", none, "status"]);
    assert.equal(
      stderr,
      `Error: cannot read the configuration file ${none}: ENOENT: no such file or directory (give another with -c FILE before the verb, or HANGAR_CONFIG_FILE)\n`,
    );
    await refuses(["-s", "abc", "status"], /rpc_secret expects 64/);
  });

  test("a misspelt key is named with the fault that it leads to", async () => {
    const misspelt = join(node.home, "misspelt.toml");
    for (const [from, to] of [
      ["metadata_dir", "metadata_dri"],
      ["rpc_secret", "rpc_secrte"],
    ] as const) {
      writeFileSync(misspelt, readFileSync(file, "utf8").replace(from, to));
      await refuses(
        ["-c", misspelt, "status"],
        new RegExp(`${from} .*is required`),
        new RegExp(`${to} is not a key that Hangar knows; ignored \\(did you mean ${from}\\?\\)`),
      );
    }
  });

  test("admin-api-schema prints the OpenAPI document of every operation", async () => {
    const document = JSON.parse(await says(["admin-api-schema"]));
    for (const name of ADMIN_OPERATIONS.keys()) assert.ok(document.paths[`/v2/${name}`], name);
  });

  test("a reader that has read enough is no failure", async () => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN, "json-api", "GetClusterStatus"], {
      env: { HANGAR_CONFIG_FILE: file },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.destroy();
    let stderr = "";
    child.stderr.on("data", (piece: Buffer) => (stderr += piece.toString()));
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.deepEqual([code, stderr], [0, ""]);
  });
});
