// The daemon's process: configuration and secrets in, platform made, node started, signals handled. All that is not the process
// is in src/node.
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, statfsSync, statSync, symlinkSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Config } from "../config/config.ts";
import { fromEnvironment, type Secrets } from "../config/settings.ts";
import { DoorError } from "../node/door.ts";
import { createNode, type HangarNode } from "../node/node.ts";
import type { Space } from "../node/node-options.ts";
import { METADATA_RESERVE_BYTES } from "../node/write-gate.ts";
import { NodeCpu } from "../platform/node/cpu.ts";
import { NodeDisk } from "../platform/node/disk.ts";
import { nodeClock } from "../platform/node/clock.ts";
import { nodeFailStop, nodeFatal } from "../platform/node/fatal.ts";
import { createHttpServerFactory } from "../platform/node/http-server.ts";
import { createLog } from "../platform/node/log.ts";
import { createMetrics } from "../platform/node/metrics.ts";
import { loadNodeKey } from "../platform/node/node-key.ts";
import { openFileLimit } from "../platform/node/open-files.ts";
import { nodeRandom } from "../platform/node/random.ts";
import type { Clock } from "../platform/clock.ts";
import type { FileLock } from "../platform/disk.ts";
import type { Kv } from "../platform/kv.ts";
import type { Log } from "../platform/log.ts";
import type { Platform } from "../platform/platform.ts";
import { localSocketPath } from "../util/local-socket.ts";
import { CommandError, systemReason } from "./fail.ts";
import { type GlobalOptions, loadConfig } from "./files.ts";
import { readLogLevel } from "./log-level.ts";
import { DATABASES, lockMetadata, refuseOtherStore } from "./metadata-dir.ts";

/** How long requests under way may take after a stop was asked for. */
const STOP_GRACE_MS = 10_000;
/**
 * When the whole stop has to be through; a disk that hangs would hold it up for ever. The next start makes up for what was cut
 * off.
 */
const STOP_DEADLINE_MS = 30_000;

/** Options of `hangar server`. */
export interface ServerFlags {
  readonly singleNode?: boolean;
  readonly defaultAccessKey?: boolean;
  readonly defaultBucket?: boolean;
}

export async function runServer(options: GlobalOptions, flags: ServerFlags, version: string): Promise<void> {
  const { path, config, secrets, warnings } = loadConfig(options, { checkPermissions: true });
  const { level, warning: odd } = readLogLevel(fromEnvironment(process.env, "LOG"), process.env["RUST_LOG"]);
  const log = createLog({ level });
  for (const warning of [...warnings, ...(odd ? [odd] : []), ...withoutEffect()]) log.warn({}, warning);
  const daemon = await startDaemon({ path, config, secrets, log, version, flags });
  const { id, s3Address: s3, adminAddress: admin } = daemon.node;
  log.info({ id, s3, admin }, `hangar ${version} is ready: ${openDoors({ s3, admin })}`);
  await daemon.untilSignal();
}

/** What is served where; a door that was never asked for, perhaps for want of a letter, is named as well. */
function openDoors({ s3, admin }: { readonly s3: string | undefined; readonly admin: string | undefined }): string {
  return [
    s3 === undefined ? "no S3 port (api_bind_addr in [s3_api] opens one)" : `S3 on ${s3}`,
    admin === undefined ? "no admin port (api_bind_addr in [admin] opens one)" : `admin on ${admin}`,
  ].join(", ");
}

/** Garage's variables that mean something this release does not have. */
function withoutEffect(): string[] {
  return ["LOG_TO_SYSLOG", "LOG_TO_JOURNALD"]
    .filter((name) => /^(1|true)$/i.test(fromEnvironment(process.env, name) ?? ""))
    .map((name) => `${name}: this release logs to standard error only, one JSON object a line`);
}

/** The OpenAPI document of the Admin API, as JSON. */
export async function adminApiSchema(version: string): Promise<string> {
  const { openApiDocument } = await import("../api/admin/openapi.ts");
  return JSON.stringify(openApiDocument(version), null, 2);
}

export interface Daemon {
  readonly node: HangarNode;
  /** Keeps other daemons away from metadata_dir as long as it is referenced. */
  readonly lock: FileLock;
  /** Waits for SIGINT or SIGTERM, then stops in order; a second signal ends the process at once. */
  untilSignal(): Promise<void>;
}

/** Starts a node in this process. @throws CommandError with a sentence for the operator when it can't start. */
export async function startDaemon(parts: {
  /** Of the configuration file, for what has to be changed there. */
  readonly path: string;
  readonly config: Config;
  readonly secrets: Secrets;
  readonly log: Log;
  readonly version: string;
  readonly flags: ServerFlags;
}): Promise<Daemon> {
  const { secrets, log, version, flags } = parts;
  // Names, secret keys and objects are nobody else's, also in a folder that was made beforehand; the APIs' sockets are opened up
  // by themselves.
  process.umask(0o077);
  const clock = nodeClock();
  const stops = watchSignals(log, clock);
  const config = absolute(parts.config);
  if (secrets.rpcSecret === undefined)
    throw new CommandError("rpc_secret (or rpc_secret_file) is required: `openssl rand -hex 32` makes one");
  if (config.replicationFactor !== 1)
    throw new CommandError(
      `replication_factor = ${config.replicationFactor}: this release runs on one node (replication_factor = 1); clusters come with the next one`,
    );
  const defaults = defaultKey(flags);
  let kv: Kv | undefined;
  let lock: FileLock | undefined;
  try {
    lock = await lockMetadata(config.metadataDir);
    refuseOtherStore(config.metadataDir, config.dbEngine);
    const key = loadNodeKey(config.metadataDir);
    kv = await openKv(config, log);
    const platform: Platform = {
      clock,
      random: nodeRandom(),
      log,
      kv,
      disk: new NodeDisk(),
      cpu: new NodeCpu({}, { log }),
      http: createHttpServerFactory({ log, openFiles: openFileLimit() }),
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
          get data() {
            return dataSpace(config);
          },
          get metadata() {
            return spaceOf(config.metadataDir);
          },
        }),
      },
      platform,
    );
    return { node, lock, untilSignal: async () => stopNode(node, { signal: await stops.next(), log, clock }) };
  } catch (error) {
    await kv?.close().catch(() => undefined);
    lock?.release();
    throw startFailure(error, parts.path);
  }
}

