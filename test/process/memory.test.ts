// One large object through the daemon, in and out: its anonymous memory stays within 150 MB of what it holds when idle.
//   HANGAR_BIG_GIB=5    size of the object (1)
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { content } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { anonymousBytes } from "./support/proc.ts";
import { target } from "./support/s3-client.ts";

const GIB = Number(process.env["HANGAR_BIG_GIB"] ?? 1);
const BYTES = Math.round(GIB * 2 ** 30);
const ABOVE_IDLE = 150e6;
const PIECE = 4 * 2 ** 20;

describe(`${GIB} GiB in one object`, {
  skip: process.platform === "linux" ? false : "reads /proc",
  timeout: 120_000 + GIB * 120_000,
}, () => {
  let daemon: Daemon;
  let idle: number;
  let digest = "";
  before(async () => {
    daemon = await Daemon.run();
    // What is loaded on first use is loaded.
    await daemon.s3.put(BUCKET, "warm", content(0, 3 * 2 ** 20));
    await daemon.s3.get(BUCKET, "warm");
    idle = anonymousBytes(daemon.pid);
  });
  after(async () => daemon?.dispose());

  test("PUT", async (t) => {
    const md5 = createHash("md5");
    const peak = await measured(async () => {
      const { request, answered } = daemon.s3.open("PUT", target(BUCKET, "big"), { "content-length": String(BYTES) });
      for (let at = 0, number = 1; at < BYTES; at += PIECE, number++) {
        const piece = content(number, Math.min(PIECE, BYTES - at));
        md5.update(piece);
        if (!request.write(piece)) await once(request, "drain");
      }
      request.end();
      const answer = await answered;
      answer.resume();
      assert.equal(answer.statusCode, 200);
      digest = md5.digest("hex");
      assert.equal(answer.headers.etag, `"${digest}"`);
    });
    t.diagnostic(`${mega(peak - idle)} above idle (${mega(idle)})`);
    assert.ok(peak - idle < ABOVE_IDLE, `${mega(peak - idle)} above idle`);
  });

  test("GET", async (t) => {
    const md5 = createHash("md5");
    const peak = await measured(async () => {
      const { request, answered } = daemon.s3.open("GET", target(BUCKET, "big"));
      request.end();
      for await (const piece of await answered) md5.update(piece as Buffer);
    });
    assert.equal(md5.digest("hex"), digest);
    t.diagnostic(`${mega(peak - idle)} above idle (${mega(idle)})`);
    assert.ok(peak - idle < ABOVE_IDLE, `${mega(peak - idle)} above idle`);
  });

  test("GET by a client that reads slowly", async (t) => {
    const peak = await measured(async () => {
      const { request, answered } = daemon.s3.open("GET", target(BUCKET, "big"), {}, { agent: false });
      request.end();
      let taken = 0;
      for await (const piece of await answered) {
        taken += (piece as Buffer).byteLength;
        await pause(2);
        if (taken > 24e6) break;
      }
    });
    t.diagnostic(`${mega(peak - idle)} above idle`);
    assert.ok(peak - idle < ABOVE_IDLE, `${mega(peak - idle)} above idle`);
  });

  async function measured(work: () => Promise<void>): Promise<number> {
    let peak = 0;
    const timer = setInterval(() => {
      peak = Math.max(peak, anonymousBytes(daemon.pid));
    }, 50);
    try {
      await work();
    } finally {
      clearInterval(timer);
    }
    return Math.max(peak, anonymousBytes(daemon.pid));
  }
});

function mega(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
