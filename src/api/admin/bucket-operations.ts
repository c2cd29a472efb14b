import { z } from "zod";
import type { BucketView } from "../../model/control/control-view.ts";
import type { AliasName, ControlResult } from "../../model/control/control-commands.ts";
import type { BucketId } from "../../util/ids.ts";
import { AdminError } from "./admin-error.ts";
import { bucketId, isoDate, keyId, letters, optionalText, permissionChange, permissions } from "./fields.ts";
import { findKey } from "./key-operations.ts";
import { type AdminContext, type Operation, operation } from "./operation.ts";
import { shownVersion, storedVersion } from "./stored-version.ts";

/** Longest S3 key. */
const MAX_KEY_BYTES = 1024;
/** Local names that are told of one refusal, and how much of the ids: as much as `hangar bucket list` shows. */
const MAX_NAMES_TOLD = 5;
const ID_DIGITS_TOLD = 16;

const localAlias = z.object({ accessKeyId: z.string(), alias: z.string() });

const bucketInfo = z.object({
  id: z.string(),
  created: z.string(),
  globalAliases: z.array(z.string()),
  websiteAccess: z.boolean(),
  websiteConfig: z.object({ indexDocument: z.string(), errorDocument: z.string().nullable() }).nullable(),
  keys: z.array(z.object({ accessKeyId: z.string(), name: z.string(), permissions, bucketLocalAliases: z.array(z.string()) })),
  objects: z.number(),
  bytes: z.number(),
  unfinishedUploads: z.number(),
  unfinishedMultipartUploads: z.number(),
  unfinishedMultipartUploadParts: z.number(),
  unfinishedMultipartUploadBytes: z.number(),
  quotas: z.object({ maxSize: z.number().nullable(), maxObjects: z.number().nullable() }),
  /**
   * Hangar's own: the latest canned ACL that was sent since this node started, taken and granting nothing; absent when there was
   * none.
   */
  ignoredCannedAcl: z.string().optional(),
});
type BucketInfo = z.input<typeof bucketInfo>;

/** Either a global name, or a name in the eyes of one key. */
const aliasChange = z.object({
  bucketId,
  globalAlias: optionalText,
  localAlias: optionalText,
  accessKeyId: keyId.optional(),
});
const rightsChange = z.object({ bucketId, accessKeyId: keyId, permissions: permissionChange });
const limit = z.number().int().nonnegative().nullish();

