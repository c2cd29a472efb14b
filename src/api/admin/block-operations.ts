import { z } from "zod";
import type { BlockUser, PurgeResult } from "../../model/inspection/inspection.ts";
import { type Hash, isHex } from "../../util/ids.ts";
import { AdminError } from "./admin-error.ts";
import { type AdminContext, type Operation, operation } from "./operation.ts";

const backlink = z.union([
  z.object({ object: z.object({ bucketId: z.string(), key: z.string() }) }),
  z.object({
    upload: z.object({
      uploadId: z.string(),
      uploadDeleted: z.boolean(),
      uploadGarbageCollected: z.boolean(),
      bucketId: z.string(),
      key: z.string(),
    }),
  }),
]);

const blockUser = z.object({
  versionId: z.string(),
  refDeleted: z.boolean(),
  versionDeleted: z.boolean(),
  garbageCollected: z.boolean(),
  backlink,
});

const blockHash = z.string().regex(/^[0-9a-f]{64}$/, "expects 64 hex digits");

/** Damaged blocks, who needs a block, and what nobody seems to need. */
export const BLOCK_OPERATIONS: readonly Operation[] = [
  operation({
    name: "ListBlockErrors",
    method: "GET",
    perNode: true,
    response: z.array(
      z.object({
        blockHash: z.string(),
        refcount: z.number(),
        errorCount: z.number(),
        lastTrySecsAgo: z.number(),
        nextTryInSecs: z.number(),
        message: z.string(),
      }),
    ),
    run: async ({ blocks, clock }) =>
      (await blocks.errors()).map((problem) => ({
        blockHash: problem.hash as string,
        refcount: problem.references,
        errorCount: problem.errors,
        lastTrySecsAgo: Math.max(0, Math.floor((clock.wallMs() - problem.lastMs) / 1000)),
        // One node has nowhere to fetch the block from: it is looked at again when it is next asked for.
        nextTryInSecs: 0,
        message: problem.kind === "damaged" ? `damaged, set aside as ${problem.path}` : "missing",
      })),
  }),
  operation({
    name: "GetBlockInfo",
    method: "POST",
    perNode: true,
    body: z.object({ blockHash: z.string() }),
    response: z.object({ blockHash: z.string(), refcount: z.number(), versions: z.array(blockUser) }),
    run: async (context, { body }) => {
      const hash = await findBlock(context, body.blockHash.toLowerCase());
      const users = await context.inspection.usersOf(hash);
      return { blockHash: hash as string, refcount: users.length, versions: users.map(shownUser) };
    },
  }),
  operation({
    name: "RetryBlockResync",
    method: "POST",
    perNode: true,
    body: z.object({ all: z.boolean().optional(), blockHashes: z.array(z.string()).optional() }),
    response: z.object({ count: z.number() }),
    run: () => {
      throw new AdminError(
        "NotImplemented",
        "RetryBlockResync: a single node has nowhere to fetch a block from; put the file back from a copy and run `repair scrub start`, or purge the block",
      );
    },
  }),
  operation({
    name: "ListQuarantine",
    method: "GET",
    perNode: true,
    response: z.object({
      count: z.number(),
      bytes: z.number(),
      keepSecs: z.number(),
      /** The oldest ones, at most 1,000. */
      files: z.array(
        z.object({ blockHash: z.string(), damaged: z.boolean(), bytes: z.number(), ageSecs: z.number(), path: z.string() }),
      ),
    }),
    run: async ({ blocks, clock }) => {
      const { files, bytes, keepMs, oldest } = await blocks.quarantine();
      return {
        count: files,
        bytes,
        keepSecs: keepMs / 1000,
        files: oldest.map((file) => ({
          blockHash: file.hash as string,
          damaged: file.isDamaged,
          bytes: file.sizeBytes,
          ageSecs: Math.max(0, Math.floor((clock.wallMs() - file.sinceMs) / 1000)),
          path: file.path,
        })),
      };
    },
  }),
  operation({
    name: "RestoreQuarantine",
    method: "POST",
    perNode: true,
    body: z.object({ all: z.boolean().optional(), blockHashes: z.array(blockHash).optional() }),
    response: z.object({ count: z.number() }),
    run: async ({ blocks }, { body: { all = false, blockHashes = [] } }) => {
      if (all === blockHashes.length > 0) throw new AdminError("InvalidRequest", "give either all: true or blockHashes");
      return { count: await blocks.restoreQuarantined(all ? "all" : blockHashes) };
    },
  }),
  operation({
    name: "PurgeBlocks",
    method: "POST",
    perNode: true,
    body: z.array(z.string()),
    response: z.object({
      blocksPurged: z.number(),
      blockRefsPurged: z.number(),
      versionsDeleted: z.number(),
      objectsDeleted: z.number(),
      uploadsDeleted: z.number(),
    }),
    run: async (context, { body }) => {
      const sum = { blocksPurged: 0, blockRefsPurged: 0, versionsDeleted: 0, objectsDeleted: 0, uploadsDeleted: 0 };
      for (const hash of body) {
        const purged = await purge(context, hash);
        sum.blocksPurged++;
        sum.blockRefsPurged += purged.references;
        sum.versionsDeleted += purged.objects;
        sum.objectsDeleted += purged.objects;
        sum.uploadsDeleted += purged.uploads;
      }
      return sum;
    },
  }),
];

/** @param prefix  as it was given, in lower case: at least 4 hex digits, of one block only. */
async function findBlock({ inspection }: AdminContext, prefix: string): Promise<Hash> {
  if (!/^[0-9a-f]{4,64}$/.test(prefix))
    throw new AdminError("InvalidRequest", "give the hash of a block, or its first 4 hexadecimal digits at least");
  const [hash, another] = await inspection.findBlocks(prefix);
  if (hash === undefined) throw new AdminError("NoSuchBlock", `no block has a hash that begins with ${prefix}`);
  if (another !== undefined)
    throw new AdminError("InvalidRequest", `several blocks have hashes that begin with ${prefix}; give more of the hash`);
  return hash;
}

async function purge({ inspection }: AdminContext, text: string): Promise<PurgeResult> {
  const hash = text.toLowerCase();
  if (!isHex(hash, 32))
    throw new AdminError("InvalidRequest", `${text}: a block is named by all 64 hexadecimal digits of its hash`);
  const purged = await inspection.purgeBlock(hash as Hash);
  if (purged.references === 0) throw new AdminError("NoSuchBlock", `no object needs a block ${hash}`);
  return purged;
}

function shownUser({ bucket: bucketId, key, claim, upload: uploadId, state }: BlockUser): z.input<typeof blockUser> {
  return {
    versionId: state.kind === "version" ? state.version : claim,
    refDeleted: false,
    versionDeleted: state.kind !== "version",
    garbageCollected: false,
    backlink:
      uploadId === undefined || state.kind === "version"
        ? { object: { bucketId, key } }
        : { upload: { uploadId, uploadDeleted: state.kind !== "upload", uploadGarbageCollected: false, bucketId, key } },
  };
}
