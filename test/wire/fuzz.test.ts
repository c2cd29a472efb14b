// Bad input of every kind (bounded; HANGAR_FUZZ_RUNS=20000 runs longer): no 500, no crash, no hang, and every refusal is an S3
// error document.
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { ERRORS } from "../../src/api/s3/errors.ts";
import { startSimulatedNodeServer } from "../support/simulated-node-server.ts";
import { type Ask, ask, exchange, type Reply, sendRaw } from "../support/request.ts";
import { startServer } from "../support/start.ts";
import type { S3TestServer } from "../support/server.ts";
import { encode, policyFieldConditions, signPolicy } from "../support/sign.ts";

const RUNS = Number(process.env["HANGAR_FUZZ_RUNS"] ?? 250);
const PATIENCE_MS = 10_000;

const METHODS = fc.constantFrom("GET", "PUT", "POST", "DELETE", "HEAD");
const KEYWORDS = [
  "acl",
  "attributes",
  "uploads",
  "uploadId",
  "partNumber",
  "versions",
  "versioning",
  "versionId",
  "delete",
  "list-type",
  "prefix",
  "delimiter",
  "marker",
  "max-keys",
  "encoding-type",
  "continuation-token",
  "start-after",
  "fetch-owner",
  "key-marker",
  "upload-id-marker",
  "version-id-marker",
  "max-uploads",
  "max-parts",
  "part-number-marker",
  "response-content-type",
  "response-expires",
  "location",
  "tagging",
  "policy",
  "x-id",
  "select",
  "restore",
  "max-buckets",
  "bucket-region",
  "id",
  "X-Amz-Algorithm",
  "X-Amz-Signature",
  "x-amz-acl",
];
const TEXT = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }).map((text) => text.toWellFormed()),
  fc.constantFrom(
    "",
    "0",
    "1",
    "-1",
    "2",
    "10001",
    "999999999999999999999",
    "url",
    "true",
    "null",
    "/",
    "..",
    "%",
    "\0",
    "constructor",
    "__proto__",
    "🦊",
    "a/b",
  ),
);
const QUERY = fc
  .array(
    fc.tuple(fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...KEYWORDS) }, { weight: 1, arbitrary: TEXT }), fc.option(TEXT)),
    { maxLength: 4 },
  )
  .map((pairs) => pairs.map(([name, value]) => (value === null ? encode(name) : `${encode(name)}=${encode(value)}`)).join("&"));
const PATH = fc.oneof(
  fc.constantFrom(
    "/",
    "/fuzz",
    "/fuzz/",
    "/fuzz/k",
    "/fuzz/k",
    "/fuzz/new",
    "//fuzz//k",
    "/nowhere/k",
    "/WriteGetObjectResponse",
  ),
  fc.tuple(TEXT, TEXT).map(([bucket, key]) => `/${encode(bucket)}/${encode(key)}`),
);
const TARGET = fc.tuple(PATH, QUERY).map(([path, query]) => (query === "" ? path : `${path}?${query}`));

const HEADER_NAMES = [
  "Range",
  "If-Match",
  "If-None-Match",
  "If-Modified-Since",
  "If-Unmodified-Since",
  "If-Range",
  "Content-MD5",
  "Content-Type",
  "Content-Encoding",
  "Expires",
  "Cache-Control",
  "x-amz-copy-source",
  "x-amz-copy-source-range",
  "x-amz-copy-source-if-match",
  "x-amz-copy-source-if-modified-since",
  "x-amz-metadata-directive",
  "x-amz-tagging-directive",
  "x-amz-meta-a",
  "x-amz-meta-",
  "x-amz-checksum-crc32",
  "x-amz-checksum-sha256",
  "x-amz-checksum-algorithm",
  "x-amz-checksum-type",
  "x-amz-sdk-checksum-algorithm",
  "x-amz-checksum-mode",
  "x-amz-trailer",
  "x-amz-decoded-content-length",
  "x-amz-object-attributes",
  "x-amz-max-parts",
  "x-amz-part-number-marker",
  "x-amz-mp-object-size",
  "x-amz-acl",
  "x-amz-storage-class",
  "x-amz-website-redirect-location",
  "x-amz-security-token",
  "x-forwarded-proto",
];
const VALUE = fc.oneof(
  fc.string({ maxLength: 40 }).map((text) => text.replace(/[^\x20-\x7e]/g, "")),
  fc.constantFrom(
    "*",
    '"x"',
    'W/"x"',
    "bytes=0-0",
    "bytes=-1",
    "bytes=5-1",
    "bytes=0-1,2-3",
    "bytes=99999999999999999999-",
    "Fri, 02 Jan 2026 03:04:05 GMT",
    "/fuzz/k",
    "fuzz/k?versionId=null",
    "fuzz/%zz",
    "AAAAAA==",
    "CRC32",
    "SHA256",
    "CRC64NVME",
    "COMPOSITE",
    "FULL_OBJECT",
    "REPLACE",
    "COPY",
    "ENABLED",
    "ETag,ObjectParts",
    "aws-chunked",
    "5",
    "\u00e4",
    "x-amz-checksum-crc32",
    "1B2M2Y8AsgTpgAmY7PhCfg==",
    "multipart/form-data; boundary=b",
    "multipart/form-data",
  ),
);
const HEADERS = fc.dictionary(fc.constantFrom(...HEADER_NAMES), VALUE, { maxKeys: 4 });
const BODY = fc.oneof(
  fc.constant(""),
  fc.string({ maxLength: 200 }),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
);

