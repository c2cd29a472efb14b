// The contract of platform/http.ts, held against node:http by a client that sends raw bytes: slow, stalled, vanishing, rude.
import fc from "fast-check";
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test, type TestContext } from "node:test";
import {
  HttpBodyError,
  type HttpHandler,
  type HttpListener,
  type HttpRequest,
  type HttpResponse,
} from "../../src/platform/http.ts";
import type { Log } from "../../src/platform/log.ts";
import type { HttpLimits } from "../../src/platform/node/http-limits.ts";
import { createHttpServerFactory } from "../../src/platform/node/http-server.ts";
import { type ByteSource, sourceOf } from "../../src/util/byte-source.ts";
import { eventually, RawClient, settled } from "../support/raw-client.ts";

const OK = ["Content-Type", "text/plain"];

interface Harness {
  readonly listener: HttpListener;
  readonly logged: { level: string; message: string }[];
  /** @param from  the address that it comes from. */
  client(from?: string): Promise<RawClient>;
}

async function serve(
  t: TestContext,
  handler: HttpHandler,
  {
    limits,
    openFiles,
    bind = "127.0.0.1:0",
    audience = "clients",
  }: { limits?: Partial<HttpLimits>; openFiles?: number; bind?: string; audience?: "clients" | "operators" } = {},
): Promise<Harness> {
  const logged: Harness["logged"] = [];
  const add = (level: string) => (_fields: unknown, message: string) => void logged.push({ level, message });
  const log: Log = {
    debug: add("debug"),
    info: add("info"),
    warn: add("warn"),
    error: add("error"),
    debugEnabled: true,
    child: () => log,
  };
  const factory = createHttpServerFactory({ log, openFiles, ...(limits === undefined ? undefined : { limits }) });
  const listener = await factory.listen(bind, handler, {
    audience,
    renderClientError: (status, reason) => ({
      contentType: "application/xml",
      body: `<Error><Code>${status}</Code><Message>${reason}</Message></Error>`,
    }),
  });
  const clients: RawClient[] = [];
  t.after(async () => {
    for (const client of clients) client.destroy();
    await listener.close({ graceMs: 0 });
  });
  const client = async (from?: string): Promise<RawClient> => {
    const opened = await RawClient.connect(listener.address, from);
    clients.push(opened);
    return opened;
  };
  return { listener, logged, client };
}

async function readAll(source: ByteSource): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let piece = await source.read(); piece !== null; piece = await source.read()) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

/** Answers with what it received. */
const echo: HttpHandler = async (request, response) => {
  try {
    response.send(200, OK, await readAll(request.body));
  } catch (error) {
    if (!(error instanceof HttpBodyError)) throw error;
    response.send(400, OK, `body: ${error.code}`);
  }
};

