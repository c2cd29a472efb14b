import { z } from "zod";
import { AdminError } from "./admin-error.ts";
import { describeBlock, purgeBlock } from "./block-inspection.ts";
import { type Operation, operation } from "./operation.ts";

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
    response: z.object({
      blockHash: z.string(),
      refcount: z.number(),
      versions: z.array(
        z.object({
          versionId: z.string(),
          refDeleted: z.boolean(),
          versionDeleted: z.boolean(),
          garbageCollected: z.boolean(),
          backlink,
        }),
      ),
    }),
    run: (context, { body }) => describeBlock(context, body.blockHash),
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
        const purged = await purgeBlock(context, hash);
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
