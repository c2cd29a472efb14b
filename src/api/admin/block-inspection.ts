import { isLiveClaim } from "../../model/partition/data-reads.ts";
import { eachReference, type Reference, referencesTo, zeroSince } from "../../model/partition/reference-row.ts";
import { readHeadVersion } from "../../model/partition/read-version.ts";
import { zeroKey } from "../../model/partition/row-keys.ts";
import { STOP } from "../../platform/kv.ts";
import { type Hash, isHex, type VersionId } from "../../util/ids.ts";
import { AdminError } from "./admin-error.ts";
import type { AdminContext } from "./operation.ts";

/** References to one block that are counted and shown. */
const MAX_REFERENCES = 10_000;
/** Rounds of a purge: uploads under way may add references while it goes on. */
const MAX_PURGE_ROUNDS = 100;

interface BlockInfo {
  readonly blockHash: string;
  readonly refcount: number;
  readonly versions: {
    readonly versionId: string;
    readonly refDeleted: boolean;
    readonly versionDeleted: boolean;
    readonly garbageCollected: boolean;
    readonly backlink:
      | { readonly object: { readonly bucketId: string; readonly key: string } }
      | {
          readonly upload: {
            readonly uploadId: string;
            readonly uploadDeleted: boolean;
            readonly uploadGarbageCollected: boolean;
            readonly bucketId: string;
            readonly key: string;
          };
        };
  }[];
}

/** Who needs a block. `prefix`: at least 4 hex digits, of one block only. */
export async function describeBlock(context: AdminContext, prefix: string): Promise<BlockInfo> {
  const hash = await findBlock(context, prefix.toLowerCase());
  const versions: BlockInfo["versions"] = [];
  const references = await referencesOf(context, hash, MAX_REFERENCES);
  for (const reference of references) {
    const { bucket: bucketId, key, upload: uploadId } = reference;
    const user = await userOf(context, reference);
    versions.push({
      versionId: user.kind === "version" ? user.version : reference.claim,
      refDeleted: false,
      versionDeleted: user.kind !== "version",
      garbageCollected: false,
      backlink:
        uploadId === undefined || user.kind === "version"
          ? { object: { bucketId, key } }
          : { upload: { uploadId, uploadDeleted: user.kind !== "upload", uploadGarbageCollected: false, bucketId, key } },
    });
  }
  return { blockHash: hash, refcount: references.length, versions };
}

/** Deletes every object and aborts every upload that needs the block; its file goes when the references are gone. */
export async function purgeBlock(
  context: AdminContext,
  text: string,
): Promise<{ readonly references: number; readonly objects: number; readonly uploads: number }> {
  const hash = text.toLowerCase();
  if (!isHex(hash, 32))
    throw new AdminError("InvalidRequest", `${text}: a block is named by all 64 hexadecimal digits of its hash`);
  const { objects, control } = context;
  const done = new Set<string>();
  const count = { references: 0, objects: 0, uploads: 0 };
  for (let round = 0; round < MAX_PURGE_ROUNDS; round++) {
    const fresh = (await referencesOf(context, hash as Hash, MAX_REFERENCES)).filter((one) => !done.has(one.claim));
    if (fresh.length === 0) break;
    for (const reference of fresh) {
      done.add(reference.claim);
      count.references++;
      const bucket = control.bucket(reference.bucket);
      if (!bucket) continue;
      const { key, upload } = reference;
      const user = await userOf(context, reference);
      // Only that very content: what a rival has put there meanwhile stays.
      if (user.kind === "version") {
        const gone = await objects.delete({ bucket, key, condition: { ifMatch: [user.etag] } });
        if (gone.ok && gone.existed) count.objects++;
      } else if (user.kind === "upload" && upload !== undefined) {
        if ((await objects.abortUpload({ bucket, key, upload })).ok) count.uploads++;
      }
    }
  }
  if (count.references === 0) throw new AdminError("NoSuchBlock", `no object needs a block ${hash}`);
  return count;
}

async function findBlock(context: AdminContext, prefix: string): Promise<Hash> {
  if (!/^[0-9a-f]{4,64}$/.test(prefix))
    throw new AdminError("InvalidRequest", "give the hash of a block, or its first 4 hexadecimal digits at least");
  const from = prefix.padEnd(64, "0") as Hash;
  const group = context.placement.ofHash(from);
  const found = await context.groups.read(group, (rows) => {
    const hashes = new Set<Hash>();
    eachReference(
      rows,
      group,
      ({ hash }) => {
        if (!hash.startsWith(prefix)) return STOP;
        hashes.add(hash);
        return hashes.size > 1 ? STOP : undefined;
      },
      from,
    );
    if (hashes.size === 0 && prefix.length === 64 && zeroSince(rows, zeroKey(group, from)) !== undefined) hashes.add(from);
    return [...hashes];
  });
  if (found.length === 1) return found[0] as Hash;
  throw found.length === 0
    ? new AdminError("NoSuchBlock", `no block has a hash that begins with ${prefix}`)
    : new AdminError("InvalidRequest", `several blocks have hashes that begin with ${prefix}; give more of the hash`);
}

async function referencesOf({ placement, groups }: AdminContext, hash: Hash, limit: number): Promise<readonly Reference[]> {
  const group = placement.ofHash(hash);
  return groups.read(group, (rows) => referencesTo(rows, group, hash, limit));
}

type User =
  | { readonly kind: "version"; readonly version: VersionId; readonly etag: string }
  | { readonly kind: "upload" }
  /** Replaced, deleted or given up: the reference will go. */
  | { readonly kind: "none" };

async function userOf({ control, placement, groups, objects }: AdminContext, reference: Reference): Promise<User> {
  const bucket = control.view.buckets.get(reference.bucket);
  if (!bucket) return { kind: "none" };
  const { key, upload, claim } = reference;
  const home = placement.ofKey(bucket, key);
  const head = await groups.read(home, (rows) =>
    isLiveClaim(rows, home, { bucket: bucket.id, key, claim, upload }, false)
      ? readHeadVersion(rows, home, bucket.id, key)
      : undefined,
  );
  if (head) return { kind: "version", version: head.version, etag: head.content.etag };
  if (upload !== undefined && (await objects.uploadInfo({ bucket, key, upload })) !== null) return { kind: "upload" };
  return { kind: "none" };
}
