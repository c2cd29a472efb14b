import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { MAX_BODY_BYTES } from "./admin-http.ts";
import { ADMIN_OPERATIONS } from "./admin-operations.ts";
import { localProof } from "../../util/local-proof.ts";
import { ADMIN_TOKEN, AdminNode, type Answer, BLOCK, NODE_ID, RPC_SECRET } from "./testing/admin-node.ts";

let api: AdminNode;
before(async () => {
  api = await AdminNode.start();
});
after(() => api.stop());

function refused(answer: Answer, status: number, code: string, message?: RegExp): void {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  assert.deepEqual(Object.keys(answer.json), ["code", "message", "region", "path"]);
  assert.equal(answer.headers["access-control-allow-origin"], "*");
  if (message) assert.match(answer.json.message, message);
}

describe("doors that need no token", () => {
  test("OPTIONS anywhere", async () => {
    const answer = await api.call("/v2/ListKeys", { method: "OPTIONS", token: null });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["allow"], "OPTIONS, GET, POST");
    assert.equal(answer.headers["access-control-allow-origin"], "*");
  });

  test("/health speaks of the store", async () => {
    const answer = await api.call("/health", { token: null });
    assert.equal(answer.status, 200);
    assert.match(answer.text, /^Hangar is fully operational\nConsult .*GetClusterHealth/);
    assert.match(String(answer.headers["content-type"]), /text\/plain/);
    const head = await api.call("/health", { token: null, method: "HEAD" });
    assert.deepEqual([head.status, head.text], [200, ""]);
    refused(await api.call("/health", { token: null, method: "POST" }), 400, "InvalidRequest", /GET/);
  });

  test("/health is 503 before the first layout", async () => {
    const bare = await AdminNode.start({ singleNode: false });
    try {
      assert.equal((await bare.call("/health", { token: null })).status, 503);
      const health = (await bare.get("GetClusterHealth")).json;
      assert.deepEqual([health.status, health.partitions, health.storageNodes], ["unavailable", 0, 0]);
    } finally {
      await bare.stop();
    }
  });

  test("/check: a bucket under the S3 domain exists, any other name is a website", async () => {
    await api.post("CreateBucket", { globalAlias: "checked" });
    const { id } = (await api.post("CreateBucket", { globalAlias: "site.example.net" })).json;
    await api.post("CreateBucket", { globalAlias: "nosite.example.net" });
    await api.post("UpdateBucket", { websiteAccess: { enabled: true, indexDocument: "index.html" } }, { id });
    const check = (domain: string) => api.call(`/check?domain=${domain}`, { token: null });
    const { id: full } = (await api.post("CreateBucket", { globalAlias: "full.s3.example.org" })).json;
    await api.post("UpdateBucket", { websiteAccess: { enabled: true, indexDocument: "index.html" } }, { id: full });
    for (const domain of ["checked.s3.example.org", "CHECKED.s3.Example.org", "site.example.net", "full.s3.example.org"]) {
      const answer = await check(domain);
      assert.equal(answer.status, 200, domain);
      assert.match(answer.text, /is managed by/);
    }
    for (const domain of ["checked", "other.s3.example.org", "nosite.example.net", "s3.example.org", ".s3.example.org", "%00"])
      refused(await check(domain), 400, "InvalidRequest");
    refused(await api.call("/check", { token: null }), 400, "InvalidRequest", /domain/);
  });

  test("other paths are refused without saying more", async () => {
    for (const path of ["/", "/v1/status", "/v2", "/v2/", "/v2/Get%43lusterHealth", "/v2/a/b", "/healthy", "*"])
      refused(await api.call(path), 400, "InvalidRequest", /unknown path/);
  });
});

