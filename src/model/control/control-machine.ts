import type { Entry, StateMachine } from "../../group/groups.ts";
import type { KvWrite } from "../../platform/kv.ts";
import { unreachable } from "../../util/assert.ts";
import type { BucketId } from "../../util/ids.ts";
import type { AliasName, ControlCommand, ControlRefusal, ControlResult } from "./control-commands.ts";
import { allRows, type BucketRow, getRow, type Kind, localAliasId, putRow, removeRow } from "./rows.ts";

/**
 * The state machine of the control group. Decides on rows alone; every change names the rows it touched.
 * Bucket life (rules 38–41): creating → live → deleting(attempt) → removing → gone, or back over unsealing → live.
 */
export class ControlMachine implements StateMachine<ControlCommand, ControlResult> {
  apply(rows: KvWrite, command: ControlCommand, entry: Entry): ControlResult {
    switch (command.op) {
      case "bootstrap":
        if (getRow(rows, "settings", "")) return refuse("already-bootstrapped");
        putRow(rows, "settings", "", command.settings);
        return done(["settings", ""]);
      case "create-bucket":
        return createBucket(rows, command, entry);
      case "bucket-ready":
        return movePhase(rows, command.id, "creating", "live");
      case "begin-delete":
        return beginDelete(rows, command);
      case "finish-delete":
        return finishDelete(rows, command.id, command.attempt);
      case "cancel-delete":
        return endAttempt(rows, command.id, command.attempt, "deleting", "unsealing");
      case "unsealed":
        return endAttempt(rows, command.id, command.attempt, "unsealing", "live");
      case "remove-bucket":
        if (getRow(rows, "bucket", command.id)?.phase !== "removing") return refuse("no-such-bucket");
        removeRow(rows, "bucket", command.id);
        return done(["bucket", command.id]);
      case "add-alias":
        return addAlias(rows, command);
      case "remove-alias":
        return removeAlias(rows, command);
      case "change-rights":
        return changeRights(rows, command);
      case "update-bucket":
        return updateBucket(rows, command);
      case "create-key":
        return createKey(rows, command, entry);
      case "update-key":
        return updateKey(rows, command);
      case "delete-key":
        return deleteKey(rows, command.id);
      case "create-token":
        if (getRow(rows, "token", command.token.id)) return refuse("token-exists");
        putRow(rows, "token", command.token.id, { ...command.token, createdMs: entry.stamp });
        return done(["token", command.token.id]);
      case "update-token":
        return updateToken(rows, command);
      case "delete-token":
        if (!getRow(rows, "token", command.id)) return refuse("no-such-token");
        removeRow(rows, "token", command.id);
        return done(["token", command.id]);
      case "set-layout": {
        const revision = getRow(rows, "layout", "")?.revision ?? 0;
        if (revision !== command.expectedRevision) return refuse("stale-layout");
        putRow(rows, "layout", "", { revision: revision + 1, state: command.layout });
        return done(["layout", ""]);
      }
      default:
        return unreachable(command);
    }
  }
}

type CommandOf<O extends ControlCommand["op"]> = Extract<ControlCommand, { op: O }>;

function done(...rows: (readonly [Kind, string])[]): ControlResult {
  return { ok: true, rows };
}

function refuse(code: ControlRefusal, detail?: string): ControlResult {
  return detail === undefined ? { ok: false, code } : { ok: false, code, detail };
}

/** A bucket that has a name and takes part in administration; deleting and removing ones do not. */
function stableBucket(rows: KvWrite, id: BucketId): BucketRow | ControlResult {
  const bucket = getRow(rows, "bucket", id);
  if (!bucket || bucket.phase === "removing") return refuse("no-such-bucket");
  return bucket.phase === "deleting" ? refuse("busy") : bucket;
}

function isRefusal(value: BucketRow | ControlResult): value is ControlResult {
  return "ok" in value;
}

