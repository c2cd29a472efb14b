import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MemoryKv, memoryKv } from "../../../../sim/platform/memory-kv.ts";
import { MemoryLog } from "../../../../sim/platform/memory-log.ts";
import { parseConfig } from "../../../config/config.ts";
import { createNode, type HangarNode } from "../../../node/node.ts";
import type { Clock } from "../../../platform/clock.ts";
import { nodeClock } from "../../../platform/node/clock.ts";
import { NodeCpu } from "../../../platform/node/cpu.ts";
import { NodeDisk } from "../../../platform/node/disk.ts";
import { nodeFatal } from "../../../platform/node/fatal.ts";
import { createHttpServerFactory } from "../../../platform/node/http-server.ts";
import { createMetrics } from "../../../platform/node/metrics.ts";
import { nodeRandom } from "../../../platform/node/random.ts";
import type { ByteSource } from "../../../util/byte-source.ts";
import type { NodeId } from "../../../util/ids.ts";
import type { BucketRef } from "../../../model/object-service.ts";

export const ADMIN_TOKEN = "the-master-token";
export const RPC_SECRET = "5a".repeat(32);
export const NODE_ID = "ab12".repeat(16) as NodeId;
/** Bytes of a block. */
export const BLOCK = 65_536;
const SPACE = { availableBytes: 4e11, totalBytes: 1e12 };

export interface AdminNodeOptions {
  readonly adminToken?: string | undefined;
  readonly metricsToken?: string;
  readonly metricsRequireToken?: boolean;
  readonly singleNode?: boolean;
  readonly clock?: Clock;
  /** Throws: the directories can't be read any more. */
  readonly space?: () => { readonly data: typeof SPACE; readonly metadata: typeof SPACE };
}

// biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Parsed; undefined when it is no JSON. */
  readonly json: Json;
}

export interface CallOptions {
  readonly method?: string;
  /** Bearer; null: no header. */
  readonly token?: string | null;
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * A whole node in this process with its admin port on a free port of 127.0.0.1; metadata in memory, blocks in a folder that goes
 * with it.
 */
export class AdminNode {
  readonly node: HangarNode;
  readonly kv: MemoryKv;
  readonly log: MemoryLog;
  readonly home: string;

  private constructor(node: HangarNode, kv: MemoryKv, log: MemoryLog, home: string) {
    this.node = node;
    this.kv = kv;
    this.log = log;
    this.home = home;
  }

  static async start(options: AdminNodeOptions = {}): Promise<AdminNode> {
    const home = mkdtempSync(join(tmpdir(), "hangar-admin-"));
    for (const folder of ["meta", "data"]) mkdirSync(join(home, folder));
    const parsed = parseConfig(`
metadata_dir = "${join(home, "meta")}"
data_dir = "${join(home, "data")}"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:3901"
block_size = ${BLOCK}
inline_threshold = 100
[s3_api]
s3_region = "here"
api_bind_addr = "127.0.0.1:0"
root_domain = ".s3.example.org"
[admin]
api_bind_addr = "127.0.0.1:0"
metrics_require_token = ${options.metricsRequireToken === true}
`);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
    const log = new MemoryLog();
    const fatal = nodeFatal(log);
    const kv = memoryKv({ fatal });
    const node = await createNode(
      {
        config: parsed.config,
        secrets: {
          rpcSecret: RPC_SECRET,
          adminToken: "adminToken" in options ? options.adminToken : ADMIN_TOKEN,
          metricsToken: options.metricsToken,
        },
        id: NODE_ID,
        hostname: "test-host",
        version: "0.0.0-test",
        metrics: createMetrics(),
        singleNode: options.singleNode !== false,
        defaults: undefined,
        socket: { path: join(home, "meta", "hangar.sock"), around: (bind) => bind() },
        space: options.space ?? (() => ({ data: SPACE, metadata: SPACE })),
      },
      {
        clock: options.clock ?? nodeClock(),
        random: nodeRandom(),
        log,
        kv,
        disk: new NodeDisk(),
        cpu: new NodeCpu({}, { log }),
        http: createHttpServerFactory({ log }),
        fatal,
      },
    );
    return new AdminNode(node, kv, log, home);
  }

  async stop(): Promise<void> {
    await this.node.stop({ graceMs: 200 });
    rmSync(this.home, { recursive: true, force: true });
  }

  /** One request to the admin port; `target` as it goes over the wire. */
  call(target: string, options: CallOptions = {}): Promise<Answer> {
    const [host, port] = (this.node.adminAddress as string).split(":");
    return send({ host, port: Number(port) }, target, options);
  }

  /** The same to the private socket of the command line; `headers` carry the proof. */
  callSocket(target: string, options: CallOptions = {}): Promise<Answer> {
    return send({ socketPath: join(this.home, "meta", "hangar.sock") }, target, { token: null, ...options });
  }

  get(name: string, query: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call(target(name, query));
  }

  post(name: string, body?: unknown, query: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.call(target(name, query), { method: "POST", ...(body === undefined ? {} : { body }) });
  }

  /** Stores an object past all access rules. */
  async put(bucketId: string, key: string, bytes: Uint8Array, user: readonly [string, string][] = []): Promise<void> {
    const { objects } = this.node.parts.admin;
    const put = await objects.put({
      bucket: this.bucket(bucketId),
      key,
      headers: { system: [["content-type", "text/plain"]], user },
      upload: { source: sourceOf(bytes), sizeBytes: bytes.byteLength, signal: new AbortController().signal },
    });
    if (!put.ok) throw new Error(JSON.stringify(put));
  }

  bucket(id: string): BucketRef {
    const bucket = this.node.parts.control.bucket(id as never);
    if (!bucket) throw new Error(`no bucket ${id}`);
    return bucket;
  }
}

function target(name: string, query: Readonly<Record<string, string>>): string {
  const search = new URLSearchParams(query).toString();
  return `/v2/${name}${search === "" ? "" : `?${search}`}`;
}

export function sourceOf(bytes: Uint8Array): ByteSource {
  let piece: Uint8Array | null = bytes.byteLength > 0 ? bytes : null;
  return {
    read() {
      const next = piece;
      piece = null;
      return Promise.resolve(next);
    },
    cancel() {},
  };
}

function send(where: object, path: string, options: CallOptions): Promise<Answer> {
  const { method = "GET", token = ADMIN_TOKEN, body, raw, headers } = options;
  const bytes = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...where,
        path,
        method,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(bytes === undefined ? {} : { "content-length": Buffer.byteLength(bytes) }),
          ...headers,
        },
        agent: false,
      },
      (answer) => {
        const pieces: Buffer[] = [];
        answer.on("data", (piece: Buffer) => pieces.push(piece));
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(pieces).toString("utf8");
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json: parsed(text) });
        });
      },
    );
    call.on("error", reject);
    call.end(bytes);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
