// Nothing is answered, and nothing is shown, before it is on disk. `kill -9` can't tell a missing fsync (the page cache survives
// it), so every fsync, fdatasync and msync of the daemon is delayed by strace: what shows earlier than the delay after its last
// byte was sent can't be durable. Files whose every write is durable (O_DSYNC) can't be delayed so; the trace itself shows them,
// and in which order a block's bytes, its name and the commit that points to it were synced.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { blockNames, content, textContent } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { runProgram } from "./support/run-program.ts";
import { completeXml, type S3Client, target } from "./support/s3-client.ts";
import { scratchDirectory } from "./support/scratch.ts";
import { straced, SYNC_CALLS, SystemTrace } from "./support/system-trace.ts";
import { waitFor } from "./support/wait-for.ts";

const DELAY_MS = 300;
/** Timers and the two clocks may differ by this much. */
const SLACK_MS = 10;
const ENGINES = (process.env["HANGAR_ENGINES"] ?? "lmdb,sqlite").split(",");
const REASON = process.platform === "linux" && existsSync("/usr/bin/strace") ? undefined : "needs strace";

/** What one change looked like from outside; times since its last byte was sent. */
interface Seen {
  readonly status: number;
  readonly answeredMs: number;
  /** By the wall clock: when its first byte was sent, and when the answer had come. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** When a reader first saw the change; undefined: never before the answer. */
  readonly shownMs: { readonly get?: number; readonly head?: number; readonly list?: number };
  readonly reads: number;
}

interface Change {
  readonly name: string;
  /** How many waits for the disk must lie one after the other in it. */
  readonly waits: number;
  /** SHA-256 of its blocks. */
  readonly blocks?: readonly string[];
  /** Brings the store into the state before the change. @returns the change itself, and how readers tell it. */
  prepare(s3: S3Client): Promise<{
    readonly method: string;
    readonly target: string;
    readonly body?: Buffer;
    readonly get?: (s3: S3Client) => Promise<boolean>;
    readonly head?: (s3: S3Client) => Promise<boolean>;
    readonly list?: (s3: S3Client) => Promise<boolean>;
  }>;
}

function readersOf(key: string, isNew: (found: { bytes: number; etag: string } | undefined) => boolean) {
  return {
    get: async (s3: S3Client) => {
      const answer = await s3.get(BUCKET, key);
      return isNew(answer && { bytes: answer.body.byteLength, etag: (answer.headers.etag ?? "").replaceAll('"', "") });
    },
    head: async (s3: S3Client) => {
      const answer = await s3.head(BUCKET, key);
      return isNew(
        answer && { bytes: Number(answer.headers["content-length"]), etag: (answer.headers.etag ?? "").replaceAll('"', "") },
      );
    },
    list: async (s3: S3Client) => isNew((await s3.list(BUCKET, key)).find((one) => one.key === key)),
  };
}

function put(name: string, key: string, waits: number, before: Buffer | undefined, body: Buffer): Change {
  return {
    name,
    waits,
    blocks: body.byteLength > 3072 ? blockNames(body) : [],
    async prepare(s3) {
      const old = before && (await s3.put(BUCKET, key, before));
      return { method: "PUT", target: target(BUCKET, key), body, ...readersOf(key, (found) => !!found && found.etag !== old) };
    },
  };
}

const TWIN = content(10, 300_000);
const PART = content(14, 600_000);