export const BUCKET_OPERATIONS: readonly Operation[] = [
  operation({
    name: "ListBuckets",
    method: "GET",
    response: z.array(
      z.object({ id: z.string(), created: z.string(), globalAliases: z.array(z.string()), localAliases: z.array(localAlias) }),
    ),
    run: ({ control }) =>
      control
        .allBuckets()
        .map((bucket) => ({
          id: bucket.id as string,
          created: isoDate(bucket.createdMs) as string,
          globalAliases: [...bucket.globalAliases],
          localAliases: bucket.localAliases.map((local) => ({ accessKeyId: local.keyId, alias: local.alias })),
        }))
        .sort((a, b) => a.created.localeCompare(b.created) || a.id.localeCompare(b.id)),
  }),
  operation({
    name: "GetBucketInfo",
    method: "GET",
    query: z.object({ id: bucketId.optional(), globalAlias: optionalText, search: optionalText }),
    response: bucketInfo,
    run: (context, { query }) => describe(context, findBucket(context, query)),
  }),
  operation({
    name: "CreateBucket",
    method: "POST",
    body: z.object({
      globalAlias: z.string().nullish(),
      localAlias: z.object({ accessKeyId: keyId.optional(), alias: optionalText, allow: permissionChange.nullish() }).nullish(),
    }),
    response: bucketInfo,
    run: async (context, { body }) => {
      const { globalAlias, localAlias } = body;
      const local = localAliasOf(localAlias?.accessKeyId, localAlias?.alias);
      if (local) findKey(context, { id: local.keyId });
      const created = await context.control.createBucket({
        ...(globalAlias == null ? {} : { globalAlias }),
        ...(local ? { localAlias: { ...local, letters: letters(localAlias?.allow ?? {}) } } : {}),
      });
      if (created.ok) return describe(context, findBucket(context, { id: created.id }));
      if (created.code === "invalid-name") throw new AdminError("InvalidBucketName", created.message);
      if (created.code === "not-allowed") throw new AdminError("NoSuchAccessKey", created.message);
      throw new AdminError("BucketAlreadyExists", created.message);
    },
  }),
  operation({
    name: "UpdateBucket",
    method: "POST",
    query: z.object({ id: bucketId }),
    body: z.object({
      websiteAccess: z
        .object({
          enabled: z.boolean(),
          indexDocument: z.string().nullish(),
          errorDocument: z.string().nullish(),
          routingRules: z.array(z.unknown()).nullish(),
        })
        .nullish(),
      quotas: z.object({ maxSize: limit, maxObjects: limit }).nullish(),
      corsRules: z.array(z.unknown()).nullish(),
      lifecycleRules: z.array(z.unknown()).nullish(),
    }),
    response: bucketInfo,
    run: async (context, { query, body }) => {
      const bucket = findBucket(context, { id: query.id });
      const site = body.websiteAccess;
      for (const [name, rules] of [
        ["corsRules", body.corsRules],
        ["lifecycleRules", body.lifecycleRules],
        ["routingRules", site?.routingRules],
      ] as const) {
        if (rules && rules.length > 0) throw new AdminError("NotImplemented", `${name} can't be set in this release`);
      }
      if (site && !site.enabled && (site.indexDocument != null || site.errorDocument != null))
        throw new AdminError("InvalidRequest", "documents make no sense for a website that is switched off");
      if (site?.enabled && (!site.indexDocument || site.indexDocument.includes("/")))
        throw new AdminError("InvalidRequest", "websiteAccess needs indexDocument when it is enabled: a name without slashes");
      const result = await context.control.command({
        op: "update-bucket",
        id: bucket.id,
        ...(site
          ? {
              website: site.enabled
                ? {
                    indexDocument: site.indexDocument as string,
                    ...(site.errorDocument == null ? {} : { errorDocument: site.errorDocument }),
                  }
                : null,
            }
          : {}),
        ...(body.quotas ? { maxSizeBytes: body.quotas.maxSize ?? null, maxObjects: body.quotas.maxObjects ?? null } : {}),
      });
      throwRefusal(result);
      return describe(context, findBucket(context, { id: bucket.id }));
    },
  }),
  operation({
    name: "DeleteBucket",
    method: "POST",
    query: z.object({ id: bucketId }),
    response: z.null(),
    run: async (context, { query }) => {
      // All its names go with it, as with Garage; the command line asks for the last one.
      const { id } = findBucket(context, query);
      const outcome = await context.control.deleteBucket(id, undefined, { evenSeveral: true });
      if (outcome.ok) return null;
      if (outcome.code === "not-empty")
        throw new AdminError("BucketNotEmpty", "the bucket is not empty: delete its objects first");
      throw new AdminError(
        outcome.code === "busy" ? "ServiceUnavailable" : "NoSuchBucket",
        outcome.code === "busy" ? "the bucket is being deleted already" : "there is no such bucket",
      );
    },
  }),
  operation({
    name: "CleanupIncompleteUploads",
    method: "POST",
    body: z.object({ bucketId, olderThanSecs: z.number().nonnegative() }),
    response: z.object({ uploadsDeleted: z.number() }),
    run: (context, { body }) => cleanupUploads(context, findBucket(context, { id: body.bucketId }), body.olderThanSecs),
  }),
  operation({
    name: "InspectObject",
    method: "GET",
    query: z.object({ bucketId, key: z.string() }),
    response: z.object({
      bucketId: z.string(),
      key: z.string(),
      versions: z.array(storedVersion),
    }),
    run: async (context, { query: { bucketId: id, key } }) => {
      if (key === "" || Buffer.byteLength(key) > MAX_KEY_BYTES)
        throw new AdminError("InvalidRequest", `a key has 1 to ${MAX_KEY_BYTES} bytes`);
      const bucket = findBucket(context, { id });
      const versions = await context.inspection.versionsOf(bucket, key);
      if (versions.length === 0) throw new AdminError("NoSuchKey", `nothing is stored under the key ${key}`);
      return { bucketId: bucket.id as string, key, versions: versions.map(shownVersion) };
    },
  }),
  operation({
    name: "AllowBucketKey",
    method: "POST",
    body: rightsChange,
    response: bucketInfo,
    run: (context, { body }) => changeRights(context, body, "add"),
  }),
  operation({
    name: "DenyBucketKey",
    method: "POST",
    body: rightsChange,
    response: bucketInfo,
    run: (context, { body }) => changeRights(context, body, "remove"),
  }),
  operation({
    name: "AddBucketAlias",
    method: "POST",
    body: aliasChange,
    response: bucketInfo,
    run: async (context, { body }) => {
      const bucket = findBucket(context, { id: body.bucketId });
      const alias = aliasOf(body);
      if (alias.keyId !== undefined) findKey(context, { id: alias.keyId });
      throwRefusal(await context.control.addAlias(bucket.id, alias));
      return describe(context, findBucket(context, { id: bucket.id }));
    },
  }),
  operation({
    name: "RemoveBucketAlias",
    method: "POST",
    body: aliasChange,
    response: bucketInfo,
    run: async (context, { body }) => {
      const bucket = findBucket(context, { id: body.bucketId });
      throwRefusal(await context.control.command({ op: "remove-alias", bucket: bucket.id, ...aliasOf(body) }));
      return describe(context, findBucket(context, { id: bucket.id }));
    },
  }),
];

