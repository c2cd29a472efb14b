import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { stringify } from "smol-toml";
import { type Config, type Fault, parseConfig } from "./config.ts";

const SECRET = "ab".repeat(32);
const BASE = {
  metadata_dir: "/m",
  data_dir: "/d",
  replication_factor: 1,
  rpc_bind_addr: "[::]:3901",
  rpc_secret: SECRET,
};
type Values = Readonly<Record<string, unknown>>;

function configOf(values: Values): Config {
  const parsed = parseConfig(stringify({ ...BASE, ...values }));
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.config;
}
function faultsOf(values: Values): readonly Fault[] {
  const whole = Object.fromEntries(Object.entries({ ...BASE, ...values }).filter(([, value]) => value !== undefined));
  const parsed = parseConfig(stringify(whole));
  assert.ok(!parsed.ok, "there are faults");
  return parsed.faults;
}
function warningsOf(values: Values): readonly string[] {
  const parsed = parseConfig(stringify({ ...BASE, ...values }));
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.warnings.map(({ key, reason }) => `${key} ${reason}`);
}

test("the least that a file needs, and what everything else then is", () => {
  assert.deepEqual(configOf({}), {
    metadataDir: "/m",
    dataDirs: [{ path: "/d", capacityBytes: undefined, readOnly: false }],
    metadataFsync: true,
    dataFsync: true,
    dbEngine: "lmdb",
    lmdbMapSizeBytes: 2 ** 40,
    disableScrub: false,
    blockSizeBytes: 2 ** 20,
    blockRamBufferMaxBytes: 2 ** 28,
    blockMaxConcurrentReads: 16,
    blockMaxConcurrentWritesPerRequest: 3,
    compressionLevel: 1,
    replicationFactor: 1,
    consistencyMode: "consistent",
    rpcBindAddr: "[::]:3901",
    rpcPublicAddr: undefined,
    rpcSecret: { value: SECRET },
    bootstrapPeers: [],
    allowWorldReadableSecrets: false,
    allowPunycode: false,
    inlineThresholdBytes: 2 ** 14,
    indexShards: 4,
    blockGcDelayMs: 600_000,
    blockQuarantineKeepMs: 604_800_000,
    commandWindowMs: 60_000,
    partitions: 256,
    s3: undefined,
    admin: undefined,
  });
});

/** Key, what may stand there and what it means. */
const GOOD: readonly (readonly [string, unknown, (config: Config) => unknown, unknown])[] = [
  ["metadata_dir", "relative/meta", (c) => c.metadataDir, "relative/meta"],
  ["metadata_fsync", false, (c) => c.metadataFsync, false],
  ["data_fsync", false, (c) => c.dataFsync, false],
  ["db_engine", "heed", (c) => c.dbEngine, "lmdb"],
  ["db_engine", "rusqlite", (c) => c.dbEngine, "sqlite"],
  ["db_engine", "sqlite3", (c) => c.dbEngine, "sqlite"],
  ["lmdb_map_size", "16MiB", (c) => c.lmdbMapSizeBytes, 2 ** 24],
  ["disable_scrub", true, (c) => c.disableScrub, true],
  ["block_size", "10M", (c) => c.blockSizeBytes, 10_000_000],
  ["block_ram_buffer_max", 1_048_576, (c) => c.blockRamBufferMaxBytes, 1_048_576],
  ["block_max_concurrent_reads", 1, (c) => c.blockMaxConcurrentReads, 1],
  ["block_max_concurrent_writes_per_request", 64, (c) => c.blockMaxConcurrentWritesPerRequest, 64],
  ["compression_level", "none", (c) => c.compressionLevel, undefined],
  ["compression_level", -99, (c) => c.compressionLevel, -99],
  ["compression_level", 0, (c) => c.compressionLevel, 0],
  ["replication_factor", 3, (c) => c.replicationFactor, 3],
  ["consistency_mode", "degraded", (c) => c.consistencyMode, "degraded"],
  ["rpc_bind_addr", "127.0.0.1:0", (c) => c.rpcBindAddr, "127.0.0.1:0"],
  ["rpc_public_addr", "host.example:3901", (c) => c.rpcPublicAddr, "host.example:3901"],
  ["bootstrap_peers", ["a@b:1"], (c) => c.bootstrapPeers, ["a@b:1"]],
  ["allow_world_readable_secrets", true, (c) => c.allowWorldReadableSecrets, true],
  ["allow_punycode", true, (c) => c.allowPunycode, true],
  ["inline_threshold", 0, (c) => c.inlineThresholdBytes, 0],
  ["index_shards", 64, (c) => c.indexShards, 64],
  ["block_gc_delay", "100ms", (c) => c.blockGcDelayMs, 100],
  ["block_gc_delay", 0.25, (c) => c.blockGcDelayMs, 250],
  ["command_window", "1h", (c) => c.commandWindowMs, 3_600_000],
  ["partitions", 64, (c) => c.partitions, 64],
  ["s3_api", { api_bind_addr: "/run/s3.sock", s3_region: "here" }, (c) => c.s3?.bindAddr, "/run/s3.sock"],
  [
    "s3_api",
    { api_bind_addr: "[::]:3900", s3_region: "here", root_domain: ".s3.here", s3_strict_region: true },
    (c) => c.s3,
    { bindAddr: "[::]:3900", region: "here", rootDomain: ".s3.here", strictRegion: true },
  ],
  ["s3_api", { s3_region: "here" }, (c) => c.s3, undefined],
  [
    "admin",
    { api_bind_addr: "[::1]:3903", admin_token: "a", metrics_token_file: "/f", metrics_require_token: true },
    (c) => c.admin,
    { bindAddr: "[::1]:3903", adminToken: { value: "a" }, metricsToken: { file: "/f" }, metricsRequireToken: true },
  ],
  ["admin", { admin_token: "a" }, (c) => c.admin, undefined],
];

