// The daemon's process: configuration and secrets in, platform made, node started, signals handled. All that is not the process is in src/node.
import { accessSync, chmodSync, constants, mkdirSync, statfsSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Config } from "../config/config.ts";
import { fromEnvironment, type Secrets } from "../config/settings.ts";
import { createNode, type HangarNode } from "../node/node.ts";
import { METADATA_RESERVE_BYTES } from "../node/write-gate.ts";
import { NodeCpu } from "../platform/node/cpu.ts";
import { NodeDisk } from "../platform/node/disk.ts";
import { nodeClock } from "../platform/node/clock.ts";
import { nodeFatal } from "../platform/node/fatal.ts";
import { createHttpServerFactory } from "../platform/node/http-server.ts";
import { createLog } from "../platform/node/log.ts";
import { createMetrics } from "../platform/node/metrics.ts";
import { loadNodeKey } from "../platform/node/node-key.ts";
import { nodeRandom } from "../platform/node/random.ts";
import type { Kv } from "../platform/kv.ts";
import type { Log } from "../platform/log.ts";
import type { Platform } from "../platform/platform.ts";
import { localSocketPath } from "../util/local-socket.ts";
import { CommandError } from "./fail.ts";
import { type GlobalOptions, loadConfig } from "./files.ts";
import type { ServerFlags } from "./server-commands.ts";

/** How long requests under way may take after a stop was asked for. */
const STOP_GRACE_MS = 10_000;

export async function runServer(options: GlobalOptions, flags: ServerFlags, version: string): Promise<void> {
  const { config, secrets, warnings } = loadConfig(options, { checkPermissions: true });
  const log = createLog({ level: logLevel() });
  for (const warning of warnings) log.warn({}, warning);
  const daemon = await startDaemon({ config, secrets, log, version, flags });
  log.info({ id: daemon.node.id, s3: daemon.node.s3Address, admin: daemon.node.adminAddress }, `hangar ${version} is ready`);
  await daemon.untilSignal();
}

/** The OpenAPI document of the Admin API, as JSON. */
export async function adminApiSchema(version: string): Promise<string> {
  const { openApiDocument } = await import("../api/admin/openapi.ts");
  return JSON.stringify(openApiDocument(version), null, 2);
}

export interface Daemon {
  readonly node: HangarNode;
  /** Keeps other daemons away from metadata_dir as long as it is referenced. */
  readonly lock: { close(): void };
  /** Waits for SIGINT or SIGTERM, then stops in order; a second signal ends the process at once. */
  untilSignal(): Promise<void>;
}

/** Starts a node in this process. @throws CommandError with a sentence for the operator when it can't start. */
export async function startDaemon(parts: {
  readonly config: Config;
  readonly secrets: Secrets;
  readonly log: Log;
  readonly version: string;
  readonly flags: ServerFlags;
}): Promise<Daemon> {
  const { secrets, log, version, flags } = parts;
  const config = absolute(parts.config);
  if (secrets.rpcSecret === undefined)
    throw new CommandError("rpc_secret (or rpc_secret_file) is required: `openssl rand -hex 32` makes one");
  if (config.replicationFactor !== 1)
    throw new CommandError(
      `replication_factor = ${config.replicationFactor}: this release runs on one node (replication_factor = 1); clusters come with the next one`,
    );
  const defaults = defaultKey(flags);
  let kv: Kv | undefined;
  let lock: { close(): void } | undefined;
  try {
    lock = await lockMetadata(config.metadataDir);
    const key = loadNodeKey(config.metadataDir);
    kv = await openKv(config, log);
    const clock = nodeClock();
    const platform: Platform = {
      clock,
      random: nodeRandom(),
      log,
      kv,
      disk: new NodeDisk(),
      cpu: new NodeCpu({}, { log }),
      http: createHttpServerFactory({ log }),
      fatal: nodeFatal(log),
    };
    const node = await createNode(
      {
        config,
        secrets: { ...secrets, rpcSecret: secrets.rpcSecret },
        id: key.id,
        hostname: hostname(),
        version,
        metrics: createMetrics(),
        singleNode: flags.singleNode === true || flags.defaultAccessKey === true || flags.defaultBucket === true,
        defaults,
        socket: localSocket(config.metadataDir),
        space: () => ({
          data: space(config.dataDirs.filter((dir) => !dir.readOnly).map((dir) => dir.path)),
          metadata: space([config.metadataDir]),
        }),
      },
      platform,
    );
    return { node, lock, untilSignal: () => untilSignal(node, log) };
  } catch (error) {
    await kv?.close().catch(() => undefined);
    lock?.close();
    throw startFailure(error);
  }
}

