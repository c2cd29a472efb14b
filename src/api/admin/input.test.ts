// What tools send besides what they mean: fields of other versions, null or empty text for what they leave out. None of it may
// change an answer.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import { ADMIN_OPERATIONS } from "./admin-operations.ts";
import { inputOf, queryNames } from "./input.ts";
import type { Operation } from "./operation.ts";
import { AdminNode, type Answer, type Json, NODE_ID } from "./testing/admin-node.ts";

interface Input {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}
type Call = (name: string, input?: Input) => Promise<Answer>;

/** How a field that is left out is spelt, and whether unknown ones come along. */
interface Spelling {
  readonly absent: null | "" | undefined;
  readonly unknown: boolean;
}

const SPELLINGS: readonly Spelling[] = [
  { absent: null, unknown: false },
  { absent: "", unknown: false },
  { absent: undefined, unknown: true },
  { absent: null, unknown: true },
  { absent: "", unknown: true },
];

describe("what tools were seen to send", () => {
  let api: AdminNode;
  before(async () => {
    api = await AdminNode.start();
  });
  after(() => api.stop());
  const ok = (answer: Answer): Json => {
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  };

  test("a node is removed though it has null tags", async () => {
    const role = { id: NODE_ID, tags: null, zone: null, capacity: null, remove: true };
    const { stagedRoleChanges } = ok(await api.post("UpdateClusterLayout", { roles: [role], parameters: null }));
    assert.deepEqual(stagedRoleChanges, [{ id: NODE_ID, remove: true }]);
    const kept = { id: NODE_ID, tags: ["a"], zone: "z", capacity: 5e9, remove: false };
    assert.equal(ok(await api.post("UpdateClusterLayout", { roles: [kept] })).stagedRoleChanges[0].zone, "z");
    ok(await api.post("RevertClusterLayout", { force: true }));
  });

  test("names: the half that is not meant is empty", async () => {
    const { id } = ok(await api.post("CreateBucket", { globalAlias: "first", localAlias: { accessKeyId: "", alias: "" } }));
    const { accessKeyId } = ok(await api.post("CreateKey", { name: "" }));
    const local = { bucketId: id, globalAlias: "", localAlias: "mine", accessKeyId };
    const global = { bucketId: id, globalAlias: "second", localAlias: "", accessKeyId: "" };
    for (const name of ["AddBucketAlias", "RemoveBucketAlias"]) {
      assert.deepEqual(
        ok(await api.post(name, global)).globalAliases,
        name === "AddBucketAlias" ? ["first", "second"] : ["first"],
      );
      ok(await api.post(name, local));
    }
    assert.equal(ok(await api.get("GetBucketInfo", { id: "", globalAlias: "first", search: "" })).id, id);
    assert.equal(ok(await api.get("GetKeyInfo", { id: accessKeyId, search: "", showSecretKey: "" })).name, "Unnamed key");
  });

  test("a website without an error document", async () => {
    const { id } = ok(await api.post("CreateBucket", { globalAlias: "site" }));
    const set = { websiteAccess: { enabled: true, indexDocument: "index.html", errorDocument: "" }, quotas: null };
    assert.deepEqual(ok(await api.post("UpdateBucket", set, { id })).websiteConfig, {
      indexDocument: "index.html",
      errorDocument: null,
    });
    const unset = { websiteAccess: { enabled: false, indexDocument: "", errorDocument: "" }, corsRules: null };
    assert.equal(ok(await api.post("UpdateBucket", unset, { id })).websiteAccess, false);
  });

  test("an id that can't be one is a bad request, and one that might have been is not found", async () => {
    const [key, rights] = ["GK" + "0".repeat(24), { read: true }];
    const calls: readonly (readonly [string, "query" | "body", string, object])[] = [
      ["GetBucketInfo", "query", "id", {}],
      ["DeleteBucket", "query", "id", {}],
      ["UpdateBucket", "query", "id", {}],
      ["InspectObject", "query", "bucketId", { key: "k" }],
      ["CleanupIncompleteUploads", "body", "bucketId", { olderThanSecs: 0 }],
      ["AllowBucketKey", "body", "bucketId", { accessKeyId: key, permissions: rights }],
      ["DenyBucketKey", "body", "bucketId", { accessKeyId: key, permissions: rights }],
      ["AddBucketAlias", "body", "bucketId", { globalAlias: "name" }],
      ["RemoveBucketAlias", "body", "bucketId", { globalAlias: "name" }],
      ["GetAdminTokenInfo", "query", "id", {}],
      ["UpdateAdminToken", "query", "id", {}],
      ["DeleteAdminToken", "query", "id", {}],
      ["GetKeyInfo", "query", "id", {}],
      ["UpdateKey", "query", "id", {}],
      ["DeleteKey", "query", "id", {}],
    ];
    for (const [name, where, field, rest] of calls) {
      const send = (id: string): Promise<Answer> => {
        const given = { ...rest, [field]: id };
        if (where === "body") return api.post(name, given);
        return ADMIN_OPERATIONS.get(name)?.method === "GET" ? api.get(name, given) : api.post(name, {}, given);
      };
      const digits = name.includes("Token") ? 24 : 64;
      const malformed =
        name.includes("Key") && where === "query"
          ? ["a b", "ü", "x/y", "k".repeat(129)]
          : ["xyz", "abc", "0".repeat(digits - 1), "g".repeat(digits)];
      for (const id of malformed) {
        const answer = await send(id);
        assert.deepEqual([answer.status, answer.json.code], [400, "InvalidRequest"], `${name} ${id}: ${answer.text}`);
        assert.match(answer.json.message, new RegExp(`${field}: expects`));
      }
      assert.equal((await send("0".repeat(digits))).status, 404, name);
    }
    const { id } = ok(await api.post("CreateBucket", { globalAlias: "upper" }));
    assert.equal(ok(await api.get("GetBucketInfo", { id: id.toUpperCase() })).id, id);
  });
});