function acceptable(reply: Reply, what: string): void {
  assert.ok(reply.status < 500 || reply.status === 501, `${what}: ${reply.status} ${reply.text}`);
  assert.match(reply.headers["x-amz-request-id"] ?? "", /^[0-9A-F]{16}$/, what);
  if (reply.status >= 400 && reply.body.byteLength > 0) assert.ok(Object.hasOwn(ERRORS, reply.code), `${what}: ${reply.text}`);
}

async function patient<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer: ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

for (const [name, start, share] of [
  ["a node on simulated disks", startSimulatedNodeServer, 1],
  ["a whole node", startServer, 0.4],
] as const) {
  describe(`bad input, ${name}`, () => {
    let server: S3TestServer;
    before(async () => {
      server = await start();
      await fresh();
    });
    after(async () => {
      const { errors } = server;
      await server.stop();
      assert.deepEqual(errors, []);
    });

    /** What the requests meet; some of them delete it. */
    async function fresh(): Promise<void> {
      await ask(server, { method: "PUT", target: "/fuzz" });
      await ask(server, { method: "PUT", target: "/fuzz/k", body: "0123456789", headers: { "x-amz-meta-a": "b" } });
    }
    const options = { numRuns: Math.ceil(RUNS * share), endOnFailure: true };
    const check = async (asked: Ask): Promise<void> => {
      const what = JSON.stringify(asked);
      acceptable(await patient(ask(server, asked), what), what);
    };

    it("methods, paths, queries", async () => {
      await fresh();
      await fc.assert(
        fc.asyncProperty(METHODS, TARGET, BODY, (method, target, body) =>
          check({ method, target, body: method === "GET" || method === "HEAD" ? "" : body }),
        ),
        options,
      );
    });

    it("headers", async () => {
      await fresh();
      const targets = fc.constantFrom(
        "/fuzz/k",
        "/fuzz/new",
        "/fuzz/k?uploads",
        "/fuzz?list-type=2",
        "/fuzz/k?attributes",
        `/fuzz/k?partNumber=1&uploadId=${"0".repeat(32)}`,
        "/fuzz",
      );
      await fc.assert(
        fc.asyncProperty(METHODS, targets, HEADERS, BODY, (method, target, headers, body) =>
          check({ method, target, headers, body: method === "GET" || method === "HEAD" ? "" : body }),
        ),
        options,
      );
    });

    it("ranges give the right bytes or the whole", async () => {
      await fresh();
      const whole = "0123456789";
      const number = fc.oneof(fc.nat({ max: 12 }), fc.bigInt({ min: 0n, max: 2n ** 70n })).map(String);
      const range = fc.tuple(fc.option(number), fc.option(number)).map(([first, last]) => `bytes=${first ?? ""}-${last ?? ""}`);
      await fc.assert(
        fc.asyncProperty(range, async (text) => {
          const reply = await ask(server, { target: "/fuzz/k", headers: { Range: text } });
          acceptable(reply, text);
          if (reply.status === 200) assert.equal(reply.text, whole);
          else if (reply.status === 206) {
            const [, start, end] = /^bytes (\d+)-(\d+)\/10$/.exec(reply.headers["content-range"] ?? "") ?? [];
            assert.equal(reply.text, whole.slice(Number(start), Number(end) + 1), text);
          } else assert.equal(reply.status, 416, text);
        }),
        options,
      );
    });

    it("XML bodies", async () => {
      await fresh();
      const created = await ask(server, { method: "POST", target: "/fuzz/k?uploads" });
      const upload = `/fuzz/k?uploadId=${/<UploadId>(\w+)</.exec(created.text)?.[1]}`;
      const names = fc.constantFrom(
        "Delete",
        "Object",
        "Key",
        "Quiet",
        "VersionId",
        "ETag",
        "Size",
        "CompleteMultipartUpload",
        "Part",
        "PartNumber",
        "ChecksumCRC32",
        "CreateBucketConfiguration",
        "LocationConstraint",
        "Tags",
        "Unknown",
      );
      const texts = fc.oneof(
        fc.string({ maxLength: 20 }).map((text) => text.replace(/[<&]/g, "")),
        fc.constantFrom(
          "1",
          "true",
          "k",
          "&amp;",
          "&#0;",
          "&#x10ffff;",
          "&bogus;",
          "<![CDATA[k]]>",
          "<!-- c -->",
          "&#xd800;",
          "10001",
          "garage",
          "\u0000",
          "\ufffe",
        ),
      );
      const { element } = fc.letrec<{ element: string }>((tie) => ({
        element: fc
          .tuple(names, fc.array(fc.oneof({ maxDepth: 3, depthIdentifier: "xml" }, texts, tie("element")), { maxLength: 3 }))
          .map(([tag, children]) => `<${tag}>${children.join("")}</${tag}>`),
      }));
      const documents = fc.oneof(
        { weight: 3, arbitrary: element },
        {
          weight: 1,
          arbitrary: fc
            .tuple(element, fc.nat(), fc.string({ maxLength: 5 }))
            .map(([text, at, junk]) => text.slice(0, at % text.length) + junk + text.slice(at % text.length)),
        },
        { weight: 1, arbitrary: element.map((text) => `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>${text}`) },
        { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)) },
      );
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(["POST", "/fuzz?delete"], ["POST", upload], ["PUT", "/fuzz-bucket"]),
          documents,
          ([method = "", target = ""], body) => check({ method, target, body }),
        ),
        options,
      );
    });

    it("raw bytes and request lines", async () => {
      const line = fc.oneof(
        fc
          .tuple(
            fc.string({ maxLength: 8 }),
            fc.string({ maxLength: 40 }),
            fc.constantFrom("HTTP/1.1", "HTTP/1.0", "HTTP/9.9", ""),
          )
          .map((parts) => parts.join(" ")),
        fc.tuple(METHODS, fc.string({ maxLength: 60 })).map(([method, path]) => `${method} /${path.replace(/\s/g, "")} HTTP/1.1`),
        fc.constantFrom("OPTIONS * HTTP/1.1", "GET http://h/fuzz HTTP/1.1", "CONNECT h:1 HTTP/1.1", "PRI * HTTP/2.0"),
      );
      await fc.assert(
        fc.asyncProperty(line, fc.array(fc.string({ maxLength: 20 }), { maxLength: 3 }), async (first, rest) => {
          const bytes = Buffer.from([first, "Host: h", "Connection: close", ...rest, "", ""].join("\r\n"), "latin1");
          const text = await patient(sendRaw(server, bytes, { idleMs: 150 }), first);
          if (text !== "") assert.match(text, /^HTTP\/1\.1 (200|204|[34]\d\d|501|505) /, JSON.stringify(first));
        }),
        { ...options, numRuns: Math.ceil(options.numRuns / 3) },
      );
      assert.equal((await ask(server, { target: "/" })).status, 200);
    });

    it("chunk framing and trailers", async () => {
      await fresh();
      const piece = fc.oneof(
        fc.constantFrom(
          "0\r\n",
          "5\r\nhello\r\n",
          "\r\n",
          "5;chunk-signature=00\r\n",
          "x-amz-checksum-crc32:AAAAAA==\r\n",
          "ffffffffff\r\n",
          "-1\r\n",
          "5 \r\n",
        ),
        fc.string({ maxLength: 20 }),
      );
      const payload = fc.constantFrom(
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-NONSENSE",
        "zz",
        "",
      );
      await fc.assert(
        fc.asyncProperty(payload, fc.array(piece, { maxLength: 6 }), fc.option(VALUE), (mode, pieces, length) =>
          check({
            method: "PUT",
            target: "/fuzz/chunked",
            body: pieces.join(""),
            payload: mode,
            headers: {
              "x-amz-trailer": "x-amz-checksum-crc32",
              "x-amz-decoded-content-length": length ?? "5",
              "x-amz-content-sha256": mode,
            },
          }),
        ),
        options,
      );
    });

    it("browser forms", async () => {
      await fresh();
      const timeMs = Date.now();
      const document = {
        expiration: new Date(timeMs + 600_000).toISOString(),
        conditions: [["starts-with", "$key", ""], { bucket: "fuzz" }, ...policyFieldConditions(server.identity, timeMs)],
      };
      const signed = signPolicy(server.identity, { document, timeMs });
      const field = fc.tuple(
        fc.constantFrom(
          "key",
          "acl",
          "file",
          "policy",
          "success_action_status",
          "success_action_redirect",
          "x-amz-meta-a",
          "x-amz-checksum-crc32",
          "tagging",
          "x-ignore-me",
          "Content-Type",
        ),
        fc.oneof(TEXT, VALUE),
      );
      const forms = fc.oneof(
        fc.tuple(fc.array(field, { maxLength: 4 }), fc.boolean()).map(([fields, sign]) => {
          const all = [...(sign ? Object.entries(signed) : []), ...fields, ["file", "body"]];
          return (
            all.map(([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`).join("") +
            "--b--\r\n"
          );
        }),
        fc.string({ maxLength: 200 }).map((text) => `--b\r\n${text}\r\n--b--`),
      );
      await fc.assert(
        fc.asyncProperty(
          forms,
          fc.constantFrom("multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary="),
          async (form, type) => {
            const body = Buffer.from(form);
            const reply = await patient(
              exchange(server, {
                method: "POST",
                target: "/fuzz",
                headers: ["Host", "h", "Content-Type", type, "Content-Length", String(body.byteLength)],
                body,
              }),
              form,
            );
            acceptable(reply, form);
          },
        ),
        options,
      );
    });
  });
}
