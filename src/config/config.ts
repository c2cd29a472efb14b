import { parse as parseToml } from "smol-toml";
import { nearest } from "./nearest.ts";
import { address, duration, flag, hex32, integer, listOf, oneOf, type Reader, size, text, token } from "./values.ts";

/**
 * The configuration file: Garage's keys, and a few of our own. Unknown keys are tolerated with a warning; all faults of a file
 * are reported together, each with its key and the reason. Pure: the text comes in, what it means goes out.
 */
export interface Config {
  readonly metadataDir: string;
  readonly dataDirs: readonly DataDir[];
  readonly metadataFsync: boolean;
  readonly dataFsync: boolean;
  readonly dbEngine: "lmdb" | "sqlite";
  readonly lmdbMapSizeBytes: number;
  readonly disableScrub: boolean;
  readonly blockSizeBytes: number;
  readonly blockRamBufferMaxBytes: number;
  /** Read for the sake of its faults; reads are bounded by their memory (`block_ram_buffer_max`). */
  readonly blockMaxConcurrentReads: number;
  readonly blockMaxConcurrentWritesPerRequest: number;
  /** undefined: never compress. */
  readonly compressionLevel: number | undefined;
  readonly replicationFactor: number;
  readonly consistencyMode: "consistent" | "degraded";
  readonly rpcBindAddr: string;
  readonly rpcPublicAddr: string | undefined;
  readonly rpcSecret: Secret;
  readonly bootstrapPeers: readonly string[];
  readonly allowWorldReadableSecrets: boolean;
  readonly allowPunycode: boolean;
  /** Our own: size up to which an object's bytes lie in the metadata. */
  readonly inlineThresholdBytes: number;
  /** Our own: shards of a new bucket's listing. */
  readonly indexShards: number;
  /** Our own: how long an unreferenced block's file stays. */
  readonly blockGcDelayMs: number;
  /** Our own: how long a file that no row knows of stays in the quarantine. */
  readonly blockQuarantineKeepMs: number;
  /** Our own: longest life of a command (commandWindow). */
  readonly commandWindowMs: number;
  /** Our own: number of partitions of a new cluster. */
  readonly partitions: number;
  readonly s3:
    | {
        readonly bindAddr: string;
        readonly region: string;
        readonly rootDomain: string | undefined;
        readonly strictRegion: boolean;
      }
    | undefined;
  readonly admin:
    | {
        readonly bindAddr: string;
        readonly adminToken: Secret;
        readonly metricsToken: Secret;
        readonly metricsRequireToken: boolean;
      }
    | undefined;
}

export interface DataDir {
  readonly path: string;
  /** undefined: the only directory, or read-only. */
  readonly capacityBytes: number | undefined;
  readonly readOnly: boolean;
}

/** A secret by value or by file; neither: undefined. */
export type Secret = { readonly value: string } | { readonly file: string } | undefined;

export interface Fault {
  readonly key: string;
  readonly reason: string;
}

export type ParsedConfig =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly warnings: readonly Fault[];
      /** Keys of the secrets that stand in the file itself. */
      readonly inlineSecrets: readonly string[];
    }
  | {
      readonly ok: false;
      readonly faults: readonly Fault[];
      /** A key that is missing may be here, misspelt. */
      readonly warnings: readonly Fault[];
    };

/**
 * Keys of Garage that mean something this release does not have yet, or that have no effect here. They are not unknown, and not
 * obeyed.
 */
const WITHOUT_EFFECT = new Set([
  "bootstrap_peers",
  "consistency_mode",
  "block_max_concurrent_reads",
  "metadata_snapshots_dir",
  "metadata_auto_snapshot_interval",
  "use_local_tz",
  "fjall_block_cache_size",
  "rpc_bind_outgoing",
  "rpc_public_addr_subnet",
  "rpc_ping_timeout_msec",
  "rpc_timeout_msec",
  "s3_web",
  "k2v_api",
  "consul_discovery",
  "kubernetes_discovery",
  "admin.trace_sink",
]);

