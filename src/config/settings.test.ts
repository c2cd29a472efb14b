import assert from "node:assert/strict";
import { test } from "node:test";
import { type Config, parseConfig } from "./config.ts";
import { fromEnvironment, type Overrides, type ReadSecretFile, resolveSecrets } from "./settings.ts";

const FILE_SECRET = "ab".repeat(32);
const OTHER = "CD".repeat(32);

function configOf(secrets: string, admin = ""): Config {
  const parsed = parseConfig(`
metadata_dir = "/m"
data_dir = "/d"
replication_factor = 1
rpc_bind_addr = "[::]:3901"
${secrets}
[admin]
api_bind_addr = "[::]:3903"
${admin}
`);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.config;
}

const FILES: Record<string, { text: string; mode: number }> = {
  "/private": { text: `${OTHER} \n\n`, mode: 0o100600 },
  "/group": { text: OTHER, mode: 0o100640 },
  "/world": { text: OTHER, mode: 0o100604 },
  "/token": { text: "  from-file\n", mode: 0o100400 },
  "/plain-token": { text: "from-file\n", mode: 0o100400 },
  "/empty": { text: "\n", mode: 0o100600 },
};
const read: ReadSecretFile = (path) => FILES[path];

function resolved(config: Config, overrides: Overrides = {}, checkPermissions = true) {
  return resolveSecrets(config, overrides, read, { checkPermissions });
}

test("what the command line or the environment says wins over the file, value or file alike", () => {
  const byValue = configOf(`rpc_secret = "${FILE_SECRET}"`);
  const byFile = configOf('rpc_secret_file = "/private"');
  assert.equal(resolved(byValue).secrets.rpcSecret, FILE_SECRET);
  assert.equal(resolved(byFile).secrets.rpcSecret, OTHER.toLowerCase(), "trailing blanks cut, lower case");
  assert.equal(resolved(byValue, { rpcSecretFile: "/private" }).secrets.rpcSecret, OTHER.toLowerCase());
  assert.equal(resolved(byFile, { rpcSecret: FILE_SECRET }).secrets.rpcSecret, FILE_SECRET);
  assert.equal(resolved(configOf("")).secrets.rpcSecret, undefined);
  assert.deepEqual(resolved(configOf("")).faults, []);
});

test("admin and metrics tokens likewise", () => {
  const config = configOf("", 'admin_token = "one"\nmetrics_token_file = "/plain-token"');
  assert.deepEqual(resolved(config).secrets, { rpcSecret: undefined, adminToken: "one", metricsToken: "from-file" });
  const overridden = resolved(config, { adminTokenFile: "/plain-token", metricsToken: "two" });
  assert.deepEqual(overridden.secrets, { rpcSecret: undefined, adminToken: "from-file", metricsToken: "two" });
});

test("value and file together are refused", () => {
  const { faults } = resolved(configOf(""), {
    rpcSecret: FILE_SECRET,
    rpcSecretFile: "/private",
    adminToken: "a",
    adminTokenFile: "/b",
  });
  assert.deepEqual(
    faults.map((fault) => fault.key),
    ["rpc_secret", "admin.admin_token"],
  );
});

test("a secret file that others may read is refused, unless that is allowed or the command is not the server", () => {
  for (const path of ["/group", "/world"]) {
    const config = configOf(`rpc_secret_file = "${path}"`);
    const { faults, secrets } = resolved(config);
    assert.equal(faults.length, 1);
    assert.match(faults[0]?.reason ?? "", /chmod 600/);
    assert.equal(secrets.rpcSecret, undefined);
    assert.deepEqual(resolved(config, {}, false).faults, []);
    assert.deepEqual(resolved(config, { allowWorldReadableSecrets: true }).faults, []);
    const lenient = configOf(`rpc_secret_file = "${path}"\nallow_world_readable_secrets = true`);
    assert.deepEqual(resolved(lenient).faults, []);
    assert.equal(resolved(lenient, { allowWorldReadableSecrets: false }).faults.length, 1, "the command line wins here too");
  }
});

test("what can't be a secret is a fault: no file, an empty one, no hex, blanks in a token", () => {
  const faultOf = (config: Config, overrides: Overrides = {}): string =>
    resolved(config, overrides)
      .faults.map(({ key, reason }) => `${key}: ${reason}`)
      .join("; ");
  assert.match(faultOf(configOf('rpc_secret_file = "/none"')), /rpc_secret_file: \/none cannot be read/);
  assert.match(faultOf(configOf('rpc_secret_file = "/empty"')), /rpc_secret_file: expects 64 hex/);
  assert.match(faultOf(configOf(""), { rpcSecret: "short" }), /^rpc_secret: expects 64 hex/);
  assert.match(faultOf(configOf("", 'admin_token_file = "/empty"')), /admin.admin_token_file: expects visible/);
  assert.match(faultOf(configOf("", 'admin_token_file = "/token"')), /admin.admin_token_file: expects visible/);
});

test("environment variables under both names; ours first, empty ones don't count", () => {
  assert.equal(fromEnvironment({ HANGAR_X: "a", GARAGE_X: "b" }, "X"), "a");
  assert.equal(fromEnvironment({ GARAGE_X: "b" }, "X"), "b");
  assert.equal(fromEnvironment({ HANGAR_X: "", GARAGE_X: "b" }, "X"), "b");
  assert.equal(fromEnvironment({ GARAGE_X: "" }, "X"), undefined);
});