describe("tokens", () => {
  const create = async (body: object): Promise<{ id: string; secretToken: string }> =>
    (await api.post("CreateAdminToken", body)).json;

  test("missing, wrong, of another scheme", async () => {
    refused(await api.call("/v2/ListKeys", { token: null }), 403, "AccessDenied", /needed/);
    for (const token of ["wrong", `${ADMIN_TOKEN}x`, "a.b", `${"0".repeat(24)}.${"x".repeat(43)}`])
      refused(await api.call("/v2/ListKeys", { token }), 403, "AccessDenied", /not known/);
    for (const authorization of [ADMIN_TOKEN, `Basic ${ADMIN_TOKEN}`, "Bearer", "Bearer ", `Bearer ${ADMIN_TOKEN} more`])
      refused(await api.call("/v2/ListKeys", { token: null, headers: { authorization } }), 403, "AccessDenied");
    assert.equal(
      (await api.call("/v2/ListKeys", { token: null, headers: { authorization: `bearer  ${ADMIN_TOKEN} ` } })).status,
      200,
    );
    refused(await api.call("/v2/NoSuchThing", { token: "wrong" }), 403, "AccessDenied");
  });

  test("who has no token does not get his body read", async () => {
    const answer = await api.call("/v2/CreateKey", {
      method: "POST",
      token: null,
      raw: Buffer.alloc(0),
      headers: { expect: "100-continue", "content-length": "1000000" },
    });
    refused(answer, 403, "AccessDenied");
  });

  test("stored tokens: the secret, the scope, the expiry, the deletion", async () => {
    const scoped = await create({ name: "scoped", scope: ["GetClusterHealth"] });
    assert.match(scoped.secretToken, /^[0-9a-f]{24}\.[A-Za-z0-9_-]{43}$/);
    const as = (token: string, name = "GetClusterHealth") => api.call(`/v2/${name}`, { token });
    for (let n = 0; n < 3; n++) assert.equal((await as(scoped.secretToken)).status, 200);
    refused(await as(`${scoped.secretToken.slice(0, -1)}~`), 403, "AccessDenied", /not known/);
    refused(await as(scoped.secretToken, "ListKeys"), 403, "AccessDenied", /scope/);
    const own = await as(scoped.secretToken, "GetCurrentAdminTokenInfo");
    assert.deepEqual([own.status, own.json.name, own.json.scope], [200, "scoped", ["GetClusterHealth"]]);
    assert.equal((await api.get("GetCurrentAdminTokenInfo")).json.id, null, "the master token");

    await api.post("UpdateAdminToken", { scope: ["ListKeys"] }, { id: scoped.id });
    refused(await as(scoped.secretToken), 403, "AccessDenied", /scope/);
    assert.equal((await as(scoped.secretToken, "ListKeys")).status, 200);
    await api.post("UpdateAdminToken", { expiration: "2020-01-01T00:00:00Z" }, { id: scoped.id });
    refused(await as(scoped.secretToken, "ListKeys"), 403, "AccessDenied", /expired/);
    refused(await as(scoped.secretToken, "GetCurrentAdminTokenInfo"), 403, "AccessDenied", /expired/);
    await api.post("UpdateAdminToken", { neverExpires: true }, { id: scoped.id });
    assert.equal((await as(scoped.secretToken, "ListKeys")).status, 200);
    assert.equal((await api.post("DeleteAdminToken", undefined, { id: scoped.id })).json, null);
    refused(await as(scoped.secretToken, "ListKeys"), 403, "AccessDenied", /not known/);
  });

  test("/metrics is open unless a metrics token is set or a token is asked for", async () => {
    assert.equal((await api.call("/metrics", { token: null })).status, 200);
    for (const metricsToken of ["metrics-token", undefined]) {
      const closed = await AdminNode.start({ metricsRequireToken: true, ...(metricsToken ? { metricsToken } : {}) });
      try {
        const status = async (token: string | null) => (await closed.call("/metrics", { token })).status;
        assert.equal(await status(null), 403);
        assert.equal(await status("wrong"), 403);
        assert.equal(await status(ADMIN_TOKEN), 200);
        assert.equal(await status("metrics-token"), metricsToken ? 200 : 403);
        const made = async (scope: string[]): Promise<string> =>
          (await closed.post("CreateAdminToken", { scope })).json.secretToken;
        assert.equal(await status(await made(["Metrics"])), 200);
        assert.equal(await status(await made(["*"])), 200);
        assert.equal(await status(await made(["ListKeys"])), 403);
        refused(await closed.call("/v2/ListKeys", { token: "metrics-token" }), 403, "AccessDenied");
        const text = (await closed.call("/metrics")).text;
        for (const family of ["garage_build_info", "garage_local_disk_avail", "block_compression_level"])
          assert.match(text, new RegExp(`^${family}`, "m"));
      } finally {
        await closed.stop();
      }
    }
  });

  test("without a configured token only stored ones open the door", async () => {
    const locked = await AdminNode.start({ adminToken: undefined });
    try {
      refused(await locked.call("/v2/ListKeys", { token: "undefined" }), 403, "AccessDenied", /no admin_token is configured/);
    } finally {
      await locked.stop();
    }
  });

  test("the private socket takes the proof of rpc_secret over this very request, and no token", async () => {
    const call = (body: string, proofOf: Partial<Parameters<typeof localProof>[0]> = {}) => {
      const time = proofOf.time ?? String(Date.now());
      const target = "/v2/CreateKey";
      const bytes = Buffer.from(body);
      const proof = localProof({ rpcSecret: RPC_SECRET, time, method: "POST", target, body: bytes, ...proofOf });
      return api.callSocket(target, { method: "POST", raw: bytes, headers: { authorization: `Hangar-RPC ${time} ${proof}` } });
    };
    assert.equal((await call('{"name":"by socket"}')).status, 200);
    refused(await call("{}", { rpcSecret: "00".repeat(32) }), 403, "AccessDenied", /rpc_secret/);
    refused(await call("{}", { body: Buffer.from("{ }") }), 403, "AccessDenied");
    refused(await call("{}", { target: "/v2/DeleteKey" }), 403, "AccessDenied");
    refused(await call("{}", { method: "GET" }), 403, "AccessDenied");
    refused(await call("{}", { time: String(Date.now() - 3_600_000) }), 403, "AccessDenied");
    refused(await call("{}", { time: "soon" }), 403, "AccessDenied");
    refused(await api.callSocket("/v2/ListKeys", { token: ADMIN_TOKEN }), 403, "AccessDenied");
  });
});

