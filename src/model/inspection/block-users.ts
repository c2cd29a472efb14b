import type { Groups } from "../../group/groups.ts";
import { STOP } from "../../platform/kv.ts";
import type { BucketId, Hash } from "../../util/ids.ts";
import type { BucketRef, ObjectService } from "../object-service.ts";
import { stateOfClaim } from "../partition/data-reads.ts";
import { readHeadVersion } from "../partition/read-version.ts";
import { eachReference, type KnownReference, referencesTo, zeroSince } from "../partition/reference-row.ts";
import { zeroKey } from "../partition/row-keys.ts";
import type { Placement } from "../placement.ts";
import type { BlockUser, BlockUserState } from "./inspection.ts";

/** References to one block that are counted and shown. */
const MAX_REFERENCES = 10_000;

export interface BlockUsersModules {
  readonly groups: Groups;
  readonly placement: Placement;
  readonly objects: ObjectService;
  /** A bucket by its id, in whatever phase of its life; undefined when it is gone. */
  readonly bucketOf: (id: BucketId) => BucketRef | undefined;
}

/** See `Inspection.findBlocks`. */
export function findBlocks({ groups, placement }: BlockUsersModules, prefix: string): Promise<readonly Hash[]> {
  const from = prefix.padEnd(64, "0") as Hash;
  const group = placement.ofHash(from);
  return groups.read(group, (rows) => {
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
}

/** See `Inspection.usersOf`. */
export async function usersOfBlock(modules: BlockUsersModules, hash: Hash): Promise<readonly BlockUser[]> {
  const users: BlockUser[] = [];
  for (const reference of await referencesOf(modules, hash)) users.push(await userBehind(modules, reference));
  return users;
}

export async function countReferences(modules: BlockUsersModules, hash: Hash): Promise<number> {
  return (await referencesOf(modules, hash)).length;
}

/** What refers to a block, as far as it is known, without a look at what stands behind it; the first 10,000. */
export function referencesOf({ placement, groups }: BlockUsersModules, hash: Hash): Promise<readonly KnownReference[]> {
  const group = placement.ofHash(hash);
  return groups.read(group, (rows) => referencesTo(rows, group, hash, MAX_REFERENCES).filter((one) => one.kind === "known"));
}

/** A reference, and what stands behind it now. */
export async function userBehind(modules: BlockUsersModules, reference: KnownReference): Promise<BlockUser> {
  const { bucket, key, claim, upload } = reference;
  return { bucket, key, claim, upload, state: await stateOf(modules, reference) };
}

async function stateOf(modules: BlockUsersModules, { bucket: id, key, upload, claim }: KnownReference): Promise<BlockUserState> {
  const { bucketOf, placement, groups, objects } = modules;
  const bucket = bucketOf(id);
  if (!bucket) return { kind: "none" };
  const home = placement.ofKey(bucket, key);
  const head = await groups.read(home, (rows) =>
    stateOfClaim(rows, home, { bucket: id, key, claim, upload }, false) === "live"
      ? readHeadVersion(rows, home, id, key)
      : undefined,
  );
  if (head) return { kind: "version", version: head.version, etag: head.content.etag };
  if (upload !== undefined && (await objects.uploadInfo({ bucket, key, upload })) !== null) return { kind: "upload" };
  return { kind: "none" };
}