describe("values that are taken", () => {
  for (const [key, value, pick, meaning] of GOOD)
    test(`${key} = ${JSON.stringify(value)}`, () => assert.deepEqual(pick(configOf({ [key]: value })), meaning));

  test("data_dir as a list, by capacity and read-only", () => {
    const { dataDirs } = configOf({
      data_dir: [
        { path: "/a", capacity: "1.5TB" },
        { path: "/b", read_only: true },
        { path: "/c", capacity: 7, read_only: false },
      ],
    });
    assert.deepEqual(dataDirs, [
      { path: "/a", capacityBytes: 1.5e12, readOnly: false },
      { path: "/b", capacityBytes: undefined, readOnly: true },
      { path: "/c", capacityBytes: 7, readOnly: false },
    ]);
  });
});

/** Key, a value that is refused there, what the reason speaks of, and the key that is blamed when it is another. */
const BAD: readonly (readonly [string, unknown, RegExp, string?])[] = [
  ["metadata_dir", "", /non-empty/],
  ["metadata_dir", undefined, /required/],
  ["data_dir", "", /path/],
  ["data_dir", [], /list/],
  ["data_dir", ["/a"], /entry 1/],
  ["data_dir", [{ path: "/a" }], /capacity/],
  ["data_dir", [{ path: "/a", capacity: "much" }], /capacity/],
  ["data_dir", [{ path: "/a", capacity: 0 }], /capacity/],
  ["data_dir", [{ path: "/a", read_only: "yes" }], /read_only/],
  ["data_dir", [{ path: "/a", read_only: true, capacity: 1 }], /both/],
  ["data_dir", [{ path: "/a", read_only: true }], /at least one/],
  [
    "data_dir",
    [
      { path: "/a", capacity: 1 },
      { path: "/a", capacity: 1 },
    ],
    /twice/,
  ],
  ["data_dir", undefined, /required/],
  ["metadata_fsync", "true", /true or false/],
  ["db_engine", "sled", /lmdb/],
  ["db_engine", "constructor", /lmdb/],
  ["db_engine", "__proto__", /lmdb/],
  ["lmdb_map_size", "1k", /bytes/],
  ["lmdb_map_size", -1, /size/],
  ["block_size", 100, /1024/],
  ["block_size", "lots", /size such as/],
  ["block_max_concurrent_reads", 0, /1 to 1024/],
  ["block_max_concurrent_reads", 1.5, /whole number/],
  ["compression_level", 23, /22/],
  ["compression_level", "fast", /none/],
  ["replication_factor", undefined, /required/],
  ["replication_factor", 0, /1 to 7/],
  ["replication_mode", "3", /replication_factor/],
  ["consistency_mode", "dangerous", /degraded/],
  ["rpc_bind_addr", "3901", /ip:port/],
  ["rpc_bind_addr", "1.2.3.4:65536", /ip:port/],
  ["rpc_bind_addr", "1.2.3.256:1", /ip:port/],
  ["rpc_bind_addr", "1.2.3:1", /ip:port/],
  ["rpc_bind_addr", "[:::]:1", /ip:port/],
  ["rpc_bind_addr", "/run/socket", /ip:port/],
  ["rpc_public_addr", "somewhere", /ip:port/],
  ["rpc_secret", "abcd", /64 hex/],
  ["rpc_secret_file", "/x", /twice/, "rpc_secret"],
  ["bootstrap_peers", "a@b:1", /list/],
  ["bootstrap_peers", ["a@b:1", 2], /entry 2/],
  ["index_shards", 3, /power of two/],
  ["index_shards", 128, /1 to 64/],
  ["inline_threshold", "1M", /262144/],
  ["block_gc_delay", "soon", /duration/],
  ["block_gc_delay", Number.NaN, /between/],
  ["command_window", "2h", /3600 s/],
  ["partitions", 100, /power of two/],
  ["partitions", 32, /64 to 4096/],
  ["s3_api", "yes", /section/],
  ["s3_api", [{ s3_region: "a" }], /section/],
  ["s3_api", new Date(0), /section/],
  ["s3_api", { api_bind_addr: "[::]:3900" }, /required/, "s3_api.s3_region"],
  ["s3_api", { api_bind_addr: 3900, s3_region: "a" }, /ip:port/, "s3_api.api_bind_addr"],
  ["admin", { admin_token: "two words" }, /blanks/, "admin.admin_token"],
  ["admin", { metrics_require_token: 1 }, /true or false/, "admin.metrics_require_token"],
];