describe("requests", () => {
  test("methods, bodies, sizes, unknown and repeated fields", async () => {
    refused(await api.call("/v2/CreateKey"), 400, "InvalidRequest", /POST/);
    refused(await api.call("/v2/ListKeys", { method: "POST" }), 400, "InvalidRequest", /GET/);
    refused(await api.call("/v2/ListKeys", { method: "DELETE" }), 400, "InvalidRequest");
    refused(await api.call("/v2/NoSuchThing"), 400, "InvalidRequest", /NoSuchThing/);
    const post = (raw: string | Uint8Array) => api.call("/v2/CreateKey", { method: "POST", raw });
    for (const raw of ["{", "not json", '{"name":1}', "[]", '"x"', "7", Buffer.from([0xff, 0xfe]), "\u0000"])
      refused(await post(raw), 400, "InvalidRequest");
    refused(await post(Buffer.alloc(MAX_BODY_BYTES + 1, 0x20)), 400, "InvalidRequest", /larger/);
    refused(await post("[".repeat(200_000)), 400, "InvalidRequest");
    refused(await post(`${"[".repeat(200_000)}${"]".repeat(200_000)}`), 400, "InvalidRequest");
    for (const raw of ["", "null", "{}"]) assert.equal((await post(raw)).status, 200, "everything of a key may be left out");
    const repair = (repairType: unknown) => api.post("LaunchRepairOperation", { repairType }, { node: "self" });
    refused(await repair({ scrub: "polish" }), 400, "InvalidRequest", /repairType\.scrub.*start/);
    refused(await repair(7), 400, "InvalidRequest", /repairType.*string/);
    refused(await api.call("/v2/GetKeyInfo?id=a&id=b"), 400, "InvalidRequest", /twice/);
    refused(await api.call("/v2/GetKeyInfo?id=&id=a&colour=b&colour=c"), 404, "NoSuchAccessKey");
  });

  test("operations on nodes: which node", async () => {
    refused(await api.get("GetNodeInfo"), 400, "InvalidRequest", /node/);
    refused(await api.get("GetNodeInfo", { node: "" }), 400, "InvalidRequest", /node/);
    refused(await api.get("GetNodeInfo", { node: "cd" }), 400, "InvalidRequest", /cd/);
    for (const node of ["*", "self", NODE_ID, "ab12"]) {
      const { json } = await api.get("GetNodeInfo", { node });
      assert.deepEqual(Object.keys(json.success), [NODE_ID], node);
      assert.deepEqual(json.error, {});
    }
    const failed = await api.post("GetWorkerInfo", { id: 999 }, { node: "self" });
    assert.deepEqual([failed.status, failed.json.success], [200, {}]);
    assert.match(failed.json.error[NODE_ID], /999/);
  });

  test("json-api: fields find their places by themselves", async () => {
    const call = async (name: string, input?: unknown) =>
      (await api.call(`/v2/json-api/${name}`, { method: "POST", body: input })).json;
    const made = await call("CreateKey", { name: "generic" });
    assert.equal(made.name, "generic");
    assert.equal((await call("GetKeyInfo", { id: made.accessKeyId, search: null })).name, "generic");
    assert.equal((await call("UpdateKey", { id: made.accessKeyId, name: "flat" })).name, "flat");
    assert.equal((await call("UpdateKey", { id: made.accessKeyId, body: { name: "apart" } })).name, "apart");
    assert.deepEqual(Object.keys((await call("GetNodeInfo")).success), [NODE_ID]);
    assert.deepEqual(Object.keys((await call("GetNodeInfo", { node: "*" })).success), [NODE_ID]);
    assert.match((await call("PurgeBlocks", ["xyz"])).error[NODE_ID], /64 hex/);
    assert.equal((await call("DeleteKey", { id: made.accessKeyId })) ?? null, null);
    assert.match((await call("GetKeyInfo", { id: made.accessKeyId })).message, /no access key/);
    assert.ok(Array.isArray(await call("ListKeys", { colour: "red" })), "a field that it does not know");
    assert.equal((await call("CreateKey", null)).name, "Unnamed key");
    assert.equal((await call("UpdateKey", { id: "GKnobody", body: null })).code, "NoSuchAccessKey");
    assert.ok(Array.isArray(await call("ListKeys", null)), "an operation that takes nothing");
  });

  test("while the store is full, and after it has failed, each operation answers or says 503; never 500", async () => {
    const broken = await AdminNode.start();
    try {
      const { kv } = broken;
      const { id } = (await broken.post("CreateBucket", { globalAlias: "kept" })).json;
      await broken.put(id, "large", Buffer.alloc(2 * BLOCK, 7));
      await broken.put(id, "small", Buffer.from("tiny"));
      const [{ blocks }] = (await broken.get("InspectObject", { bucketId: id, key: "large" })).json.versions;
      const { hash } = blocks[0];
      const key = (await broken.post("CreateKey", {})).json.accessKeyId;
      const growing: readonly (() => Promise<Answer>)[] = [
        () => broken.post("CreateKey", {}),
        () => broken.post("CreateBucket", { globalAlias: "more" }),
        () => broken.post("AddBucketAlias", { bucketId: id, globalAlias: "other" }),
        () =>
          broken.post("AllowBucketKey", {
            bucketId: id,
            accessKeyId: key,
            permissions: { read: true, write: false, owner: false },
          }),
        () => broken.post("UpdateBucket", { quotas: { maxSize: 1e9, maxObjects: null } }, { id }),
        () => broken.post("CreateAdminToken", { name: "t", scope: ["*"] }),
      ];
      const shrinking: readonly (() => Promise<Answer>)[] = [
        () => broken.post("PurgeBlocks", [hash], { node: "self" }),
        () => broken.post("DeleteKey", undefined, { id: key }),
      ];
      const reads: readonly (() => Promise<Answer>)[] = [
        () => broken.get("GetBucketInfo", { id }),
        () => broken.get("InspectObject", { bucketId: id, key: "large" }),
        () => broken.post("GetBlockInfo", { blockHash: hash }, { node: "self" }),
        () => broken.post("AuditNode", undefined, { node: "self" }),
      ];
      kv.disk.capacityBytes = 0;
      for (const change of growing) refused(await change(), 503, "ServiceUnavailable", /full/);
      for (const read of reads) assert.equal((await read()).status, 200);

      kv.disk.capacityBytes = Number.POSITIVE_INFINITY;
      kv.disk.failNextCommit = true;
      for (const change of [...growing, ...shrinking]) refused(await change(), 503, "ServiceUnavailable");
      for (const read of reads) refused(await read(), 503, "ServiceUnavailable");
      assert.equal((await broken.call("/health", { token: null })).status, 503);
      assert.equal((await broken.get("GetKeyInfo", { id: key })).status, 200, "what this node has in memory");
    } finally {
      await broken.stop();
    }
  });

  test("a full disk and a stopping store are 503, and an unexpected failure is 500 without detail", async () => {
    const broken = await AdminNode.start();
    try {
      const { kv } = broken;
      kv.disk.capacityBytes = 0;
      refused(await broken.post("CreateKey", {}), 503, "ServiceUnavailable", /full/);
      kv.disk.capacityBytes = Number.POSITIVE_INFINITY;
      assert.equal((await broken.post("CreateKey", {})).status, 200);
      await broken.node.parts.groups.stop();
      refused(await broken.post("CreateKey", {}), 503, "ServiceUnavailable");
      const secret = (): never => {
        throw new TypeError("a detail for the log");
      };
      Object.defineProperty(broken.node.parts.control, "layout", { value: secret });
      refused(await broken.get("GetClusterLayout"), 500, "InternalError", /^(?!.*detail).*log has the cause/);
      assert.match(String(broken.log.lines.at(-1)?.fields["err"]), /a detail for the log/);
    } finally {
      await broken.stop();
    }
  });
});

