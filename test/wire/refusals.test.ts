// What is refused, and in which words: authentication, rights, unset features, what is not there, limits, malformed documents.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { S3Operation } from "../../src/api/s3/operation.ts";
import { OPERATIONS, type Operation } from "../../src/api/s3/operations.ts";
import { ask, exchange, type Reply, sendRaw } from "../support/request.ts";
import type { S3TestServer } from "../support/server.ts";
import { signRequest } from "../support/sign.ts";
import { startServer } from "../support/start.ts";

describe("refusals", () => {
  let server: S3TestServer;
  before(async () => {
    server = await startServer();
    await ask(server, { method: "PUT", target: "/house" });
    await ask(server, { method: "PUT", target: "/house/k", body: "x" });
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  it("an error document names code, message, resource and ids; the ids are in the headers too", async () => {
    const reply = await ask(server, { target: "/house/a%20b?x=1" });
    assert.equal(reply.status, 404);
    assert.equal(reply.headers["content-type"], "application/xml");
    const id = reply.headers["x-amz-request-id"] as string;
    assert.match(id, /^[0-9A-F]{16}$/);
    const host = reply.headers["x-amz-id-2"] as string;
    assert.ok(
      reply.text.endsWith(
        `<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a b</Key><Resource>/house/a%20b</Resource><RequestId>${id}</RequestId><HostId>${host}</HostId></Error>`,
      ),
      reply.text,
    );
    const other = await ask(server, { target: "/house/k" });
    assert.notEqual(other.headers["x-amz-request-id"], id);
  });

  it("authentication", async () => {
    const get = { target: "/house/k" };
    const code = async (asked: Promise<Reply>): Promise<string> => {
      const reply = await asked;
      return `${reply.status} ${reply.code}`;
    };
    assert.equal(await code(ask(server, { ...get, as: null })), "403 AccessDenied");
    assert.equal(await code(ask(server, { ...get, as: { ...server.identity, keyId: "GKnobody" } })), "403 InvalidAccessKeyId");
    assert.equal(await code(ask(server, { ...get, as: { ...server.identity, secret: "wrong" } })), "403 SignatureDoesNotMatch");
    assert.equal(await code(ask(server, { ...get, as: server.expired })), "403 AccessDenied");
    assert.equal(await code(ask(server, { ...get, timeMs: Date.now() - 20 * 60_000 })), "403 RequestTimeTooSkewed");
    assert.equal(await code(ask(server, { ...get, timeMs: Date.now() + 20 * 60_000 })), "403 RequestTimeTooSkewed");
    assert.equal(await code(ask(server, { ...get, as: { ...server.identity, region: "anywhere" } })), "200 ");
    assert.equal(
      await code(ask(server, { ...get, as: { ...server.identity, service: "k2v" } })),
      "400 AuthorizationHeaderMalformed",
    );
    assert.equal(await code(ask(server, { ...get, headers: { "x-amz-security-token": "t" } })), "400 InvalidToken");
    for (const header of ["AWS4-HMAC-SHA256 rubbish", "AWS GK:sig", "Basic YTpi"]) {
      const reply = await exchange(server, {
        method: "GET",
        target: "/house/k",
        headers: ["Host", "h", "Authorization", header],
      });
      assert.ok(reply.status === 400 || reply.status === 403, `${header}: ${reply.status}`);
      assert.notEqual(reply.code, "");
    }
  });

  it("nothing of a body is asked for before the caller is known", async () => {
    const head = [
      "PUT /house/big HTTP/1.1",
      "Host: h",
      "Content-Length: 100000000",
      "Expect: 100-continue",
      "Connection: close",
      "",
      "",
    ].join("\r\n");
    const text = await sendRaw(server, head);
    assert.match(text, /^HTTP\/1.1 403 /);
    assert.doesNotMatch(text, /100 Continue/);

    const { headers } = signRequest(server.identity, {
      method: "PUT",
      target: "/house/big",
      headers: ["Host", "h", "Content-Length", "1", "Expect", "100-continue"],
      payload: "UNSIGNED-PAYLOAD",
      timeMs: Date.now(),
    });
    const lines = headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${headers[at + 1]}`] : []));
    const good = await sendRaw(server, ["PUT /house/big HTTP/1.1", ...lines, "", ""].join("\r\n"), { idleMs: 500 });
    assert.match(good, /^HTTP\/1.1 100 Continue/);
  });

  it("rights decide, per operation", async () => {
    const requests: readonly (readonly [string, string, string, (string | Buffer)?, Record<string, string>?])[] = [
      ["r", "GET", "/house/k"],
      ["r", "HEAD", "/house/k"],
      ["r", "GET", "/house"],
      ["r", "HEAD", "/house"],
      ["r", "GET", "/house?location"],
      ["r", "GET", "/house?versioning"],
      ["r", "GET", "/house?uploads"],
      ["r", "GET", "/house/k?attributes"],
      ["r", "GET", "/house/k?tagging"],
      ["w", "PUT", "/house/new", "x"],
      ["w", "DELETE", "/house/new"],
      ["w", "POST", "/house/new?uploads"],
      ["w", "POST", "/house?delete", "<Delete><Object><Key>nothing</Key></Object></Delete>"],
      ["o", "GET", "/house?website"],
      ["o", "GET", "/house?cors"],
      ["o", "PUT", "/house?policy", "{}"],
    ];
    for (const granted of ["", "r", "w", "o", "rwo"]) {
      await server.grant(server.other, "house", granted);
      for (const [needed, method, target, body = "", headers = {}] of requests) {
        const reply = await ask(server, {
          method,
          target,
          body,
          headers: { ...headers, ...(target.includes("attributes") && { "x-amz-object-attributes": "ETag" }) },
          as: server.other,
        });
        // Without any right a key does not even see the name.
        if (granted.includes(needed))
          assert.ok(reply.status !== 403 && reply.code !== "NoSuchBucket", `${granted}: ${method} ${target}: ${reply.text}`);
        else
          assert.ok(
            reply.status === 403 || (granted === "" && reply.status === 404),
            `${granted}: ${method} ${target}: ${reply.status}`,
          );
      }
    }
    await server.grant(server.other, "house", "w");
    const copy = await ask(server, {
      method: "PUT",
      target: "/house/stolen",
      headers: { "x-amz-copy-source": "/house/k" },
      as: server.other,
    });
    assert.equal(copy.code, "AccessDenied");
    // Who may not read must not try out ETags either; whether a key is there at all it may ask.
    const k = { target: "/house/k", as: server.other };
    const known = (await ask(server, { method: "HEAD", target: "/house/k" })).headers["etag"] as string;
    for (const etag of [known, '"0"']) {
      const headers = { "If-Match": etag };
      assert.equal((await ask(server, { ...k, method: "PUT", body: "x", headers })).code, "AccessDenied");
      assert.equal((await ask(server, { ...k, method: "DELETE", headers })).code, "AccessDenied");
      const body = `<Delete><Object><Key>k</Key><ETag>${etag}</ETag></Object></Delete>`;
      const several = await ask(server, { ...k, method: "POST", target: "/house?delete", body });
      assert.match(several.text, /<Error><Key>k<\/Key><Code>AccessDenied<\/Code>/);
    }
    const absent = { ...k, target: "/house/absent", headers: { "If-Match": "*" } };
    assert.equal((await ask(server, { ...absent, method: "DELETE" })).code, "NoSuchKey");
    assert.equal(
      (await ask(server, { ...k, method: "PUT", body: "x", headers: { "If-None-Match": "*" } })).code,
      "PreconditionFailed",
    );
    assert.equal((await ask(server, { method: "DELETE", target: "/house", as: server.other })).code, "AccessDenied");
    assert.equal((await ask(server, { method: "PUT", target: "/mine", as: server.other })).code, "AccessDenied");
  });

  it("buckets that are not there", async () => {
    for (const [method, target] of [
      ["GET", "/nowhere/k"],
      ["PUT", "/nowhere/k"],
      ["GET", "/nowhere?list-type=2"],
      ["DELETE", "/nowhere"],
      ["GET", "/constructor/k"],
    ] as const) {
      const reply = await ask(server, { method, target });
      assert.deepEqual([reply.status, reply.code], [404, "NoSuchBucket"], `${method} ${target}`);
    }
  });

  it("settings that are not set answer as AWS does", async () => {
    for (const [target, status, want] of [
      ["?accelerate", 200, "<AccelerateConfiguration "],
      ["?cors", 404, "NoSuchCORSConfiguration"],
      ["?encryption", 404, "ServerSideEncryptionConfigurationNotFoundError"],
      ["?lifecycle", 404, "NoSuchLifecycleConfiguration"],
      ["?logging", 200, "<BucketLoggingStatus "],
      ["?notification", 200, "<NotificationConfiguration "],
      ["?ownershipControls", 200, "<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>"],
      ["?policy", 404, "NoSuchBucketPolicy"],
      ["?policyStatus", 404, "NoSuchBucketPolicy"],
      ["?replication", 404, "ReplicationConfigurationNotFoundError"],
      ["?requestPayment", 200, "<Payer>BucketOwner</Payer>"],
      ["?tagging", 404, "NoSuchTagSet"],
      ["?object-lock", 404, "ObjectLockConfigurationNotFoundError"],
      ["?publicAccessBlock", 404, "NoSuchPublicAccessBlockConfiguration"],
      ["?website", 404, "NoSuchWebsiteConfiguration"],
      ["?analytics&id=1", 404, "NoSuchConfiguration"],
      ["?inventory", 200, "<IsTruncated>false</IsTruncated>"],
      ["/k?tagging", 200, "<TagSet></TagSet>"],
      ["/k?legal-hold", 400, "InvalidRequest"],
      ["/k?retention", 400, "InvalidRequest"],
      ["/k?acl", 200, "<Permission>FULL_CONTROL</Permission>"],
    ] as const) {
      const reply = await ask(server, { target: `/house${target}` });
      assert.equal(reply.status, status, target);
      assert.ok(reply.text.includes(want), `${target}: ${reply.text}`);
    }
  });

  it("what is not there is answered 501 with the operation's name, and nothing happens", async () => {
    const absent = (Object.entries(OPERATIONS) as [Operation, S3Operation][]).filter(([, { support }]) => support === "absent");
    assert.notEqual(absent.length, 0);
    for (const [operation, { scope, route }] of absent) {
      const { method, subresource, mark, path = { service: "", bucket: "house", object: "house/k" }[scope] } = route;
      const query = [subresource, typeof mark === "object" ? `${mark.param}=${mark.value ?? "1"}` : undefined];
      const target = `/${path}?${query.filter((parameter) => parameter !== undefined).join("&")}`;
      const reply = await ask(server, { method, target, body: method === "GET" ? "" : "<X/>" });
      assert.deepEqual([reply.status, reply.code], [501, "NotImplemented"], `${operation}: ${reply.text}`);
      assert.ok(reply.text.includes(`<Operation>${operation}</Operation>`), reply.text);
    }
    assert.equal((await ask(server, { target: "/house/k" })).text, "x");
  });

  it("headers and parameters that ask for more than is given stop a write (P8)", async () => {
    for (const headers of [
      { "x-amz-server-side-encryption": "AES256" },
      { "x-amz-server-side-encryption-customer-algorithm": "AES256" },
      { "x-amz-tagging": "a=b" },
      { "x-amz-object-lock-mode": "COMPLIANCE" },
      { "x-amz-storage-class": "GLACIER" },
      { "x-amz-grant-read": "id=1" },
      { "x-amz-write-offset-bytes": "1" },
    ]) {
      const reply = await ask(server, {
        method: "PUT",
        target: "/house/p8",
        body: "x",
        headers: headers as unknown as Record<string, string>,
      });
      assert.deepEqual([reply.status, reply.code], [501, "NotImplemented"], JSON.stringify(headers));
      assert.match(reply.text, new RegExp(`<Header>${Object.keys(headers)[0]}</Header>`));
    }
    for (const query of ["newThing", "versioning", "versionId=null", "partNumber=1"]) {
      const reply = await ask(server, { method: "PUT", target: `/house/p8?${query}`, body: "x" });
      assert.equal(reply.status, 501, query);
      assert.match(reply.text, new RegExp(`<ArgumentName>${query.split("=")[0]}</ArgumentName><Resource>/house/p8</Resource>`));
    }
    assert.equal((await ask(server, { target: "/house/p8" })).status, 404);
    for (const headers of [
      { "x-amz-acl": "private" },
      { "x-amz-acl": "bucket-owner-full-control" },
      { "x-amz-storage-class": "STANDARD" },
      { "x-amz-tagging": "" },
    ])
      assert.equal(
        (
          await ask(server, {
            method: "PUT",
            target: "/house/p8",
            body: "x",
            headers: headers as unknown as Record<string, string>,
          })
        ).status,
        200,
      );
  });

  it("a request of HTTP/1.1 without Host", async () => {
    const reply = await exchange(server, { method: "GET", target: "/house/k", headers: [] });
    assert.deepEqual([reply.status, reply.code], [400, "BadRequest"]);
  });

  it("methods", async () => {
    for (const [method, target] of [
      ["PATCH", "/house/k"],
      ["POST", "/house/k"],
      ["POST", "/house"],
      ["DELETE", "/"],
      ["DELETE", "/house?location"],
    ] as const) {
      const reply = await ask(server, { method, target, body: "" });
      assert.deepEqual([reply.status, reply.code], [405, "MethodNotAllowed"], `${method} ${target}`);
      // RFC 9110 §15.5.6
      assert.match(reply.headers["allow"] ?? "", /^[A-Z]+(, [A-Z]+)*$/);
      assert.ok(!reply.headers["allow"]?.split(", ").includes(method), `${method} ${target}`);
    }
    const allowed = async (target: string) => (await ask(server, { method: "PATCH", target, body: "" })).headers["allow"];
    assert.equal(await allowed("/house"), "GET, HEAD, PUT, DELETE, POST");
    assert.equal(await allowed("/house/k"), "GET, HEAD, PUT, DELETE");
    assert.equal(await allowed("/house/k?uploads"), "POST");
    assert.equal((await ask(server, { target: "/house?acl&policy" })).code, "InvalidArgument");
    const preflight = await exchange(server, {
      method: "OPTIONS",
      target: "/house/k",
      headers: ["Host", "h", "Origin", "http://o", "Access-Control-Request-Method", "GET"],
    });
    assert.deepEqual([preflight.status, preflight.code], [403, "AccessForbidden"]);
    for (const headers of [
      ["Host", "h", "Origin", "http://o"],
      ["Host", "h", "Access-Control-Request-Method", "GET"],
    ]) {
      const half = await exchange(server, { method: "OPTIONS", target: "/house/k", headers });
      assert.deepEqual([half.status, half.code], [400, "BadRequest"], headers.join());
    }
  });

  it("lengths and sizes", async () => {
    const none = signRequest(server.identity, {
      method: "PUT",
      target: "/house/n",
      headers: ["Host", "h", "Connection", "close"],
      payload: "UNSIGNED-PAYLOAD",
      timeMs: Date.now(),
    });
    const lines = none.headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${none.headers[at + 1]}`] : []));
    assert.match(
      await sendRaw(server, ["PUT /house/n HTTP/1.1", ...lines, "", ""].join("\r\n")),
      /^HTTP\/1.1 411 [\s\S]*MissingContentLength/,
    );

    const huge = signRequest(server.identity, {
      method: "PUT",
      target: "/house/n",
      headers: ["Host", "h", "Content-Length", String(5 * 1024 ** 3 + 1), "Connection", "close"],
      payload: "UNSIGNED-PAYLOAD",
      timeMs: Date.now(),
    });
    const hugeLines = huge.headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${huge.headers[at + 1]}`] : []));
    assert.match(
      await sendRaw(server, ["PUT /house/n HTTP/1.1", ...hugeLines, "", ""].join("\r\n")),
      /^HTTP\/1.1 400 [\s\S]*EntityTooLarge/,
    );

    const chunked = signRequest(server.identity, {
      method: "PUT",
      target: "/house/chunked",
      headers: ["Host", "h", "Transfer-Encoding", "chunked", "Connection", "close"],
      payload: "UNSIGNED-PAYLOAD",
      timeMs: Date.now(),
    });
    const chunkedLines = chunked.headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${chunked.headers[at + 1]}`] : []));
    assert.match(
      await sendRaw(server, ["PUT /house/chunked HTTP/1.1", ...chunkedLines, "", "3", "abc", "0", "", ""].join("\r\n")),
      /^HTTP\/1.1 200 /,
    );
    assert.equal((await ask(server, { target: "/house/chunked" })).text, "abc");
  });

  it("documents that are malformed, too large, or say something unknown", async () => {
    const post = (target: string, body: string): Promise<Reply> => ask(server, { method: "POST", target, body });
    const created = await ask(server, { method: "POST", target: "/house/m?uploads" });
    const upload = `/house/m?uploadId=${/<UploadId>(\w+)</.exec(created.text)?.[1]}`;
    for (const body of [
      "x",
      "<Delete>",
      "<Delete></Delete>",
      "<Other/>",
      "<Delete><Object></Object></Delete>",
      "<Delete><Object><Key></Key></Object></Delete>",
      "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
      "<Delete><Object><Key>a</Key><Unknown>1</Unknown></Object></Delete>",
      "<Delete><Objects><Key>a</Key></Objects></Delete>",
      '<!DOCTYPE x [<!ENTITY e "v">]><Delete><Object><Key>&e;</Key></Object></Delete>',
      "<Delete><Quiet>maybe</Quiet><Object><Key>a</Key></Object></Delete>",
      `<Delete${Array.from({ length: 70_000 }, (_, i) => ` a${i}="1"`).join("")}><Object><Key>a</Key></Object></Delete>`,
      `<Delete>${"<Object a='1' b='2' c='3'><Key>a</Key></Object>".repeat(20_000)}</Delete>`,
    ]) {
      const reply = await post("/house?delete", body);
      assert.deepEqual([reply.status, reply.code], [400, "MalformedXML"], body.slice(0, 200));
    }
    for (const body of [
      "<CompleteMultipartUpload></CompleteMultipartUpload>",
      "<CompleteMultipartUpload><Part><ETag>a</ETag></Part></CompleteMultipartUpload>",
      "<CompleteMultipartUpload><Part><PartNumber>0</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
      "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag><Size>1</Size></Part></CompleteMultipartUpload>",
      "<CompleteMultipartUpload><Part><PartNumber>1e1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
    ])
      assert.equal((await post(upload, body)).code, "MalformedXML", body);
    assert.equal((await post("/house?delete", "")).code, "MissingRequestBodyError");
    assert.equal(
      (await post("/house?delete", `<Delete><Object><Key>${" ".repeat(1024 * 1024)}</Key></Object></Delete>`)).code,
      "MaxMessageLengthExceeded",
    );
    assert.equal(
      (
        await ask(server, {
          method: "PUT",
          target: "/new-house",
          body: "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>",
        })
      ).code,
      "NotImplemented",
    );
    assert.equal(
      (
        await ask(server, {
          method: "PUT",
          target: "/new-house",
          body: "<CreateBucketConfiguration><Nope/></CreateBucketConfiguration>",
        })
      ).code,
      "MalformedXML",
    );
    assert.equal((await ask(server, { target: "/new-house" })).code, "NoSuchBucket");
  });

  it("what is no HTTP gets S3's error document", async () => {
    assert.match(
      await sendRaw(server, "GET / HTTP/1.1\r\nno colon\r\n\r\n"),
      /^HTTP\/1.1 400 [\s\S]*<Error><Code>BadRequest<\/Code>/,
    );
    assert.match(await sendRaw(server, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), /^HTTP\/1.1 400 /);
    assert.match(
      await sendRaw(server, "PUT /house/z HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
      /^HTTP\/1.1 501 [\s\S]*<Error><Code>NotImplemented<\/Code>/,
    );
    assert.match(await sendRaw(server, `GET / HTTP/1.1\r\nHost: h\r\nX-Long: ${"v".repeat(70_000)}\r\n\r\n`), /^HTTP\/1.1 431 /);
  });

  it("these answers have request ids too", async () => {
    const seen = new Set<string>();
    for (const bytes of ["no HTTP\r\n\r\n", "no HTTP\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"]) {
      const text = await sendRaw(server, bytes);
      const id = /^x-amz-request-id: ([0-9A-F]{16})\r$/im.exec(text)?.[1] ?? "";
      assert.match(text, new RegExp(`<RequestId>${id}</RequestId>`), text);
      seen.add(id);
    }
    assert.equal(seen.size, 3);
  });

  it("two hosts are none (RFC 9112 §3.2)", async () => {
    const reply = await sendRaw(
      server,
      `GET /k HTTP/1.1\r\nHost: house.${server.rootDomain}\r\nHost: evil\r\nConnection: close\r\n\r\n`,
    );
    assert.match(reply, /^HTTP\/1.1 400 [\s\S]*<Code>BadRequest<\/Code>/);
  });

  it("virtual-host style", async () => {
    const host = `house.${server.rootDomain}:3900`;
    const put = await ask(server, { method: "PUT", target: "/dir/in%20vhost", body: "v", headers: { Host: host } });
    assert.equal(put.status, 200, put.text);
    assert.equal((await ask(server, { target: "/house/dir/in%20vhost" })).text, "v");
    assert.match(
      (await ask(server, { target: "/?list-type=2&prefix=dir", headers: { Host: host } })).text,
      /<Name>house<\/Name>.*<Key>dir\/in vhost<\/Key>/,
    );
    assert.match((await ask(server, { target: "/", headers: { Host: server.rootDomain } })).text, /<ListAllMyBucketsResult /);
    assert.equal((await ask(server, { target: "/k", headers: { Host: `nowhere.${server.rootDomain}` } })).code, "NoSuchBucket");
  });
});