/** By full id, by global name, or by `search`: a global name, or the only bucket whose id begins so. */
export function findBucket(
  { control }: AdminContext,
  wanted: { readonly id?: string | undefined; readonly globalAlias?: string | undefined; readonly search?: string | undefined },
): BucketView {
  if ([wanted.id, wanted.globalAlias, wanted.search].filter((x) => x !== undefined).length !== 1)
    throw new AdminError("InvalidRequest", "give one of id, globalAlias, search");
  if (wanted.id !== undefined) {
    const bucket = control.bucket(wanted.id as BucketId);
    if (!bucket) throw new AdminError("NoSuchBucket", `there is no bucket with the id ${wanted.id}`);
    return bucket;
  }
  const name = (wanted.globalAlias ?? wanted.search) as string;
  const byName = control.view.aliases.get(name);
  const bucket = byName === undefined ? undefined : control.bucket(byName);
  if (bucket) return bucket;
  const local = localNames(control, name);
  if (wanted.search === undefined)
    throw new AdminError("NoSuchBucket", `there is no bucket named ${name}${local && `: ${local}`}`);
  const found = /^[0-9a-f]+$/.test(name) ? control.allBuckets().filter((candidate) => candidate.id.startsWith(name)) : [];
  if (found.length === 1) return found[0] as BucketView;
  throw found.length === 0
    ? new AdminError("NoSuchBucket", local ? `${local}; use the id` : `no bucket has the name or id prefix ${name}`)
    : new AdminError("InvalidRequest", `${found.length} buckets have ids that begin with ${name}; give more of the id`);
}

/** Whose local name it is, if anybody's: one name may stand for another bucket with each key, so no bucket is found by it. */
function localNames(control: AdminContext["control"], name: string): string {
  const found = control
    .allBuckets()
    .flatMap((bucket) =>
      bucket.localAliases
        .filter(({ alias }) => alias === name)
        .map(({ keyId }) => `of key ${keyId} for the bucket ${bucket.id.slice(0, ID_DIGITS_TOLD)}`),
    );
  if (found.length === 0) return "";
  const more = found.length > MAX_NAMES_TOLD ? ` and ${found.length - MAX_NAMES_TOLD} more (\`hangar bucket list\`)` : "";
  return `${name} is no global name, but a local one ${found.slice(0, MAX_NAMES_TOLD).join(", ")}${more}`;
}