export function parseConfig(source: string): ParsedConfig {
  let document: Record<string, unknown>;
  try {
    document = parseToml(source) as Record<string, unknown>;
  } catch (error) {
    return { ok: false, faults: [{ key: "(file)", reason: `is not valid TOML${tomlFault(error)}` }], warnings: [] };
  }
  return new Parser(document).parse();
}

/** Where and what; the library's message goes on with a picture of the place. */
function tomlFault(error: unknown): string {
  const { line, column, message } = error as Error & { readonly line?: number; readonly column?: number };
  const what = (message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
  return line === undefined ? `: ${what}` : ` in line ${line}, column ${column}: ${what}`;
}

class Parser {
  readonly #document: Record<string, unknown>;
  readonly #faults: Fault[] = [];
  readonly #warnings: Fault[] = [];
  readonly #known = new Set<string>();
  readonly #inlineSecrets: string[] = [];

  constructor(document: Record<string, unknown>) {
    this.#document = document;
  }

  parse(): ParsedConfig {
    if (this.#document["replication_mode"] !== undefined)
      this.#faults.push({
        key: "replication_mode",
        reason: "is from Garage 0.x/1.x: use replication_factor and consistency_mode",
      });
    this.#known.add("replication_mode");
    const dataDirs = this.#required("data_dir", readDataDirs) ?? [];
    const config: Config = {
      metadataDir: this.#required("metadata_dir", text) ?? "",
      dataDirs,
      metadataFsync: this.#optional("metadata_fsync", flag, true),
      dataFsync: this.#optional("data_fsync", flag, true),
      dbEngine: this.#optional(
        "db_engine",
        oneOf({ lmdb: "lmdb", heed: "lmdb", sqlite: "sqlite", sqlite3: "sqlite", rusqlite: "sqlite" } as const),
        "lmdb",
      ),
      lmdbMapSizeBytes: this.#optional("lmdb_map_size", sizeWithin(2 ** 20, 2 ** 46), 2 ** 40),
      disableScrub: this.#optional("disable_scrub", flag, false),
      blockSizeBytes: this.#optional("block_size", sizeWithin(1024, 2 ** 28), 2 ** 20),
      blockRamBufferMaxBytes: this.#optional("block_ram_buffer_max", sizeWithin(2 ** 20, 2 ** 40), 2 ** 28),
      blockMaxConcurrentReads: this.#optional("block_max_concurrent_reads", integer(1, 1024), 16),
      blockMaxConcurrentWritesPerRequest: this.#optional("block_max_concurrent_writes_per_request", integer(1, 64), 3),
      compressionLevel: this.#optional("compression_level", readCompression, 1),
      replicationFactor: this.#required("replication_factor", integer(1, 7)) ?? 1,
      consistencyMode: this.#optional(
        "consistency_mode",
        oneOf({ consistent: "consistent", degraded: "degraded" } as const),
        "consistent",
      ),
      rpcBindAddr: this.#required("rpc_bind_addr", address({ socket: false })) ?? "",
      rpcPublicAddr: this.#optional<string | undefined>("rpc_public_addr", address({ socket: false }), undefined),
      rpcSecret: this.#secret("rpc_secret", hex32),
      bootstrapPeers: this.#optional("bootstrap_peers", listOf(text), []),
      allowWorldReadableSecrets: this.#optional("allow_world_readable_secrets", flag, false),
      allowPunycode: this.#optional("allow_punycode", flag, false),
      inlineThresholdBytes: this.#optional("inline_threshold", sizeWithin(0, 2 ** 18), 2 ** 14),
      indexShards: this.#optional("index_shards", powerOfTwo(1, 64), 4),
      blockGcDelayMs: this.#optional("block_gc_delay", duration(100, 7 * 86_400_000), 600_000),
      blockQuarantineKeepMs: this.#optional("block_quarantine_keep", duration(0, 365 * 86_400_000), 7 * 86_400_000),
      commandWindowMs: this.#optional("command_window", duration(100, 3_600_000), 60_000),
      partitions: this.#optional("partitions", powerOfTwo(64, 4096), 256),
      s3: this.#section("s3_api") ? this.#s3() : undefined,
      admin: this.#section("admin") ? this.#admin() : undefined,
    };
    this.#findUnknown();
    if (this.#faults.length > 0) return { ok: false, faults: this.#faults, warnings: this.#warnings };
    return { ok: true, config, warnings: this.#warnings, inlineSecrets: this.#inlineSecrets };
  }

  #s3(): Config["s3"] {
    const bindAddr = this.#optional<string | undefined>("s3_api.api_bind_addr", address({ socket: true }), undefined);
    const region = this.#required("s3_api.s3_region", text) ?? "";
    const rootDomain = this.#optional<string | undefined>("s3_api.root_domain", text, undefined);
    const strictRegion = this.#optional("s3_api.s3_strict_region", flag, false);
    return bindAddr === undefined ? undefined : { bindAddr, region, rootDomain, strictRegion };
  }

  #admin(): Config["admin"] {
    const bindAddr = this.#optional<string | undefined>("admin.api_bind_addr", address({ socket: true }), undefined);
    const adminToken = this.#secret("admin.admin_token", token);
    const metricsToken = this.#secret("admin.metrics_token", token);
    const metricsRequireToken = this.#optional("admin.metrics_require_token", flag, false);
    return bindAddr === undefined ? undefined : { bindAddr, adminToken, metricsToken, metricsRequireToken };
  }

  #raw(key: string): unknown {
    this.#known.add(key);
    const [section, name] = key.includes(".") ? key.split(".") : [undefined, key];
    const from = section === undefined ? this.#document : (this.#document[section] as Record<string, unknown> | undefined);
    return from?.[name as string];
  }

  #section(name: string): boolean {
    this.#known.add(name);
    const value = this.#document[name];
    if (value === undefined) return false;
    if (isTable(value)) return true;
    this.#faults.push({ key: name, reason: `expects a section [${name}]` });
    return false;
  }

  #required<T>(key: string, read: Reader<T>): T | undefined {
    const raw = this.#raw(key);
    if (raw === undefined) {
      this.#faults.push({ key, reason: "is required" });
      return undefined;
    }
    const value = read(raw);
    if (value.ok) return value.value;
    this.#faults.push({ key, reason: value.fault });
    return undefined;
  }

  #optional<T>(key: string, read: Reader<T>, otherwise: T): T {
    const raw = this.#raw(key);
    if (raw === undefined) return otherwise;
    const value = read(raw);
    if (value.ok) return value.value;
    this.#faults.push({ key, reason: value.fault });
    return otherwise;
  }

  #secret(key: string, read: Reader<string>): Secret {
    const value = this.#optional<string | undefined>(key, read, undefined);
    const file = this.#optional<string | undefined>(`${key}_file`, text, undefined);
    if (this.#raw(key) !== undefined && this.#raw(`${key}_file`) !== undefined)
      this.#faults.push({ key, reason: `is given twice: keep either ${key} or ${key}_file` });
    if (value !== undefined) this.#inlineSecrets.push(key);
    return value !== undefined ? { value } : file !== undefined ? { file } : undefined;
  }

  #findUnknown(): void {
    const note = (key: string): void => {
      if (WITHOUT_EFFECT.has(key)) this.#warnings.push({ key, reason: "has no effect in this release" });
      else this.#warnings.push({ key, reason: `is not a key that Hangar knows; ignored${this.#hint(key)}` });
    };
    for (const [key, value] of Object.entries(this.#document)) {
      if (!this.#known.has(key) || WITHOUT_EFFECT.has(key)) note(key);
      else if (key === "s3_api" || key === "admin")
        for (const name of isTable(value) ? Object.keys(value) : [])
          if (!this.#known.has(`${key}.${name}`)) note(`${key}.${name}`);
    }
    const dirs = this.#document["data_dir"];
    for (const dir of Array.isArray(dirs) ? dirs : [])
      for (const name of isTable(dir) ? Object.keys(dir) : []) if (!DATA_DIR_KEYS.has(name)) note(`data_dir.${name}`);
  }

  /** What an unknown key seems to mean; empty when nothing is near. */
  #hint(key: string): string {
    const known = [...this.#known];
    // Everything after a [section] belongs to it: the usual way for a good key to be unknown.
    const name = key.slice(key.indexOf(".") + 1);
    const elsewhere = known.find((one) => one.slice(one.indexOf(".") + 1) === name);
    if (elsewhere?.includes(".")) return ` (it belongs below [${elsewhere.split(".")[0]}])`;
    if (elsewhere !== undefined) return " (it belongs above the first [section])";
    const near = nearest(key, [...known, ...[...DATA_DIR_KEYS].map((one) => `data_dir.${one}`)]);
    return near === undefined ? "" : ` (did you mean ${near}?)`;
  }
}

/** A TOML table; dates are objects too. */
function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function sizeWithin(min: number, max: number): Reader<number> {
  return (raw) => {
    const read = size(raw);
    return !read.ok || (read.value >= min && read.value <= max)
      ? read
      : { ok: false, fault: `expects ${min} to ${max} bytes, got ${read.value}` };
  };
}

function powerOfTwo(min: number, max: number): Reader<number> {
  return (raw) => {
    const read = integer(min, max)(raw);
    return !read.ok || (read.value & (read.value - 1)) === 0
      ? read
      : { ok: false, fault: `expects a power of two, got ${read.value}` };
  };
}

const readCompression: Reader<number | undefined> = (raw) =>
  raw === "none"
    ? { ok: true, value: undefined }
    : typeof raw === "string"
      ? { ok: false, fault: 'expects a whole number, or "none"' }
      : integer(-99, 22)(raw);

const DATA_DIR_KEYS = new Set(["path", "capacity", "read_only"]);

const readDataDirs: Reader<readonly DataDir[]> = (raw) => {
  if (typeof raw === "string")
    return raw === ""
      ? { ok: false, fault: "expects a path" }
      : { ok: true, value: [{ path: raw, capacityBytes: undefined, readOnly: false }] };
  if (!Array.isArray(raw) || raw.length === 0)
    return { ok: false, fault: 'expects a path, or a list of { path = "…", capacity = "…" }' };
  const dirs: DataDir[] = [];
  for (const [at, entry] of raw.entries()) {
    const item: unknown = entry;
    if (!isTable(item) || typeof item["path"] !== "string" || item["path"] === "")
      return { ok: false, fault: `entry ${at + 1}: expects { path = "…", capacity = "…" }` };
    const readOnly = item["read_only"] ?? false;
    if (typeof readOnly !== "boolean") return { ok: false, fault: `entry ${at + 1}: read_only expects true or false` };
    const capacity = item["capacity"] === undefined ? undefined : size(item["capacity"]);
    if (capacity && !capacity.ok) return { ok: false, fault: `entry ${at + 1}: capacity ${capacity.fault}` };
    if (!readOnly && (capacity === undefined || capacity.value === 0))
      return { ok: false, fault: `entry ${at + 1}: needs a capacity (or read_only = true)` };
    if (readOnly && capacity !== undefined) return { ok: false, fault: `entry ${at + 1}: has both capacity and read_only` };
    dirs.push({ path: item["path"], capacityBytes: capacity?.value, readOnly });
  }
  if (dirs.every((dir) => dir.readOnly)) return { ok: false, fault: "needs at least one directory that is not read_only" };
  if (new Set(dirs.map((dir) => dir.path)).size < dirs.length) return { ok: false, fault: "names a path twice" };
  return { ok: true, value: dirs };
};
