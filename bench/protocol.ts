// Cost of the protocol layer, in CPU time of this process: SigV4 per request, aws-chunked per byte, XML per document, and one
// request through the HTTP seam beside bare node:http. The client of the HTTP part runs in a child process, so that its cost is
// not counted.
//     tools/run node bench/protocol.ts [seconds per measurement, default 1]
import { fork } from "node:child_process";
import { createServer } from "node:http";
import { connect } from "node:net";
import process from "node:process";
import type { AddressInfo } from "node:net";
import { nodeClock } from "../src/platform/node/clock.ts";
import { AwsChunkedSource } from "../src/api/common/aws-chunked.ts";
import { openUpload } from "../src/api/common/payload.ts";
import { parseTarget } from "../src/api/common/request-target.ts";
import { SignatureVerifier } from "../src/api/common/signature-verifier.ts";
import { parseXml } from "../src/api/common/xml-read.ts";
import type { HttpRequest } from "../src/platform/http.ts";
import type { Log } from "../src/platform/log.ts";
import { createHttpServerFactory } from "../src/platform/node/http-server.ts";
import { type ByteSource, sourceOf } from "../src/util/byte-source.ts";
import {
  chunkedBody,
  presign,
  sha256Hex,
  signRequest,
  STREAMING_SIGNED,
  STREAMING_UNSIGNED_TRAILER,
} from "../test/support/sign.ts";

const NOW = Date.UTC(2026, 10, 22);
const IDENTITY = { keyId: "GK0123456789abcdef01234567", secret: "0f".repeat(32), region: "garage" };
const KEY = {
  id: IDENTITY.keyId,
  secret: IDENTITY.secret,
  name: "bench",
  createdMs: 0,
  expiresMs: undefined,
  mayCreateBucket: true,
};
const CONCURRENCY = 16;

if (process.send !== undefined) client();
else await main(Number(process.argv[2] ?? 1) * 1000);

async function main(ms: number): Promise<void> {
  const verifier = new SignatureVerifier(
    { service: "s3", region: "garage", strictRegion: false },
    {
      clock: { wallMs: () => NOW, monotonicMs: () => 0, timer: () => ({ cancel: () => undefined }) },
      accessKey: (id) => (id === KEY.id ? KEY : undefined),
    },
  );
  const headers = ["Host", "127.0.0.1:3900", "User-Agent", "bench", "Content-Type", "text/plain", "Content-Length", "4096"];
  const put = { method: "PUT", target: "/bucket/folder/object-0001.txt", headers, payload: sha256Hex("x"), timeMs: NOW };
  const forms = {
    "verify PUT, header": signRequest(IDENTITY, put),
    "verify GET, header": signRequest(IDENTITY, { ...put, method: "GET", headers: headers.slice(0, 4) }),
    "verify list, query": signRequest(IDENTITY, {
      ...put,
      method: "GET",
      target: "/bucket?list-type=2&prefix=some%2Fprefix&max-keys=1000",
      headers: headers.slice(0, 2),
    }),
    "verify GET, presigned": presign(IDENTITY, {
      ...put,
      method: "GET",
      headers: headers.slice(0, 2),
      payload: "UNSIGNED-PAYLOAD",
      expiresSeconds: 60,
    }),
  };
  for (const [name, signed] of Object.entries(forms)) {
    const request = asRequest(signed);
    measure(name, ms, () => {
      const outcome = verifier.verify(request, parseTarget(request.target));
      if (!outcome.ok) throw outcome.error;
    });
  }
  const upload = asRequest(forms["verify PUT, header"]);
  measure("open upload", ms, () => openUpload(upload, { kind: "unsigned" }));
  const xml = Buffer.from(
    `<Delete>${Array.from({ length: 1000 }, (_, i) => `<Object><Key>folder/object-${i}.txt</Key></Object>`).join("")}</Delete>`,
  );
  await measureXml(ms, xml);
  for (const [name, seed, payload, chunkBytes] of [
    ["unsigned, chunks of 64 KiB", undefined, STREAMING_UNSIGNED_TRAILER, 65_536],
    ["signed, chunks of 64 KiB", "0".repeat(64), STREAMING_SIGNED, 65_536],
    ["unsigned, chunks of 1 MiB", undefined, STREAMING_UNSIGNED_TRAILER, 1 << 20],
  ] as const)
    await measureChunks(`aws-chunked ${name}`, ms, { seed, payload, chunkBytes });
  await measureHttp(ms);
}

function measure(name: string, ms: number, run: () => unknown): void {
  for (let i = 0; i < 2000; i++) run();
  const end = performance.now() + ms;
  const before = process.cpuUsage();
  let count = 0;
  while (performance.now() < end) for (let i = 0; i < 20; i++, count++) run();
  report(name, perOperation(before, count), "CPU-µs");
}

async function measureXml(ms: number, xml: Uint8Array): Promise<void> {
  const end = performance.now() + ms;
  const before = process.cpuUsage();
  let count = 0;
  for (; performance.now() < end; count++) await parseXml(xml, { root: ["Delete"] }, { clock: nodeClock() });
  report("XML, DeleteObjects of 1,000", perOperation(before, count), "CPU-µs");
}