/** Every operation once, each with what it needs and nothing else. */
async function everything(call: Call): Promise<void> {
  const node = { node: "self" };
  await call("GetClusterStatus");
  await call("GetClusterHealth");
  await call("GetClusterStatistics");
  await call("ConnectClusterNodes", { body: ["x@y:1"] });
  await call("GetClusterLayout");
  await call("GetClusterLayoutHistory");
  await call("UpdateClusterLayout", {
    body: { roles: [{ id: NODE_ID, zone: "z", capacity: 5e9 }], parameters: { zoneRedundancy: { atLeast: 1 } } },
  });
  await call("PreviewClusterLayoutChanges");
  await call("RevertClusterLayout");
  await call("ApplyClusterLayout", { body: { version: 9 } });
  await call("ClusterLayoutSkipDeadNodes", { body: { version: 1, allowMissingData: false } });
  const accessKeyId = (await call("CreateKey", { body: { allow: {} } })).json.accessKeyId as string;
  const imported = { accessKeyId: "imported-key", secretAccessKey: "s".repeat(20) };
  await call("ImportKey", { body: imported });
  await call("ListKeys");
  await call("GetKeyInfo", { query: { search: imported.accessKeyId } });
  await call("UpdateKey", { query: { id: imported.accessKeyId }, body: { name: "renamed", deny: { createBucket: true } } });
  await call("DeleteKey", { query: { id: imported.accessKeyId } });
  const localAlias = { accessKeyId, alias: "mine", allow: { read: true } };
  const bucketId = (await call("CreateBucket", { body: { localAlias } })).json.id as string;
  await call("ListBuckets");
  await call("AddBucketAlias", { body: { bucketId, globalAlias: "global" } });
  await call("AddBucketAlias", { body: { bucketId, localAlias: "other", accessKeyId } });
  await call("RemoveBucketAlias", { body: { bucketId, localAlias: "other", accessKeyId } });
  await call("AllowBucketKey", { body: { bucketId, accessKeyId, permissions: { write: true } } });
  await call("DenyBucketKey", { body: { bucketId, accessKeyId, permissions: { read: true } } });
  const quotas = { maxSize: 1000 };
  await call("UpdateBucket", { query: { id: bucketId }, body: { quotas, websiteAccess: { enabled: true, indexDocument: "i" } } });
  await call("GetBucketInfo", { query: { globalAlias: "global" } });
  await call("CleanupIncompleteUploads", { body: { bucketId, olderThanSecs: 1 } });
  await call("InspectObject", { query: { bucketId, key: "nothing" } });
  await call("DeleteBucket", { query: { id: bucketId } });
  await call("GetNodeInfo", { query: node });
  await call("GetNodeStatistics", { query: node });
  await call("ListWorkers", { query: node, body: {} });
  await call("GetWorkerInfo", { query: node, body: { id: 1 } });
  await call("GetWorkerVariable", { query: node, body: {} });
  await call("SetWorkerVariable", { query: node, body: { variable: "scrub-tranquility", value: "4" } });
  await call("LaunchRepairOperation", { query: node, body: { repairType: { scrub: "cancel" } } });
  await call("CreateMetadataSnapshot", { query: node });
  await call("AuditNode", { query: node });
  await call("ListBlockErrors", { query: node });
  await call("GetBlockInfo", { query: node, body: { blockHash: "0".repeat(64) } });
  await call("RetryBlockResync", { query: node, body: { all: true } });
  await call("PurgeBlocks", { query: node, body: [] });
  await call("ListQuarantine", { query: node });
  await call("RestoreQuarantine", { query: node, body: { blockHashes: ["0".repeat(64)] } });
  const id = (await call("CreateAdminToken", { body: { scope: ["Metrics"] } })).json.id as string;
  await call("ListAdminTokens");
  await call("GetAdminTokenInfo", { query: { id } });
  await call("GetCurrentAdminTokenInfo");
  await call("UpdateAdminToken", { query: { id }, body: { neverExpires: true } });
  await call("DeleteAdminToken", { query: { id } });
}

