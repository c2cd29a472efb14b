import assert from "node:assert/strict";
import { test } from "node:test";
import { type Config, parseConfig } from "./config.ts";
import { exposedSecrets, fromEnvironment, type Overrides, type ReadSecretFile, resolveSecrets } from "./settings.ts";

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
const read: ReadSecretFile = (path) =>
  FILES[path] ?? { failure: path === "/locked" ? { reason: "EACCES: permission denied" } : "absent" };

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
  assert.equal(
    faultOf(configOf('rpc_secret_file = "/no ne"')),
    "rpc_secret_file: /no ne is not there: `openssl rand -hex 32 > '/no ne' && chmod 600 '/no ne'` makes one",
  );
  // What is there is not to be overwritten.
  assert.equal(
    faultOf(configOf('rpc_secret_file = "/locked"')),
    "rpc_secret_file: /locked cannot be read: EACCES: permission denied",
  );
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

test("a configuration file that every user may read: which secrets it holds, and the command for its owner or its reader", () => {
  const file = { path: "/etc/hangar.toml", mode: 0o100644, uid: 0 };
  const root = { uid: 0, gid: 0 };
  const service = { uid: 990, gid: 991 };
  const secrets = ["rpc_secret", "admin.admin_token"];
  assert.equal(
    exposedSecrets(file, secrets, root),
    "/etc/hangar.toml holds rpc_secret, admin.admin_token and every user may read it (mode 644): `chmod 600 /etc/hangar.toml`",
  );
  assert.match(exposedSecrets(file, secrets, service) ?? "", /`chgrp 991 \/etc\/hangar\.toml && chmod 640 \/etc\/hangar\.toml`$/);
  assert.match(
    exposedSecrets({ ...file, path: "/my data/it's.toml" }, secrets, root) ?? "",
    /`chmod 600 '\/my data\/it'\\''s\.toml'`$/,
  );
  assert.equal(exposedSecrets(file, [], root), undefined, "nothing secret in it");
  for (const mode of [0o100600, 0o100640, 0o100660]) assert.equal(exposedSecrets({ ...file, mode }, secrets, root), undefined);
});

test("the secrets that stand in a file, also where they have no effect", () => {
  const inline = (text: string): readonly string[] => {
    const parsed = parseConfig(
      `metadata_dir = "/m"\ndata_dir = "/d"\nreplication_factor = 1\nrpc_bind_addr = "[::]:3901"\n${text}`,
    );
    assert.ok(parsed.ok, JSON.stringify(parsed));
    return parsed.inlineSecrets;
  };
  assert.deepEqual(inline(""), []);
  assert.deepEqual(inline('rpc_secret_file = "/s"\n[admin]\nadmin_token_file = "/t"'), []);
  assert.deepEqual(inline(`rpc_secret = "${OTHER}"\n[admin]\nadmin_token = "a"\nmetrics_token = "b"`), [
    "rpc_secret",
    "admin.admin_token",
    "admin.metrics_token",
  ]);
});
