import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, createConnection } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { HttpBodyError } from "../http.ts";
import { RequestBody } from "./http-body.ts";
import { HTTP_LIMITS } from "./http-limits.ts";

const KiB = 1024;
const LIMITS = { ...HTTP_LIMITS, bodyStalledBytesPerSecond: KiB };

/** A request's body as it comes through a socket, and the client's end of it. The test alone lets time pass. */
async function open(t: TestContext, lengthBytes: number) {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = createConnection((server.address() as AddressInfo).port, "127.0.0.1");
  t.after(() => {
    client.destroy();
    server.close();
    server.closeAllConnections();
  });
  client.write(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${lengthBytes}\r\n\r\n`);
  const [message] = (await once(server, "request")) as [IncomingMessage];
  const body = new RequestBody(message, { length: lengthBytes, limits: LIMITS, beforeFirstRead: () => {} });
  /** For a reader that waits: sends, and it has the bytes. */
  const send = (bytes: number): void => void client.write(Buffer.alloc(bytes));
  /** For a body whose reader is elsewhere: when it has received more. */
  const received = async (): Promise<unknown> => once(message, "data");
  return { body, send, received };
}

const isTimeout = (error: unknown): boolean => error instanceof HttpBodyError && error.code === "timeout";

describe("a client that stalls in the middle of its body", () => {
  it("is behind by the time for which it sent less than the least rate, and can be cut off", async (t) => {
    const { body, send } = await open(t, 2 ** 20);
    body.tick(500);
    assert.equal(body.stalledMs, 0, "nobody has asked for the body");
    const first = body.read();
    body.tick(500);
    body.tick(500);
    assert.equal(body.stalledMs, 1_000);
    send(256);
    assert.equal((await first)?.byteLength, 256);
    const second = body.read();
    body.tick(500);
    assert.equal(body.stalledMs, 1_250, "256 bytes are worth a quarter of a second");
    body.cutOff();
    await assert.rejects(second, isTimeout);
    assert.equal(body.stalledMs, 0);
  });

  it("catches up by what it sends, and gets no credit for later", async (t) => {
    const { body, send } = await open(t, 2 ** 20);
    const first = body.read();
    for (let n = 0; n < 10; n++) body.tick(500);
    assert.equal(body.stalledMs, 5_000);
    send(20 * KiB);
    for (let got = (await first)?.byteLength ?? 0; got < 20 * KiB; ) got += (await body.read())?.byteLength ?? 0;
    const last = body.read();
    body.tick(500);
    assert.equal(body.stalledMs, 0);
    body.tick(500);
    assert.equal(body.stalledMs, 500);
    body.cutOff();
    await assert.rejects(last, isTimeout);
  });

  it("has not stalled while its reader is elsewhere; if it could have sent meanwhile, that is known when the reader waits again", async (t) => {
    const { body, send, received } = await open(t, 2 ** 20);
    const first = body.read();
    send(1);
    await first;
    const more = received();
    send(256);
    await more;
    for (let n = 0; n < 6; n++) body.tick(500);
    assert.equal(body.stalledMs, 0, "what it sent has not been taken");
    assert.equal((await body.read())?.byteLength, 256);
    const last = body.read();
    assert.ok(body.stalledMs > 2_500, String(body.stalledMs));
    body.cutOff();
    await assert.rejects(last, isTimeout);
  });

  it("has not stalled when it was not let send", async (t) => {
    const { body, send, received } = await open(t, 2 ** 20);
    const first = body.read();
    send(1);
    await first;
    // So much is taken ahead of the reader; then the socket is left alone.
    for (let got = 0; got < 128 * KiB; ) {
      const more = received();
      send(32 * KiB);
      got += ((await more) as [Uint8Array])[0].byteLength;
    }
    for (let n = 0; n < 10; n++) body.tick(500);
    for (let got = 0; got < 128 * KiB; ) got += (await body.read())?.byteLength ?? 0;
    const last = body.read();
    assert.equal(body.stalledMs, 0);
    body.tick(500);
    assert.ok(body.stalledMs <= 500, String(body.stalledMs));
    body.cutOff();
    await assert.rejects(last, isTimeout);
  });
});