async function measureChunks(
  name: string,
  ms: number,
  body: { seed: string | undefined; payload: string; chunkBytes: number },
): Promise<void> {
  const chunks = Array.from({ length: (8 << 20) / body.chunkBytes }, () => Buffer.alloc(body.chunkBytes, "a"));
  const wire = chunkedBody(IDENTITY, { chunks, seed: body.seed, timeMs: NOW });
  const end = performance.now() + ms;
  const before = process.cpuUsage();
  let bytes = 0;
  while (performance.now() < end) {
    const signed = body.seed !== undefined;
    const source = new AwsChunkedSource(slices(wire), {
      // Hashing is the decoder's; the HMACs are counted by the verifier's figures.
      chain: signed ? { acceptChunk: () => true, acceptTrailer: () => true } : undefined,
      trailer: !signed,
      announced: [],
      acceptsTrailer: () => true,
      decodedBytes: undefined,
    });
    for (let piece = await source.read(); piece !== null; piece = await source.read()) bytes += piece.byteLength;
  }
  report(name, bytes / perOperation(before, 1), "MB per CPU-second");
}

/** As a socket gives it: 64 KiB at a time. */
function slices(wire: Buffer): ByteSource {
  let at = 0;
  return {
    read() {
      const piece = wire.subarray(at, at + 65_536);
      at += piece.byteLength;
      return Promise.resolve(piece.byteLength === 0 ? null : piece);
    },
    cancel: () => undefined,
  };
}

async function measureHttp(ms: number): Promise<void> {
  const body = Buffer.alloc(128, "a");
  const head = ["Content-Type", "text/plain", "x-amz-request-id", "0123456789ABCDEF"];
  const bareHead = [...head, "Content-Length", "128"];
  const nothing = (): void => undefined;
  const log: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing, debugEnabled: false, child: () => log };
  const get = "GET /bucket/key HTTP/1.1\r\nHost: a\r\nx-amz-date: 20261122T000000Z\r\nAuthorization: x\r\n\r\n";
  const put = get.replace("GET", "PUT").replace("\r\n\r\n", `\r\nContent-Length: 4096\r\n\r\n${"x".repeat(4096)}`);
  const bare = createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 }, (message, answer) => {
    if (message.method === "GET") {
      answer.writeHead(200, bareHead);
      answer.end(body);
      return;
    }
    const pieces: Buffer[] = [];
    message.on("data", (piece) => pieces.push(piece));
    message.on("end", () => {
      answer.writeHead(200, bareHead);
      answer.end(body);
    });
  });
  await new Promise<void>((resolve) => bare.listen(0, "127.0.0.1", resolve));
  const seam = await createHttpServerFactory({ log }).listen("127.0.0.1:0", async (request, response) => {
    if (request.method === "PUT") while ((await request.body.read()) !== null);
    response.send(200, head, body);
  });
  const ports = { "bare node:http": (bare.address() as AddressInfo).port, "the seam": (seam.address as { port: number }).port };
  // In turn and twice, so that a noisy neighbour meets both.
  for (const round of [1, 2])
    for (const [name, request] of [
      ["GET", get],
      ["PUT 4 KiB", put],
    ] as const)
      for (const [server, port] of Object.entries(ports))
        report(`${name} through ${server} (${round})`, await drive(port, request, ms), "CPU-µs");
  bare.close();
  bare.closeAllConnections();
  await seam.close({ graceMs: 0 });
}

/** CPU-µs of this process per request while the child sends them. */
async function drive(port: number, request: string, ms: number): Promise<number> {
  const child = fork(new URL(import.meta.url), { execArgv: process.execArgv });
  const message = (): Promise<unknown> => new Promise((resolve) => child.once("message", resolve));
  await message();
  child.send({ port, request, ms: ms / 2 });
  await message();
  const before = process.cpuUsage();
  child.send({ port, request, ms });
  const count = Number(await message());
  const cost = perOperation(before, count);
  child.disconnect();
  return cost;
}

/** The child: keeps some connections busy, one request at a time each. */
function client(): void {
  process.on("message", async ({ port, request, ms }: { port: number; request: string; ms: number }) => {
    const end = performance.now() + ms;
    const bytes = Buffer.from(request);
    const one = (): Promise<number> =>
      new Promise((resolve) => {
        let count = 0;
        const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => socket.write(bytes));
        // Every answer is small and comes in one piece.
        socket.on("data", () => {
          count++;
          if (performance.now() < end) socket.write(bytes);
          else socket.destroy();
        });
        socket.on("close", () => resolve(count));
      });
    const counts = await Promise.all(Array.from({ length: CONCURRENCY }, one));
    process.send?.(counts.reduce((sum, count) => sum + count, 0));
  });
  process.send?.("ready");
}

function perOperation(before: NodeJS.CpuUsage, count: number): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

function report(name: string, figure: number, unit: string): void {
  console.log(`${name.padEnd(40)} ${figure.toFixed(1).padStart(9)} ${unit}`);
}

function asRequest(signed: { method: string; target: string; headers: readonly string[] }): HttpRequest {
  const byName = new Map<string, string>();
  for (let i = 0; i < signed.headers.length; i += 2) byName.set(signed.headers[i]!.toLowerCase(), signed.headers[i + 1]!);
  return {
    method: signed.method,
    target: signed.target,
    rawHeaders: signed.headers,
    header: (name) => byName.get(name),
    body: sourceOf(new Uint8Array(0)),
    contentLength: 4096,
    remoteAddress: "",
    signal: new AbortController().signal,
  };
}