describe("requests and answers", () => {
  test("the target and the headers come as sent; repeated headers are joined", async (t) => {
    let seen: HttpRequest | undefined;
    const { client } = await serve(t, (request, response) => {
      seen = request;
      response.send(200, OK, "ok");
    });
    const http = await client();
    http.send(
      "GET /b/a/../k//%2e?x=%20+&acl HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one:  2 \r\nContent-Type: a\r\ncontent-type: b\r\nX-Bytes: \xc3\xa9\r\n\r\n".replace(
        "\xc3\xa9",
        "\u00e9",
      ),
    );
    equal((await http.answer()).status, 200);
    equal(seen?.method, "GET");
    equal(seen?.target, "/b/a/../k//%2e?x=%20+&acl");
    equal(seen?.header("x-one"), "1, 2");
    equal(seen?.header("content-type"), "a, b");
    equal(seen?.header("constructor"), undefined);
    equal(seen?.header("__proto__"), undefined);
    equal(Buffer.from(seen?.header("x-bytes") ?? "", "latin1").toString("utf8"), "é");
    deepEqual(seen?.rawHeaders.slice(0, 6), ["Host", "a", "X-One", "1", "x-one", "2"]);
    equal(seen?.contentLength, undefined);
    equal(seen?.remoteAddress, "127.0.0.1");
  });

  test("a request of HTTP/1.1 without Host gets the rendered 400, one of HTTP/1.0 reaches the handler; 3,000 headers are all there", async (t) => {
    const { client } = await serve(t, (request, response) =>
      response.send(200, OK, `${request.header("host")} ${request.rawHeaders.length}`),
    );
    const old = await client();
    old.send("GET / HTTP/1.0\r\n\r\n");
    equal((await old.answer()).body.toString(), "undefined 0");
    const http = await client();
    http.send("GET / HTTP/1.1\r\n\r\n");
    const refused = await http.answer();
    equal(refused.status, 400);
    match(refused.body.toString(), /<Code>400<\/Code>.*Host/);
    http.send("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    equal((await http.answer()).body.toString(), " 2");
    http.send(`GET / HTTP/1.1\r\nHost: a\r\n${"x-a: b\r\n".repeat(3000)}\r\n`);
    equal((await http.answer()).body.toString(), "a 6002");
  });

  test("head and small body leave together; HEAD, 204 and 304 have none; the connection goes on", async (t) => {
    const { client } = await serve(t, (request, response) => {
      const status = Number(request.target.slice(1));
      if (request.method === "HEAD") response.send(200, [...OK, "Content-Length", "1000"]);
      else response.send(status, OK, "some body");
    });
    const http = await client();
    const arrivals: number[] = [];
    http.socket.on("data", (piece: Buffer) => arrivals.push(piece.byteLength));
    http.send("GET /200 HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer()).body.toString(), "some body");
    equal(arrivals.length, 1);
    http.send("HEAD /200 HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer({ head: true })).headers.get("content-length"), "1000");
    for (const status of [204, 304]) {
      http.send(`GET /${status} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const answer = await http.answer();
      equal(answer.status, status);
      equal(answer.headers.get("content-length"), undefined);
    }
    http.send("GET /200 HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer()).body.toString(), "some body");
    equal(http.received.byteLength, 0);
  });

  test("header values are bytes, whatever the body is made of", async (t) => {
    const value = Buffer.from("é ключ", "utf8").toString("latin1");
    const { client } = await serve(t, async (request, response) => {
      const headers = [...OK, "X-Bytes", value];
      if (request.target === "/string") response.send(200, headers, "ключ");
      else if (request.target === "/bytes") response.send(200, headers, Buffer.from("ключ"));
      else if (request.target === "/none") response.send(200, headers);
      else await response.stream(200, headers, sourceOf(Buffer.from("ключ")));
    });
    const http = await client();
    for (const target of ["/string", "/bytes", "/none", "/stream"]) {
      http.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const answer = await http.answer();
      equal(answer.headers.get("x-bytes"), value, target);
      equal(answer.body.toString(), target === "/none" ? "" : "ключ");
    }
  });

  test("bodies with Content-Length and in chunks, in odd pieces", async (t) => {
    const { client } = await serve(t, echo);
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhel", "lo ", "world");
    equal((await http.answer()).body.toString(), "hello world");
    for (const piece of [
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r",
      "\nhel",
      "lo\r\n6;ext=1\r\n wor",
      "ld\r\n0\r\n",
      "\r\n",
    ])
      http.send(piece);
    equal((await http.answer()).body.toString(), "hello world");
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    equal((await http.answer()).body.toString(), "");
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    equal((await http.answer()).body.toString(), "");
  });

  test("5 MB up and down again, with and without announced length", async (t) => {
    const { client } = await serve(t, async (request, response) => {
      const known = request.contentLength === undefined ? [] : ["Content-Length", String(request.contentLength)];
      await response.stream(200, known, request.body);
    });
    const body = Buffer.alloc(5_000_000, "0123456789");
    const http = await client();
    http.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`, body);
    ok((await http.answer()).body.equals(body));
    http.send(
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
      `${body.length.toString(16)}\r\n`,
      body,
      "\r\n0\r\n\r\n",
    );
    ok((await http.answer()).body.equals(body));
  });

  test("the memory of a large piece goes back with the next read, not with the next collection", async (t) => {
    const held: number[] = [];
    let givenBack = 0;
    const { client } = await serve(t, async (request, response) => {
      for (let piece = await request.body.read(); piece !== null; ) {
        const next = await request.body.read();
        // How the kernel cuts a body is its own affair: any piece, the last too, may be one of the small ones that are kept.
        if (piece.buffer.byteLength !== 0) held.push(piece.buffer.byteLength);
        else givenBack++;
        piece = next;
      }
      await response.send(200, OK, Buffer.from(""));
    });
    const body = Buffer.alloc(3_000_000, "0123456789");
    const http = await client();
    http.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`, body);
    equal((await http.answer()).status, 200);
    ok(
      held.every((bytes) => bytes < 8 * 1024),
      `held: ${held.join(" ")}`,
    );
    ok(givenBack > 0, "none was large");
  });

  test("pipelined requests are handled one after the other, in order", async (t) => {
    let atWork = 0;
    let most = 0;
    const { client } = await serve(t, async (request, response) => {
      most = Math.max(most, ++atWork);
      const body = await readAll(request.body);
      await new Promise((resolve) => setImmediate(resolve));
      atWork--;
      response.send(200, OK, `${request.target} ${body}`);
    });
    const http = await client();
    http.send(
      Array.from({ length: 20 }, (_, i) => `PUT /${i} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nb${i % 10}`).join(""),
    );
    for (let i = 0; i < 20; i++) equal((await http.answer()).body.toString(), `/${i} b${i % 10}`);
    equal(most, 1);
  });

  test("whoever pipelines without end is cut off", async (t) => {
    const gate = Promise.withResolvers<void>();
    let handled = 0;
    const { client } = await serve(
      t,
      async (_request, response) => {
        handled++;
        await gate.promise;
        response.send(200, OK);
      },
      { limits: { maxPipelined: 8 } },
    );
    const http = await client();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50));
    await http.closed();
    gate.resolve();
    equal(handled, 1);
  });
});

describe("100-continue", () => {
  const PUT = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

  test("is sent when the body is first read, not before", async (t) => {
    const gate = Promise.withResolvers<void>();
    const { client } = await serve(t, async (request, response) => {
      await gate.promise;
      await echo(request, response);
    });
    const http = await client();
    http.send(PUT);
    await settled(() => http.received.byteLength, "the server's silence");
    equal(http.received.byteLength, 0);
    gate.resolve();
    equal((await http.answer()).status, 100);
    http.send("hello");
    equal((await http.answer()).body.toString(), "hello");
  });

  test("is sent for chunks too; the connection goes on", async (t) => {
    const { client } = await serve(t, echo);
    const http = await client();
    for (let turn = 0; turn < 2; turn++) {
      http.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n");
      equal((await http.answer()).status, 100);
      http.send("5\r\nhello\r\n0\r\n\r\n");
      const answer = await http.answer();
      equal(answer.body.toString(), "hello");
      equal(answer.headers.get("connection"), "keep-alive");
    }
  });

  for (const how of ["read", "unread", "streamed"])
    test(`is sent before the answer where nothing can follow too, and the connection goes on (body ${how})`, async (t) => {
      const handled: string[] = [];
      const { client } = await serve(t, async (request, response) => {
        handled.push(`${request.method} ${request.target}`);
        const body = how === "read" ? await readAll(request.body) : Buffer.alloc(0);
        if (how === "streamed") await response.stream(200, ["Content-Length", "2"], sourceOf(Buffer.from("ok")));
        else response.send(200, OK, `ok${body}`);
      });
      const http = await client();
      for (const [method, framing] of [
        ["PUT", "Content-Length: 0\r\n"],
        ["POST", "Content-Length: 0\r\n"],
        ["GET", ""],
        ["HEAD", ""],
        ["DELETE", ""],
        ["DELETE", "Content-Length: 0\r\n"],
      ] as const) {
        http.send(`${method} /1 HTTP/1.1\r\nHost: a\r\n${framing}Expect: 100-continue\r\n\r\n`);
        // botocore 1.29 (Debian 12) takes an answer without it, but then reads the next one on that connection wrongly: with the
        // status of this one, and without an end.
        equal((await http.answer()).status, 100, method);
        const answer = await http.answer({ head: method === "HEAD" });
        equal(answer.status, 200, method);
        equal(answer.headers.get("connection"), "keep-alive", method);
        match(answer.headers.get("keep-alive") ?? "", /^timeout=\d+$/);
      }
      // Two more sent ahead, and one that asks for the end: the answers are whole, in order, and where there is a 100 it comes
      // first.
      const empty = "PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n";
      http.send(`${empty}\r\n${empty}\r\n${empty}Connection: close\r\n\r\n`);
      for (const connection of ["keep-alive", "keep-alive", "close"]) {
        let answer = await http.answer();
        if (answer.status === 100) answer = await http.answer();
        equal(answer.status, 200);
        equal(answer.body.toString(), "ok");
        equal(answer.headers.get("connection"), connection);
      }
      await http.closed();
      equal(handled.length, 9);
    });

  test("a body that came without waiting for it is read, or thrown away, and the connection goes on", async (t) => {
    const { client } = await serve(t, async (request, response) => {
      if (request.target === "/read") await echo(request, response);
      else response.send(403, OK, "no");
    });
    const http = await client();
    http.send("PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    equal((await http.answer()).status, 100);
    equal((await http.answer()).body.toString(), "hello");
    http.send("PUT /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    const answer = await http.answer();
    equal(answer.status, 403);
    // Whether the body was there already when the answer was made is a matter of chance: both ends are orderly.
    if (answer.headers.get("connection") === "close") await http.closed();
    else {
      http.send("PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworld");
      equal((await http.answer()).body.toString(), "world");
    }
  });

  test("a refusal comes without it, ends the connection, and nothing sent behind it is carried out", async (t) => {
    const handled: string[] = [];
    const { client } = await serve(t, async (request, response) => {
      handled.push(request.target);
      if (request.target === "/streamed") await response.stream(403, OK, sourceOf(Buffer.from("no")));
      else response.send(403, OK, "no");
    });
    for (const framing of ["Content-Length: 500", "Transfer-Encoding: chunked"])
      for (const target of ["/sent", "/streamed"]) {
        const http = await client();
        http.send(`PUT ${target} HTTP/1.1\r\nHost: a\r\n${framing}\r\nExpect: 100-continue\r\n\r\n`);
        const answer = await http.answer();
        equal(answer.status, 403);
        equal(answer.body.toString(), "no");
        equal(answer.headers.get("connection"), "close");
        // A client that takes the refusal for the end of its request, though it was told otherwise.
        http.send("GET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
        await http.closed();
        equal(http.received.byteLength, 0);
      }
    deepEqual(handled, ["/sent", "/streamed", "/sent", "/streamed"]);
  });

  test("HTTP/1.0 knows no expectations", async (t) => {
    const { client } = await serve(t, echo);
    const http = await client();
    http.send("PUT / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    await settled(() => http.received.byteLength, "the server's silence");
    equal(http.received.byteLength, 0);
    http.send("hello");
    equal((await http.answer()).body.toString(), "hello");
    await http.closed();
  });

  test("other expectations, and empty ones, are not heeded", async (t) => {
    const { client } = await serve(t, echo);
    const http = await client();
    for (const expectation of ["tea", "", "101-continue"]) {
      http.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: ${expectation}\r\n\r\n`);
      await settled(() => http.received.byteLength, "the server's silence");
      http.send("hello");
      const answer = await http.answer();
      equal(answer.status, 200, expectation);
      equal(answer.body.toString(), "hello");
      equal(answer.headers.get("connection"), "keep-alive");
    }
  });
});

describe("unread bodies", () => {
  test("a short one is drained and the connection used again", async (t) => {
    const { client } = await serve(t, (_request, response) => response.send(200, OK, "ok"));
    const http = await client();
    for (let i = 0; i < 3; i++) {
      http.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n`, Buffer.alloc(2500), Buffer.alloc(2500));
      const answer = await http.answer();
      equal(answer.body.toString(), "ok");
      equal(answer.headers.get("connection"), "keep-alive");
    }
  });

  test("one that was begun and given up is drained too", async (t) => {
    const { client } = await serve(t, async (request, response) => {
      await request.body.read();
      request.body.cancel();
      response.send(200, OK, "ok");
    });
    const http = await client();
    for (let i = 0; i < 3; i++) {
      http.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n`, Buffer.alloc(2500));
      equal((await http.answer()).body.toString(), "ok");
      http.send(Buffer.alloc(2500));
    }
  });

  test("behind a long one the answer still arrives whole, though the client goes on sending", async (t) => {
    const reason = "no ".repeat(10_000);
    const { client } = await serve(t, (_request, response) => response.send(403, OK, reason));
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n", Buffer.alloc(4_000_000));
    const answer = await http.answer();
    equal(answer.body.toString(), reason);
    equal(answer.headers.get("connection"), "close");
    // An orderly end, and no reset for what was on its way: that would have raced with the answer.
    await http.closed();
    http.send(Buffer.alloc(2_000_000));
    await settled(() => http.socket.bytesWritten - http.socket.writableLength, "the client's sending");
    equal(http.error, undefined);
  });

  test("… and is cut off when it never stops", async (t) => {
    const { client } = await serve(t, (_request, response) => response.send(403, OK, "no"), {
      limits: { lingerBytes: 1_000_000, lingerMs: 60_000 },
    });
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    equal((await http.answer()).status, 403);
    const block = Buffer.alloc(100_000);
    const push = (): void => {
      while (!http.socket.destroyed && http.socket.write(block));
      http.socket.once("drain", push);
    };
    push();
    await eventually(() => http.socket.destroyed, "the connection is reset");
  });

  test("lingering ends after its time", async (t) => {
    const { client, listener } = await serve(t, (_request, response) => response.send(403, OK, "no"), {
      limits: { lingerMs: 100 },
    });
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    equal((await http.answer()).status, 403);
    // The client keeps its side open: only the server's own limit ends this.
    await listener.close({ graceMs: 60_000 });
  });
});

describe("slow and vanishing clients", () => {
  test("a stalled body fails with a timeout, which can still be answered", async (t) => {
    const { client } = await serve(t, echo, { limits: { bodyIdleMs: 100 } });
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    const answer = await http.answer();
    equal(answer.body.toString(), "body: timeout");
    equal(answer.headers.get("connection"), "close");
  });

  test("a trickle below the minimum rate fails too, one above it does not", async (t) => {
    const { client } = await serve(t, echo, { limits: { bodyWindowMs: 1_000, bodyMinBytesPerSecond: 1_000 } });
    const slow = await client();
    const timer = setInterval(() => slow.send("x"), 20);
    t.after(() => clearInterval(timer));
    slow.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    equal((await slow.answer()).body.toString(), "body: timeout");
    clearInterval(timer);
    const steady = await client();
    steady.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    for (let i = 0; i < 200; i++) {
      steady.send(Buffer.alloc(5_000, "y"));
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    equal((await steady.answer()).body.byteLength, 1_000_000);
  });

  test("a steady one has its time too, which grows with what it brings", async (t) => {
    const { client } = await serve(t, echo, { limits: { transferGraceMs: 500, transferBytesPerSecond: 100_000 } });
    const slow = await client();
    // Far above the least rate, far below what its length allows for.
    const timer = setInterval(() => slow.send(Buffer.alloc(100)), 20);
    t.after(() => clearInterval(timer));
    slow.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    equal((await slow.answer()).body.toString(), "body: timeout");
    clearInterval(timer);
    // As long, and much more: no time counts that the bytes have earned.
    const long = await client();
    long.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n", Buffer.alloc(9_999_000));
    for (let i = 0; i < 100; i++) {
      await new Promise((resolve) => setTimeout(resolve, 15));
      long.send(Buffer.alloc(10));
    }
    equal((await long.answer()).body.byteLength, 10_000_000);
  });

  test("time in which the handler does not read is not the client's fault", async (t) => {
    const gate = Promise.withResolvers<void>();
    const { client } = await serve(
      t,
      async (request, response) => {
        await request.body.read();
        await gate.promise;
        await echo(request, response);
      },
      { limits: { bodyIdleMs: 2_000 } },
    );
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    http.send("def");
    gate.resolve();
    equal((await http.answer()).body.toString(), "def");
  });

  test("a client that vanishes in the middle of its body: the read fails and the signal aborts", async (t) => {
    const outcome = Promise.withResolvers<{ code: string; aborted: boolean }>();
    const { client } = await serve(t, async (request, response) => {
      const signal = request.signal;
      try {
        await readAll(request.body);
      } catch (error) {
        outcome.resolve({ code: error instanceof HttpBodyError ? error.code : String(error), aborted: signal.aborted });
      }
      response.send(400, OK);
    });
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nabc");
    await new Promise((resolve) => setTimeout(resolve, 20));
    http.socket.resetAndDestroy();
    const { code } = await outcome.promise;
    equal(code, "client-gone");
  });

  test("a client that vanishes while it is waiting: the signal aborts, also when it is asked for afterwards", async (t) => {
    const arrived = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    let request: HttpRequest | undefined;
    const { client } = await serve(t, async (incoming, response) => {
      request = incoming;
      incoming.signal.addEventListener("abort", () => aborted.resolve());
      arrived.resolve();
      await aborted.promise;
      response.send(200, OK, "to nobody");
    });
    const http = await client();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await arrived.promise;
    http.socket.resetAndDestroy();
    await aborted.promise;
    ok(request?.signal.aborted);
  });

  test("back pressure upwards: what nobody reads is not taken in", async (t) => {
    const gate = Promise.withResolvers<void>();
    const { client } = await serve(t, async (request, response) => {
      await request.body.read();
      await gate.promise;
      response.send(200, OK, String((await readAll(request.body)).byteLength));
    });
    const http = await client();
    const total = 64_000_000;
    http.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${total}\r\n\r\n`);
    const block = Buffer.alloc(100_000);
    let sent = 0;
    const push = (): void => {
      while (sent < total) {
        sent += block.byteLength;
        if (!http.socket.write(block)) break;
      }
      if (sent < total) http.socket.once("drain", push);
    };
    push();
    ok((await settled(() => sent, "the client's sending")) < 32_000_000);
    gate.resolve();
    await http.answer();
    equal(sent, total);
  });

  test("back pressure downwards: a source is not read ahead of its client; vanishing cancels it", async (t) => {
    let reads = 0;
    const cancelled = Promise.withResolvers<void>();
    const piece = Buffer.alloc(1 << 20);
    const ended = Promise.withResolvers<void>();
    const { client } = await serve(t, async (_request, response) => {
      await response.stream(200, ["Content-Length", String(2 ** 40)], {
        read: () => {
          reads++;
          return Promise.resolve(piece);
        },
        cancel: () => cancelled.resolve(),
      });
      ended.resolve();
    });
    const http = await client();
    http.socket.pause();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ok((await settled(() => reads, "the server's reading")) < 32);
    http.socket.resetAndDestroy();
    await cancelled.promise;
    await ended.promise;
  });

  test("a client that takes nothing of its answer is cut off", async (t) => {
    const cancelled = Promise.withResolvers<void>();
    const { client } = await serve(
      t,
      async (_request, response) => {
        const piece = Buffer.alloc(1 << 20);
        await response.stream(200, ["Content-Length", String(2 ** 40)], {
          read: () => Promise.resolve(piece),
          cancel: () => cancelled.resolve(),
        });
      },
      { limits: { answerIdleMs: 150 } },
    );
    const http = await client();
    http.socket.pause();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await cancelled.promise;
  });

  test("… also one that takes it by drops, never idle for long", async (t) => {
    const cancelled = Promise.withResolvers<void>();
    const { client } = await serve(
      t,
      async (_request, response) => {
        const piece = Buffer.alloc(1 << 20);
        await response.stream(200, ["Content-Length", String(2 ** 40)], {
          read: () => Promise.resolve(piece),
          cancel: () => cancelled.resolve(),
        });
      },
      { limits: { answerIdleMs: 1_000, answerMinBytesPerSecond: 2 ** 30 } },
    );
    const http = await client();
    // A chunk at a time: far less than the rate wants, far more often than the idle limit does.
    http.socket.on("data", () => {
      http.socket.pause();
      setTimeout(() => http.socket.resume(), 20);
    });
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await cancelled.promise;
  });

  test("… or needs longer than what it takes allows for", async (t) => {
    const cancelled = Promise.withResolvers<void>();
    const { client } = await serve(
      t,
      async (_request, response) => {
        const piece = Buffer.alloc(1 << 20);
        await response.stream(200, ["Content-Length", String(2 ** 40)], {
          read: () => Promise.resolve(piece),
          cancel: () => cancelled.resolve(),
        });
      },
      { limits: { transferGraceMs: 1_000, transferBytesPerSecond: 2 ** 40 } },
    );
    const http = await client();
    http.socket.on("data", () => {
      http.socket.pause();
      setTimeout(() => http.socket.resume(), 20);
    });
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await cancelled.promise;
  });

  test("… but not one that takes it steadily, for longer than any of its limits", async (t) => {
    // The kernel shows progress in steps of more than a megabyte: even a busy machine's client must take one within the idle
    // limit.
    const limitMs = 5_000;
    const { listener } = await serve(
      t,
      async (_request, response) => {
        const piece = Buffer.alloc(1 << 20);
        await response.stream(200, ["Content-Length", String(2 ** 40)], {
          read: () => Promise.resolve(piece),
          cancel: () => undefined,
        });
      },
      {
        limits: {
          answerIdleMs: limitMs,
          answerMinBytesPerSecond: 1_024,
          transferGraceMs: limitMs,
          transferBytesPerSecond: 8_192,
        },
      },
    );
    const http = connect(listener.address as { host: string; port: number });
    t.after(() => http.destroy());
    const endMs = performance.now() + 1.5 * limitMs;
    await new Promise<void>((resolve, reject) => {
      http.on("error", reject);
      http.on("close", () => reject(new Error("it was cut off")));
      http.on("data", () => {
        if (performance.now() > endMs) return resolve();
        http.pause();
        setTimeout(() => http.resume(), 5);
      });
      http.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    });
  });

  test("… also one that sends requests and never reads", async (t) => {
    const { client } = await serve(t, (_request, response) => response.send(200, OK, "x".repeat(100_000)), {
      limits: { answerIdleMs: 150 },
    });
    const http = await client();
    http.socket.pause();
    const ask = (): void => {
      if (http.socket.destroyed) return;
      if (http.socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")) setImmediate(ask);
      else http.socket.once("drain", ask);
    };
    ask();
    await eventually(() => http.error !== undefined || http.socket.destroyed, "the client is cut off");
  });

  test("a slow source is not the client's fault", async (t) => {
    const { client } = await serve(
      t,
      async (_request, response) => {
        let turn = 0;
        const read = async (): Promise<Uint8Array | null> => {
          if (turn++ === 0) return Buffer.alloc(1 << 20);
          await new Promise((resolve) => setTimeout(resolve, 4_000));
          return turn === 3 ? null : Buffer.from("end");
        };
        await response.stream(200, [], { read, cancel: () => undefined });
      },
      { limits: { answerIdleMs: 2_000 } },
    );
    const http = await client();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer()).body.byteLength, (1 << 20) + 3);
  });

  test("half-closed: a client that has sent all and shut its side gets its answer", async (t) => {
    const { client } = await serve(t, echo);
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    http.socket.end();
    equal((await http.answer()).body.toString(), "hello");
    await http.closed();
  });

  test("half-closed in the middle of the body: a clear refusal", async (t) => {
    const { client } = await serve(t, echo);
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello");
    http.socket.end();
    const answer = await http.answer();
    equal(answer.body.toString(), "body: malformed");
    await http.closed();
  });
});

describe("what is no HTTP", () => {
  test("bad request lines, headers and framings get the rendered 400", async (t) => {
    const { client } = await serve(t, echo);
    for (const bytes of [
      "nonsense\r\n\r\n",
      "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
      "GET /\u0001 HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]) {
      const http = await client();
      http.send(Buffer.from(bytes, "latin1"));
      const answer = await http.answer();
      equal(answer.status, 400, bytes);
      equal(answer.headers.get("content-type"), "application/xml");
      match(answer.body.toString(), /<Code>400<\/Code>/);
      await http.closed();
    }
  });

  test("a transfer coding other than chunked gets one rendered 501, unread, and the end of the connection", async (t) => {
    const targets: string[] = [];
    const { client } = await serve(t, (request, response) => {
      targets.push(request.target);
      return echo(request, response);
    });
    const codings = ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "gzip", "identity", "xchunked"];
    for (const coding of codings)
      for (const expect of ["", "Expect: 100-continue\r\n"]) {
        const http = await client();
        const body = "5\r\nhello\r\n0\r\n\r\n";
        http.send(
          `PUT /coded HTTP/1.1\r\nHost: a\r\n${expect}Transfer-Encoding: ${coding}\r\n\r\n${body}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n`,
        );
        const answer = await http.answer();
        equal(answer.status, 501, coding);
        equal(answer.headers.get("connection"), "close");
        match(answer.body.toString(), /<Code>501<\/Code>/);
        await http.closed();
        equal(http.received.toString("latin1"), "", "one answer");
      }
    deepEqual(targets, []);
    const plain = await client();
    plain.send("PUT /plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    equal((await plain.answer()).body.toString(), "hello");
  });

  test("a head beyond 64 KiB gets 431, one just below is fine", async (t) => {
    const { client } = await serve(t, echo);
    const fine = await client();
    fine.send(`GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${"x".repeat(60_000)}\r\n\r\n`);
    equal((await fine.answer()).status, 200);
    const long = await client();
    long.send(`GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${"x".repeat(300_000)}\r\n\r\n`);
    const answer = await long.answer();
    equal(answer.status, 431);
    match(answer.body.toString(), /65536/);
  });

  test("a head that does not end gets 408; a connection that says nothing is closed silently", async (t) => {
    const { client } = await serve(t, echo, { limits: { headersMs: 200 } });
    const slow = await client();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n");
    equal((await slow.answer()).status, 408);
    const silent = await client();
    await silent.closed();
    equal(silent.received.byteLength, 0);
  });

  test("broken chunks in a body fail its reader, who can still answer", async (t) => {
    const { client } = await serve(t, echo);
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n");
    const answer = await http.answer();
    equal(answer.body.toString(), "body: malformed");
    equal(answer.headers.get("connection"), "close");
    await http.closed();
  });

  test("nonsense behind a good request: the good one is answered, then the connection ends", async (t) => {
    const { client } = await serve(t, async (_request, response) => {
      await new Promise((resolve) => setImmediate(resolve));
      response.send(200, OK, "good");
    });
    const http = await client();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n");
    equal((await http.answer()).body.toString(), "good");
    await http.closed();
  });
});

test("any bytes at all: every connection ends or goes on, the server lives", async (t) => {
  const { client } = await serve(t, echo, { limits: { headersMs: 300, bodyIdleMs: 300, lingerMs: 100, keepAliveMs: 300 } });
  const piece = fc.oneof(
    fc.constantFrom(
      ..."GET PUT HEAD OPTIONS CONNECT / /b/k?x * http://h/ HTTP/1.1 HTTP/1.0 HTTP/2.0 : Host Content-Length Transfer-Encoding chunked 0 5 -1 99999999999999999999 Expect 100-continue Connection close keep-alive Upgrade websocket h2c hello".split(
        " ",
      ),
      ...["\r\n", "\r\n\r\n", "\n", " ", "\u0000", "5\r\nhello\r\n", "0\r\n\r\n"],
      ...[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
      ],
      "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    ),
    fc.string({ unit: "binary", maxLength: 8 }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { minLength: 1, maxLength: 12 }),
      fc.constantFrom("end", "reset", "wait"),
      async (parts, ending) => {
        const http = await client();
        http.send(...parts.map((part) => Buffer.from(part, "latin1")));
        if (ending === "reset") http.socket.resetAndDestroy();
        else {
          if (ending === "end") http.socket.end();
          await http.closed();
          http.destroy();
        }
      },
    ),
    { numRuns: 60 },
  );
  const http = await client();
  http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
  equal((await http.answer()).body.toString(), "hello");
});

describe("failures of handlers and sources", () => {
  test("a handler that throws, forgets to answer, or gives impossible headers: 500 without detail, and a line in the log", async (t) => {
    const { client, logged } = await serve(t, async (request, response) => {
      if (request.target === "/throws") throw new Error("the secret");
      if (request.target === "/header") response.send(200, ["X-Bad", "a\r\nb"], "body");
    });
    const http = await client();
    for (const target of ["/throws", "/forgets", "/header"]) {
      http.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const answer = await http.answer();
      equal(answer.status, 500);
      match(answer.body.toString(), /Internal error/);
    }
    deepEqual(
      logged.map(({ level }) => level),
      ["error", "error", "error"],
    );
  });

  test("a source that fails in the middle: the answer does not look whole (length, chunks, HTTP/1.0)", async (t) => {
    const { client, logged } = await serve(t, async (request, response) => {
      const known = request.target === "/known" ? ["Content-Length", "1000"] : [];
      let turn = 0;
      await response.stream(200, known, {
        read: () => (turn++ === 0 ? Promise.resolve(Buffer.from("hello")) : Promise.reject(new Error("disk"))),
        cancel: () => undefined,
      });
    });
    const known = await client();
    known.send("GET /known HTTP/1.1\r\nHost: a\r\n\r\n");
    await rejects(known.answer(), /ended before/);
    const chunked = await client();
    chunked.send("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n");
    await rejects(chunked.answer(), /ended before/);
    const old = await client();
    old.send("GET /old HTTP/1.0\r\n\r\n");
    await old.closed();
    await eventually(() => old.error !== undefined, "the reset is seen");
    equal(old.error?.code, "ECONNRESET");
    deepEqual(
      logged.map(({ level }) => level),
      ["warn", "warn", "warn"],
    );
  });

  test("a source that fails at once can still be answered with an error", async (t) => {
    const { client } = await serve(t, async (_request, response) => {
      try {
        await response.stream(200, ["Content-Length", "5"], {
          read: () => Promise.reject(new Error("disk")),
          cancel: () => undefined,
        });
      } catch {
        ok(!response.started);
        response.send(503, OK, "damaged");
      }
    });
    const http = await client();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer()).status, 503);
  });

  test("a body longer or shorter than announced is cut off", async (t) => {
    const { client } = await serve(t, async (request, response) => {
      await response.stream(200, ["Content-Length", request.target.slice(1)], sourceOf(Buffer.from("hello")));
    });
    for (const length of [4, 6]) {
      const http = await client();
      http.send(`GET /${length} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await rejects(http.answer(), /ended before/);
    }
  });

  test("answering twice is a bug that is noticed", async (t) => {
    const noticed = Promise.withResolvers<unknown>();
    const { client } = await serve(t, (_request, response: HttpResponse) => {
      response.send(200, OK, "once");
      try {
        response.send(200, OK, "twice");
      } catch (error) {
        noticed.resolve(error);
      }
    });
    const http = await client();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer()).body.toString(), "once");
    match(String(await noticed.promise), /answered once/);
  });
});

