import { z } from "zod";
import type { AccessKey } from "../../model/control-service.ts";
import { AdminError } from "./admin-error.ts";
import { expiryOf, isoDate, keyId, optionalText, permissions } from "./fields.ts";
import { type AdminContext, type Operation, operation } from "./operation.ts";

const keyItem = z.object({
  id: z.string(),
  name: z.string(),
  created: z.string().nullable(),
  expiration: z.string().nullable(),
  expired: z.boolean(),
});

const keyInfo = z.object({
  accessKeyId: z.string(),
  created: z.string().nullable(),
  name: z.string(),
  expiration: z.string().nullable(),
  expired: z.boolean(),
  secretAccessKey: z.string().nullable().optional(),
  permissions: z.object({ createBucket: z.boolean() }),
  buckets: z.array(
    z.object({ id: z.string(), globalAliases: z.array(z.string()), localAliases: z.array(z.string()), permissions }),
  ),
});
type KeyInfo = z.input<typeof keyInfo>;

const keyChange = z.object({
  name: z.string().nullish(),
  expiration: z.iso.datetime({ offset: true }).nullish(),
  neverExpires: z.boolean().optional(),
  allow: z.object({ createBucket: z.boolean().optional() }).nullish(),
  deny: z.object({ createBucket: z.boolean().optional() }).nullish(),
});
type KeyChange = z.output<typeof keyChange>;

export const KEY_OPERATIONS: readonly Operation[] = [
  operation({
    name: "ListKeys",
    method: "GET",
    response: z.array(keyItem),
    run: ({ control, clock }) =>
      [...control.view.keys.values()]
        .map((key) => ({
          id: key.id,
          name: key.name,
          created: isoDate(key.createdMs),
          expiration: isoDate(key.expiresMs),
          expired: isExpired(key, clock.wallMs()),
        }))
        .sort((a, b) => (a.created ?? "").localeCompare(b.created ?? "") || a.id.localeCompare(b.id)),
  }),
  operation({
    name: "GetKeyInfo",
    method: "GET",
    query: z.object({ id: keyId.optional(), search: optionalText, showSecretKey: z.enum(["true", "false"]).optional() }),
    response: keyInfo,
    run: (context, { query }) => describe(context, findKey(context, query), query.showSecretKey === "true"),
  }),
  operation({
    name: "CreateKey",
    method: "POST",
    body: keyChange,
    response: keyInfo,
    run: async (context, { body }) => {
      const { control, random } = context;
      const id = `GK${Buffer.from(random.bytes(12)).toString("hex")}`;
      const expiresMs = expiryOf(body);
      const result = await control.command({
        op: "create-key",
        id,
        secret: Buffer.from(random.bytes(32)).toString("hex"),
        name: checkedName(body.name ?? "Unnamed key"),
        mayCreateBucket: createBucketRight(body) ?? false,
        ...(typeof expiresMs === "number" ? { expiresMs } : {}),
      });
      if (!result.ok) throw new AdminError("ServiceUnavailable", `the key could not be made: ${result.code}; try again`);
      return describe(context, findKey(context, { id }), true);
    },
  }),
  operation({
    name: "ImportKey",
    method: "POST",
    body: z.object({ accessKeyId: z.string(), secretAccessKey: z.string(), name: z.string().nullish() }),
    response: keyInfo,
    run: async (context, { body }) => {
      const { accessKeyId, secretAccessKey } = body;
      const fault = importFault(accessKeyId, secretAccessKey);
      if (fault) throw new AdminError("InvalidRequest", fault);
      const result = await context.control.command({
        op: "create-key",
        id: accessKeyId,
        secret: secretAccessKey,
        name: checkedName(body.name ?? "Imported key"),
        mayCreateBucket: false,
      });
      if (!result.ok)
        throw new AdminError("KeyAlreadyExists", `an access key ${accessKeyId} exists or existed; ids are never used twice`);
      return describe(context, findKey(context, { id: accessKeyId }), true);
    },
  }),
  operation({
    name: "UpdateKey",
    method: "POST",
    query: z.object({ id: keyId }),
    body: keyChange,
    response: keyInfo,
    run: async (context, { query, body }) => {
      const key = findKey(context, query);
      const expiresMs = expiryOf(body);
      const mayCreateBucket = createBucketRight(body);
      await context.control.command({
        op: "update-key",
        id: key.id,
        ...(body.name == null ? {} : { name: checkedName(body.name) }),
        ...(expiresMs === undefined ? {} : { expiresMs }),
        ...(mayCreateBucket === undefined ? {} : { mayCreateBucket }),
      });
      return describe(context, findKey(context, query), false);
    },
  }),
  operation({
    name: "DeleteKey",
    method: "POST",
    query: z.object({ id: keyId }),
    response: z.null(),
    run: async (context, { query }) => {
      const result = await context.control.command({ op: "delete-key", id: findKey(context, query).id });
      if (!result.ok) throw new AdminError("NoSuchAccessKey", `there is no access key ${query.id}`);
      return null;
    },
  }),
];

