import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ApiError } from "./api-error.ts";
import { FORM_LIMITS, type PostForm, readPostForm } from "./post-form.ts";
import { checkPolicy, limitLength } from "./post-policy.ts";
import { drain, piecesOf, request } from "./testing/fake-request.ts";

const code = (expected: string, pattern?: RegExp) => (error: unknown) => {
  ok(error instanceof ApiError, String(error));
  equal(error.code, expected, error.message);
  if (pattern !== undefined) ok(pattern.test(error.message), error.message);
  return true;
};

const VARIABLE = "$" + "{filename}";
const BOUNDARY = "----WebKitFormBoundaryABC";
const field = (name: string, value: string): string =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
const fileHead = (filename: string): string =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="${filename}"\r\nContent-Type: image/png\r\n\r\n`;
const END = `\r\n--${BOUNDARY}--\r\n`;

function read(
  body: string | Uint8Array,
  { sizes = [1_000_000], type = `multipart/form-data; boundary=${BOUNDARY}` } = {},
): Promise<PostForm> {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  return readPostForm(request({ method: "POST", headers: ["Content-Type", type], body: piecesOf(bytes, sizes) }));
}

describe("forms", () => {
  test("fields, file, and what comes behind it, in any pieces", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 3000 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }),
        async (file, sizes) => {
          const head = field("Key", `user/ü/${VARIABLE}`) + field("X-Amz-Meta-A", "") + fileHead("a b.png");
          const body = Buffer.concat([
            Buffer.from(head),
            file,
            Buffer.from(`\r\n${field("submit", "ignored")}--${BOUNDARY}--\r\n`),
          ]);
          const form = await read(body, { sizes });
          deepEqual(
            [...form.fields],
            [
              ["key", "user/ü/a b.png"],
              ["x-amz-meta-a", ""],
            ],
          );
          equal(form.file.filename, "a b.png");
          equal(form.file.contentType, "image/png");
          ok((await drain(form.file.source)).equals(file));
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a megabyte through small pieces keeps its order", async () => {
    const file = Buffer.from(Uint32Array.from({ length: 250_000 }, (_, i) => i).buffer);
    const form = await read(Buffer.concat([Buffer.from(fileHead("f")), file, Buffer.from(END)]), { sizes: [65_536, 1000] });
    ok((await drain(form.file.source)).equals(file));
  });

  test("a file part without a filename is a file all the same", async () => {
    const form = await read(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n\r\nbytes${END}`);
    equal(form.file.filename, "");
    equal((await drain(form.file.source)).toString(), "bytes");
  });

  test("a file part whose field has no name", async () => {
    for (const name of ['; name=""', ""]) {
      const part = `--${BOUNDARY}\r\nContent-Disposition: form-data${name}; filename="f"\r\n\r\nbytes`;
      await rejects(read(field("key", "k") + part + END), code("MalformedPOSTRequest", /no name/), name);
    }
    const plain = `--${BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nv\r\n`;
    equal((await read(plain + fileHead("f") + END)).fields.get(""), "v");
  });

  test("refusals", async () => {
    await rejects(read("", { type: "application/x-www-form-urlencoded" }), code("MalformedPOSTRequest"));
    await rejects(read("", { type: "multipart/form-data; charset=utf-8" }), code("MalformedPOSTRequest"));
    await rejects(read(""), code("MalformedPOSTRequest"));
    await rejects(read("garbage without any boundary"), code("MalformedPOSTRequest"));
    await rejects(read(field("key", "k")), code("MalformedPOSTRequest"));
    await rejects(read(field("key", "k") + `--${BOUNDARY}--\r\n`), code("InvalidArgument", /exactly one file/));
    await rejects(read(field("key", "k") + field("KEY", "k") + fileHead("f") + END), code("InvalidArgument", /one value/));
    const large = code("MaxPostPreDataLengthExceededError");
    await rejects(read(field("key", "k".repeat(FORM_LIMITS.fieldBytes + 1)) + fileHead("f") + END), large);
    await rejects(read(field("a", "k".repeat(15_000)) + field("b", "k".repeat(15_000)) + fileHead("f") + END), large);
    await rejects(
      read(Array.from({ length: FORM_LIMITS.fields + 5 }, (_, i) => field(`f${i}`, "")).join("") + fileHead("f") + END),
      large,
    );
    await rejects(read(field("key", VARIABLE.repeat(1000)) + fileHead("f".repeat(1000)) + END), large);
    await rejects(read(fileHead("f".repeat(FORM_LIMITS.filenameBytes + 1)) + END), large);
    await rejects(read(`${"x".repeat(200_000)}\r\n` + fileHead("f") + END, { sizes: [1000] }), large);
  });

  test("a form that breaks off in its file fails there", async () => {
    for (const cut of [`${fileHead("f")}some bytes`, `${fileHead("f")}some bytes\r\n--${BOUNDARY.slice(0, 5)}`]) {
      const form = await read(cut, { sizes: [7] });
      await rejects(drain(form.file.source), code("MalformedPOSTRequest"));
    }
  });

  test("any bytes at all: typed errors only, and an end", async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        `--${BOUNDARY}`,
        "\r\n",
        "--",
        "\r\n\r\n",
        "Content-Disposition: form-data; name=",
        '"file"',
        '"key"',
        "; filename=",
        "Content-Type: ",
        ": ",
        "\n",
      ),
      fc.string({ unit: "binary", maxLength: 10 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 25 }), fc.integer({ min: 1, max: 50 }), async (parts, size) => {
        try {
          const form = await read(parts.join(""), { sizes: [size] });
          await drain(form.file.source);
        } catch (error) {
          ok(error instanceof ApiError, String(error));
        }
      }),
      { numRuns: 600 },
    );
  });
});

