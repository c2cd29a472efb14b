// What real clients send, as seen on the wire, and what AWS answers to it.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ask, type Ask, exchange, type Reply } from "../support/request.ts";
import type { S3TestServer } from "../support/server.ts";
import { presign, STREAMING_UNSIGNED_TRAILER, UNSIGNED } from "../support/sign.ts";
import { startServer } from "../support/start.ts";

describe("what real clients send", () => {
  let server: S3TestServer;
  before(async () => {
    server = await startServer();
    await ask(server, { method: "PUT", target: "/house" });
    await ask(server, { method: "PUT", target: "/house/k", body: "bytes" });
    await ask(server, { method: "PUT", target: "/house/empty" });
  });
  after(async () => {
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  const said = ({ status, code }: Reply): string => `${status} ${code}`.trim();
  const send = async (asked: Ask): Promise<string> => said(await ask(server, asked));
  const put = (target: string, headers: Record<string, string> = {}): Promise<string> =>
    send({ method: "PUT", target, body: "new", headers });

  async function createUpload(target: string, headers: Record<string, string> = {}): Promise<string> {
    const { text } = await ask(server, { method: "POST", target: `${target}?uploads`, headers });
    return /<UploadId>([^<]+)</.exec(text)?.[1] ?? "";
  }

  /** One request of each operation that clients of a bucket use, with further headers and query parameters. */
  async function everyOperation(headers: Record<string, string>, more = ""): Promise<Record<string, string>> {
    const part = "5".repeat(5);
    const answers: Record<string, string> = {};
    const plain = more === "" ? "" : `?${more}`;
    const also = more === "" ? "" : `&${more}`;
    const run = async (name: string, asked: Ask): Promise<Reply> => {
      const reply = await ask(server, { ...asked, headers: { ...asked.headers, ...headers } });
      answers[name] = said(reply);
      return reply;
    };
    await run("ListBuckets", { target: `/${plain}` });
    await run("CreateBucket", { method: "PUT", target: `/second-house${plain}` });
    await run("HeadBucket", { method: "HEAD", target: `/second-house${plain}` });
    await run("ListObjects", { target: `/house${plain}` });
    await run("ListObjectsV2", { target: `/house?list-type=2${also}` });
    await run("ListObjectVersions", { target: `/house?versions${also}` });
    await run("ListMultipartUploads", { target: `/house?uploads${also}` });
    await run("PutObject", { method: "PUT", target: `/second-house/k${plain}`, body: "x" });
    await run("CopyObject", { method: "PUT", target: `/second-house/c${plain}`, headers: { "x-amz-copy-source": "/house/k" } });
    await run("GetObject", { target: `/house/k${plain}` });
    await run("HeadObject", { method: "HEAD", target: `/house/k${plain}` });
    const created = await run("CreateMultipartUpload", { method: "POST", target: `/second-house/m?uploads${also}` });
    const upload = /<UploadId>([^<]+)</.exec(created.text)?.[1] ?? "";
    const { headers: of } = await run("UploadPart", {
      method: "PUT",
      target: `/second-house/m?partNumber=1&uploadId=${upload}${also}`,
      body: part,
    });
    await run("UploadPartCopy", {
      method: "PUT",
      target: `/second-house/m?partNumber=2&uploadId=${upload}${also}`,
      headers: { "x-amz-copy-source": "/house/k" },
    });
    await run("ListParts", { target: `/second-house/m?uploadId=${upload}${also}` });
    await run("CompleteMultipartUpload", {
      method: "POST",
      target: `/second-house/m?uploadId=${upload}${also}`,
      body: `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${of["etag"]}</ETag></Part></CompleteMultipartUpload>`,
    });
    const another = await createUpload("/second-house/a");
    await run("AbortMultipartUpload", { method: "DELETE", target: `/second-house/a?uploadId=${another}${also}` });
    await run("DeleteObject", { method: "DELETE", target: `/second-house/k${plain}` });
    await run("DeleteObjects", {
      method: "POST",
      target: `/second-house?delete${also}`,
      body: "<Delete><Object><Key>c</Key></Object><Object><Key>m</Key></Object></Delete>",
    });
    await run("DeleteBucket", { method: "DELETE", target: `/second-house${plain}` });
    return answers;
  }

  it("headers and parameters that no operation knows change nothing", async () => {
    const without = await everyOperation({});
    for (const [name, answer] of Object.entries(without)) assert.match(answer, /^20[04]$/, name);
    const headers = {
      "x-amz-api-version": "2006-03-01",
      "x-amz-te": "append-md5",
      "x-amz-of-tomorrow": "1",
      "x-amz-acl": "",
      "x-amz-storage-class": "",
      "x-amz-grant-read": "",
      "x-amz-expected-bucket-owner": "",
      "x-amz-tagging": "",
    };
    assert.deepEqual(await everyOperation(headers), without);
    assert.deepEqual(await everyOperation({}, "foo=bar&Content-Type=text%2Fplain&Cache-Control="), without);
  });

  it("a read is answered with whatever headers and parameters are unknown", async () => {
    const headers = {
      "x-amz-checksum-crc32": "AAAAAA==",
      "x-amz-checksum-sha512": "x",
      "If-Schedule-Tag-Match": "x",
      "x-amz-grant-read": "id=1",
    };
    for (const target of ["/house/k?cachebuster", "/house/k?versioning", "/house?anything", "/house?list-type=2&renameObject"])
      assert.equal(await send({ target, headers }), "200", target);
    const encrypted = await ask(server, { target: "/house/k", headers: { "x-amz-server-side-encryption-customer-key": "k" } });
    assert.deepEqual([encrypted.status, encrypted.code], [501, "NotImplemented"]);
    assert.match(encrypted.text, /<Header>x-amz-server-side-encryption-customer-key<\/Header>/);
  });

  it("what asks for more than is given is refused by name, and nothing is written", async () => {
    for (const [name, value] of [
      ["x-amz-object-lock-mode", "GOVERNANCE"],
      ["x-amz-server-side-encryption", "AES256"],
      ["x-amz-grant-read", "id=1"],
      ["x-amz-tagging", "a=b"],
      ["x-amz-storage-class", "DEEP_ARCHIVE"],
      ["If-Unmodified-Since", "Sun, 04 Jan 2026 00:00:00 GMT"],
      ["x-amz-if-match-size", "5"],
      ["x-amz-checksum-sha512", "AAAA"],
      ["x-amz-write-offset-bytes", "5"],
    ] as const) {
      const reply = await ask(server, { method: "PUT", target: "/house/not-written", body: "x", headers: { [name]: value } });
      assert.equal(said(reply), "501 NotImplemented", name);
      assert.ok(reply.text.includes(name), reply.text);
    }
    for (const query of ["newFeature", "renameObject", "versionId=null", "partNumber=1", "tagging=", "legal-hold=x"])
      assert.match(await put(`/house/not-written?${query}`), /^(501 NotImplemented|400 MalformedXML)$/, query);
    assert.equal(await send({ target: "/house/not-written" }), "404 NoSuchKey");
  });

  it("x-amz-expected-bucket-owner is compared with the owner that ListBuckets shows", async () => {
    const { text } = await ask(server, { target: "/" });
    const owner = /<Owner><ID>([^<]+)</.exec(text)?.[1] ?? "";
    const right = { "x-amz-expected-bucket-owner": owner, "x-amz-source-expected-bucket-owner": owner };
    const wrong = { "x-amz-expected-bucket-owner": "123456789012" };
    const copy = { "x-amz-copy-source": "/house/k" };
    assert.equal(await put("/house/owned", right), "200");
    assert.equal(await put("/house/owned", { ...right, ...copy }), "200");
    assert.equal(await send({ target: "/house/owned", headers: right }), "200");
    assert.equal(await put("/house/disowned", wrong), "403 AccessDenied");
    assert.equal(
      await put("/house/disowned", { ...copy, "x-amz-source-expected-bucket-owner": "123456789012" }),
      "403 AccessDenied",
    );
    assert.equal(await send({ target: "/house/k", headers: wrong }), "403 AccessDenied");
    assert.equal(await send({ target: "/house?list-type=2", headers: wrong }), "403 AccessDenied");
    assert.equal(await send({ method: "DELETE", target: "/house", headers: wrong }), "403 AccessDenied");
    assert.equal(await send({ target: "/house/disowned" }), "404 NoSuchKey");
  });

  it("canned ACLs and two storage classes are taken; what AWS does not have is not", async () => {
    for (const headers of [
      { "x-amz-acl": "public-read" },
      { "x-amz-storage-class": "STANDARD_IA" },
      { "x-amz-storage-class": "REDUCED_REDUNDANCY" },
    ]) {
      assert.equal(await put("/house/taken", headers), "200");
      assert.equal(await put("/house/taken", { ...headers, "x-amz-copy-source": "/house/k" }), "200");
      assert.notEqual(await createUpload("/house/taken", headers), "");
    }
    assert.equal(
      await put("/public-house", { "x-amz-acl": "public-read-write" }).then(() => send({ target: "/public-house" })),
      "404 NoSuchBucket",
    );
    assert.equal(await send({ method: "PUT", target: "/public-house", headers: { "x-amz-acl": "public-read" } }), "200");
    assert.equal(await send({ target: "/house/taken", as: null }), "403 AccessDenied", "they grant nothing");
    assert.equal(await put("/house/taken", { "x-amz-acl": "everyone" }), "400 InvalidArgument");
    assert.match(
      (await ask(server, { target: "/house?list-type=2&prefix=taken" })).text,
      /<StorageClass>STANDARD<\/StorageClass>/,
    );
  });

  it("a checksum may be announced that does not come (minio-go)", async () => {
    const upload = await createUpload("/house/announced");
    const headers = { "x-amz-checksum-algorithm": "CRC32C" };
    assert.equal(await put("/house/announced", headers), "200");
    assert.equal(await put("/house/announced", { "x-amz-checksum-algorithm": "CRC16" }), "400 InvalidRequest");
    assert.equal(await put("/house/announced", { "x-amz-checksum-algorithm": "XXHASH64" }), "501 NotImplemented");
    assert.equal(await put(`/house/announced?partNumber=1&uploadId=${upload}`, headers), "200");
  });

  it("unsigned trailers that end in LF CRLF CRLF (minio-go), and shorter", async () => {
    const crc = "DUoRhQ==";
    for (const end of ["\r\n\r\n", "\n\r\n\r\n", "\n\r\n"]) {
      const body = `b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:${crc}${end}`;
      const headers = {
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": "11",
        "Content-Encoding": "aws-chunked",
      };
      const reply = await ask(server, {
        method: "PUT",
        target: "/house/trailer",
        body,
        headers,
        payload: STREAMING_UNSIGNED_TRAILER,
      });
      assert.equal(said(reply), "200", JSON.stringify(end));
      assert.equal(reply.headers["x-amz-checksum-crc32"], crc);
      const more = await ask(server, {
        method: "PUT",
        target: "/house/trailer",
        body: `${body}x`,
        headers,
        payload: STREAMING_UNSIGNED_TRAILER,
      });
      assert.equal(more.status, 400, "nothing may follow");
    }
  });

  describe("presigned URLs", () => {
    const presigned = (method: string, target: string): { target: string; headers: readonly string[] } =>
      presign(server.identity, {
        method,
        target,
        headers: ["Host", `${server.host}:${server.port}`],
        payload: UNSIGNED,
        timeMs: Date.now(),
        expiresSeconds: 60,
      });
    const run = async (method: string, target: string, change = (text: string): string => text): Promise<string> => {
      const signed = presigned(method, target);
      const body = Buffer.from(method === "PUT" ? "x" : "");
      const headers = [...signed.headers, "Content-Length", String(body.byteLength)];
      return said(await exchange(server, { method, target: change(signed.target), headers, body }));
    };

    it("further parameters are signed and otherwise ignored; a changed one is 403", async () => {
      for (const more of [
        "Content-Type=text%2Fplain",
        "Content-MD5=1B2M2Y8AsgTpgAmY7PhCfg%3D%3D",
        "Cache-Control=no-store",
        "foo=bar",
        "Content-Type=",
      ]) {
        assert.equal(await run("PUT", `/house/presigned?${more}`), "200", more);
        assert.equal(await run("POST", `/house/presigned?uploads=&${more}`), "200", more);
        assert.equal(await run("GET", `/house/k?${more}`), "200", more);
        const tampered = (target: string): string => target.replace(more, `${more}x`);
        for (const method of ["PUT", "GET"])
          assert.equal(await run(method, `/house/k?${more}`, tampered), "403 SignatureDoesNotMatch", more);
      }
      assert.equal(await run("PUT", "/house/presigned?x-amz-acl=public-read"), "200");
      assert.equal(await run("PUT", "/house/presigned?x-amz-server-side-encryption=AES256"), "501 NotImplemented");
      assert.equal(await run("PUT", "/house/k?renameObject"), "501 NotImplemented");
    });
  });

  it("an empty continuation-token counts as absent", async () => {
    const { status, text } = await ask(server, { target: "/house?list-type=2&continuation-token=&max-keys=1" });
    assert.equal(status, 200);
    assert.doesNotMatch(text, /<ContinuationToken>/);
    assert.match(text, /<KeyCount>1<\/KeyCount>/);
  });

  it("times are whole seconds, and the same everywhere", async () => {
    const upload = await createUpload("/house/times");
    const copied = await ask(server, { method: "PUT", target: "/house/times", headers: { "x-amz-copy-source": "/house/k" } });
    await ask(server, { method: "PUT", target: `/house/times?partNumber=1&uploadId=${upload}`, body: "x" });
    const part = await ask(server, {
      method: "PUT",
      target: `/house/times?partNumber=2&uploadId=${upload}`,
      headers: { "x-amz-copy-source": "/house/k" },
    });
    const head = await ask(server, { method: "HEAD", target: "/house/times" });
    const modified = new Date(head.headers["last-modified"] ?? "").toISOString();
    assert.match(copied.text, new RegExp(`<LastModified>${modified}</LastModified>`));
    assert.match(part.text, /<LastModified>[-\dT:]+\.000Z<\/LastModified>/);
    for (const target of ["/house?prefix=times", "/house?list-type=2&prefix=times", "/house?versions&prefix=times"])
      assert.match((await ask(server, { target })).text, new RegExp(`<LastModified>${modified}</LastModified>`), target);
    for (const target of ["/", "/house?uploads&prefix=times", `/house/times?uploadId=${upload}`]) {
      const { text } = await ask(server, { target });
      const times = [...text.matchAll(/\d{4}-\d\d-\d\dT[^<]*/g)].map(([time]) => time);
      assert.ok(times.length > 0, target);
      for (const time of times) assert.match(time, /\.000Z$/, target);
    }
  });

  it("a date in the future is no condition", async () => {
    const future = new Date(Date.now() + 86_400_000).toUTCString();
    const now = new Date(Date.now() + 1000).toUTCString();
    assert.equal(await send({ target: "/house/k", headers: { "If-Modified-Since": future } }), "200");
    const { headers } = await ask(server, { method: "HEAD", target: "/house/k" });
    assert.equal(await send({ target: "/house/k", headers: { "If-Modified-Since": headers["last-modified"] ?? now } }), "304");
    const copy = { "x-amz-copy-source": "/house/k" };
    assert.equal(await put("/house/copy", { ...copy, "x-amz-copy-source-if-modified-since": future }), "200");
    const last = headers["last-modified"] ?? now;
    assert.equal(await put("/house/copy", { ...copy, "x-amz-copy-source-if-modified-since": last }), "412 PreconditionFailed");
  });

  it("user metadata beyond ASCII: both spellings in, encoded words out", async () => {
    const word = "=?UTF-8?B?Z3LDvG4=?=";
    const bytes = Buffer.from("grün").toString("latin1");
    const shown = async (target: string): Promise<(string | undefined)[]> => {
      const both = [];
      for (const method of ["GET", "HEAD"]) both.push((await ask(server, { method, target })).headers["x-amz-meta-colour"]);
      return both;
    };
    for (const value of [word, "=?utf-8?q?gr=C3=BCn?=", bytes]) {
      const headers = { "x-amz-meta-colour": value };
      assert.equal(await put("/house/meta", headers), "200");
      assert.deepEqual(await shown("/house/meta"), [word, word]);
      await put("/house/meta-copy", { ...headers, "x-amz-copy-source": "/house/k", "x-amz-metadata-directive": "REPLACE" });
      assert.deepEqual(await shown("/house/meta-copy"), [word, word]);
      const upload = await createUpload("/house/meta-parts", headers);
      const { headers: part } = await ask(server, {
        method: "PUT",
        target: `/house/meta-parts?partNumber=1&uploadId=${upload}`,
        body: "x",
      });
      const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part["etag"]}</ETag></Part></CompleteMultipartUpload>`;
      assert.equal(await send({ method: "POST", target: `/house/meta-parts?uploadId=${upload}`, body }), "200");
      assert.deepEqual(await shown("/house/meta-parts"), [word, word]);
    }
  });

  it("response-* parameters that AWS does not have are 400", async () => {
    for (const name of ["response-foo", "response-content-length", "RESPONSE-content-type", "response-", "Response-Expires"])
      for (const method of ["GET", "HEAD"])
        assert.match(await send({ method, target: `/house/k?${name}=1` }), /^400/, `${method} ${name}`);
    assert.equal(await send({ target: "/house/k?response-foo=1" }), "400 InvalidArgument");
    assert.equal(await send({ target: "/house/k?response-content-type=text%2Fplain" }), "200");
  });

  it("a completion without a body is MalformedXML; with a newer checksum it is 501", async () => {
    const upload = await createUpload("/house/bare");
    assert.equal(await send({ method: "POST", target: `/house/bare?uploadId=${upload}` }), "400 MalformedXML");
    for (const name of ["MD5", "SHA512", "XXHASH3", "XXHASH64", "XXHASH128"]) {
      const part = `<Part><PartNumber>1</PartNumber><ETag>x</ETag><Checksum${name}>AAAA</Checksum${name}></Part>`;
      const body = `<CompleteMultipartUpload>${part}</CompleteMultipartUpload>`;
      assert.equal(await send({ method: "POST", target: `/house/bare?uploadId=${upload}`, body }), "501 NotImplemented", name);
    }
  });

  it("a completion's checksums are each checked under their own name", async () => {
    const upload = await createUpload("/house/sums", { "x-amz-checksum-algorithm": "CRC32" });
    const target = `/house/sums?partNumber=1&uploadId=${upload}`;
    const { headers } = await ask(server, {
      method: "PUT",
      target,
      body: "hello world",
      headers: { "x-amz-checksum-crc32": "DUoRhQ==" },
    });
    const complete = (sums: string): Promise<string> =>
      send({
        method: "POST",
        target: `/house/sums?uploadId=${upload}`,
        body: `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${headers["etag"]}</ETag>${sums}</Part></CompleteMultipartUpload>`,
      });
    const right = "<ChecksumCRC32>DUoRhQ==</ChecksumCRC32>";
    assert.equal(await complete("<ChecksumSHA256>DUoRhQ==</ChecksumSHA256>"), "400 InvalidPart");
    assert.equal(
      await complete(`${right}<ChecksumSHA256>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</ChecksumSHA256>`),
      "400 InvalidPart",
    );
    assert.equal(await complete("<ChecksumCRC32>AAAAAA==</ChecksumCRC32>"), "400 InvalidPart");
    assert.equal(await complete(right), "200");
  });

  it("lists tell the bucket's region", async () => {
    for (const target of ["/house", "/house?list-type=2", "/house?versions", "/house?uploads"])
      assert.equal((await ask(server, { target })).headers["x-amz-bucket-region"], server.region, target);
  });

  it("the last bytes of an empty object", async () => {
    const { status, headers, body } = await ask(server, { target: "/house/empty", headers: { Range: "bytes=-1" } });
    assert.deepEqual([status, headers["content-length"], body.byteLength], [200, "0", 0]);
    assert.equal(headers["content-range"], undefined);
    for (const range of ["bytes=0-", "bytes=-0"])
      assert.equal(await send({ target: "/house/empty", headers: { Range: range } }), "416 InvalidRange", range);
  });

  it("x-amz-object-ownership is kept and told", async () => {
    const told = async (target: string): Promise<string> =>
      /<ObjectOwnership>(\w+)</.exec((await ask(server, { target: `${target}?ownershipControls` })).text)?.[1] ?? "";
    assert.equal(await told("/house"), "BucketOwnerEnforced");
    for (const ownership of ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"]) {
      const target = `/owned-${ownership.toLowerCase()}`;
      assert.equal(await send({ method: "PUT", target, headers: { "x-amz-object-ownership": ownership } }), "200");
      assert.equal(await told(target), ownership);
    }
    assert.equal(
      await send({ method: "PUT", target: "/owned", headers: { "x-amz-object-ownership": "Nobody" } }),
      "400 InvalidArgument",
    );
  });

  it("a host with a trailing dot, in any case, with a port, is the same bucket", async () => {
    await ask(server, { method: "PUT", target: "/house/house", body: "a key of the bucket's name" });
    const root = server.rootDomain;
    for (const host of [
      `house.${root}.`,
      `HOUSE.${root.toUpperCase()}.`,
      `house.${root}.:${server.port}`,
      `house.${root}:${server.port}`,
    ])
      assert.equal(await send({ target: "/k", headers: { Host: host } }), "200", host);
    assert.equal(await send({ method: "DELETE", target: "/house", headers: { Host: `house.${root}.` } }), "204");
    assert.equal(await send({ target: "/house/k" }), "200", "only the key has gone");
    assert.equal(await send({ target: "/house/house" }), "404 NoSuchKey");
    assert.equal(await send({ target: "/house/k", headers: { Host: `${root}.` } }), "200");
  });
});