describe("when connections are short", () => {
  const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

  /** A server whose requests stay under way until the gate opens, and what its clients do. */
  async function full(t: TestContext, maxConnections: number) {
    const gate = Promise.withResolvers<void>();
    let underWay = 0;
    const harness = await serve(
      t,
      async (request, response) => {
        underWay++;
        if (request.target === "/busy") await gate.promise;
        underWay--;
        response.send(200, OK, request.remoteAddress);
      },
      { limits: { maxConnections } },
    );
    /** A connection on which a request was answered. */
    const idle = async (from?: string): Promise<RawClient> => {
      const http = await harness.client(from);
      http.send(GET);
      equal((await http.answer()).status, 200);
      return http;
    };
    const busy = async (from?: string): Promise<RawClient> => {
      const before = underWay;
      const http = await harness.client(from);
      http.send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n");
      await eventually(() => underWay > before, "the request is under way");
      return http;
    };
    const refused = async (from?: string): Promise<void> => {
      const http = await harness.client(from);
      http.send(GET);
      equal((await http.answer()).status, 503);
      await http.closed();
    };
    const open = (clients: readonly RawClient[]): boolean[] => clients.map((one) => !one.ended);
    const ended = (...clients: readonly RawClient[]): Promise<unknown> => Promise.all(clients.map((one) => one.closed()));
    return { ...harness, idle, busy, refused, open, ended, gate };
  }

  test("the one that has been idle longest gives way; one whose request is under way never does", async (t) => {
    const { idle, busy, open, ended, gate } = await full(t, 4);
    const [first, working, second] = [await idle(), await busy(), await idle()];
    // The first is used again: the second has been idle longer now.
    first.send(GET);
    await first.answer();
    const third = await idle();
    const [fourth] = [await idle()];
    await ended(second);
    deepEqual(open([first, working, third, fourth]), [true, true, true, true]);
    const fifth = await idle();
    await ended(first);
    gate.resolve();
    equal((await working.answer()).status, 200);
    deepEqual(open([working, third, fourth, fifth]), [true, true, true, true]);
  });

  test("one that has said nothing, or half a head, gives way as well", async (t) => {
    const { client, idle, ended } = await full(t, 4);
    const silent = await client();
    const half = await client();
    half.send("GET / HTTP/1.1\r\nHo");
    await idle();
    await idle();
    await idle();
    await ended(silent);
    await idle();
    await ended(half);
  });

  test("an address that has many loses its own, not those of others", async (t) => {
    const { idle, open, logged } = await full(t, 16);
    const others = [await idle("127.0.0.2"), await idle("127.0.0.3")];
    const many: RawClient[] = [];
    for (let n = 0; n < 40; n++) many.push(await idle("127.0.0.4"));
    deepEqual(open(others), [true, true]);
    // A newcomer's room comes from them too.
    others.push(await idle("127.0.0.5"), await idle("127.0.0.6"), await idle("127.0.0.2"));
    await eventually(() => open(many).filter(Boolean).length === 11, "five others have their room");
    deepEqual(open(others), [true, true, true, true, true]);
    deepEqual(
      open(many).slice(-11),
      open(many)
        .slice(-11)
        .map(() => true),
      "the newest are left",
    );
    equal(logged.filter(({ message }) => message.startsWith("connections are short")).length, 1, "one line a minute");
  });

  test("an address all of whose requests are under way leaves the last eighth to others", async (t) => {
    const { busy, idle, refused, gate } = await full(t, 16);
    const working: RawClient[] = [];
    for (let n = 0; n < 14; n++) working.push(await busy("127.0.0.4"));
    await refused("127.0.0.4");
    // However often it knocks.
    for (let n = 0; n < 20; n++) await refused("127.0.0.4");
    const other = await idle("127.0.0.5");
    const another = await busy("127.0.0.6");
    // Now there is none left: the idle one gives way to a third address, but not to the one that has most.
    await refused("127.0.0.4");
    equal(other.ended, false);
    await idle("127.0.0.7");
    await other.closed();
    gate.resolve();
    for (const one of [...working, another]) equal((await one.answer()).status, 200);
    await idle("127.0.0.4");
  });

  test("with all requests under way a newcomer gets 503; those that never ask don't keep it from being told", async (t) => {
    const { busy, client, refused, idle, ended, gate } = await full(t, 4);
    for (const from of ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]) await busy(from);
    const silent = [await client("127.0.0.6"), await client("127.0.0.6"), await client("127.0.0.6")];
    await refused("127.0.0.7");
    await ended(...silent);
    gate.resolve();
    await idle("127.0.0.7");
  });

  test("one address alone, as a proxy's clients have, can use all but that eighth", async (t) => {
    const { busy, refused, gate } = await full(t, 32);
    const working: RawClient[] = [];
    for (let n = 0; n < 28; n++) working.push(await busy());
    await refused();
    gate.resolve();
    for (const one of working) equal((await one.answer()).status, 200);
  });

  test("an answer that is still on its way to its client is not cut off", async (t) => {
    const size = 32 << 20;
    const { client } = await serve(
      t,
      (request, response) => response.send(200, OK, request.target === "/big" ? Buffer.alloc(size) : "ok"),
      { limits: { maxConnections: 2 } },
    );
    const slow = await client("127.0.0.2");
    slow.socket.pause();
    slow.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    await eventually(() => slow.socket.readableLength > 0, "the answer has begun");
    for (const from of ["127.0.0.3", "127.0.0.4", "127.0.0.5"]) {
      const http = await client(from);
      http.send(GET);
      equal((await http.answer()).status, 200);
    }
    let left = size;
    slow.socket.removeAllListeners("data");
    await new Promise<void>((resolve, reject) => {
      slow.socket.on("data", (piece: Buffer) => (left -= piece.byteLength) < 0 && resolve());
      slow.socket.on("end", () => reject(new Error(`cut off with ${left} bytes to come`)));
      slow.socket.on("close", () => reject(new Error(`reset with ${left} bytes to come`)));
      slow.socket.resume();
    });
  });

  test("a process with few files takes few connections, and fewer still of operators", async (t) => {
    for (const { openFiles, audience, fits } of [
      { openFiles: 256, audience: "clients", fits: 95 },
      { openFiles: 256, audience: "operators", fits: 8 },
    ] as const) {
      const { client } = await serve(t, (_request, response) => response.send(200, OK), { openFiles, audience });
      const clients: RawClient[] = [];
      for (let n = 0; n < 150; n++) {
        const http = await client();
        http.send(GET);
        equal((await http.answer()).status, 200);
        clients.push(http);
      }
      await eventually(() => clients.filter((one) => !one.ended).length <= fits, `at most ${fits} are kept`);
      ok(clients.filter((one) => !one.ended).length >= fits / 2, "and not much fewer");
    }
  });
});

