// The production node of src/node in this process, on virtual time, from a seed: born, written to, cut off from power, started
// again.
import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { parseConfig } from "../../src/config/config.ts";
import type { BucketRef } from "../../src/model/object-service.ts";
import { createNode, type HangarNode } from "../../src/node/node.ts";
import { createMetrics } from "../../src/platform/node/metrics.ts";
import { sourceOf } from "../../src/util/byte-source.ts";
import type { NodeId } from "../../src/util/ids.ts";
import { SimCpu } from "./cpu.ts";
import { SimDisk, SimDiskImage } from "./disk.ts";
import { MemoryKvDisk } from "./memory-kv.ts";
import { type OtherParts, simPlatform, type SimulatedNode } from "./simulated-node.ts";
import { simulatedRandom } from "./simulated-random.ts";
import { VirtualTime } from "./virtual-time.ts";

const SECRET = "ab".repeat(32);
const parsed = parseConfig(`
metadata_dir = "/meta"
data_dir = "/data"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:3901"
rpc_secret = "${SECRET}"
block_size = 4096
inline_threshold = 1024
block_gc_delay = "2s"
command_window = "4s"
disable_scrub = true
`);
assert.ok(parsed.ok);
const { config } = parsed;
const hashers = await SimCpu.loadHashers();
const SPACE = { availableBytes: 1e12, totalBytes: 2e12 };

interface Life {
  readonly simulated: SimulatedNode;
  readonly disk: SimDisk;
  readonly node: HangarNode;
}

async function live(
  time: VirtualTime,
  left: { readonly seed: number; readonly kvDisk: MemoryKvDisk; readonly image: SimDiskImage },
): Promise<Life> {
  const disk = new SimDisk({ image: left.image });
  // No door is opened: the node has neither S3 nor admin port, nor a socket.
  const parts = { disk, cpu: new SimCpu({ hashers, disk }) } as unknown as OtherParts;
  const simulated = simPlatform({ seed: left.seed, time, parts, kvDisk: left.kvDisk });
  const starting = createNode(
    {
      config,
      secrets: { rpcSecret: SECRET, adminToken: undefined, metricsToken: undefined },
      id: "11".repeat(32) as NodeId,
      hostname: "sim",
      version: "0",
      metrics: createMetrics(),
      singleNode: true,
      defaults: { keyId: "GKsimulated", secret: "s".repeat(32), bucket: "first" },
      socket: undefined,
      space: () => ({ data: SPACE, metadata: SPACE }),
    },
    simulated.platform,
  );
  return { simulated, disk, node: await time.runUntil(starting) };
}

function bytesOf(seed: number, length: number): Uint8Array {
  return simulatedRandom(seed).bytes(length);
}

async function put(time: VirtualTime, { node }: Life, key: string, bytes: Uint8Array): Promise<void> {
  const { control, admin } = node.parts;
  const bucket = control.resolveBucket("first", undefined) as BucketRef;
  const upload = { source: sourceOf(bytes), sizeBytes: bytes.byteLength, signal: new AbortController().signal };
  const outcome = await time.runUntil(admin.objects.put({ bucket, key, headers: { system: [], user: [] }, upload }));
  assert.ok(outcome.ok, JSON.stringify(outcome));
}

async function get(time: VirtualTime, { node }: Life, key: string): Promise<Buffer> {
  const bucket = node.parts.control.resolveBucket("first", undefined) as BucketRef;
  const found = await time.runUntil(node.parts.admin.objects.lookup({ bucket, key }));
  assert.ok(found, `${key} is gone`);
  const source = found.open();
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = await time.runUntil(source.read());
    if (piece === null) return Buffer.concat(pieces);
    pieces.push(Buffer.from(piece));
  }
}

const SEEDS = Number(process.env["HANGAR_NODE_SEEDS"] ?? 2);

for (let seed = 1; seed <= SEEDS; seed++)
  test(`what was acknowledged survives power cuts, and nothing is orphaned: seed ${seed}`, async () => {
    const draws = simulatedRandom(seed);
    const time = new VirtualTime();
    const left = { kvDisk: new MemoryKvDisk(), image: new SimDiskImage() };
    const acknowledged = new Map<string, Uint8Array>();
    let life = await live(time, { ...left, seed: seed * 100 });
    for (let cut = 1; cut <= 4; cut++) {
      for (let at = 0; at < 12; at++) {
        const key = `key-${draws.below(20)}`;
        const bytes = bytesOf(seed * 10_000 + cut * 100 + at, draws.below(3) === 0 ? draws.below(1000) : draws.below(20_000));
        await put(time, life, key, bytes);
        acknowledged.set(key, bytes);
      }
      // One more is under way when the power goes; it may have happened or not.
      const bucket = life.node.parts.control.resolveBucket("first", undefined) as BucketRef;
      const late = { source: sourceOf(bytesOf(cut, 9000)), sizeBytes: 9000, signal: new AbortController().signal };
      life.node.parts.admin.objects
        .put({ bucket, key: "late", headers: { system: [], user: [] }, upload: late })
        .catch(() => undefined);
      await time.run({ untilMs: time.nowMs + draws.below(8) });
      life.simulated.crash({ inFlight: draws.below(2) === 0 ? "lost" : "kept" });
      life.disk.crash(() => draws.below(1_000_000) / 1_000_000);
      life = await live(time, { ...left, seed: seed * 100 + cut });
      for (const [key, bytes] of acknowledged) assert.ok((await get(time, life, key)).equals(bytes), `${key} after cut ${cut}`);
    }
    // Delays pass, the janitor and the walk come round: then rows, references and files agree.
    await time.run({ untilMs: time.nowMs + 120_000 });
    const { broken, unfinished } = await time.runUntil(life.node.parts.admin.blocks.audit());
    assert.deepEqual({ broken, unfinished }, { broken: [], unfinished: [] });
    await time.runUntil(life.node.stop({ graceMs: 0 }));
  });
