import { openDataDirectories } from "../block/data-directories.ts";
import { FileBlockStore } from "../block/file-block-store.ts";
import type { Config } from "../config/config.ts";
import type { Groups } from "../group/groups.ts";
import { BodyReader } from "../model/data/body-reader.ts";
import { BodyWriter } from "../model/data/body-writer.ts";
import { Holds } from "../model/data/holds.ts";
import { Janitor } from "../model/data/janitor.ts";
import { ReleaseWorker } from "../model/data/release-worker.ts";
import type { Placement } from "../model/placement.ts";
import type { Platform } from "../platform/platform.ts";
import { WorkerRunner } from "../task/worker-runner.ts";
import { ByteBudget } from "../util/byte-budget.ts";
import type { BucketId, GroupId } from "../util/ids.ts";

/** Largest body of a PUT or a part: S3's limit. */
const MAX_UPLOAD_BYTES = 5 * 2 ** 30;
const BUDGET_PATIENCE_MS = 15_000;
const READ_AHEAD_BLOCKS = 3;
const RELEASE_ROUND_MS = 200;

/** The bytes' side of a node: block store, writer and reader of bodies, and the workers that clean up behind them. */
export interface DataPlane {
  readonly blocks: FileBlockStore;
  readonly writing: BodyWriter;
  readonly reading: BodyReader;
  readonly holds: Holds;
  readonly writeBudget: ByteBudget;
  readonly readBudget: ByteBudget;
  readonly workers: WorkerRunner;
  readonly janitor: Janitor;
}

export async function openDataPlane(
  config: Config,
  parts: {
    readonly platform: Platform;
    readonly groups: Groups;
    readonly placement: Placement;
    readonly homeOf: (bucket: BucketId, key: string) => Promise<GroupId | undefined>;
  },
): Promise<DataPlane> {
  const { platform, groups, placement } = parts;
  const { clock, cpu, disk, log, random } = platform;
  const directories = await openDataDirectories(
    {
      directories: config.dataDirs.map(({ path, capacityBytes, readOnly }) => ({
        path,
        readOnly,
        ...(capacityBytes === undefined ? {} : { capacityBytes }),
      })),
      statePath: `${config.metadataDir}/data_layout`,
    },
    { disk, random },
  );
  const { blockGcDelayMs: gcDelayMs, commandWindowMs } = config;
  const blocks = new FileBlockStore(
    {
      gcDelayMs,
      sync: config.dataFsync,
      compressionLevel: config.compressionLevel,
    },
    { directories, clock, disk, cpu, log },
  );
  const holds = new Holds();
  const writeBudget = new ByteBudget(config.blockRamBufferMaxBytes);
  const readBudget = new ByteBudget(config.blockRamBufferMaxBytes);
  const writing = new BodyWriter(
    {
      inlineThresholdBytes: config.inlineThresholdBytes,
      blockSizeBytes: config.blockSizeBytes,
      maxUploadBytes: MAX_UPLOAD_BYTES,
      maxConcurrentBlocks: config.blockMaxConcurrentWritesPerRequest,
      gcDelayMs,
      commandWindowMs,
      budgetPatienceMs: BUDGET_PATIENCE_MS,
    },
    { groups, blocks, placement, clock, cpu, log, budget: writeBudget },
  );
  const reading = new BodyReader(
    { readAheadBlocks: READ_AHEAD_BLOCKS, budgetPatienceMs: BUDGET_PATIENCE_MS },
    { groups, blocks, placement, clock, holds, budget: readBudget },
  );
  const janitor = new Janitor({ gcDelayMs, commandWindowMs }, { groups, blocks, placement, log, homeOf: parts.homeOf });
  const workers = new WorkerRunner({ clock, log });
  workers.add(new ReleaseWorker({ roundMs: RELEASE_ROUND_MS }, { groups, placement, holds, log }));
  workers.add(janitor);
  return { blocks, writing, reading, holds, writeBudget, readBudget, workers, janitor };
}
