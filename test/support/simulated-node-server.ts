import { memoryKv } from "../../sim/platform/memory-kv.ts";
import { SimCpu } from "../../sim/platform/cpu.ts";
import { SimDisk } from "../../sim/platform/disk.ts";
import { IgnoredAcls } from "../../src/api/common/ignored-acls.ts";
import { createS3Handler, renderS3ClientError } from "../../src/api/s3/s3-handler.ts";
import { parseConfig } from "../../src/config/config.ts";
import type { ObjectService } from "../../src/model/object-service.ts";
import { createNode } from "../../src/node/node.ts";
import type { Metrics } from "../../src/platform/metrics.ts";
import { nodeClock } from "../../src/platform/node/clock.ts";
import { nodeFatal } from "../../src/platform/node/fatal.ts";
import { createHttpServerFactory } from "../../src/platform/node/http-server.ts";
import { createMetrics } from "../../src/platform/node/metrics.ts";
import { nodeRandom } from "../../src/platform/node/random.ts";
import type { NodeId } from "../../src/util/ids.ts";
import { addKeys, granting } from "./node-server.ts";
import { errorLog, EXPIRED, IDENTITY, OTHER, REGION, ROOT_DOMAIN, type S3TestServer } from "./server.ts";

export interface SimulatedNodeServer extends S3TestServer {
  /** Set by a test: what every call of the object service fails with from then on. */
  failure: Error | undefined;
}

const SPACE = { availableBytes: 1e12, totalBytes: 1e12 };

/**
 * A whole node on simulated disks and metadata (in memory, no worker threads), behind a real HTTP door, in real time. Starts in
 * milliseconds; its object service can be made to fail.
 */
export async function startSimulatedNodeServer({ metrics }: { metrics?: Metrics } = {}): Promise<SimulatedNodeServer> {
  const errors: string[] = [];
  const log = errorLog(errors);
  const clock = nodeClock();
  const random = nodeRandom();
  const fatal = nodeFatal(log);
  const disk = new SimDisk();
  const cpu = new SimCpu({ hashers: await SimCpu.loadHashers(), disk });
  const http = createHttpServerFactory({ log });
  // The node opens no door of its own: this one stands before the object service that can fail.
  const node = await createNode(
    {
      config: configOf(),
      secrets: { rpcSecret: "0".repeat(64), adminToken: undefined, metricsToken: undefined },
      id: "11".repeat(32) as NodeId,
      hostname: "simulated",
      version: "0.0.0",
      metrics: createMetrics(),
      singleNode: true,
      defaults: { keyId: IDENTITY.keyId, secret: IDENTITY.secret, bucket: undefined },
      socket: undefined,
      space: () => ({ data: SPACE, metadata: SPACE }),
    },
    { clock, random, log, kv: memoryKv({ clock, syncMs: () => 0, fatal }), disk, cpu, http, fatal },
  );
  await addKeys(node);
  const { control, admin } = node.parts;
  const failing: { failure: Error | undefined } = { failure: undefined };
  const objects = mayFail(admin.objects, failing);
  const handler = createS3Handler(
    { region: REGION, strictRegion: false, rootDomain: ROOT_DOMAIN, hostId: "simulated" },
    { objects, control, clock, random, log, ignoredAcls: new IgnoredAcls(), ...(metrics && { metrics }) },
  );
  const listener = await http.listen("127.0.0.1:0", handler, { renderClientError: renderS3ClientError });
  if (!("port" in listener.address)) throw new Error("listens on a port");
  const { host, port } = listener.address;
  return Object.assign(failing, {
    host,
    port,
    endpoint: `http://${host}:${port}`,
    region: REGION,
    rootDomain: ROOT_DOMAIN,
    identity: IDENTITY,
    other: OTHER,
    expired: EXPIRED,
    errors,
    grant: granting(node),
    stop: async () => {
      await listener.close({ graceMs: 1000 });
      await node.stop({ graceMs: 1000 });
    },
  });
}

/** The same service; while `failing.failure` is set each call is refused with it. */
function mayFail(objects: ObjectService, failing: { readonly failure: Error | undefined }): ObjectService {
  const calls = Object.entries(objects) as [string, (...args: unknown[]) => unknown][];
  const wrapped = calls.map(([name, call]) => [
    name,
    (...args: unknown[]) => (failing.failure === undefined ? call(...args) : Promise.reject(failing.failure)),
  ]);
  return Object.fromEntries(wrapped) as ObjectService;
}

function configOf() {
  const parsed = parseConfig(`
metadata_dir = "/meta"
data_dir = "/data"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:3901"
rpc_secret = "${"0".repeat(64)}"
disable_scrub = true
`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
  return parsed.config;
}
