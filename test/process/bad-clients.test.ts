// 200 clients that stall, dawdle or vanish cost nothing lasting: connections, files and memory come back, nothing stays pending.
import assert from "node:assert/strict";
import type { ClientRequest, IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { content } from "./support/content.ts";
import { BUCKET, Daemon } from "./support/daemon.ts";
import { anonymousBytes, openFiles } from "./support/proc.ts";
import { target } from "./support/s3-client.ts";
import { waitFor } from "./support/wait-for.ts";

const EACH = 40;
/** What pools and grown heaps may keep above idle: the bound that also holds for large objects. */
const KEPT_BYTES = 150e6;
/** What a second wave may add to that. */
const GROWTH_BYTES = 40e6;

describe("200 bad clients", { skip: process.platform === "linux" ? false : "reads /proc", timeout: 200_000 }, () => {
  let daemon: Daemon;
  const sockets: Socket[] = [];
  const requests: ClientRequest[] = [];
  const answers: IncomingMessage[] = [];
  const big = content(1, 8 * 2 ** 20);
  before(async () => {
    daemon = await Daemon.run({ settings: { block_gc_delay: "1s", command_window: "3s" } });
    await daemon.s3.put(BUCKET, "big", big);
    await Promise.all(Array.from({ length: 16 }, () => daemon.s3.get(BUCKET, "big")));
    await daemon.s3.put(BUCKET, "small", content(2, 1000));
  });
  after(async () => {
    for (const one of [...sockets, ...requests, ...answers]) one.destroy();
    await daemon?.dispose();
  });

  test("while they are there others are served; when they are gone nothing is left", async (t) => {
    daemon.s3.reset();
    const files = await settledFiles(daemon);
    const idle = anonymousBytes(daemon.pid);
    let afterFirst = idle;
    for (const [at, bound] of [KEPT_BYTES, GROWTH_BYTES].entries()) {
      const meanwhile = await wave(1000 * at);
      t.diagnostic(`wave ${at + 1}, while they are there: ${mega(meanwhile - idle)} above idle`);
      await waitFor("connections and files are closed", () => openFiles(daemon.pid).length <= files);
      // Nothing stays pending, referenced or on disk.
      await daemon.settled();
      await waitFor("memory comes back", () => {
        const more = anonymousBytes(daemon.pid) - afterFirst;
        if (more < bound) return true;
        throw new Error(`${mega(more)} more than before wave ${at + 1}`);
      });
      afterFirst = anonymousBytes(daemon.pid);
      t.diagnostic(`wave ${at + 1}, afterwards: ${mega(afterFirst - idle)} above idle`);
      assert.ok((await daemon.s3.get(BUCKET, "big"))?.body.equals(big));
    }
    const listed = (await daemon.s3.list(BUCKET)).map((one) => one.key);
    assert.equal(listed.length, 22, listed.join(" "));
  });

  /** 200 of them come, others work on, and all of them vanish. @returns the memory while they were there. */
  async function wave(seed: number): Promise<number> {
    const { s3 } = daemon;
    const upload = await s3.startUpload(BUCKET, "parts");
    const part = (number: number): string =>
      `${target(BUCKET, "parts")}?partNumber=${number}&uploadId=${encodeURIComponent(upload)}`;
    for (let at = 0; at < EACH; at++) {
      // Half a head.
      const socket = connect(daemon.s3Port, daemon.host);
      socket.on("error", () => {});
      socket.write(`PUT /${BUCKET}/head-${at} HTTP/1.1\r\nHost: ${daemon.host}\r\nX-Slow`);
      sockets.push(socket);
      // A body that stops: inline, or in the second block.
      stall(target(BUCKET, `stalled-${at}`), at % 2 === 0 ? 10_000 : 3 * 2 ** 20, 0.6, seed + at);
      // A part that stops.
      stall(part(at + 1), 6 * 2 ** 20, 0.5, seed + 100 + at);
      // An overwrite of what others read.
      stall(target(BUCKET, "big"), 2 * 2 ** 20, 0.9, seed + 200 + at);
      // A reader that takes the head and no more.
      const get = s3.open("GET", target(BUCKET, "big"), {}, { agent: false });
      get.request.end();
      requests.push(get.request);
      const answer = await get.answered;
      answer.on("error", () => {});
      answer.pause();
      answers.push(answer);
    }

    // The others notice nothing, and what was half sent is not there.
    assert.ok((await s3.get(BUCKET, "big"))?.body.equals(big));
    assert.ok((await s3.get(BUCKET, "small"))?.body.equals(content(2, 1000)));
    for (let at = 0; at < 20; at++) await s3.put(BUCKET, `busy-${at}`, content(seed + 500 + at, 50_000));
    assert.equal(await s3.get(BUCKET, "stalled-1"), undefined);
    const memory = anonymousBytes(daemon.pid);

    for (const one of [...sockets.splice(0), ...requests.splice(0), ...answers.splice(0)]) one.destroy();
    await s3.abort(BUCKET, "parts", upload);
    s3.reset();
    return memory;
  }

  test("clients that vanish in the middle, over and over", async (t) => {
    const { s3 } = daemon;
    const round = async (seed: number): Promise<void> => {
      await Promise.all(
        Array.from({ length: 50 }, async (_, at) => {
          const open = s3.open("PUT", target(BUCKET, `gone-${at}`), { "content-length": String(2 * 2 ** 20) }, { agent: false });
          await new Promise<void>((resolve) => open.request.write(content(seed * 50 + at, 1_300_000), () => resolve()));
          open.request.destroy();
          const get = s3.open("GET", target(BUCKET, "big"), {}, { agent: false });
          get.request.end();
          const answer = await get.answered;
          answer.on("error", () => {});
          answer.destroy();
          get.request.destroy();
        }),
      );
    };
    await round(1000);
    const memory = anonymousBytes(daemon.pid);
    for (let turn = 1; turn <= 4; turn++) await round(1000 + turn);
    await waitFor("memory comes back", () => anonymousBytes(daemon.pid) - memory < KEPT_BYTES);
    t.diagnostic(`${mega(anonymousBytes(daemon.pid) - memory)} more after 400 of them`);
    await daemon.settled();
    assert.equal((await s3.list(BUCKET, "gone-")).length, 0);
  });

  function stall(path: string, bytes: number, share: number, number: number): void {
    const { request } = daemon.s3.open("PUT", path, { "content-length": String(bytes) }, { agent: false });
    request.write(content(number, bytes).subarray(0, Math.floor(bytes * share)));
    requests.push(request);
  }
});

describe("idle connections", { skip: process.platform === "linux" ? false : "reads /proc", timeout: 300_000 }, () => {
  const FILES = 256;
  let daemon: Daemon;
  const sockets: Socket[] = [];
  before(async () => {
    daemon = await Daemon.run({ wrap: ["sh", "-c", `ulimit -n ${FILES} && exec "$0" "$@"`] });
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await daemon?.dispose();
  });

  /** Connects, and asks for something first if `used`; says no more. @returns when the connection is there. */
  function idle(address: { port: number; host: string } | { path: string }, { used }: { used: boolean }): Promise<void> {
    const local = "path" in address ? undefined : { localAddress: "127.0.0.2" };
    const socket = connect({ ...address, ...local });
    sockets.push(socket);
    socket.on("error", () => {});
    socket.resume();
    if (used) socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    return new Promise((resolve) => {
      socket.once(used ? "data" : "connect", () => resolve());
      socket.once("close", () => resolve());
    });
  }

  test(`400 of them on every door take none of the ${FILES} files that disk, clients and operators need`, async (t) => {
    assert.match(daemon.lastLog(), /this process may open only 256 files/);
    const before = openFiles(daemon.pid).length;
    const doors = [
      { host: daemon.host, port: daemon.s3Port },
      { host: daemon.host, port: daemon.adminPort },
      { path: join(daemon.metadataDir, "hangar.sock") },
    ];
    for (let n = 0; n < 400; n++) for (const door of doors) await idle(door, { used: n % 2 === 0 });
    const { s3 } = daemon;
    const bodies = Array.from({ length: 40 }, (_, n) => content(n, 3 * 2 ** 20));
    let most = 0;
    const timer = setInterval(() => (most = Math.max(most, openFiles(daemon.pid).length)), 20);
    t.after(() => clearInterval(timer));
    await Promise.all(bodies.map((body, n) => s3.put(BUCKET, `large-${n}`, body)));
    await Promise.all(bodies.map(async (body, n) => assert.ok((await s3.get(BUCKET, `large-${n}`))?.body.equals(body))));
    const status = await daemon.cli("status");
    assert.equal(status.code, 0, status.stderr);
    const health = await fetch(`http://${daemon.host}:${daemon.adminPort}/health`);
    assert.equal(health.status, 200);
    clearInterval(timer);
    t.diagnostic(`${before} files at rest, ${most} of ${FILES} at most`);
    assert.ok(most < FILES - 16, `${most} files were open`);
    assert.doesNotMatch(daemon.lastLog(), /EMFILE/);
  });
});

/** Open files once idle connections are gone. */
async function settledFiles(daemon: Daemon): Promise<number> {
  let last = -1;
  return waitFor(
    "the number of open files settles",
    () => {
      const now = openFiles(daemon.pid).length;
      const same = now === last;
      last = now;
      return same && now;
    },
    { everyMs: 500 },
  );
}

function mega(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
