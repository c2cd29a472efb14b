import { openDataDirectories } from "../block/data-directories.ts";
import { FileBlockStore } from "../block/file-block-store.ts";
import { Rebalance } from "../block/rebalance.ts";
import { Scrub } from "../block/scrub.ts";
import type { Config } from "../config/config.ts";
import type { Groups } from "../group/groups.ts";
import { createDataPath, type DataPath } from "../model/data/create-data-path.ts";
import type { Placement } from "../model/placement.ts";
import type { Platform } from "../platform/platform.ts";
import { WorkerRunner } from "../task/worker-runner.ts";
import type { BucketId, GroupId, NodeId } from "../util/ids.ts";
import { directoriesInUse, ownDirectories } from "./data-owner.ts";

/** The bytes' side of a node: block store, data path, and the workers that look after them. */
export interface DataPlane {
  readonly blocks: FileBlockStore;
  readonly path: DataPath;
  readonly runner: WorkerRunner;
  readonly scrub: Scrub;
  readonly rebalance: Rebalance;
  readonly wakeScrub: () => void;
  readonly wakeRebalance: () => void;
}

/** @throws DataDirectoryError when a data directory is not what it was */
export async function openDataPlane(
  config: Config,
  parts: {
    readonly id: NodeId;
    readonly platform: Platform;
    readonly groups: Groups;
    readonly placement: Placement;
    readonly homeOf: (bucket: BucketId, key: string) => Promise<GroupId | undefined>;
  },
): Promise<DataPlane> {
  const { id, platform, groups, placement, homeOf } = parts;
  const { clock, cpu, disk, log, random } = platform;
  const statePath = `${config.metadataDir}/data_directories`;
  const before = await directoriesInUse(statePath, disk);
  const directories = await openDataDirectories(
    {
      directories: config.dataDirs.map(({ path, capacityBytes, readOnly }) => ({
        path,
        readOnly,
        ...(capacityBytes === undefined ? {} : { capacityBytes }),
      })),
      statePath,
    },
    { disk, random },
  );
  for (const { path, id: marker } of before)
    if (!directories.all.some((directory) => directory.id === marker))
      log.error(
        { path },
        "a directory that was in use is not in data_dir any more: blocks that are only there are missing until it is back (read_only = true takes no new ones)",
      );
  await ownDirectories(config.dataDirs, id, disk);
  const { blockGcDelayMs: gcDelayMs, commandWindowMs } = config;
  const blocks = new FileBlockStore(
    { gcDelayMs, sync: config.dataFsync, compressionLevel: config.compressionLevel },
    { directories, clock, disk, cpu, log },
  );
  const path = createDataPath(
    {
      inlineThresholdBytes: config.inlineThresholdBytes,
      blockSizeBytes: config.blockSizeBytes,
      gcDelayMs,
      commandWindowMs,
      ramBufferBytes: config.blockRamBufferMaxBytes,
      maxConcurrentBlocks: config.blockMaxConcurrentWritesPerRequest,
    },
    { groups, blocks, placement, clock, cpu, disk, log, homeOf },
  );
  const scrub = await Scrub.open(
    { statePath: `${config.metadataDir}/scrub_info`, manualOnly: config.disableScrub },
    { store: blocks, disk, clock, random, log },
  );
  const rebalance = new Rebalance({ store: blocks, disk, log });
  const runner = new WorkerRunner({ clock, log });
  runner.add(path.workers.release);
  runner.add(path.workers.janitor);
  runner.add(path.workers.orphans);
  return { blocks, path, runner, scrub, rebalance, wakeScrub: runner.add(scrub), wakeRebalance: runner.add(rebalance) };
}
