import { createS3Handler, renderS3ClientError } from "../../src/api/s3/s3-handler.ts";
import type { Metrics } from "../../src/platform/metrics.ts";
import { nodeClock } from "../../src/platform/node/clock.ts";
import { createHttpServerFactory } from "../../src/platform/node/http-server.ts";
import { nodeRandom } from "../../src/platform/node/random.ts";
import { MemoryControl } from "./memory-control.ts";
import { MemoryObjects } from "./memory-objects.ts";
import { errorLog, EXPIRED, IDENTITY, OTHER, REGION, ROOT_DOMAIN, type S3TestServer } from "./server.ts";

export interface MemoryServer extends S3TestServer {
  readonly objects: MemoryObjects;
}

/** The S3 door on a store in memory: for what concerns the door alone (fuzzing, errors of the store, speed). */
export async function startMemoryServer({ metrics }: { metrics?: Metrics } = {}): Promise<MemoryServer> {
  const errors: string[] = [];
  const log = errorLog(errors);
  const objects = new MemoryObjects();
  const control = new MemoryControl((id) => objects.isEmpty(id));
  control.addKey({ id: IDENTITY.keyId, secret: IDENTITY.secret });
  control.addKey({ id: OTHER.keyId, secret: OTHER.secret, mayCreateBucket: false });
  control.addKey({ id: EXPIRED.keyId, secret: EXPIRED.secret, expiresMs: Date.now() - 1000 });
  const handler = createS3Handler(
    { region: REGION, strictRegion: false, rootDomain: ROOT_DOMAIN, hostId: "memory" },
    { objects, control, clock: nodeClock(), random: nodeRandom(), log, ...(metrics && { metrics }) },
  );
  const listener = await createHttpServerFactory({ log }).listen("127.0.0.1:0", handler, {
    renderClientError: renderS3ClientError,
  });
  if (!("port" in listener.address)) throw new Error("listens on a port");
  const { host, port } = listener.address;
  return {
    host,
    port,
    endpoint: `http://${host}:${port}`,
    region: REGION,
    rootDomain: ROOT_DOMAIN,
    identity: IDENTITY,
    other: OTHER,
    expired: EXPIRED,
    errors,
    objects,
    grant(to, bucket, rights) {
      const found = control.resolveBucket(bucket, IDENTITY.keyId);
      if (found === undefined) throw new Error(`no bucket ${bucket}`);
      const [read, write, owner] = ["r", "w", "o"].map((right) => rights.includes(right)) as [boolean, boolean, boolean];
      control.allow(to.keyId, found.id, { read, write, owner }, bucket);
      return Promise.resolve();
    },
    stop: () => listener.close({ graceMs: 1000 }),
  };
}
