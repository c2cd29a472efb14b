// Clients that stop in the middle of an upload hold memory for its block. When it has run out, a new upload must find room all
// the same.
import assert from "node:assert/strict";
import { createConnection, type Socket } from "node:net";
import { after, before, beforeEach, afterEach, describe, it } from "node:test";
import { type NodeServer, startNodeServer } from "../support/node-server.ts";
import { ask, type Reply } from "../support/request.ts";
import { policyFieldConditions, signPolicy, signRequest, STREAMING_UNSIGNED_TRAILER, UNSIGNED } from "../support/sign.ts";

const MiB = 2 ** 20;
/** What clients announce, or would send if they did not stop. */
const SIZE = MiB + 1;
const SENT = 100 * 1024;
const DEADLINE_MS = 120_000;

/** A client that has begun an upload and sends no more of it than it is told to. */
class Uploader {
  readonly #socket: Socket;
  readonly ended: Promise<void>;
  answer = "";

  constructor(server: NodeServer, bytes: Uint8Array) {
    this.#socket = createConnection({ host: server.host, port: server.port });
    this.#socket.write(bytes);
    this.#socket.on("data", (piece) => {
      this.answer += piece.toString("latin1");
    });
    this.#socket.on("error", () => {});
    this.ended = new Promise((resolve) => this.#socket.on("close", () => resolve()));
  }

  send(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  leave(): void {
    this.#socket.destroy();
  }
}

const KINDS = ["plain", "aws-chunked", "of unknown length", "form"] as const;