test("every operation answers the same when unknown fields come along and missing ones are null or empty", async () => {
  const [plain, ...others] = await Promise.all([{ absent: undefined, unknown: false }, ...SPELLINGS].map(answersTo));
  const missing = [...ADMIN_OPERATIONS.keys()].filter((name) => !plain?.some((line) => line.startsWith(`${name} `)));
  assert.deepEqual(missing, [], "operations that no call above is for");
  const refused = plain?.filter((line) => !line.includes(" 200 ")).map((line) => line.split(" ").slice(0, 2).join(" "));
  assert.deepEqual(refused, [
    "ConnectClusterNodes 501",
    "ApplyClusterLayout 400",
    "ClusterLayoutSkipDeadNodes 501",
    "InspectObject 404",
  ]);
  others.forEach((lines, at) => {
    assert.deepEqual(lines, plain, JSON.stringify(SPELLINGS[at]));
  });
});

/** One line for each call: operation, status, and the answer without what differs between two stores. */
async function answersTo(spelling: Spelling): Promise<readonly string[]> {
  const api = await AdminNode.start();
  const lines: string[] = [];
  try {
    await everything(async (name, input = {}) => {
      const operation = ADMIN_OPERATIONS.get(name) as Operation;
      const { query, body } = spelt(operation, input, () => spelling);
      const answer =
        operation.method === "GET"
          ? await api.get(name, query)
          : await api.post(name, body === undefined ? undefined : body, query);
      lines.push(`${name} ${answer.status} ${VOLATILE.has(name) ? "" : comparable(answer.text)}`);
      return answer;
    });
  } finally {
    await api.stop();
  }
  return lines;
}

/** Figures and states that change by themselves. */
const VOLATILE = new Set([
  "GetNodeStatistics",
  "ListWorkers",
  "GetWorkerInfo",
  "GetWorkerVariable",
  "GetClusterStatistics",
  "AuditNode",
]);

function comparable(text: string): string {
  return text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/\b(GK)?[0-9a-f]{24,64}(\.[\w-]{43})?/g, "ID")
    .replace(/127\.0\.0\.1:\d+/g, "ADDRESS");
}

test("whatever the spelling of each field, an operation is given the same", async () => {
  const calls: (readonly [Operation, Input])[] = [];
  const api = await AdminNode.start();
  try {
    await everything((name, input = {}) => {
      const operation = ADMIN_OPERATIONS.get(name) as Operation;
      calls.push([operation, input]);
      return operation.method === "GET" ? api.get(name, input.query) : api.post(name, input.body, input.query);
    });
  } finally {
    await api.stop();
  }
  const any = fc.constantFrom<Spelling>(...SPELLINGS, { absent: undefined, unknown: false });
  fc.assert(
    fc.property(fc.constantFrom(...calls), fc.infiniteStream(any), ([operation, input], spellings) => {
      const plain = inputOf(operation, { query: input.query ?? {}, body: input.body });
      const { query, body } = spelt(operation, input, () => spellings.next().value);
      assert.deepEqual(inputOf(operation, { query, body }), plain, JSON.stringify({ query, body }));
    }),
    { numRuns: Number(process.env["HANGAR_RUNS"] ?? 1000) },
  );
});

/** The same call with each missing field in the spelling that `next` says. */
function spelt(operation: Operation, input: Input, next: () => Spelling): { query: Record<string, string>; body: unknown } {
  const query: Record<string, string> = { ...input.query };
  for (const name of queryNames(operation)) if (query[name] === undefined && next().absent !== undefined) query[name] = "";
  if (next().unknown) Object.assign(query, { colour: "red", Id: "x" });
  if (!operation.body) return { query, body: next().unknown ? { colour: "red" } : input.body };
  return { query, body: decorated(z.toJSONSchema(operation.body, { io: "input" }) as Schema, input.body, next) };
}

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** By the published schema, not by the code under test. */
function decorated(schema: Schema, value: unknown, next: () => Spelling): unknown {
  if (schema.anyOf) {
    const form = schema.anyOf.find((one) => (one.type === "array") === Array.isArray(value) && (one.properties || one.items));
    return form ? decorated(form, value, next) : value;
  }
  if (Array.isArray(value)) return schema.items ? value.map((item) => decorated(schema.items as Schema, item, next)) : value;
  if (typeof value !== "object" || value === null || !schema.properties) return value;
  const result: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(schema.properties)) {
    const own = (value as Record<string, unknown>)[name];
    const { absent } = next();
    if (own !== undefined) result[name] = decorated(field, own, next);
    else if (absent !== undefined && !schema.required?.includes(name)) result[name] = absent;
  }
  if (next().unknown) Object.assign(result, { colour: "red", nested: { deep: [null] }, Id: 7 });
  return result;
}
