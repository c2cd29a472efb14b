// Ranges, parts, preconditions, overrides, and what their answers carry.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ask, type Reply } from "../support/request.ts";
import type { S3TestServer } from "../support/server.ts";
import { startServer } from "../support/start.ts";

const BODY = Buffer.from("0123456789");
const LARGE = Buffer.from(Array.from({ length: 2_500_000 }, (_, i) => (i * 7) % 253));

describe("reads", () => {
  let server: S3TestServer;
  let etag: string;
  let modified: string;
  before(async () => {
    server = await startServer();
    await ask(server, { method: "PUT", target: "/reads" });
    await ask(server, {
      method: "PUT",
      target: "/reads/ten",
      body: BODY,
      headers: { "Cache-Control": "no-store", Expires: "later" },
    });
    await ask(server, { method: "PUT", target: "/reads/large", body: LARGE });
    await ask(server, { method: "PUT", target: "/reads/empty", body: "" });
    const head = await ask(server, { method: "HEAD", target: "/reads/ten" });
    etag = head.headers["etag"] as string;
    modified = head.headers["last-modified"] as string;
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  const get = (key: string, headers: Record<string, string> = {}, query = ""): Promise<Reply> =>
    ask(server, { target: `/reads/${key}${query}`, headers });
  const head = (key: string, headers: Record<string, string> = {}, query = ""): Promise<Reply> =>
    ask(server, { method: "HEAD", target: `/reads/${key}${query}`, headers });

  it("one range: first–last, open, suffix", async () => {
    for (const [range, start, end] of [
      ["bytes=0-0", 0, 1],
      ["bytes=2-5", 2, 6],
      ["bytes=7-", 7, 10],
      ["bytes=-3", 7, 10],
      ["bytes=-100", 0, 10],
      ["bytes=4-100", 4, 10],
    ] as const) {
      const reply = await get("ten", { Range: range });
      assert.equal(reply.status, 206, range);
      assert.equal(reply.text, BODY.subarray(start, end).toString());
      assert.equal(reply.headers["content-range"], `bytes ${start}-${end - 1}/10`);
      assert.equal(reply.headers["content-length"], String(end - start));
      const only = await head("ten", { Range: range });
      assert.deepEqual(
        [only.status, only.headers["content-length"], only.headers["content-range"]],
        [206, String(end - start), `bytes ${start}-${end - 1}/10`],
      );
    }
  });

  it("ranges across blocks", async () => {
    for (const [start, end] of [
      [0, 1],
      [1_048_575, 1_048_577],
      [1_048_576, 2_097_152],
      [5, 2_499_999],
      [2_499_999, 2_500_000],
    ] as const) {
      const reply = await get("large", { Range: `bytes=${start}-${end - 1}` });
      assert.equal(reply.status, 206);
      assert.ok(reply.body.equals(LARGE.subarray(start, end)), `${start}–${end}`);
    }
  });

  it("several or malformed ranges give the whole object", async () => {
    for (const range of ["bytes=0-1,3-4", "bytes=5-2", "lines=1-2", "bytes=x"]) {
      const reply = await get("ten", { Range: range });
      assert.deepEqual([reply.status, reply.text, reply.headers["content-range"]], [200, "0123456789", undefined], range);
    }
  });

  it("what can't be satisfied is 416 with the size", async () => {
    for (const [key, range] of [
      ["ten", "bytes=10-"],
      ["ten", "bytes=-0"],
      ["empty", "bytes=0-"],
      ["empty", "bytes=-0"],
    ] as const) {
      const reply = await get(key, { Range: range });
      assert.deepEqual([reply.status, reply.code], [416, "InvalidRange"], range);
      assert.equal(reply.headers["content-range"], `bytes */${key === "ten" ? 10 : 0}`);
      assert.match(reply.text, /<ActualObjectSize>\d+<\/ActualObjectSize>/);
    }
  });

  it("part numbers of an object that has no parts", async () => {
    const part = await get("ten", {}, "?partNumber=1");
    assert.deepEqual(
      [part.status, part.text, part.headers["content-range"], part.headers["x-amz-mp-parts-count"]],
      [206, "0123456789", "bytes 0-9/10", undefined],
    );
    assert.equal((await get("empty", {}, "?partNumber=1")).status, 200);
    assert.deepEqual((await get("ten", {}, "?partNumber=2")).code, "InvalidPartNumber");
    for (const number of ["0", "10001", "x", "-1", ""])
      assert.equal((await get("ten", {}, `?partNumber=${number}`)).code, "InvalidArgument", number);
    assert.equal((await get("ten", { Range: "bytes=0-1" }, "?partNumber=1")).code, "InvalidRequest");
  });

  it("preconditions, in their order", async () => {
    const past = "Thu, 01 Jan 2015 00:00:00 GMT";
    const future = "Tue, 01 Jan 2115 00:00:00 GMT";
    const cases: readonly (readonly [Record<string, string>, number])[] = [
      [{ "If-Match": etag }, 200],
      [{ "If-Match": '"x"' }, 412],
      [{ "If-Match": "*" }, 200],
      [{ "If-None-Match": etag }, 304],
      [{ "If-None-Match": "*" }, 304],
      [{ "If-None-Match": '"x"' }, 200],
      [{ "If-Modified-Since": modified }, 304],
      [{ "If-Modified-Since": past }, 200],
      [{ "If-Unmodified-Since": modified }, 200],
      [{ "If-Unmodified-Since": past }, 412],
      [{ "If-Match": etag, "If-Unmodified-Since": past }, 200],
      [{ "If-None-Match": '"x"', "If-Modified-Since": future }, 200],
      [{ "If-None-Match": etag, "If-Modified-Since": past }, 304],
      [{ "If-Match": '"x"', "If-None-Match": etag }, 412],
      [{ "If-Modified-Since": "not a date" }, 200],
      [{ "If-None-Match": etag, Range: "bytes=0-1" }, 304],
    ];
    for (const [headers, status] of cases) {
      const reply = await get("ten", headers);
      assert.equal(reply.status, status, JSON.stringify(headers));
      assert.equal((await head("ten", headers)).status, status, `HEAD ${JSON.stringify(headers)}`);
      if (status === 412) assert.equal(reply.code, "PreconditionFailed");
      if (status !== 304) continue;
      assert.equal(reply.body.byteLength, 0);
      assert.deepEqual(
        [reply.headers["etag"], reply.headers["last-modified"], reply.headers["cache-control"]],
        [etag, modified, "no-store"],
      );
    }
  });

  it("If-Range", async () => {
    assert.equal((await get("ten", { Range: "bytes=0-1", "If-Range": etag })).status, 206);
    assert.equal((await get("ten", { Range: "bytes=0-1", "If-Range": '"x"' })).status, 200);
    assert.equal((await get("ten", { Range: "bytes=0-1", "If-Range": modified })).status, 206);
  });

  it("response-* overrides", async () => {
    const query =
      "?response-content-type=text%2Fx&response-content-disposition=attachment%3B%20filename%3D%22%C3%A4.txt%22&response-cache-control=a&response-content-language=de&response-expires=e&response-content-encoding=br";
    for (const reply of [
      await get("ten", {}, query),
      await head("ten", {}, query),
      await get("ten", { Range: "bytes=0-1" }, query),
    ]) {
      assert.equal(reply.headers["content-type"], "text/x");
      assert.equal(Buffer.from(reply.headers["content-disposition"] ?? "", "latin1").toString(), 'attachment; filename="ä.txt"');
      assert.equal(reply.headers["cache-control"], "a");
      assert.equal(reply.headers["content-language"], "de");
      assert.equal(reply.headers["expires"], "e");
      assert.equal(reply.headers["content-encoding"], "br");
    }
    assert.equal((await get("ten", {}, "?response-content-type=a%0d%0aX-Evil:%201")).code, "InvalidArgument");
  });

  it("version ids of a bucket without versions", async () => {
    assert.equal((await get("ten", {}, "?versionId=null")).text, "0123456789");
    assert.equal((await get("ten", {}, "?versionId=")).code, "InvalidArgument");
    assert.equal((await get("ten", {}, "?versionId=1")).code, "InvalidArgument");
    assert.equal((await get("ten", {}, `?versionId=${"a".repeat(32)}`)).code, "NoSuchVersion");
    assert.equal((await ask(server, { method: "DELETE", target: `/reads/ten?versionId=${"a".repeat(32)}` })).status, 204);
    assert.equal((await ask(server, { method: "DELETE", target: "/reads/ten?versionId=x" })).code, "InvalidArgument");
    assert.equal((await get("ten")).status, 200);
  });

  it("HEAD tells what GET would send, and nothing more", async () => {
    const whole = await get("ten");
    const only = await head("ten");
    assert.equal(only.body.byteLength, 0);
    const { date: _a, "x-amz-request-id": _b, ...got } = whole.headers;
    const { date: _c, "x-amz-request-id": _d, ...told } = only.headers;
    assert.deepEqual(told, got);
    assert.equal(whole.headers["content-type"], "binary/octet-stream");
    assert.equal(whole.headers["x-amz-version-id"], undefined);
    const missing = await head("nope");
    assert.deepEqual([missing.status, missing.body.byteLength], [404, 0]);
  });

  it("a connection goes on after answers of every kind", async () => {
    // 304, 404, HEAD and 416 in one keep-alive connection would fall apart if one of them had a body too many.
    const { Agent, request } = await import("node:http");
    const { signRequest, sha256Hex } = await import("../support/sign.ts");
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const once = (method: string, target: string, extra: readonly string[]): Promise<[number, string]> =>
      new Promise((resolve, reject) => {
        const { headers } = signRequest(server.identity, {
          method,
          target,
          headers: ["Host", `${server.host}:${server.port}`, ...extra],
          payload: sha256Hex(""),
          timeMs: Date.now(),
        });
        request({ agent, host: server.host, port: server.port, method, path: target, headers }, (response) => {
          let text = "";
          response.on("data", (piece) => (text += piece));
          response.on("end", () => resolve([response.statusCode ?? 0, text]));
        })
          .on("error", reject)
          .end();
      });
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await once("GET", "/reads/ten", ["If-None-Match", etag]), [304, ""]);
      assert.equal((await once("HEAD", "/reads/nope", []))[0], 404);
      assert.equal((await once("GET", "/reads/ten", ["Range", "bytes=99-"]))[0], 416);
      assert.deepEqual(await once("GET", "/reads/ten", []), [200, "0123456789"]);
    }
    agent.destroy();
  });
});