/** Says what is wrong with an imported pair, or undefined. The rules are Garage's from 2.3 on. */
export function importFault(id: string, secret: string): string | undefined {
  if (!/^[A-Za-z0-9._-]{8,128}$/.test(id)) return "an access key id has 8 to 128 characters out of A–Z a–z 0–9 - _ .";
  if (!/^[\x21-\x7e]{16,256}$/.test(secret)) return "a secret key has 16 to 256 visible ASCII characters";
  return undefined;
}

export function isExpired(key: { readonly expiresMs: number | undefined }, nowMs: number): boolean {
  return key.expiresMs !== undefined && key.expiresMs <= nowMs;
}

/** By exact id, or by `search`: prefix of the id or exact name, which must fit one key. */
export function findKey(
  { control }: AdminContext,
  wanted: { readonly id?: string | undefined; readonly search?: string | undefined },
): AccessKey {
  if ((wanted.id === undefined) === (wanted.search === undefined))
    throw new AdminError("InvalidRequest", "give either id or search");
  if (wanted.id !== undefined) {
    const key = control.view.keys.get(wanted.id);
    if (!key) throw new AdminError("NoSuchAccessKey", `there is no access key ${wanted.id}`);
    return key;
  }
  const search = wanted.search as string;
  const exact = control.view.keys.get(search);
  if (exact) return exact;
  const found = [...control.view.keys.values()].filter((key) => key.name === search || key.id.startsWith(search));
  if (found.length === 1) return found[0] as AccessKey;
  if (found.length === 0) throw new AdminError("NoSuchAccessKey", `no access key has the id prefix or name ${search}`);
  throw new AdminError(
    "InvalidRequest",
    `${found.length} access keys fit ${search}: ${found
      .slice(0, 5)
      .map((key) => key.id)
      .join(", ")}; give more of the id`,
  );
}

function describe({ control, clock }: AdminContext, key: AccessKey, withSecret: boolean): KeyInfo {
  const buckets: KeyInfo["buckets"] = [];
  for (const bucket of control.allBuckets()) {
    const rights = bucket.rights(key.id);
    const localAliases = bucket.localAliases.filter((local) => local.keyId === key.id).map((local) => local.alias);
    if (!rights.read && !rights.write && !rights.owner && localAliases.length === 0) continue;
    buckets.push({ id: bucket.id, globalAliases: [...bucket.globalAliases], localAliases, permissions: { ...rights } });
  }
  return {
    accessKeyId: key.id,
    created: isoDate(key.createdMs),
    name: key.name,
    expiration: isoDate(key.expiresMs),
    expired: isExpired(key, clock.wallMs()),
    ...(withSecret ? { secretAccessKey: key.secret } : {}),
    permissions: { createBucket: key.mayCreateBucket },
    buckets,
  };
}

function createBucketRight(change: KeyChange): boolean | undefined {
  if (change.deny?.createBucket) return false;
  return change.allow?.createBucket ? true : undefined;
}

function checkedName(name: string): string {
  if (name.length > 256) throw new AdminError("InvalidRequest", "a key's name has at most 256 characters");
  return name;
}
