import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseConfig, type Config } from "../../src/config/config.ts";
import type { Control } from "../../src/model/control/control.ts";
import { createNode, type HangarNode } from "../../src/node/node.ts";
import { nodeClock } from "../../src/platform/node/clock.ts";
import { NodeCpu } from "../../src/platform/node/cpu.ts";
import { NodeDisk } from "../../src/platform/node/disk.ts";
import { nodeFatal } from "../../src/platform/node/fatal.ts";
import { createHttpServerFactory } from "../../src/platform/node/http-server.ts";
import { openLmdbKv } from "../../src/platform/node/kv-lmdb.ts";
import { createMetrics } from "../../src/platform/node/metrics.ts";
import { loadNodeKey } from "../../src/platform/node/node-key.ts";
import { nodeRandom } from "../../src/platform/node/random.ts";
import type { Metrics } from "../../src/platform/metrics.ts";
import { EXPIRED, errorLog, IDENTITY, OTHER, REGION, ROOT_DOMAIN, type S3TestServer } from "./server.ts";

export interface NodeServer extends S3TestServer {
  readonly metrics: Metrics;
  /** As the administrator changes them. */
  readonly control: Pick<Control, "command">;
}

const SPACE = { availableBytes: 1e12, totalBytes: 1e12 };

/**
 * A whole node in this process, as the daemon composes it: lmdb, files and sockets in a directory of its own, removed when it
 * stops.
 */
export async function startNodeServer({ settings = "" }: { settings?: string } = {}): Promise<NodeServer> {
  const home = mkdtempSync(join(tmpdir(), "hangar-wire-"));
  try {
    return await start(home, configOf(home, settings));
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    throw error;
  }
}

async function start(home: string, config: Config): Promise<NodeServer> {
  const errors: string[] = [];
  const log = errorLog(errors);
  const { id } = loadNodeKey(config.metadataDir);
  const fatal = nodeFatal(log);
  const { lmdbMapSizeBytes, metadataFsync } = config;
  const kv = await openLmdbKv({
    directory: join(config.metadataDir, "db.lmdb"),
    mapSizeBytes: lmdbMapSizeBytes,
    sync: metadataFsync,
    log,
    fatal,
    failed: fatal,
  });
  const metrics = createMetrics();
  const node = await createNode(
    {
      config,
      secrets: { rpcSecret: "0".repeat(64), adminToken: undefined, metricsToken: undefined },
      id,
      hostname: "wire-test",
      version: "0.0.0",
      metrics,
      singleNode: true,
      defaults: { keyId: IDENTITY.keyId, secret: IDENTITY.secret, bucket: undefined },
      socket: undefined,
      space: () => ({ data: SPACE, metadata: SPACE }),
    },
    {
      clock: nodeClock(),
      random: nodeRandom(),
      log,
      kv,
      disk: new NodeDisk(),
      cpu: new NodeCpu({}, { log }),
      http: createHttpServerFactory({ log }),
      fatal,
    },
  );
  await addKeys(node);
  const address = node.s3Address ?? "";
  const colon = address.lastIndexOf(":");
  return {
    host: address.slice(0, colon),
    port: Number(address.slice(colon + 1)),
    endpoint: `http://${address}`,
    region: REGION,
    rootDomain: ROOT_DOMAIN,
    identity: IDENTITY,
    other: OTHER,
    expired: EXPIRED,
    errors,
    metrics,
    control: node.parts.control,
    grant: granting(node),
    async stop() {
      await node.stop({ graceMs: 1000 });
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The keys beside the default one that tests sign with. */
export async function addKeys({ parts: { control } }: HangarNode): Promise<void> {
  const key = { op: "create-key", name: "wire test", mayCreateBucket: false } as const;
  await control.command({ ...key, id: OTHER.keyId, secret: OTHER.secret });
  await control.command({ ...key, id: EXPIRED.keyId, secret: EXPIRED.secret, expiresMs: Date.now() - 1000 });
}

export function granting({ parts: { control } }: HangarNode): S3TestServer["grant"] {
  return async (to, bucket, rights) => {
    const found = control.resolveBucket(bucket, IDENTITY.keyId);
    if (found === undefined) throw new Error(`no bucket ${bucket}`);
    if (control.resolveBucket(bucket, to.keyId) === undefined)
      await control.command({ op: "add-alias", bucket: found.id, alias: bucket, keyId: to.keyId });
    const missing = [..."rwo"].filter((right) => !rights.includes(right)).join("");
    await control.command({ op: "change-rights", bucket: found.id, keyId: to.keyId, add: rights, remove: missing });
  };
}

function configOf(home: string, settings: string): Config {
  const metadata = join(home, "meta");
  const data = join(home, "data");
  mkdirSync(metadata);
  mkdirSync(data);
  const parsed = parseConfig(`
metadata_dir = "${metadata}"
data_dir = "${data}"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:3901"
rpc_secret = "${"0".repeat(64)}"
lmdb_map_size = "1G"
${settings}
[s3_api]
api_bind_addr = "127.0.0.1:0"
s3_region = "${REGION}"
root_domain = "${ROOT_DOMAIN}"
`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
  return parsed.config;
}