function createBucket(rows: KvWrite, command: CommandOf<"create-bucket">, entry: Entry): ControlResult {
  if (getRow(rows, "bucket", command.id)) return refuse("busy", "this bucket id is in use");
  const { globalAlias, localAlias, rights } = command;
  for (const keyId of [localAlias?.keyId, rights?.keyId]) {
    if (keyId !== undefined && getRow(rows, "key", keyId)?.deleted !== false) return refuse("no-such-key", keyId);
  }
  const holder = globalAlias === undefined ? undefined : getRow(rows, "alias", globalAlias);
  if (holder) return refuse("alias-taken", holder.bucket);
  if (localAlias) {
    const local = getRow(rows, "localAlias", localAliasId(localAlias.keyId, localAlias.alias));
    if (local) return refuse("alias-yours", local.bucket);
    const global = getRow(rows, "alias", localAlias.alias);
    if (global) {
      const letters = getRow(rows, "bucket", global.bucket)?.rights.find(([keyId]) => keyId === localAlias.keyId)?.[1] ?? "";
      return refuse(letters.includes("w") || letters.includes("o") ? "alias-yours" : "alias-taken", global.bucket);
    }
  }
  const changed: [Kind, string][] = [["bucket", command.id]];
  putRow(rows, "bucket", command.id, {
    id: command.id,
    createdMs: entry.stamp,
    phase: "creating",
    attempt: 0,
    indexShards: command.indexShards,
    globalAliases: globalAlias === undefined ? [] : [globalAlias],
    localAliases: localAlias ? [localAlias] : [],
    rights: rights && rights.letters !== "" ? [[rights.keyId, rights.letters]] : [],
    ...(command.objectOwnership === undefined ? {} : { objectOwnership: command.objectOwnership }),
    quotas: {},
    guardIndex: entry.index,
  });
  if (globalAlias !== undefined) {
    putRow(rows, "alias", globalAlias, { bucket: command.id });
    changed.push(["alias", globalAlias]);
  }
  if (localAlias) {
    const id = localAliasId(localAlias.keyId, localAlias.alias);
    putRow(rows, "localAlias", id, { bucket: command.id });
    changed.push(["localAlias", id]);
  }
  return { ok: true, rows: changed };
}

function movePhase(rows: KvWrite, id: BucketId, from: BucketRow["phase"], to: BucketRow["phase"]): ControlResult {
  const bucket = getRow(rows, "bucket", id);
  if (!bucket) return refuse("no-such-bucket");
  if (bucket.phase !== from) return done();
  putRow(rows, "bucket", id, { ...bucket, phase: to });
  return done(["bucket", id]);
}

function beginDelete(rows: KvWrite, command: CommandOf<"begin-delete">): ControlResult {
  const bucket = getRow(rows, "bucket", command.id);
  if (!bucket || bucket.phase === "removing") return refuse("no-such-bucket");
  if (bucket.phase !== "live") return refuse("busy");
  if (command.name && !hasName(bucket, command.name)) return refuse("no-such-alias");
  const names = bucket.globalAliases.length + bucket.localAliases.length;
  if (names > 1 && !command.evenSeveral) return refuse("other-aliases", namesOf(bucket));
  putRow(rows, "bucket", command.id, { ...bucket, phase: "deleting", attempt: bucket.attempt + 1 });
  return done(["bucket", command.id]);
}

function hasName(bucket: BucketRow, { alias, keyId }: AliasName): boolean {
  return keyId === undefined
    ? bucket.globalAliases.includes(alias)
    : bucket.localAliases.some((local) => local.keyId === keyId && local.alias === alias);
}

function namesOf(bucket: BucketRow): string {
  return [...bucket.globalAliases, ...bucket.localAliases.map((local) => `${local.keyId}:${local.alias}`)].join(", ");
}

/** Rule 39: decided here, after every partition is sealed and before any is unsealed. The names are free from this moment. */
function finishDelete(rows: KvWrite, id: BucketId, attempt: number): ControlResult {
  const bucket = getRow(rows, "bucket", id);
  if (!bucket) return refuse("no-such-bucket");
  if (bucket.phase !== "deleting" || bucket.attempt !== attempt) return refuse("old-attempt");
  const changed: [Kind, string][] = [["bucket", id]];
  for (const alias of bucket.globalAliases) {
    removeRow(rows, "alias", alias);
    changed.push(["alias", alias]);
  }
  for (const local of bucket.localAliases) {
    const localId = localAliasId(local.keyId, local.alias);
    removeRow(rows, "localAlias", localId);
    changed.push(["localAlias", localId]);
  }
  putRow(rows, "bucket", id, { ...bucket, phase: "removing", globalAliases: [], localAliases: [], rights: [] });
  return { ok: true, rows: changed };
}

