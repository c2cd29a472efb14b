import { openDataDirectories } from "../block/data-directories.ts";
import { FileBlockStore } from "../block/file-block-store.ts";
import { Rebalance } from "../block/rebalance.ts";
import { Scrub } from "../block/scrub.ts";
import type { Config } from "../config/config.ts";
import type { Groups } from "../group/groups.ts";
import { createDataPath, type DataPath } from "../model/upkeep/create-data-path.ts";
import type { Placement } from "../model/placement.ts";
import type { Platform } from "../platform/platform.ts";
import { WorkerRunner } from "../task/worker-runner.ts";
import type { BucketId, GroupId, NodeId } from "../util/ids.ts";
import { DataGeneration } from "./data-generation.ts";
import { directoriesInUse, ownDirectories } from "./data-owner.ts";

/** The bytes' side of a node: block store, data path, and the workers that look after them. */
export interface DataPlane {
  readonly blocks: FileBlockStore;
  readonly generation: DataGeneration;
  readonly path: DataPath;
  readonly runner: WorkerRunner;
  readonly scrub: Scrub;
  readonly rebalance: Rebalance;
  readonly wakeScrub: () => void;
  readonly wakeRebalance: () => void;
  /** Ends what looks after the folders, once nothing writes to them any more; other daemons may have them then. */
  close(): Promise<void>;
}

/** @throws DataDirectoryError when a data directory is not what it was */
export async function openDataPlane(
  config: Config,
  parts: {
    readonly id: NodeId;
    readonly cluster: string;
    /** Directories that are this store's for certain (see refuseForeignDirectories). */
    readonly proven: ReadonlySet<string>;
    readonly platform: Platform;
    readonly groups: Groups;
    readonly placement: Placement;
    readonly homeOf: (bucket: BucketId, key: string) => Promise<GroupId | undefined>;
  },
): Promise<DataPlane> {
  const { id, cluster, proven, platform, groups, placement, homeOf } = parts;
  const { clock, cpu, disk, kv, log, random } = platform;
  const statePath = statePathOf(config);
  const before = await directoriesInUse(statePath, disk);
  const directories = await openDataDirectories(
    {
      directories: config.dataDirs.map(({ path, capacityBytes, readOnly }) => ({
        path,
        readOnly,
        ...(capacityBytes === undefined ? {} : { capacityBytes }),
      })),
      statePath,
      proven,
    },
    { disk, random },
  );
  try {
    return await open();
  } catch (error) {
    directories.release();
    throw error;
  }

  async function open(): Promise<DataPlane> {
    for (const { path, id: marker } of before)
      if (!directories.all.some((directory) => directory.id === marker))
        log.error(
          { path },
          "a directory that was in use is not in data_dir any more: blocks that are only there are missing until it is back (read_only = true takes no new ones)",
        );
    await ownDirectories(config.dataDirs, id, disk);
    const { blockGcDelayMs: gcDelayMs, commandWindowMs } = config;
    let generation: DataGeneration | undefined;
    const mayRemove = (): boolean => generation !== undefined && !generation.isHeld;
    const blocks = await FileBlockStore.open(
      {
        gcDelayMs,
        sync: config.dataFsync,
        compressionLevel: config.compressionLevel,
        quarantineKeepMs: config.blockQuarantineKeepMs,
      },
      { directories, clock, disk, cpu, log, mayRemove, isWaste: (hash) => path.workers.orphans.isWaste(hash) },
    );
    generation = await DataGeneration.open({ cluster, directories, changes: () => blocks.changes, kv, disk, clock, log });
    const path = createDataPath(
      {
        inlineThresholdBytes: config.inlineThresholdBytes,
        blockSizeBytes: config.blockSizeBytes,
        gcDelayMs,
        commandWindowMs,
        ramBufferBytes: config.blockRamBufferMaxBytes,
        maxConcurrentBlocks: config.blockMaxConcurrentWritesPerRequest,
      },
      {
        groups,
        blocks,
        placement,
        clock,
        cpu,
        disk,
        log,
        homeOf,
        mayRemove: () => mayRemove() && directories.away().length === 0,
      },
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
    const [wakeScrub, wakeRebalance] = [runner.add(scrub), runner.add(rebalance)];
    runner.add(blocks.quarantine);
    blocks.watch.start();
    generation.start();
    const opened = generation;
    const close = async (): Promise<void> => {
      await blocks.watch.stop();
      await opened.stop();
      directories.release();
    };
    return { blocks, generation, path, runner, scrub, rebalance, wakeScrub, wakeRebalance, close };
  }
}

/** Where the directories in use are remembered. */
export function statePathOf(config: Config): string {
  return `${config.metadataDir}/data_directories`;
}