describe("values that are refused, with their key and a reason", () => {
  for (const [key, value, reason, blamed = key] of BAD)
    test(`${key} = ${JSON.stringify(value) ?? "(absent)"}`, () => {
      const faults = faultsOf({ [key]: value });
      assert.deepEqual(
        faults.map((fault) => fault.key),
        [blamed],
      );
      assert.match(faults[0]?.reason ?? "", reason);
    });
});

test("unknown keys are named along with the faults that they may be the cause of, with what they seem to mean", () => {
  const { metadata_dir: _, ...rest } = BASE;
  const parsed = parseConfig(stringify({ metadata_dri: "/m", ...rest }));
  assert.ok(!parsed.ok);
  assert.deepEqual(parsed.faults, [{ key: "metadata_dir", reason: "is required" }]);
  assert.deepEqual(parsed.warnings, [
    { key: "metadata_dri", reason: "is not a key that Hangar knows; ignored (did you mean metadata_dir?)" },
  ]);
});

test("an unknown key: the known one that it is nearest to, or the section that it belongs to", () => {
  const hint = (values: Values): string | undefined =>
    warningsOf(values)
      .map((warning) => /\((did .*|it .*)\)$/.exec(warning)?.[1])
      .find((found) => found !== undefined);
  assert.equal(hint({ s3api: { api_bind_addr: "[::]:3900", s3_region: "a" } }), "did you mean s3_api?");
  assert.equal(hint({ admn: {} }), "did you mean admin?");
  assert.equal(hint({ blocksize: 1 }), "did you mean block_size?");
  assert.equal(hint({ s3_api: { api_bind_adr: "[::]:3900", s3_region: "a" } }), "did you mean s3_api.api_bind_addr?");
  assert.equal(hint({ admin: { admin_tokne: "x" } }), "did you mean admin.admin_token?");
  assert.equal(hint({ s3_api: { block_size: 2 ** 20, s3_region: "a" } }), "it belongs above the first [section]");
  assert.equal(hint({ s3_region: "a", s3_api: { s3_region: "a" } }), "it belongs below [s3_api]");
  assert.equal(hint({ colour: "red", x: 1, ["a".repeat(5000)]: 1 }), undefined);
});

test("all faults come at once", () => {
  const faults = faultsOf({
    metadata_dir: 1,
    block_size: "x",
    index_shards: 5,
    rpc_bind_addr: undefined,
    s3_api: { api_bind_addr: "x" },
  });
  assert.deepEqual(faults.map((fault) => fault.key).sort(), [
    "block_size",
    "index_shards",
    "metadata_dir",
    "rpc_bind_addr",
    "s3_api.api_bind_addr",
    "s3_api.s3_region",
  ]);
});

test("a file that is no TOML is one fault, and so is a number too large for it", () => {
  for (const text of ["a = ", "[a\n", "a = 1\na = 2", "x = 99999999999999999999999"]) {
    const parsed = parseConfig(text);
    assert.ok(!parsed.ok && parsed.faults.length === 1 && parsed.faults[0]?.key === "(file)", text);
  }
});

test("keys that are read and not obeyed are warned of when they are given", () => {
  assert.deepEqual(warningsOf({}), []);
  assert.deepEqual(warningsOf({ consistency_mode: "degraded", bootstrap_peers: ["a"], block_max_concurrent_reads: 3 }), [
    "consistency_mode has no effect in this release",
    "bootstrap_peers has no effect in this release",
    "block_max_concurrent_reads has no effect in this release",
  ]);
});