async function openKv(config: Config, log: Log): Promise<Kv> {
  const common = { sync: config.metadataFsync, log, fatal: nodeFatal(log) };
  if (config.dbEngine === "sqlite") {
    const { openSqliteKv } = await import("../platform/node/kv-sqlite.ts");
    return openSqliteKv({ ...common, file: join(config.metadataDir, "db.sqlite") });
  }
  const { openLmdbKv } = await import("../platform/node/kv-lmdb.ts");
  return openLmdbKv({
    ...common,
    directory: join(config.metadataDir, "db.lmdb"),
    mapSizeBytes: config.lmdbMapSizeBytes + METADATA_RESERVE_BYTES,
  });
}

function absolute(config: Config): Config {
  return {
    ...config,
    metadataDir: resolve(config.metadataDir),
    dataDirs: config.dataDirs.map((dir) => ({ ...dir, path: resolve(dir.path) })),
  };
}

/** The flags' key and bucket, from the environment. */
function defaultKey(flags: ServerFlags): { keyId: string; secret: string; bucket: string | undefined } | undefined {
  if (!flags.defaultAccessKey && !flags.defaultBucket) return undefined;
  const need = (name: string): string => {
    const value = fromEnvironment(process.env, name);
    if (value === undefined)
      throw new CommandError(
        `${flags.defaultBucket ? "--default-bucket" : "--default-access-key"} needs the environment variable HANGAR_${name} (or GARAGE_${name})`,
      );
    return value;
  };
  if (flags.defaultAccessKey && !flags.singleNode && !flags.defaultBucket)
    throw new CommandError("--default-access-key needs --single-node");
  return {
    keyId: need("DEFAULT_ACCESS_KEY"),
    secret: need("DEFAULT_SECRET_KEY"),
    bucket: flags.defaultBucket ? need("DEFAULT_BUCKET") : undefined,
  };
}

/** The daemon's own socket: where to bind it, and what has to happen around that. */
function localSocket(metadataDir: string): { readonly path: string; readonly around: <T>(bind: () => T) => T } {
  const { path, base } = localSocketPath(metadataDir);
  return {
    path,
    around: (bind) => {
      if (base === undefined) return bind();
      const here = process.cwd();
      process.chdir(dirname(base));
      try {
        return bind();
      } finally {
        process.chdir(here);
      }
    },
  };
}

/**
 * Two daemons on one metadata_dir would each believe to be the store. The lock is SQLite's on a file of its own: exclusive on every
 * platform and file system that SQLite supports, and gone with the process, however it ends. Held until the process ends.
 */
async function lockMetadata(metadataDir: string): Promise<{ close(): void }> {
  mkdirSync(metadataDir, { recursive: true, mode: 0o700 });
  const { DatabaseSync } = await import("node:sqlite");
  // A plain look first: SQLite's own words for a folder that can't be used don't say why.
  accessSync(metadataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  const lock = new DatabaseSync(join(metadataDir, "daemon.lock"), { timeout: 0 });
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY)
      throw new CommandError(`a daemon is running on ${metadataDir} already`);
    throw error;
  }
}

const SQLITE_BUSY = 5;

function space(paths: readonly string[]): { availableBytes: number; totalBytes: number } {
  let availableBytes = 0;
  let totalBytes = 0;
  const seen = new Set<string>();
  for (const path of paths) {
    const fs = statfsSync(path);
    const device = `${fs.type}:${fs.blocks}:${fs.bfree}`;
    if (seen.has(device)) continue;
    seen.add(device);
    availableBytes += fs.bavail * fs.bsize;
    totalBytes += fs.blocks * fs.bsize;
  }
  return { availableBytes, totalBytes };
}

function startFailure(error: unknown): Error {
  if (error instanceof CommandError) return error;
  const { code, message, path } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") return new CommandError(`an address is in use already: ${message}. Is another daemon running?`);
  if (code === "EACCES" || code === "EPERM" || code === "EROFS" || code === "ENOTDIR")
    return new CommandError(`no access to ${path ?? "a file"}: ${message}`);
  if (code !== undefined || (error as Error).constructor?.name === "DataDirectoryError" || error instanceof Error)
    return new CommandError(message);
  return error as Error;
}

function logLevel(): "debug" | "info" | "warn" | "error" {
  const asked = fromEnvironment(process.env, "LOG") ?? process.env["RUST_LOG"] ?? "info";
  const own = /(?:^|,)(?:(?:hangar|garage)=)?(trace|debug|info|warn|error)(?:,|$)/.exec(asked)?.[1] ?? "info";
  return own === "trace" ? "debug" : (own as "debug" | "info" | "warn" | "error");
}

async function untilSignal(node: HangarNode, log: Log): Promise<void> {
  const signal = await new Promise<string>((resolvePromise) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => resolvePromise(name));
    process.on("SIGHUP", () => log.info({}, "SIGHUP is ignored"));
  });
  const atOnce = (): void => process.exit(130);
  process.once("SIGINT", atOnce);
  process.once("SIGTERM", atOnce);
  log.info({ signal }, "stopping");
  await node.stop({ graceMs: STOP_GRACE_MS });
  log.info({}, "stopped");
  process.exit(0);
}

/** Makes a folder that only its owner may read. */
export function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}
