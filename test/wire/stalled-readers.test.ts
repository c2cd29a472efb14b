// Clients that stop reading in the middle of a download hold its memory. When it has run out, a new download must find room all
// the same.
import assert from "node:assert/strict";
import { createConnection, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { type NodeServer, startNodeServer } from "../support/node-server.ts";
import { ask } from "../support/request.ts";
import { signRequest } from "../support/sign.ts";

const MiB = 2 ** 20;
/** Memory for downloads, in blocks of 1 MiB. */
const BLOCKS = 4;
/** More than the kernel buffers of both ends of a connection take. */
const SIZE = 32 * MiB;
const DEADLINE_MS = 120_000;

describe("downloads whose clients have stopped reading", () => {
  let server: NodeServer;
  const sockets: Socket[] = [];

  before(async () => {
    server = await startNodeServer({ settings: `block_ram_buffer_max = ${BLOCKS * MiB}` });
    await ask(server, { method: "PUT", target: "/house" });
    const put = { method: "PUT", target: "/house/big", body: Buffer.alloc(SIZE, "hangar"), payload: "UNSIGNED-PAYLOAD" };
    assert.equal((await ask(server, put)).status, 200);
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  /** Asks for the object and reads nothing of it. @returns when the answer has begun. */
  async function stall(): Promise<Socket> {
    const host = `${server.host}:${server.port}`;
    const { headers } = signRequest(server.identity, {
      method: "GET",
      target: "/house/big",
      headers: ["Host", host],
      payload: "UNSIGNED-PAYLOAD",
      timeMs: Date.now(),
    });
    let head = "GET /house/big HTTP/1.1\r\n";
    for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
    const socket = createConnection({ host: server.host, port: server.port });
    sockets.push(socket);
    socket.write(`${head}\r\n`);
    await new Promise<void>((resolve) => socket.once("readable", resolve));
    return socket;
  }

  /** Reads on. @returns how many bytes of the answer there were till its end, or till it was cut off. */
  function readOn(socket: Socket): Promise<number> {
    return new Promise((resolve) => {
      let bytes = 0;
      socket.on("data", (piece: Buffer) => {
        bytes += piece.byteLength;
        if (bytes > SIZE) resolve(bytes);
      });
      socket.on("error", () => resolve(bytes));
      socket.on("close", () => resolve(bytes));
    });
  }

  it("don't keep new ones out: those that have stalled longest are cut off", async () => {
    for (let n = 0; n < BLOCKS; n++) await stall();
    const deadlineMs = Date.now() + DEADLINE_MS;
    // An early "come back" is right while it is not clear yet that they have stalled; for the 60 s that a stalled answer is kept
    // it is not.
    let reply = await ask(server, { target: "/house/big", payload: "UNSIGNED-PAYLOAD" });
    while (reply.status === 503 && Date.now() < deadlineMs)
      reply = await ask(server, { target: "/house/big", payload: "UNSIGNED-PAYLOAD" });
    assert.equal(reply.status, 200, reply.code);
    assert.equal(reply.body.byteLength, SIZE);
    const answers = await Promise.all(sockets.map(readOn));
    const whole = answers.filter((bytes) => bytes > SIZE).length;
    assert.ok(whole > 0 && whole < BLOCKS, `${whole} of ${BLOCKS} got everything after all`);
  });
});