function endAttempt(
  rows: KvWrite,
  id: BucketId,
  attempt: number,
  from: BucketRow["phase"],
  to: BucketRow["phase"],
): ControlResult {
  const bucket = getRow(rows, "bucket", id);
  if (!bucket) return refuse("no-such-bucket");
  if (bucket.phase !== from || bucket.attempt !== attempt) return refuse("old-attempt");
  putRow(rows, "bucket", id, { ...bucket, phase: to });
  return done(["bucket", id]);
}

function addAlias(rows: KvWrite, command: CommandOf<"add-alias">): ControlResult {
  const bucket = stableBucket(rows, command.bucket);
  if (isRefusal(bucket)) return bucket;
  const { alias, keyId } = command;
  if (keyId === undefined) {
    const holder = getRow(rows, "alias", alias);
    if (holder) return holder.bucket === bucket.id ? done() : refuse("alias-taken", holder.bucket);
    putRow(rows, "alias", alias, { bucket: bucket.id });
    putRow(rows, "bucket", bucket.id, { ...bucket, globalAliases: [...bucket.globalAliases, alias] });
    return done(["alias", alias], ["bucket", bucket.id]);
  }
  if (getRow(rows, "key", keyId)?.deleted !== false) return refuse("no-such-key", keyId);
  const id = localAliasId(keyId, alias);
  const holder = getRow(rows, "localAlias", id);
  if (holder) return holder.bucket === bucket.id ? done() : refuse("alias-taken", holder.bucket);
  putRow(rows, "localAlias", id, { bucket: bucket.id });
  putRow(rows, "bucket", bucket.id, { ...bucket, localAliases: [...bucket.localAliases, { keyId, alias }] });
  return done(["localAlias", id], ["bucket", bucket.id]);
}

function removeAlias(rows: KvWrite, command: CommandOf<"remove-alias">): ControlResult {
  const bucket = stableBucket(rows, command.bucket);
  if (isRefusal(bucket)) return bucket;
  const { alias, keyId } = command;
  if (!hasName(bucket, command)) return refuse("no-such-alias");
  if (bucket.globalAliases.length + bucket.localAliases.length === 1 && !command.evenLast) return refuse("last-alias");
  if (keyId !== undefined) {
    const id = localAliasId(keyId, alias);
    removeRow(rows, "localAlias", id);
    putRow(rows, "bucket", bucket.id, {
      ...bucket,
      localAliases: bucket.localAliases.filter((x) => x.keyId !== keyId || x.alias !== alias),
    });
    return done(["localAlias", id], ["bucket", bucket.id]);
  }
  removeRow(rows, "alias", alias);
  putRow(rows, "bucket", bucket.id, { ...bucket, globalAliases: bucket.globalAliases.filter((x) => x !== alias) });
  return done(["alias", alias], ["bucket", bucket.id]);
}

function changeRights(rows: KvWrite, command: CommandOf<"change-rights">): ControlResult {
  const bucket = stableBucket(rows, command.bucket);
  if (isRefusal(bucket)) return bucket;
  if (getRow(rows, "key", command.keyId)?.deleted !== false) return refuse("no-such-key", command.keyId);
  const have = bucket.rights.find(([keyId]) => keyId === command.keyId)?.[1] ?? "";
  const letters = [..."rwo"].filter((x) => (have.includes(x) || command.add.includes(x)) && !command.remove.includes(x)).join("");
  const others = bucket.rights.filter(([keyId]) => keyId !== command.keyId);
  putRow(rows, "bucket", bucket.id, { ...bucket, rights: letters === "" ? others : [...others, [command.keyId, letters]] });
  return done(["bucket", bucket.id]);
}