test("random requests never fail on our side", async () => {
  const names = [...ADMIN_OPERATIONS.keys()].filter((name) => name !== "LaunchRepairOperation");
  const ids = (await api.get("ListBuckets")).json.map((bucket: { id: string }) => bucket.id);
  const word = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.string({ unit: "binary", maxLength: 6 }),
    fc.constantFrom(
      "self",
      "*",
      "photos",
      "__proto__",
      "constructor",
      "2026-01-01T00:00:00Z",
      "9999-12-31T23:59:59Z",
      NODE_ID,
      ...ids,
    ),
    fc.constantFrom("a".repeat(5000), "\0", "%", "ab".repeat(32), "GK"),
  );
  const field = fc.constantFrom(
    ...[
      "id",
      "search",
      "name",
      "node",
      "key",
      "bucketId",
      "globalAlias",
      "localAlias",
      "accessKeyId",
      "secretAccessKey",
      "scope",
    ],
    ...[
      "expiration",
      "neverExpires",
      "allow",
      "deny",
      "permissions",
      "quotas",
      "websiteAccess",
      "enabled",
      "indexDocument",
      "maxSize",
    ],
    ...["version", "roles", "parameters", "zone", "capacity", "tags", "remove", "zoneRedundancy", "olderThanSecs", "blockHash"],
    ...["variable", "value", "body", "read", "createBucket", "alias", "showSecretKey", "__proto__"],
  );
  const json = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: "medium" },
      word,
      fc.boolean(),
      fc.constant(null),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.integer({ min: -2, max: 5 }),
      fc.array(tie("any"), { maxLength: 3 }),
      fc.dictionary(field, tie("any"), { maxKeys: 4 }),
    ),
  })).any;
  const query = fc.array(fc.tuple(field, word), { maxLength: 3 });
  const path = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...names).map((name) => `/v2/${name}`) },
    { weight: 3, arbitrary: fc.constantFrom(...names).map((name) => `/v2/json-api/${name}`) },
    { weight: 1, arbitrary: fc.webPath().map((some) => some || "/") },
  );
  const body = fc.option(fc.oneof(json, fc.dictionary(field, json, { maxKeys: 5 })), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(path, fc.boolean(), query, body, async (where, post, pairs, sent) => {
      const asked = ADMIN_OPERATIONS.get(where.split("/").at(-1) ?? "")?.method;
      const method = asked ?? (post ? "POST" : "GET");
      const search = new URLSearchParams(pairs).toString();
      const answer = await api.call(`${where}${search === "" ? "" : `?${search}`}`, {
        method,
        ...(method === "POST" && sent !== undefined ? { body: sent } : {}),
      });
      assert.ok(answer.status < 500 || answer.status === 501, `${answer.status} ${answer.text}`);
      assert.ok(answer.json !== undefined || where === "/health" || where === "/metrics", answer.text);
    }),
    { numRuns: Number(process.env["HANGAR_RUNS"] ?? 500) },
  );
  assert.deepEqual(
    api.log.lines.filter((line) => line.level === "error").map((line) => `${line.message} ${String(line.fields["err"])}`),
    [],
  );
});