describe("policies", () => {
  const NOW = Date.UTC(2026, 10, 22);
  const encode = (document: unknown): string => Buffer.from(JSON.stringify(document)).toString("base64");
  function check(conditions: unknown, fields: Record<string, string>, more: object = {}) {
    const named = Array.isArray(conditions) ? [{ bucket: "bucket" }, ...conditions] : conditions;
    const document = { expiration: "2026-11-23T00:00:00.000Z", conditions: named, ...more };
    const all = new Map(Object.entries({ policy: encode(document), "x-amz-signature": "s", ...fields }));
    return checkPolicy(all.get("policy")!, { fields: all, bucket: "bucket", nowMs: NOW });
  }
  const forbidden = (pattern: RegExp) => code("AccessDenied", pattern);
  const invalid = code("InvalidPolicyDocument");

  test("conditions that hold", () => {
    check([["eq", "$Key", "a"]], { key: "a" });
    check([{ key: "a" }], { key: "a", "x-ignore-this": "b" });
    check([["starts-with", "$key", "user/"]], { key: "user/1" });
    check(
      [
        ["STARTS-WITH", "$key", ""],
        ["starts-with", "$BUCKET", "buck"],
      ],
      { key: "any", bucket: "bucket" },
    );
    check([["starts-with", "$Content-Type", "image/"]], { "content-type": "image/png, image/gif" });
    deepEqual(check([["content-length-range", 1, "10"]], {}), { minBytes: 1, maxBytes: 10 });
    deepEqual(
      check(
        [
          ["content-length-range", 1, 10],
          ["content-length-range", 5, 20],
        ],
        {},
      ),
      { minBytes: 5, maxBytes: 10 },
    );
  });

  test("conditions that do not, fields that none covers, policies that are over", () => {
    throws(() => check([{ key: "a" }], { key: "b" }), forbidden(/Policy Condition failed: \["eq", "\$key", "a"\]/));
    throws(() => check([{ key: "a" }, ["starts-with", "$key", "b"]], { key: "a" }), forbidden(/Condition failed/));
    throws(() => check([{ key: "a" }, { acl: "private" }], { key: "a" }), forbidden(/Condition failed/));
    throws(() => check([{ bucket: "other" }], {}), forbidden(/Condition failed/));
    throws(
      () => check([["starts-with", "$Content-Type", "image/"]], { "content-type": "image/png,text/html" }),
      forbidden(/Condition failed/),
    );
    throws(
      () => check([{ key: "a" }], { key: "a", acl: "public-read", "x-amz-meta-b": "1" }),
      forbidden(/Extra input fields: acl, x-amz-meta-b/),
    );
    throws(() => check([], { bucket: "other" }), forbidden(/another bucket/));
    throws(() => check([], {}, { expiration: "2026-11-22T00:00:00Z" }), forbidden(/expired/));
  });

  test("a policy that names no bucket is good for none", () => {
    const policy = encode({ expiration: "2026-11-23T00:00:00.000Z", conditions: [{ key: "a" }] });
    for (const fields of [{ key: "a" }, { key: "a", bucket: "bucket" }])
      throws(
        () => checkPolicy(policy, { fields: new Map(Object.entries(fields)), bucket: "bucket", nowMs: NOW }),
        forbidden(/Extra input fields: bucket/),
      );
  });

  test("documents that can't be understood are never half obeyed", () => {
    for (const conditions of [
      undefined,
      {},
      "key",
      [null],
      [5],
      [{}],
      [{ key: "a", acl: "b" }],
      [{ key: 5 }],
      [["eq", "$key"]],
      [["eq", "key", "a"]],
      [["eq", "$key", 5]],
      [["ends-with", "$key", "a"]],
      [["content-length-range", -1, 5]],
      [["content-length-range", 1, 5, 6]],
      [["content-length-range", 0.5, 5]],
      [["content-length-range", "1e3", 5]],
    ])
      throws(() => check(conditions, {}), invalid, JSON.stringify(conditions));
    throws(() => check([], {}, { expiration: "tomorrow" }), invalid);
    throws(() => check([], {}, { expiration: 5 }), invalid);
    throws(() => check([], {}, { extra: 1 }), invalid);
    for (const policy of ["", "%%%", "bm90IGpzb24=", encode([]), encode(null), "/w=="])
      throws(() => checkPolicy(policy, { fields: new Map(), bucket: "b", nowMs: NOW }), invalid, policy);
  });

  test("any document at all: a verdict or a typed error", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (conditions, document) => {
        for (const attempt of [
          () => check([conditions], {}),
          () => check([["eq", "$key", conditions]], { key: "a" }),
          () => checkPolicy(encode(document), { fields: new Map(), bucket: "b", nowMs: NOW }),
        ])
          try {
            attempt();
          } catch (error) {
            ok(error instanceof ApiError, String(error));
          }
      }),
      { numRuns: 300 },
    );
  });

  test("the range of sizes is enforced while the file is read", async () => {
    const limited = (bytes: number) => drain(limitLength(piecesOf(Buffer.alloc(bytes), [3]), { minBytes: 5, maxBytes: 10 }));
    for (const fine of [5, 10]) equal((await limited(fine)).byteLength, fine);
    await rejects(limited(4), code("EntityTooSmall"));
    await rejects(limited(0), code("EntityTooSmall"));
    await rejects(limited(11), code("EntityTooLarge"));
  });
});
