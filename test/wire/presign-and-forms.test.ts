// Presigned URLs (by the SDK and by hand) and browser forms.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { GetObjectCommand, PutObjectCommand, type S3Client, UploadPartCommand } from "@aws-sdk/client-s3";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { full } from "../support/checksums.ts";
import { ask, exchange, type Reply } from "../support/request.ts";
import { sdkClient } from "../support/sdk.ts";
import type { S3TestServer } from "../support/server.ts";
import { policyFieldConditions, presign, signPolicy } from "../support/sign.ts";
import { startServer } from "../support/start.ts";

describe("presigned URLs and forms", () => {
  let server: S3TestServer;
  let s3: S3Client;
  before(async () => {
    server = await startServer();
    s3 = sdkClient(server);
    await ask(server, { method: "PUT", target: "/shared" });
    await ask(server, { method: "PUT", target: "/shared/k", body: "hello" });
  });
  after(async () => {
    s3.destroy();
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  const hand = (
    method: string,
    target: string,
    options: { expiresSeconds?: number; timeMs?: number; body?: string } = {},
  ): Promise<Reply> => {
    const { expiresSeconds = 60, timeMs = Date.now(), body = "" } = options;
    const headers = ["Host", `${server.host}:${server.port}`];
    const signed = presign(server.identity, { method, target, headers, payload: "UNSIGNED-PAYLOAD", timeMs, expiresSeconds });
    return exchange(server, {
      method,
      target: signed.target,
      headers: [...headers, "Content-Length", String(body.length)],
      body: Buffer.from(body),
    });
  };

  it("the SDK's GET, PUT and UploadPart", async () => {
    const got = await fetch(
      await getSignedUrl(s3, new GetObjectCommand({ Bucket: "shared", Key: "k", ResponseContentType: "a/b" })),
    );
    assert.deepEqual([got.status, await got.text(), got.headers.get("content-type")], [200, "hello", "a/b"]);
    const put = await fetch(
      await getSignedUrl(s3, new PutObjectCommand({ Bucket: "shared", Key: "put by url", Metadata: { a: "b" } })),
      { method: "PUT", body: "by url" },
    );
    assert.equal(put.status, 200, await put.text());
    const kept = await ask(server, { target: "/shared/put%20by%20url" });
    assert.deepEqual([kept.text, kept.headers["x-amz-meta-a"]], ["by url", "b"]);
    const created = await ask(server, { method: "POST", target: "/shared/parts?uploads" });
    const UploadId = /<UploadId>(\w+)</.exec(created.text)?.[1] as string;
    const part = await fetch(
      await getSignedUrl(s3, new UploadPartCommand({ Bucket: "shared", Key: "parts", UploadId, PartNumber: 1 })),
      { method: "PUT", body: "part" },
    );
    assert.equal(part.status, 200, await part.text());
  });

  it("by hand; headers in the query count, are checked and screened", async () => {
    assert.equal((await hand("GET", "/shared/k")).text, "hello");
    assert.equal((await hand("GET", "/shared/k?x-amz-checksum-mode=ENABLED")).status, 200);
    assert.equal((await hand("PUT", "/shared/h?x-amz-meta-color=r%C3%B6t", { body: "x" })).status, 200);
    assert.equal((await ask(server, { target: "/shared/h" })).headers["x-amz-meta-color"], "=?UTF-8?B?csO2dA==?=");
    assert.equal(
      (
        await hand("PUT", `/shared/h?x-amz-checksum-crc32=${encodeURIComponent(full("CRC32", Buffer.from("x")).value)}`, {
          body: "y",
        })
      ).code,
      "BadDigest",
    );
    assert.equal((await hand("PUT", "/shared/h?x-amz-grant-read=id%3D1", { body: "x" })).code, "NotImplemented");
    assert.equal((await hand("PUT", "/shared/h?x-amz-acl=public-read", { body: "x" })).status, 200);
    assert.equal((await hand("PUT", "/shared/h?X-Amz-Server-Side-Encryption=AES256", { body: "x" })).code, "NotImplemented");
    assert.equal((await hand("PUT", "/shared/h?x-amz-acl=private", { body: "x" })).status, 200);
  });

  it("a literal plus means what was signed, whatever the URL's bearer makes of it", async () => {
    const headers = ["Host", `${server.host}:${server.port}`];
    const disposition = async (signedValue: string, sentValue: string): Promise<string | string[] | undefined> => {
      const target = `/shared/k?response-content-disposition=${signedValue}`;
      const base = { method: "GET", headers, payload: "UNSIGNED-PAYLOAD", timeMs: Date.now(), expiresSeconds: 60 };
      const signed = presign(server.identity, { ...base, target }).target;
      const reply = await exchange(server, { method: "GET", target: signed.replace(signedValue, sentValue), headers });
      return reply.status === 200 ? reply.headers["content-disposition"] : reply.code;
    };
    assert.equal(await disposition("a%2Bb", "a%2Bb"), "a+b");
    assert.equal(await disposition("a%2Bb", "a+b"), "a+b");
    assert.equal(await disposition("a%20b", "a+b"), "a b");
    assert.equal(await disposition("a%2Bb", "a%20b"), "SignatureDoesNotMatch");
  });

  it("expiry and limits", async () => {
    const expired = await hand("GET", "/shared/k", { timeMs: Date.now() - 120_000 });
    assert.deepEqual([expired.status, expired.code], [403, "AccessDenied"]);
    assert.equal((await hand("GET", "/shared/k", { expiresSeconds: 604_801 })).code, "AuthorizationQueryParametersError");
    const forged = presign(
      { ...server.identity, secret: "x" },
      {
        method: "GET",
        target: "/shared/k",
        headers: ["Host", "h"],
        payload: "UNSIGNED-PAYLOAD",
        timeMs: Date.now(),
        expiresSeconds: 60,
      },
    );
    assert.equal(
      (await exchange(server, { method: "GET", target: forged.target, headers: ["Host", "h"] })).code,
      "SignatureDoesNotMatch",
    );
  });

  it("a form made by the SDK", async () => {
    const { url, fields } = await createPresignedPost(s3, {
      Bucket: "shared",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: S3's own placeholder
      Key: "forms/${filename}",
      Conditions: [["content-length-range", 1, 100], ["starts-with", "$x-amz-meta-note", ""], { "Content-Type": "text/plain" }],
      Fields: { "Content-Type": "text/plain", success_action_status: "201" },
      Expires: 60,
    });
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("x-amz-meta-note", "from ä form");
    form.append("file", new Blob(["form body"]), "näme.txt");
    const reply = await fetch(url, { method: "POST", body: form });
    const text = await reply.text();
    assert.equal(reply.status, 201, text);
    assert.match(
      text,
      /<PostResponse><Location>http[^<]*<\/Location><Bucket>shared<\/Bucket><Key>forms\/näme.txt<\/Key><ETag>&quot;[0-9a-f]{32}&quot;<\/ETag><\/PostResponse>/,
    );
    const kept = await ask(server, { target: `/shared/forms/${encodeURIComponent("näme.txt")}` });
    assert.deepEqual([kept.text, kept.headers["content-type"]], ["form body", "text/plain"]);
    assert.equal(kept.headers["x-amz-meta-note"], "=?UTF-8?B?ZnJvbSDDpCBmb3Jt?=");
  });

  interface Form {
    readonly fields?: Record<string, string>;
    readonly conditions?: readonly unknown[];
    /** Conditions that say for which bucket the policy is. */
    readonly bucket?: readonly unknown[];
    readonly file?: string;
    readonly expiresMs?: number;
    readonly secret?: string;
  }
  async function post(asked: Form): Promise<Response> {
    const { fields = {}, conditions = [], bucket = [{ bucket: "shared" }], file = "body", expiresMs = 60_000, secret } = asked;
    const timeMs = Date.now();
    const identity = secret === undefined ? server.identity : { ...server.identity, secret };
    const document = {
      expiration: new Date(timeMs + expiresMs).toISOString(),
      conditions: [...bucket, ["starts-with", "$key", ""], ...policyFieldConditions(identity, timeMs), ...conditions],
    };
    const form = new FormData();
    for (const [name, value] of Object.entries({ key: "form", ...fields, ...signPolicy(identity, { document, timeMs }) }))
      form.append(name, value);
    form.append("file", new Blob([file]), "f");
    return fetch(`${server.endpoint}/shared`, { method: "POST", body: form, redirect: "manual" });
  }
  const codeOf = async (reply: Response): Promise<string> =>
    `${reply.status} ${/<Code>(\w+)</.exec(await reply.text())?.[1] ?? ""}`;

  it("forms by hand: success answers", async () => {
    const plain = await post({});
    assert.equal(plain.status, 204);
    assert.match(plain.headers.get("location") ?? "", /\/shared\/form$/);
    assert.match(plain.headers.get("etag") ?? "", /^"[0-9a-f]{32}"$/);
    assert.equal((await ask(server, { target: "/shared/form" })).headers["content-type"], "binary/octet-stream");
    const status = await post({ fields: { success_action_status: "200" }, conditions: [{ success_action_status: "200" }] });
    assert.equal(status.status, 200);
    const url = "http://example.com/done?x=1";
    const redirect = await post({
      fields: { success_action_redirect: url },
      conditions: [["starts-with", "$success_action_redirect", ""]],
    });
    assert.equal(redirect.status, 303);
    assert.match(
      redirect.headers.get("location") ?? "",
      /^http:\/\/example.com\/done\?x=1&bucket=shared&key=form&etag=%22[0-9a-f]{32}%22$/,
    );
    const marked = await post({
      fields: { success_action_redirect: "http://example.com/done#part" },
      conditions: [["starts-with", "$success_action_redirect", ""]],
    });
    assert.match(
      marked.headers.get("location") ?? "",
      /^http:\/\/example.com\/done\?bucket=shared&key=form&etag=%22[0-9a-f]{32}%22#part$/,
    );
    const crc = full("CRC32", Buffer.from("body")).value;
    const summed = await post({ fields: { "x-amz-checksum-crc32": crc }, conditions: [{ "x-amz-checksum-crc32": crc }] });
    assert.equal(summed.headers.get("x-amz-checksum-crc32"), crc);
  });

  it("a policy must say for which bucket it is", async () => {
    assert.equal(await codeOf(await post({ bucket: [] })), "403 AccessDenied");
    assert.equal(await codeOf(await post({ bucket: [], fields: { bucket: "shared" } })), "403 AccessDenied");
    assert.equal(await codeOf(await post({ bucket: [{ bucket: "other" }] })), "403 AccessDenied");
    assert.equal(await codeOf(await post({ bucket: [["starts-with", "$bucket", "sha"]] })), "204 ");
    assert.equal(await codeOf(await post({ bucket: [["eq", "$bucket", "shared"]], fields: { bucket: "shared" } })), "204 ");
  });

  it("forms by hand: canned ACLs are taken, metadata comes in both spellings", async () => {
    const any = (name: string): unknown => ["starts-with", `$${name}`, ""];
    assert.equal(await codeOf(await post({ fields: { acl: "public-read" }, conditions: [any("acl")] })), "204 ");
    for (const note of ["grün", "=?UTF-8?Q?gr=C3=BCn?="]) {
      await post({ fields: { "x-amz-meta-note": note }, conditions: [any("x-amz-meta-note")] });
      const { headers } = await ask(server, { method: "HEAD", target: "/shared/form" });
      assert.equal(headers["x-amz-meta-note"], "=?UTF-8?B?Z3LDvG4=?=");
    }
  });

  it("forms by hand: refusals", async () => {
    const any = (name: string): unknown => ["starts-with", `$${name}`, ""];
    assert.equal(await codeOf(await post({ secret: "wrong" })), "403 SignatureDoesNotMatch");
    assert.equal(await codeOf(await post({ expiresMs: -1000 })), "403 AccessDenied");
    assert.equal(await codeOf(await post({ fields: { "Content-Type": "a/b" } })), "403 AccessDenied");
    const elsewhere = await post({ fields: { acl: "private" }, conditions: [["eq", "$acl", "a&b"]] });
    assert.match(
      await elsewhere.text(),
      /<Message>Invalid according to Policy: Policy Condition failed: \["eq", "\$acl", "a&amp;b"\]<\/Message>/,
    );
    const nameless = new FormData();
    nameless.append("", new Blob(["x"]), "f");
    const malformed = await fetch(`${server.endpoint}/shared`, { method: "POST", body: nameless });
    assert.equal(await codeOf(malformed), "400 MalformedPOSTRequest");
    assert.equal(await codeOf(await post({ conditions: [["content-length-range", 10, 20]] })), "400 EntityTooSmall");
    assert.equal(await codeOf(await post({ conditions: [["content-length-range", 0, 2]] })), "400 EntityTooLarge");
    assert.equal(await codeOf(await post({ fields: { key: "" } })), "400 InvalidArgument");
    assert.equal(await codeOf(await post({ fields: { key: "k".repeat(1025) } })), "400 KeyTooLongError");
    assert.equal(await codeOf(await post({ fields: { acl: "everyone" }, conditions: [any("acl")] })), "400 InvalidArgument");
    for (const name of ["x-amz-grant-read", "x-amz-tagging", "x-amz-checksum-sha512"])
      assert.equal(await codeOf(await post({ fields: { [name]: "a=b" }, conditions: [any(name)] })), "501 NotImplemented", name);
    assert.equal(
      await codeOf(
        await post({ fields: { "x-amz-checksum-algorithm": "XXHASH3" }, conditions: [any("x-amz-checksum-algorithm")] }),
      ),
      "501 NotImplemented",
    );
    assert.equal(
      await codeOf(await post({ fields: { tagging: "<Tagging/>" }, conditions: [any("tagging")] })),
      "501 NotImplemented",
    );
    assert.equal(
      await codeOf(
        await post({ fields: { "x-amz-server-side-encryption": "AES256" }, conditions: [any("x-amz-server-side-encryption")] }),
      ),
      "501 NotImplemented",
    );
    assert.equal(
      await codeOf(await post({ fields: { "If-None-Match": "*" }, conditions: [any("if-none-match")] })),
      "501 NotImplemented",
    );
    assert.equal(
      await codeOf(await post({ fields: { "x-amz-meta-a": "b\r\nX: y" }, conditions: [any("x-amz-meta-a")] })),
      "400 InvalidArgument",
    );
    assert.equal(
      await codeOf(await post({ fields: { "x-amz-checksum-crc32": "AAAAAA==" }, conditions: [any("x-amz-checksum-crc32")] })),
      "400 BadDigest",
    );
    const form = new FormData();
    form.append("key", "anonymous");
    form.append("file", new Blob(["x"]), "f");
    assert.equal(await codeOf(await fetch(`${server.endpoint}/shared`, { method: "POST", body: form })), "403 AccessDenied");
    assert.equal((await ask(server, { target: "/shared/anonymous" })).status, 404);
  });
});
