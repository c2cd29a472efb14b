// Awkward keys and metadata: what goes in comes out, bit for bit.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { ask, type Reply } from "../support/request.ts";
import { sdkClient } from "../support/sdk.ts";
import type { S3TestServer } from "../support/server.ts";
import { encode, encodeKey } from "../support/sign.ts";
import { startServer } from "../support/start.ts";

const KEYS = [
  "plain",
  "with space",
  "plus+plus",
  "per%cent %2F %25",
  "tab\tand\nnewline\rreturn",
  "emoji 😀 und Umlaut äöü",
  "e\u0301 decomposed",
  "trailing/",
  "/leading",
  "//two//slashes//",
  "..",
  "../up",
  "a/./b/../c",
  ".",
  "?query=1&x#fragment",
  "quotes\"'<>&amp;",
  "~!@$^*()_-={}[]|;:,`\\",
  " 007 ",
  "1e5",
  "null",
  "\u0001\u001f\u007f",
  "\uffff\ufffe",
  "k".repeat(1024),
  "😀".repeat(256),
];

describe("keys and metadata", () => {
  let server: S3TestServer;
  let s3: S3Client;
  before(async () => {
    server = await startServer();
    s3 = sdkClient(server);
    await ask(server, { method: "PUT", target: "/keys" });
  });
  after(async () => {
    s3.destroy();
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  it("awkward keys, hand-made requests: put, get, list, copy, delete", async () => {
    for (const key of KEYS) {
      const target = `/keys/${encodeKey(key)}`;
      assert.equal((await ask(server, { method: "PUT", target, body: key })).status, 200, JSON.stringify(key));
      assert.equal((await ask(server, { target })).text, key);
      // The same with every slash escaped: the same key.
      assert.equal((await ask(server, { target: `/keys/${encode(key)}` })).text, key);
      const copied = await ask(server, {
        method: "PUT",
        target: "/keys/%00copy",
        headers: { "x-amz-copy-source": `/keys/${encode(key)}` },
      });
      assert.equal(copied.status, 200, copied.text);
      assert.equal((await ask(server, { target: "/keys/%00copy" })).text, key);
    }
    const listed = await ask(server, { target: "/keys?list-type=2&encoding-type=url" });
    const names = [...listed.text.matchAll(/<Key>([^<]*)<\/Key>/g)].map((match) => decodeURIComponent(match[1] ?? ""));
    assert.deepEqual(
      names,
      ["\0copy", ...KEYS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    );
    assert.equal((await ask(server, { method: "DELETE", target: "/keys/%00copy" })).status, 204);
  });

  it("the same keys through the SDK, which normalizes nothing", async () => {
    for (const key of KEYS) {
      if (key === "." || key === "..") continue; // Node's client cuts these off the path.
      await s3.send(new PutObjectCommand({ Bucket: "keys", Key: key, Body: `sdk ${key}` }));
      const got = await s3.send(new GetObjectCommand({ Bucket: "keys", Key: key }));
      assert.equal(await got.Body?.transformToString(), `sdk ${key}`, JSON.stringify(key));
      await s3.send(new CopyObjectCommand({ Bucket: "keys", Key: "copy of it", CopySource: `keys/${encodeURIComponent(key)}` }));
    }
    // XML 1.0 can't say control characters: clients with such keys ask for encoding-type=url.
    const sayable = KEYS.filter((key) => !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(key));
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: "keys", EncodingType: "url" }));
    const names = Contents.map((entry) => decodeURIComponent(entry.Key as string));
    for (const key of KEYS) assert.ok(names.includes(key), JSON.stringify(key));
    const answer = await s3.send(
      new DeleteObjectsCommand({ Bucket: "keys", Delete: { Objects: sayable.map((Key) => ({ Key })) } }),
    );
    assert.deepEqual(answer.Errors ?? [], []);
    assert.deepEqual(
      answer.Deleted?.map((one) => one.Key),
      sayable,
    );
    for (const key of sayable)
      assert.equal((await ask(server, { target: `/keys/${encodeKey(key)}` })).status, 404, JSON.stringify(key));
  });

  it("control characters in listings without encoding-type are references, as AWS writes them", async () => {
    await ask(server, { method: "PUT", target: "/keys/ctl%01%0a", body: "x" });
    assert.match((await ask(server, { target: "/keys?list-type=2&prefix=ctl" })).text, /<Key>ctl&#x1;&#xa;<\/Key>/);
  });

  it("keys that are too long", async () => {
    for (const [method, target] of [
      ["PUT", `/keys/${"k".repeat(1025)}`],
      ["GET", `/keys/${"k".repeat(1025)}`],
      ["PUT", `/keys/${encode("😀".repeat(257))}`],
      ["POST", `/keys/${"k".repeat(1025)}?uploads`],
    ] as const)
      assert.equal((await ask(server, { method, target })).code, "KeyTooLongError", `${method} ${target.length}`);
  });

  it("paths that can't be decoded", async () => {
    const { exchange } = await import("../support/request.ts");
    for (const target of [
      "/keys/%ff",
      "/keys/%",
      "/keys/%2",
      "/keys/%zz",
      "/keys/a?prefix=%ff",
      "/%c3%28/k",
      "/keys/%ed%a0%80",
    ]) {
      const reply = await exchange(server, { method: "GET", target, headers: ["Host", `${server.host}:${server.port}`] });
      assert.deepEqual([reply.status, reply.code], [400, "InvalidURI"], target);
    }
  });

  const put = (key: string, headers: Record<string, string>): Promise<Reply> =>
    ask(server, { method: "PUT", target: `/keys/${key}`, headers, body: "x" });
  const latin1 = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

  it("user metadata beyond ASCII comes back as encoded words; system headers as the bytes that were sent", async () => {
    const text = "Grüße 😀 — “quoted”";
    assert.equal(
      (await put("meta", { "x-amz-meta-Text": latin1(text), "x-amz-meta-rfc2047": "=?UTF-8?B?w6Q=?=", "x-amz-meta-empty": "" }))
        .status,
      200,
    );
    for (const method of ["GET", "HEAD"]) {
      const { headers } = await ask(server, { method, target: "/keys/meta" });
      assert.equal(headers["x-amz-meta-text"], `=?UTF-8?B?${Buffer.from(text).toString("base64")}?=`);
      assert.equal(headers["x-amz-meta-rfc2047"], "=?UTF-8?B?w6Q=?=");
      assert.equal(headers["x-amz-meta-empty"], "");
    }
    assert.equal((await put("meta2", { "x-amz-meta-bad": "\u00e4" })).code, "InvalidArgument");
    assert.equal((await put("meta3", { "Content-Disposition": latin1("attachment; filename=ä") })).status, 200);
    assert.equal((await ask(server, { target: "/keys/meta3" })).headers["content-disposition"], latin1("attachment; filename=ä"));
  });

  it("user metadata up to 2 KiB", async () => {
    assert.equal((await put("meta", { "x-amz-meta-a": "v".repeat(2047) })).status, 200);
    const reply = await put("meta", { "x-amz-meta-a": "v".repeat(2048) });
    assert.deepEqual([reply.status, reply.code], [400, "MetadataTooLarge"]);
    assert.equal((await put("meta", { "x-amz-meta-a": latin1("ä".repeat(1024)) })).code, "MetadataTooLarge");
    assert.equal((await put("meta", { "Cache-Control": "v".repeat(9000) })).code, "MetadataTooLarge");
  });

  it("other kept headers", async () => {
    assert.equal((await put("redirect", { "x-amz-website-redirect-location": "elsewhere" })).code, "InvalidRedirectLocation");
    for (const location of ["/x", "http://x", "https://x"])
      assert.equal((await put("redirect", { "x-amz-website-redirect-location": location })).status, 200);
    assert.equal((await ask(server, { target: "/keys/redirect" })).headers["x-amz-website-redirect-location"], "https://x");
    await put("encoded", { "Content-Encoding": "gzip,aws-chunked" });
    assert.equal((await ask(server, { target: "/keys/encoded" })).headers["content-encoding"], "gzip");
  });
});