function updateBucket(rows: KvWrite, command: CommandOf<"update-bucket">): ControlResult {
  const bucket = stableBucket(rows, command.id);
  if (isRefusal(bucket)) return bucket;
  const { website: hadWebsite, quotas, ...rest } = bucket;
  const website = command.website === undefined ? hadWebsite : (command.website ?? undefined);
  const maxSizeBytes = command.maxSizeBytes === undefined ? quotas.maxSizeBytes : (command.maxSizeBytes ?? undefined);
  const maxObjects = command.maxObjects === undefined ? quotas.maxObjects : (command.maxObjects ?? undefined);
  putRow(rows, "bucket", command.id, {
    ...rest,
    ...(website ? { website } : {}),
    quotas: { ...(maxSizeBytes === undefined ? {} : { maxSizeBytes }), ...(maxObjects === undefined ? {} : { maxObjects }) },
  });
  return done(["bucket", command.id]);
}

function createKey(rows: KvWrite, command: CommandOf<"create-key">, entry: Entry): ControlResult {
  const known = getRow(rows, "key", command.id);
  if (known) {
    const same = !known.deleted && known.secret === command.secret;
    return command.sameIsFine && same ? done() : refuse("key-exists", known.deleted ? "deleted" : same ? "same" : "other-secret");
  }
  putRow(rows, "key", command.id, {
    id: command.id,
    secret: command.secret,
    name: command.name,
    createdMs: entry.stamp,
    ...(command.expiresMs === undefined ? {} : { expiresMs: command.expiresMs }),
    mayCreateBucket: command.mayCreateBucket,
    deleted: false,
  });
  return done(["key", command.id]);
}

function updateKey(rows: KvWrite, command: CommandOf<"update-key">): ControlResult {
  const key = getRow(rows, "key", command.id);
  if (!key || key.deleted) return refuse("no-such-key", command.id);
  const { expiresMs: had, ...rest } = key;
  const expiresMs = command.expiresMs === undefined ? had : (command.expiresMs ?? undefined);
  putRow(rows, "key", command.id, {
    ...rest,
    ...(command.name === undefined ? {} : { name: command.name }),
    ...(command.mayCreateBucket === undefined ? {} : { mayCreateBucket: command.mayCreateBucket }),
    ...(expiresMs === undefined ? {} : { expiresMs }),
  });
  return done(["key", command.id]);
}

/** The id stays as a tombstone without its secret; rights and local names of the key go with it. */
function deleteKey(rows: KvWrite, id: string): ControlResult {
  const key = getRow(rows, "key", id);
  if (!key || key.deleted) return refuse("no-such-key", id);
  const changed: [Kind, string][] = [["key", id]];
  // What a bucket whose row is damaged grants stands nowhere else: such a row answers nothing, so a key is taken back all the
  // same.
  for (const bucket of allRows(rows, "bucket", () => undefined)) {
    const locals = bucket.localAliases.filter((local) => local.keyId === id);
    const rights = bucket.rights.filter(([keyId]) => keyId !== id);
    if (rights.length === bucket.rights.length && locals.length === 0) continue;
    for (const local of locals) {
      const localId = localAliasId(id, local.alias);
      removeRow(rows, "localAlias", localId);
      changed.push(["localAlias", localId]);
    }
    putRow(rows, "bucket", bucket.id, {
      ...bucket,
      rights,
      localAliases: bucket.localAliases.filter((local) => local.keyId !== id),
    });
    changed.push(["bucket", bucket.id]);
  }
  putRow(rows, "key", id, { id, secret: "", name: key.name, createdMs: key.createdMs, mayCreateBucket: false, deleted: true });
  return { ok: true, rows: changed };
}

function updateToken(rows: KvWrite, command: CommandOf<"update-token">): ControlResult {
  const token = getRow(rows, "token", command.id);
  if (!token) return refuse("no-such-token");
  const { expiresMs: had, ...rest } = token;
  const expiresMs = command.expiresMs === undefined ? had : (command.expiresMs ?? undefined);
  putRow(rows, "token", command.id, {
    ...rest,
    ...(command.name === undefined ? {} : { name: command.name }),
    ...(command.scope === undefined ? {} : { scope: command.scope }),
    ...(expiresMs === undefined ? {} : { expiresMs }),
  });
  return done(["token", command.id]);
}
