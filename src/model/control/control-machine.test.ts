import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { emptyLayout } from "../../layout/state.ts";
import { type BucketId, CONTROL_GROUP } from "../../util/ids.ts";
import type { ControlCommand, ControlResult } from "./control-commands.ts";
import { ControlView } from "./control-view.ts";
import { allRows } from "./rows.ts";
import { ControlWorld } from "./testing/control-world.ts";
import { PlainControl } from "./testing/plain-control.ts";

const LAYOUT = emptyLayout({ replicationFactor: 1, partitions: 64 });
const bucketId = (n: number): BucketId => n.toString(16).padStart(64, "0") as BucketId;

const bucket = fc.integer({ min: 1, max: 5 }).map(bucketId);
const alias = fc.constantFrom("one", "two", "three", "four");
// Names that a plain object would mistake for its own.
const key = fc.constantFrom("key-1", "key-2", "constructor", "__proto__");
const token = fc.constantFrom("t1", "t2");
const attempt = fc.integer({ min: 0, max: 3 });
const letters = fc.subarray(["r", "w", "o"]).map((some) => some.join(""));
const local = fc.record({ keyId: key, alias });
const limit = fc.option(fc.nat(9), { nil: null });
const record = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }, requiredKeys: (keyof T & string)[]) =>
  fc.record(fields, { requiredKeys }) as unknown as fc.Arbitrary<ControlCommand>;
const op = <O extends string>(name: O): fc.Arbitrary<O> => fc.constant(name);

const command: fc.Arbitrary<ControlCommand> = fc.oneof(
  {
    weight: 5,
    arbitrary: record(
      {
        op: op("create-bucket"),
        id: bucket,
        indexShards: fc.constant(4),
        globalAlias: alias,
        localAlias: local,
        rights: fc.record({ keyId: key, letters }),
      },
      ["op", "id", "indexShards"],
    ),
  },
  {
    weight: 3,
    arbitrary: record(
      {
        op: op("create-key"),
        id: key,
        secret: fc.constantFrom("s1", "s2"),
        name: alias,
        expiresMs: fc.nat(9),
        mayCreateBucket: fc.boolean(),
        sameIsFine: fc.boolean(),
      },
      ["op", "id", "secret", "name", "mayCreateBucket"],
    ),
  },
  { weight: 4, arbitrary: record({ op: op("bucket-ready"), id: bucket }, ["op", "id"]) },
  {
    weight: 3,
    arbitrary: record({ op: op("begin-delete"), id: bucket, name: fc.oneof(local, fc.record({ alias })) }, ["op", "id"]),
  },
  ...(["finish-delete", "cancel-delete", "unsealed"] as const).map((name) => ({
    weight: 2,
    arbitrary: record({ op: op(name), id: bucket, attempt }, ["op", "id", "attempt"]),
  })),
  { weight: 2, arbitrary: record({ op: op("remove-bucket"), id: bucket }, ["op", "id"]) },
  { weight: 4, arbitrary: record({ op: op("add-alias"), bucket, alias, keyId: key }, ["op", "bucket", "alias"]) },
  {
    weight: 3,
    arbitrary: record({ op: op("remove-alias"), bucket, alias, keyId: key, evenLast: fc.boolean() }, ["op", "bucket", "alias"]),
  },
  {
    weight: 4,
    arbitrary: record({ op: op("change-rights"), bucket, keyId: key, add: letters, remove: letters }, [
      "op",
      "bucket",
      "keyId",
      "add",
      "remove",
    ]),
  },
  {
    weight: 1,
    arbitrary: record(
      {
        op: op("update-bucket"),
        id: bucket,
        website: fc.option(fc.record({ indexDocument: alias }), { nil: null }),
        maxSizeBytes: limit,
        maxObjects: limit,
      },
      ["op", "id"],
    ),
  },
  {
    weight: 1,
    arbitrary: record({ op: op("update-key"), id: key, name: alias, expiresMs: limit, mayCreateBucket: fc.boolean() }, [
      "op",
      "id",
    ]),
  },
  { weight: 1, arbitrary: record({ op: op("delete-key"), id: key }, ["op", "id"]) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: op("create-token"),
      token: fc.record({ id: token, name: alias, hash: alias, scope: fc.array(alias) }),
    }),
  },
  {
    weight: 1,
    arbitrary: record({ op: op("update-token"), id: token, name: alias, expiresMs: limit, scope: fc.array(alias) }, ["op", "id"]),
  },
  { weight: 1, arbitrary: record({ op: op("delete-token"), id: token }, ["op", "id"]) },
  { weight: 1, arbitrary: fc.record({ op: op("set-layout"), expectedRevision: fc.nat(3), layout: fc.constant(LAYOUT) }) },
  {
    weight: 1,
    arbitrary: fc.constant({ op: "bootstrap", settings: { clusterId: "again", partitions: 64, replicationFactor: 1 } } as const),
  },
);