test("a fault of TOML says where it is", () => {
  const parsed = parseConfig('metadata_dir = "/m"\ndata_dir = = "/d"\n');
  assert.ok(!parsed.ok);
  assert.match(parsed.faults[0]?.reason ?? "", /^is not valid TOML in line 2, column \d+: [a-z]/);
});

test("a secret given twice is a fault beside what is wrong with one of the two", () => {
  const reasons = faultsOf({ rpc_secret: "short", rpc_secret_file: "/f" }).map(({ key, reason }) => `${key} ${reason}`);
  assert.equal(reasons.length, 2);
  assert.match(reasons[0] ?? "", /^rpc_secret expects 64/);
  assert.match(reasons[1] ?? "", /^rpc_secret is given twice/);
});

test("unknown keys are warnings at every level; keys of Garage without effect are called so", () => {
  const warnings = warningsOf({
    colour: "red",
    use_local_tz: true,
    s3_web: { bind_addr: "[::]:3902", root_domain: ".web", index: "index.html" },
    data_dir: [{ path: "/a", capacity: 1, speed: 3 }],
    s3_api: { api_bind_addr: "[::]:3900", s3_region: "a", s3_regoin: "b" },
    admin: { trace_sink: "http://x", admin_tokne: "y" },
  });
  assert.deepEqual([...warnings].sort(), [
    "admin.admin_tokne is not a key that Hangar knows; ignored (did you mean admin.admin_token?)",
    "admin.trace_sink has no effect in this release",
    "colour is not a key that Hangar knows; ignored",
    "data_dir.speed is not a key that Hangar knows; ignored",
    "s3_api.s3_regoin is not a key that Hangar knows; ignored (did you mean s3_api.s3_region?)",
    "s3_web has no effect in this release",
    "use_local_tz has no effect in this release",
  ]);
  assert.deepEqual(warningsOf({ s3_api: { api_bind_addr: "[::]:3900", s3_region: "a" }, admin: { admin_token: "x" } }), []);
});

const KEYS = [
  ...new Set([...GOOD, ...BAD].map(([key]) => key)),
  ...["rpc_secret", "rpc_secret_file", "__proto__", "constructor", "toString", "k2v_api", "unknown"],
];
const SECTION_KEYS = ["api_bind_addr", "s3_region", "root_domain", "s3_strict_region", "admin_token", "admin_token_file", "x"];
const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.string(),
    fc.constantFrom("lmdb", "none", "1M", "10min", "127.0.0.1:1", SECRET, ""),
    fc.maxSafeInteger(),
    fc.integer({ min: -5, max: 300 }),
    fc.double(),
    fc.boolean(),
    fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("path", "capacity", "read_only", "x"), tie("value"), { maxKeys: 3 }),
    fc.dictionary(fc.constantFrom(...SECTION_KEYS), tie("value"), { maxKeys: 5 }),
  ),
})).value;

test("random values never crash the parser: faults with key and reason, or a configuration whose numbers are in range", () => {
  const document = fc.dictionary(fc.constantFrom(...KEYS), value, { maxKeys: 8 });
  fc.assert(
    fc.property(document, fc.boolean(), (values, complete) => {
      let source: string;
      try {
        source = stringify({ ...(complete ? BASE : {}), ...values });
      } catch {
        return; // what TOML can't write
      }
      const parsed = parseConfig(source);
      if (!parsed.ok) {
        assert.ok(parsed.faults.length > 0);
        for (const fault of parsed.faults) assert.ok(fault.key !== "" && fault.reason !== "");
        return;
      }
      const { config } = parsed;
      for (const number of Object.values(config).filter((one) => typeof one === "number"))
        assert.ok(Number.isSafeInteger(number), `whole numbers only: ${number}`);
      assert.ok(["lmdb", "sqlite"].includes(config.dbEngine) && config.dataDirs.length > 0 && config.metadataDir !== "");
    }),
    { numRuns: 600 },
  );
});

test("random text never crashes the parser", () => {
  const line = fc.oneof(
    fc.string(),
    fc.tuple(fc.constantFrom(...KEYS, "[s3_api]", "[admin]", "[["), fc.string()).map(([key, rest]) => `${key} = ${rest}`),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
      const parsed = parseConfig(lines.join("\n"));
      assert.equal(typeof parsed.ok, "boolean");
    }),
    { numRuns: 600 },
  );
});