async function describe({ control, objects, ignoredAcls }: AdminContext, bucket: BucketView): Promise<BucketInfo> {
  const usage = await objects.usage(bucket);
  const ignoredCannedAcl = ignoredAcls.latest(bucket.id);
  const keyIds = new Set([...bucket.keys.map((key) => key.keyId), ...bucket.localAliases.map((local) => local.keyId)]);
  return {
    id: bucket.id,
    created: isoDate(bucket.createdMs) as string,
    globalAliases: [...bucket.globalAliases],
    websiteAccess: bucket.website !== undefined,
    websiteConfig: bucket.website
      ? { indexDocument: bucket.website.indexDocument, errorDocument: bucket.website.errorDocument ?? null }
      : null,
    keys: [...keyIds].sort().map((keyId) => ({
      accessKeyId: keyId,
      name: control.view.keys.get(keyId)?.name ?? "",
      permissions: { ...bucket.rights(keyId) },
      bucketLocalAliases: bucket.localAliases.filter((local) => local.keyId === keyId).map((local) => local.alias),
    })),
    objects: usage.objects,
    bytes: usage.bytes,
    unfinishedUploads: usage.uploads,
    unfinishedMultipartUploads: usage.uploads,
    unfinishedMultipartUploadParts: usage.parts,
    unfinishedMultipartUploadBytes: usage.partBytes,
    quotas: { maxSize: bucket.quotas.maxSizeBytes ?? null, maxObjects: bucket.quotas.maxObjects ?? null },
    ...(ignoredCannedAcl === undefined ? {} : { ignoredCannedAcl }),
  };
}

function aliasOf({ globalAlias, localAlias, accessKeyId }: z.output<typeof aliasChange>): AliasName {
  if (globalAlias !== undefined && localAlias !== undefined)
    throw new AdminError("InvalidRequest", "give either globalAlias or localAlias, not both");
  const alias = globalAlias === undefined ? localAliasOf(accessKeyId, localAlias) : { alias: globalAlias };
  if (!alias) throw new AdminError("InvalidRequest", "give globalAlias, or localAlias and accessKeyId");
  return alias;
}

/** Undefined when neither is given. */
function localAliasOf(
  keyId: string | undefined,
  alias: string | undefined,
): { readonly keyId: string; readonly alias: string } | undefined {
  if (keyId === undefined && alias === undefined) return undefined;
  if (keyId === undefined || alias === undefined)
    throw new AdminError("InvalidRequest", "a local alias and accessKeyId go together");
  return { keyId, alias };
}

async function changeRights(
  context: AdminContext,
  body: z.output<typeof rightsChange>,
  what: "add" | "remove",
): Promise<BucketInfo> {
  const bucket = findBucket(context, { id: body.bucketId });
  const key = findKey(context, { id: body.accessKeyId });
  const set = letters(body.permissions);
  throwRefusal(
    await context.control.command({
      op: "change-rights",
      bucket: bucket.id,
      keyId: key.id,
      add: what === "add" ? set : "",
      remove: what === "remove" ? set : "",
    }),
  );
  return describe(context, findBucket(context, { id: bucket.id }));
}

async function cleanupUploads(
  { objects, clock }: AdminContext,
  bucket: BucketView,
  olderThanSecs: number,
): Promise<{ uploadsDeleted: number }> {
  const beforeMs = clock.wallMs() - olderThanSecs * 1000;
  let uploadsDeleted = 0;
  let afterKey = "";
  let afterUpload: string | undefined;
  for (;;) {
    const page = await objects.listUploads({
      bucket,
      prefix: "",
      delimiter: "",
      afterKey,
      ...(afterUpload === undefined ? {} : { afterUpload }),
      skipPrefix: false,
      limit: 1000,
    });
    for (const entry of page.entries) {
      if (entry.upload === undefined) continue;
      if (entry.createdMs <= beforeMs && (await objects.abortUpload({ bucket, key: entry.key, upload: entry.upload })).ok)
        uploadsDeleted++;
      afterKey = entry.key;
      afterUpload = entry.upload;
    }
    if (!page.truncated) return { uploadsDeleted };
  }
}

function throwRefusal(
  result: ControlResult | { readonly ok: false; readonly code: "invalid-name"; readonly detail: string },
): void {
  if (result.ok) return;
  switch (result.code) {
    case "invalid-name":
      throw new AdminError("InvalidBucketName", result.detail);
    case "alias-taken":
      throw new AdminError("BucketAlreadyExists", `this name stands for another bucket already (${result.detail})`);
    case "last-alias":
      throw new AdminError("InvalidRequest", "this is the bucket's last name; delete the bucket, or give it another name first");
    case "no-such-alias":
      throw new AdminError("InvalidRequest", "the bucket does not have this name");
    case "no-such-key":
      throw new AdminError("NoSuchAccessKey", `there is no access key ${result.detail}`);
    case "busy":
      throw new AdminError("ServiceUnavailable", "the bucket is being deleted; try again in a moment");
    default:
      throw new AdminError("NoSuchBucket", "there is no such bucket");
  }
}