describe("listening and closing", () => {
  const folders: string[] = [];
  after(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });

  test("closing: idle connections go at once, a request under way ends, nothing new comes", async (t) => {
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const { client, listener } = await serve(t, async (_request, response) => {
      arrived.resolve();
      await gate.promise;
      response.send(200, OK, "last words");
    });
    const idle = await client();
    const busy = await client();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await arrived.promise;
    const closed = listener.close({ graceMs: 60_000 });
    await idle.closed();
    await rejects(client());
    gate.resolve();
    const answer = await busy.answer();
    equal(answer.body.toString(), "last words");
    equal(answer.headers.get("connection"), "close");
    await closed;
  });

  test("closing: what was sent ahead is not carried out behind an answer that says close", async (t) => {
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const handled: string[] = [];
    const { client, listener } = await serve(t, async (request, response) => {
      handled.push(request.target);
      arrived.resolve();
      await gate.promise;
      response.send(200, OK);
    });
    const http = await client();
    http.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    await arrived.promise;
    const closed = listener.close({ graceMs: 60_000 });
    gate.resolve();
    equal((await http.answer()).headers.get("connection"), "close");
    await closed;
    deepEqual(handled, ["/1"]);
  });

  test("closing: what lasts longer than the grace is cut off, and told", async (t) => {
    const arrived = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<string>();
    const { client, listener } = await serve(t, async (request, response) => {
      arrived.resolve();
      await readAll(request.body).catch((error: HttpBodyError) => failed.resolve(error.code));
      response.send(500, OK);
    });
    const http = await client();
    http.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n");
    await arrived.promise;
    await listener.close({ graceMs: 20 });
    equal(await failed.promise, "shutdown");
    await http.closed();
  });

  test("unix sockets: mode, a file left behind by a dead process, and one that is in use", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "hangar-http-"));
    folders.push(folder);
    const path = join(folder, "s3.sock");
    const factory = createHttpServerFactory({ log: silentLog() });
    const first = await factory.listen(path, echo, { socketMode: 0o222 });
    deepEqual(first.address, { path });
    equal((await stat(path)).mode & 0o777, 0o222);
    await rejects(factory.listen(path, echo), /EADDRINUSE/);
    const http = await RawClient.connect({ path });
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer()).status, 200);
    http.destroy();
    await first.close({ graceMs: 0 });
    // A file that nobody listens on any more, as a killed process leaves it.
    const dead = createServer().listen(path);
    await new Promise((resolve) => dead.once("listening", resolve));
    (dead as unknown as { _handle: { close(): void } })._handle.close();
    const again = await factory.listen(path, echo);
    t.after(() => again.close({ graceMs: 0 }));
  });

  test("addresses: a free port, IPv6, nonsense", async (t) => {
    const { listener } = await serve(t, echo);
    ok("port" in listener.address && listener.address.port > 0);
    const factory = createHttpServerFactory({ log: silentLog() });
    for (const bind of ["localhost", "127.0.0.1:99999", "relative/path", "[::1"])
      await rejects(factory.listen(bind, echo), /no address/);
    const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));
    if (!hasIpv6) return t.diagnostic("no ::1 on this machine: IPv6 was not tried");
    const six = await serve(t, echo, { bind: "[::1]:0" });
    const http = await six.client();
    http.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    equal((await http.answer()).status, 200);
  });
});

function silentLog(): Log {
  const nothing = (): void => undefined;
  const log: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing, debugEnabled: false, child: () => log };
  return log;
}