/** The beginning of an upload, `sentBytes` of the file, as it goes on the wire. */
function beginning(server: NodeServer, key: string, kind: (typeof KINDS)[number], sentBytes: number): Buffer {
  const timeMs = Date.now();
  const host = `${server.host}:${server.port}`;
  const file = Buffer.alloc(sentBytes, "stalled");
  if (kind === "form") {
    const document = {
      expiration: new Date(timeMs + 60_000).toISOString(),
      conditions: [{ bucket: "house" }, { key }, ...policyFieldConditions(server.identity, timeMs)],
    };
    const fields = { key, ...signPolicy(server.identity, { document, timeMs }) };
    let form = "";
    for (const [name, value] of Object.entries(fields))
      form += `--edge\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    form += '--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n';
    const head = `POST /house HTTP/1.1\r\nHost: ${host}\r\nContent-Type: multipart/form-data; boundary=edge\r\nContent-Length: ${form.length + SIZE}\r\n\r\n`;
    return Buffer.concat([Buffer.from(head + form), file]);
  }
  const framing = {
    plain: { headers: ["Content-Length", String(SIZE)], payload: UNSIGNED, before: "" },
    "aws-chunked": {
      headers: [
        ...["Content-Length", String(SIZE + 100), "x-amz-decoded-content-length", String(SIZE)],
        ...["Content-Encoding", "aws-chunked", "x-amz-trailer", "x-amz-checksum-crc32"],
      ],
      payload: STREAMING_UNSIGNED_TRAILER,
      before: `${SIZE.toString(16)}\r\n`,
    },
    "of unknown length": { headers: ["Transfer-Encoding", "chunked"], payload: UNSIGNED, before: `${SIZE.toString(16)}\r\n` },
  }[kind];
  const { headers } = signRequest(server.identity, {
    method: "PUT",
    target: `/house/${key}`,
    headers: ["Host", host, ...framing.headers],
    payload: framing.payload,
    timeMs,
  });
  let head = `PUT /house/${key} HTTP/1.1\r\n`;
  for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
  return Buffer.concat([Buffer.from(`${head}\r\n${framing.before}`), file]);
}

async function gauge(server: NodeServer, name: string): Promise<number> {
  const { body } = await server.metrics.render();
  const line = body.split("\n").find((one) => one.startsWith(name));
  assert.ok(line !== undefined, name);
  return Number(line.slice(line.lastIndexOf(" ")));
}

const cutOffs = (server: NodeServer): Promise<number> => gauge(server, 'block_ram_buffer_cut_off{kind="upload"}');
const freeBytes = async (server: NodeServer): Promise<number> => (await gauge(server, "block_ram_buffer_free_kb ")) * 1024;

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + DEADLINE_MS;
  while (!(await holds())) {
    assert.ok(Date.now() < deadlineMs, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Puts an object that needs two blocks. */
async function putNew(server: NodeServer, key: string): Promise<Reply> {
  const body = Buffer.alloc(SIZE, key);
  const reply = await ask(server, { method: "PUT", target: `/house/${key}`, body, payload: UNSIGNED });
  if (reply.status === 200) assert.ok(body.equals((await ask(server, { target: `/house/${key}` })).body));
  return reply;
}

async function storedKeys(server: NodeServer): Promise<string[]> {
  const { text } = await ask(server, { target: "/house?list-type=2" });
  return [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map((match) => match[1] as string);
}

// The kinds take turns: with so little memory, one kind that could not be cut off would soon hold all of it.
for (const { blocks, stalled } of [
  { blocks: 256, stalled: 300 },
  { blocks: 4, stalled: 300 },
])
  describe(`${stalled} uploads that stall, with memory for ${blocks} blocks`, () => {
    let server: NodeServer;
    const uploaders: Uploader[] = [];

    before(async () => {
      server = await startNodeServer({ settings: `block_ram_buffer_max = ${blocks * MiB}` });
      await ask(server, { method: "PUT", target: "/house" });
    });
    after(async () => {
      for (const uploader of uploaders) uploader.leave();
      await server.stop();
      assert.deepEqual(server.errors, []);
    });

    it("don't keep a new one out; they get an error, and nothing of them stays", { timeout: 300_000 }, async () => {
      for (let n = 0; n < stalled; n++)
        uploaders.push(new Uploader(server, beginning(server, `stalled-${n}`, KINDS[n % KINDS.length] as never, SENT)));
      await until("all memory is taken", async () => (await freeBytes(server)) < SIZE);

      // Whoever finds no room within its patience (15 s) gets 503.
      const reply = await putNew(server, "new");
      assert.equal(reply.status, 200, reply.code);

      // Exactly those that were in the way: who came later than the new one's turn was not touched for it.
      const cut = await cutOffs(server);
      assert.ok(cut > stalled - blocks && cut <= stalled, `${cut} of ${stalled} were cut off`);
      await until("all that were cut off are told", async () => uploaders.filter(({ answer }) => answer !== "").length >= cut);
      for (const { answer } of uploaders)
        if (answer !== "") {
          assert.match(answer, /^HTTP\/1\.1 400 .*<Code>RequestTimeout<\/Code>/s);
          assert.match(answer, /\r\nConnection: close\r\n/);
        }
      for (const uploader of uploaders) uploader.leave();
      await until("the memory is given back", async () => (await freeBytes(server)) === blocks * MiB);
      assert.deepEqual(await storedKeys(server), ["new"]);
    });
  });

describe("uploads when memory is short", () => {
  const BLOCKS = 4;
  let server: NodeServer;
  let uploaders: Uploader[];
  let timers: NodeJS.Timeout[];

  before(async () => {
    server = await startNodeServer({ settings: `block_ram_buffer_max = ${BLOCKS * MiB}` });
    await ask(server, { method: "PUT", target: "/house" });
  });
  beforeEach(() => {
    uploaders = [];
    timers = [];
  });
  afterEach(async () => {
    for (const timer of timers) clearInterval(timer);
    for (const uploader of uploaders) uploader.leave();
    await until("the memory is given back", async () => (await freeBytes(server)) === BLOCKS * MiB);
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  /** Uploads that take all the memory, each sending `bytes` every `everyMs` from then on. */
  async function fill(bytes: number, everyMs: number): Promise<void> {
    for (let n = 0; n < BLOCKS; n++) {
      const uploader = new Uploader(server, beginning(server, `slow-${n}`, "plain", SENT));
      uploaders.push(uploader);
      timers.push(setInterval(() => uploader.send(Buffer.alloc(bytes)), everyMs));
    }
    await until("all memory is taken", async () => (await freeBytes(server)) < MiB);
  }

  it("those that trickle make room", { timeout: 300_000 }, async () => {
    await fill(128, 200);
    const reply = await putNew(server, "new");
    assert.equal(reply.status, 200, reply.code);
  });

  it("one that is slow, and sends, is not cut off, nor one that waits its turn", { timeout: 300_000 }, async () => {
    const before = await cutOffs(server);
    await fill(2_048, 250);
    // Its bytes are there; it waits for memory for longer than others may stall, and is served when somebody gives way.
    const waiting = putNew(server, "waiting");
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    assert.equal(await cutOffs(server), before);
    for (const { answer } of uploaders) assert.equal(answer, "");
    uploaders[0]?.leave();
    uploaders[1]?.leave();
    const reply = await waiting;
    assert.equal(reply.status, 200, reply.code);
    assert.equal(await cutOffs(server), before);
  });
});

describe("uploads that are slow, each just fast enough not to count as stalled", () => {
  const BLOCK = 64 * 1024;
  const BLOCKS = 16;
  let server: NodeServer;
  const uploaders: Uploader[] = [];
  const timers: NodeJS.Timeout[] = [];

  before(async () => {
    server = await startNodeServer({ settings: `block_size = ${BLOCK}\nblock_ram_buffer_max = ${BLOCKS * BLOCK}` });
    await ask(server, { method: "PUT", target: "/house" });
  });
  after(async () => {
    for (const timer of timers) clearInterval(timer);
    for (const uploader of uploaders) uploader.leave();
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  it("make room when memory stays short: the one that has held its block for longest", { timeout: 300_000 }, async () => {
    // 1.5 KiB/s: a block's memory would be held for 40 s, and then for the next one.
    for (let n = 0; n < BLOCKS; n++) {
      const uploader = new Uploader(server, beginning(server, `slow-${n}`, "plain", 20 * 1024));
      uploaders.push(uploader);
      timers.push(setInterval(() => uploader.send(Buffer.alloc(384)), 250));
    }
    await until("all memory is taken", async () => (await freeBytes(server)) < BLOCK);
    let reply = await putNew(server, "new");
    // A machine under load needs longer for the first of them.
    while (reply.status === 503 && (await cutOffs(server)) === 0) reply = await putNew(server, "new");
    assert.equal(reply.status, 200, reply.code);
    assert.ok((await cutOffs(server)) >= 1);
    await until("it is told", async () => uploaders.some(({ answer }) => answer.includes("<Code>RequestTimeout</Code>")));
    const answered = uploaders.filter(({ answer }) => answer !== "").length;
    assert.ok(answered < BLOCKS, `${answered} of ${BLOCKS} were cut off for one newcomer`);
  });
});