test("rivals' commands in any order: decisions and rows are those of the plain model, and the view that follows is the one that a start loads", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(command, { minLength: 1, maxLength: 4 }), { minLength: 4, maxLength: 30 }),
      async (rounds) => {
        const world = await ControlWorld.open();
        const model = new PlainControl();
        model.bootstrapped = true;
        const { control } = world;
        const first: ControlCommand[] = [
          ...(["key-1", "constructor", "__proto__"] as const).map(
            (id) => ({ op: "create-key", id, secret: "s1", name: "one", mayCreateBucket: true }) as const,
          ),
          { op: "create-bucket", id: bucketId(1), indexShards: 4, globalAlias: "one" },
          { op: "bucket-ready", id: bucketId(1) },
        ];
        for (const round of [first, ...rounds]) {
          // Proposed together, so decided in this order in one batch.
          const results = await Promise.all(round.map((one) => control.command(one)));
          for (const [at, result] of results.entries()) {
            const expected = model.decide(round[at] as ControlCommand);
            assert.equal(codeOf(result), expected, JSON.stringify(round[at]));
          }
          const loaded = new ControlView();
          await world.host.read(CONTROL_GROUP, (rows) => loaded.load(rows));
          assert.deepEqual(shownBy(control.view), shownBy(loaded), "refreshed = loaded");
          assert.deepEqual(shownBy(loaded), expectedView(model));
          assert.deepEqual(
            await world.host.read(CONTROL_GROUP, (rows) => allRows(rows, "key").map((row) => [row.id, row.secret, row.deleted])),
            keysOf(model),
          );
        }
      },
    ),
    { numRuns: Number(process.env["HANGAR_RUNS"] ?? 150) },
  );
});

function codeOf(result: ControlResult): string {
  return result.ok ? "ok" : result.code;
}

/** A view without what the model does not know (times of creation). */
function shownBy(view: ControlView): unknown {
  return {
    buckets: [...view.buckets.values()]
      .map(({ row }) => ({
        id: row.id,
        phase: row.phase,
        attempt: row.attempt,
        names: [...row.globalAliases, ...row.localAliases.map((one) => `${one.keyId}/${one.alias}`)].sort(),
        rights: row.rights.map(([id, some]) => [id, [...some].sort().join("")]).sort(),
        website: row.website?.indexDocument,
        quotas: [row.quotas.maxSizeBytes, row.quotas.maxObjects],
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    names: [
      ...[...view.aliases].map(([name, id]) => [name, id]),
      ...[...view.localAliases].flatMap(([keyId, names]) => [...names].map(([name, id]) => [`${keyId}/${name}`, id])),
    ].sort(),
    keys: [...view.keys.values()]
      .map(({ id, secret, name, expiresMs, mayCreateBucket }) => [id, secret, name, expiresMs, mayCreateBucket])
      .sort(),
    tokens: [...view.tokens.values()].map(({ id, name, expiresMs, scope }) => [id, name, expiresMs, scope]).sort(),
    layout: view.layout?.revision ?? 0,
    cluster: view.settings?.clusterId,
  };
}

function expectedView(model: PlainControl): unknown {
  const names = [...model.buckets].flatMap(([id, one]) => [...one.names].map((name) => [name, id]));
  assert.equal(new Set(names.map(([name]) => name)).size, names.length, "a name has one holder");
  return {
    buckets: [...model.buckets]
      .map(([id, one]) => ({
        id,
        phase: one.phase,
        attempt: one.attempt,
        names: [...one.names].sort(),
        rights: [...one.rights].map(([keyId, some]) => [keyId, [...some].sort().join("")]).sort(),
        website: one.website,
        quotas: [one.maxSizeBytes, one.maxObjects],
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    names: names.sort(),
    keys: [...model.keys]
      .filter(([, one]) => !one.deleted)
      .map(([id, one]) => [id, one.secret, one.name, one.expiresMs, one.mayCreateBucket])
      .sort(),
    tokens: [...model.tokens].map(([id, one]) => [id, one.name, one.expiresMs, one.scope]).sort(),
    layout: model.layoutRevision,
    cluster: "c",
  };
}

function keysOf(model: PlainControl): unknown {
  return [...model.keys]
    .map(([id, one]) => [id, one.secret, one.deleted])
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a as string), Buffer.from(b as string)));
}

test("an id that was ever used for a key is never given again", async () => {
  const { control } = await ControlWorld.open();
  const create = { op: "create-key", id: "key", secret: "s", name: "n", mayCreateBucket: true } as const;
  assert.ok((await control.command(create)).ok);
  assert.ok((await control.command({ ...create, sameIsFine: true })).ok);
  assert.deepEqual(await control.command({ ...create, secret: "t", sameIsFine: true }), {
    ok: false,
    code: "key-exists",
    detail: "other-secret",
  });
  assert.ok((await control.command({ op: "delete-key", id: "key" })).ok);
  assert.deepEqual(await control.command({ ...create, sameIsFine: true }), { ok: false, code: "key-exists", detail: "deleted" });
  assert.equal(control.accessKey("key"), undefined);
});

test("layouts: of rivals that saw the same revision one wins, and changeLayout goes on from the winner's", async () => {
  const { control } = await ControlWorld.open();
  const tag = (name: string) =>
    control.changeLayout((layout) => ({ ...layout, stagedRoles: [...layout.stagedRoles, { id: name as never, remove: true }] }));
  await Promise.all(["a", "b", "c", "d", "e"].map(tag));
  assert.deepEqual(
    control
      .layout()
      .stagedRoles.map((role) => role.id)
      .sort(),
    ["a", "b", "c", "d", "e"],
  );
  assert.equal(control.view.layout?.revision, 5);
});