async function openKv(config: Config, log: Log): Promise<Kv> {
  const common = { sync: config.metadataFsync, log, fatal: nodeFatal(log), failed: nodeFailStop(log) };
  if (config.dbEngine === "sqlite") {
    const { openSqliteKv } = await import("../platform/node/kv-sqlite.ts");
    return openSqliteKv({ ...common, file: join(config.metadataDir, DATABASES.sqlite) });
  }
  const { openLmdbKv } = await import("../platform/node/kv-lmdb.ts");
  return openLmdbKv({
    ...common,
    directory: join(config.metadataDir, DATABASES.lmdb),
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

/**
 * The daemon's own socket: where to bind it, and what has to happen around that. A socket's path has some 100 bytes at most; in a
 * folder that lies deeper it is bound through a short link, which is needed no longer than that.
 */
function localSocket(metadataDir: string): { readonly path: string; readonly around: <T>(bind: () => Promise<T>) => Promise<T> } {
  const { path, base } = localSocketPath(metadataDir);
  if (base === undefined) return { path, around: (bind) => bind() };
  const short = join(tmpdir(), `hangar-${randomBytes(6).toString("hex")}`);
  return {
    path: join(short, "meta", path),
    around: async (bind) => {
      mkdirSync(short, { mode: 0o700 });
      try {
        symlinkSync(metadataDir, join(short, "meta"));
        return await bind();
      } finally {
        rmSync(short, { recursive: true });
      }
    },
  };
}

/** Disks of several directories count once; a directory that is not there has no space. */
function dataSpace(config: Config): Space {
  const sum = { availableBytes: 0, totalBytes: 0 };
  const seen = new Set<number>();
  for (const { path, readOnly } of config.dataDirs) {
    if (readOnly) continue;
    try {
      const { dev } = statSync(path);
      if (seen.has(dev)) continue;
      seen.add(dev);
      const one = spaceOf(path);
      sum.availableBytes += one.availableBytes;
      sum.totalBytes += one.totalBytes;
    } catch {
      // Its blocks can't be reached either, and those who want them are told.
    }
  }
  return sum;
}

function spaceOf(path: string): Space {
  const fs = statfsSync(path);
  return { availableBytes: fs.bavail * fs.bsize, totalBytes: fs.blocks * fs.bsize };
}

/** What the operator is told of a failed start: a sentence, or for a bug of ours all there is. */
function startFailure(error: unknown, configFile: string): unknown {
  if (error instanceof CommandError || !(error instanceof Error)) return error;
  if (BUGS.has(error.name)) return error;
  if (error instanceof DoorError) return new CommandError(`${error.message} (${error.key} in ${configFile})`);
  const { code, message, path } = error as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS" || code === "ENOTDIR")
    return new CommandError(`no access to ${path ?? "a file"}: ${systemReason(error)}`);
  return new CommandError(message);
}

const BUGS = new Set(["TypeError", "ReferenceError", "RangeError", "AssertionError"]);

/** A second signal within this time is the same one: the terminal sends Ctrl-C to npm and to the daemon, and npm passes it on. */
const SAME_SIGNAL_MS = 500;

/**
 * Settles with the first SIGINT or SIGTERM once somebody waits for it; a second one ends the process at once, as does the first
 * while the node starts: every start makes up for what the one before left undone. (As process 1 of a container it would not even
 * be noticed without a handler.)
 */
function watchSignals(log: Log, clock: Clock): Stops {
  let stop: ((signal: Signal) => void) | undefined;
  let stoppedMs = Number.NEGATIVE_INFINITY;
  const on = (signal: Signal): void => {
    if (stop) {
      stoppedMs = clock.monotonicMs();
      stop(signal);
      stop = undefined;
    } else if (clock.monotonicMs() - stoppedMs >= SAME_SIGNAL_MS) process.exit(128 + SIGNALS[signal]);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => on(signal));
  process.on("SIGHUP", () => log.info({}, "SIGHUP is ignored"));
  return { next: () => new Promise((resolvePromise) => (stop = resolvePromise)) };
}

type Signal = "SIGINT" | "SIGTERM";
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

interface Stops {
  next(): Promise<Signal>;
}

async function stopNode(node: HangarNode, { signal, log, clock }: { signal: Signal; log: Log; clock: Clock }): Promise<void> {
  log.info({ signal }, "stopping");
  clock.timer(STOP_DEADLINE_MS, () => {
    log.error({}, "the stop takes too long; ending without its last steps, which the next start makes up for");
    process.exit(1);
  });
  await node.stop({ graceMs: STOP_GRACE_MS });
  log.info({}, "stopped");
  process.exit(0);
}

/** Makes a folder that only its owner may read. */
export function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}