const CHANGES: readonly Change[] = [
  put("PUT of an empty object", "empty", 1, undefined, Buffer.alloc(0)),
  put("PUT of an inline object", "inline", 1, undefined, content(1, 2000)),
  put("PUT over an inline object", "inline-again", 1, content(2, 2000), content(3, 3000)),
  // The name may point to the blocks only once they are on disk. Three waits in a row: a block's bytes, its file's name, the
  // commit.
  put("PUT of one block", "block", 3, undefined, content(4, 400_000)),
  put("PUT of a block that gets smaller", "text-block", 3, undefined, textContent(4, 300_000)),
  put("PUT of three blocks", "blocks", 3, undefined, content(5, 2_500_000)),
  put("PUT of blocks over an inline object", "blocks-over", 3, content(6, 100), content(7, 1_500_000)),
  // Whole blocks go past the page cache where the file system can do that; those writes can't be delayed.
  put("PUT of a whole block", "whole-block", 2, undefined, content(15, 2 ** 20)),
  put("PUT of an inline object over blocks", "inline-over", 1, content(8, 1_200_000), content(9, 100)),
  {
    name: "PUT of a block that the store has already",
    // Whoever wrote it may not have synced it yet, and may have died since.
    waits: 3,
    blocks: blockNames(TWIN),
    async prepare(s3) {
      const body = TWIN;
      await s3.put(BUCKET, "twin-1", body);
      return { method: "PUT", target: target(BUCKET, "twin-2"), body, ...readersOf("twin-2", (found) => found !== undefined) };
    },
  },
  {
    name: "DELETE",
    waits: 1,
    async prepare(s3) {
      await s3.put(BUCKET, "deleted", content(11, 5000));
      return { method: "DELETE", target: target(BUCKET, "deleted"), ...readersOf("deleted", (found) => found === undefined) };
    },
  },
  {
    name: "completion of a multipart upload",
    waits: 1,
    async prepare(s3) {
      const upload = await s3.startUpload(BUCKET, "parts");
      const etags = [
        await s3.uploadPart(BUCKET, "parts", upload, 1, content(12, 5 * 2 ** 20)),
        await s3.uploadPart(BUCKET, "parts", upload, 2, content(13, 1000)),
      ];
      return {
        method: "POST",
        target: `${target(BUCKET, "parts")}?uploadId=${encodeURIComponent(upload)}`,
        body: Buffer.from(completeXml(etags)),
        ...readersOf("parts", (found) => found !== undefined),
      };
    },
  },
  {
    name: "part of a multipart upload",
    waits: 3,
    blocks: blockNames(PART),
    async prepare(s3) {
      const upload = await s3.startUpload(BUCKET, "part");
      const list = async (reader: S3Client): Promise<boolean> => {
        const answer = await reader.must("GET", `${target(BUCKET, "part")}?uploadId=${encodeURIComponent(upload)}`);
        return answer.body.includes("<Part>");
      };
      return {
        method: "PUT",
        target: `${target(BUCKET, "part")}?partNumber=1&uploadId=${encodeURIComponent(upload)}`,
        body: PART,
        list,
      };
    },
  },
  {
    name: "creation of a bucket",
    waits: 1,
    async prepare() {
      return {
        method: "PUT",
        target: "/second",
        head: async (s3) => (await s3.send("HEAD", "/second")).status === 200,
        list: async (s3) => (await s3.must("GET", "/")).body.includes("<Name>second</Name>"),
        get: async (s3) => (await s3.send("GET", "/second?list-type=2")).status === 200,
      };
    },
  },
];

/**
 * Carries out the change with its last byte held back until everything before it has settled, and watches from when that leaves.
 */
async function watch(s3: S3Client, change: Awaited<ReturnType<Change["prepare"]>>): Promise<Seen> {
  const fromMs = Date.now();
  const headers = { "content-length": String(change.body?.byteLength ?? 0) };
  const { request, answered } = s3.open(change.method, change.target, headers, { agent: false });
  const body = change.body;
  if (body && body.byteLength > 1) {
    request.write(body.subarray(0, -1));
    // Whole blocks that came before are stored while the last byte is missing; their waits must not count.
    await pause(body.byteLength > 2 ** 20 ? 4 * DELAY_MS : 50);
  }
  const sentMs = performance.now();
  request.end(body?.subarray(-1));
  const shownMs: { get?: number; head?: number; list?: number } = {};
  let over = false;
  let reads = 0;
  const watchers = (["get", "head", "list"] as const).map(async (kind) => {
    const probe = change[kind];
    while (probe && !over) {
      const shown = await probe(s3);
      reads++;
      if (shown) {
        shownMs[kind] = performance.now() - sentMs;
        return;
      }
      await pause(5);
    }
  });
  const answer = await answered;
  const answeredMs = performance.now() - sentMs;
  const untilMs = Date.now();
  answer.resume();
  over = true;
  await Promise.all(watchers);
  return { status: answer.statusCode ?? 0, answeredMs, fromMs, untilMs, shownMs, reads };
}

