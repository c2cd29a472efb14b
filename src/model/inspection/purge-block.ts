import type { Hash } from "../../util/ids.ts";
import { type BlockUsersModules, referencesOf, userBehind } from "./block-users.ts";
import type { PurgeResult } from "./inspection.ts";

/** Rounds of a purge: uploads under way may add references while it goes on. */
const MAX_PURGE_ROUNDS = 100;

/** See `Inspection.purgeBlock`. */
export async function purgeBlock(modules: BlockUsersModules, hash: Hash): Promise<PurgeResult> {
  const { objects, bucketOf } = modules;
  const done = new Set<string>();
  const count = { references: 0, objects: 0, uploads: 0 };
  for (let round = 0; round < MAX_PURGE_ROUNDS; round++) {
    const fresh = (await referencesOf(modules, hash)).filter((one) => !done.has(one.claim));
    if (fresh.length === 0) break;
    for (const reference of fresh) {
      done.add(reference.claim);
      count.references++;
      const bucket = bucketOf(reference.bucket);
      if (!bucket) continue;
      const { key, upload, state } = await userBehind(modules, reference);
      // Only that very content: what a rival has put there meanwhile stays.
      if (state.kind === "version") {
        const gone = await objects.delete({ bucket, key, condition: { ifMatch: [state.etag] } });
        if (gone.ok && gone.existed) count.objects++;
      } else if (state.kind === "upload" && upload !== undefined) {
        if ((await objects.abortUpload({ bucket, key, upload })).ok) count.uploads++;
      }
    }
  }
  return count;
}