/** What the trace says about the order in which the change's blocks came to be durable. */
function faultsOf(trace: SystemTrace, daemon: Daemon, change: Change, { fromMs, untilMs }: Seen): string[] {
  const { metadataDir, dataDir } = daemon;
  const times = { fromMs: fromMs - SLACK_MS, answeredMs: untilMs + SLACK_MS, delayMs: DELAY_MS };
  return trace.faults(change.blocks ?? [], { metadataDir, dataDir, ...times });
}

for (const engine of ENGINES)
  describe(`durability on ${engine}`, { skip: REASON ?? false, timeout: 150_000 }, () => {
    const directory = scratchDirectory();
    const file = join(directory, "trace");
    const trace = new SystemTrace(file);
    let daemon: Daemon;

    before(async () => {
      daemon = await Daemon.run({
        settings: { db_engine: engine },
        wrap: straced(file, DELAY_MS),
        startWithinMs: 180_000,
      });
    });
    after(async () => daemon?.dispose());

    for (const change of CHANGES)
      test(change.name, async () => {
        const prepared = await change.prepare(daemon.s3);
        const before = trace.delays;
        const seen = await watch(daemon.s3, prepared);
        const story = JSON.stringify(seen);
        assert.ok(seen.status === 200 || seen.status === 204, story);
        assert.ok(trace.delays > before, `nothing was synced at all: ${story}`);
        assert.deepEqual(faultsOf(trace, daemon, change, seen), [], story);
        assert.ok(
          seen.answeredMs >= change.waits * DELAY_MS - SLACK_MS,
          `answered before it can be durable (${change.waits} waits of ${DELAY_MS} ms): ${story}`,
        );
        for (const [kind, ms] of Object.entries(seen.shownMs))
          assert.ok(ms >= change.waits * DELAY_MS - SLACK_MS, `${kind} shows it before it can be durable: ${story}`);
        assert.ok(seen.reads > 0, "no reader looked while it was under way");
      });

    test("all files and folders that were made since the start would outlive a power cut", async () => {
      const losses = (): string[] => trace.lossesUnder([daemon.metadataDir, daemon.dataDir]);
      // What is on its way to the disk now takes its time.
      await waitFor("all names are synced", () => losses().length === 0, { withinMs: 30_000 }).catch(() => {});
      assert.deepEqual(losses(), []);
    });

    test("everything acknowledged is there after a kill", async () => {
      await daemon.kill();
      await daemon.start();
      for (const [key, bytes] of [
        ["inline", content(1, 2000)],
        ["blocks", content(5, 2_500_000)],
        ["inline-over", content(9, 100)],
      ] as const)
        assert.ok((await daemon.s3.get(BUCKET, key))?.body.equals(bytes), key);
      assert.equal(await daemon.s3.get(BUCKET, "deleted"), undefined);
    });
  });

test("without fsync the same watch does see early answers", { skip: REASON ?? false, timeout: 60_000 }, async () => {
  const file = join(scratchDirectory(), "trace");
  const trace = new SystemTrace(file);
  const daemon = await Daemon.run({
    settings: { metadata_fsync: false, data_fsync: false },
    wrap: straced(file, DELAY_MS),
  });
  try {
    const early: number[] = [];
    for (const change of CHANGES.slice(1, 5)) {
      const seen = await watch(daemon.s3, await change.prepare(daemon.s3));
      early.push(seen.answeredMs);
      assert.deepEqual(faultsOf(trace, daemon, change, seen), ["no commit was synced"], change.name);
    }
    assert.ok(Math.min(...early) < DELAY_MS, `even without fsync nothing came early: ${early.join(", ")}`);
  } finally {
    await daemon.dispose();
  }
});

test("the delays are real", { skip: REASON ?? false }, async () => {
  const calls = SYNC_CALLS;
  const file = join(scratchDirectory(), "synced");
  const result = await runProgram([
    ...["strace", "-f", "--seccomp-bpf", "-e", `trace=${calls}`, "-e", `inject=${calls}:delay_enter=${DELAY_MS * 1000}`],
    ...["dd", "if=/dev/zero", `of=${file}`, "bs=1k", "count=1", "conv=fsync"],
  ]);
  assert.equal(result.code, 0, result.stderr);
  assert.ok(result.wallMs >= DELAY_MS, `took ${result.wallMs} ms`);
});
