import type { FileBlockStore } from "../../block/file-block-store.ts";
import type { Groups } from "../../group/groups.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Cpu } from "../../platform/cpu.ts";
import type { Disk } from "../../platform/disk.ts";
import type { Log } from "../../platform/log.ts";
import { ByteBudget } from "../../util/byte-budget.ts";
import type { BucketId, GroupId } from "../../util/ids.ts";
import type { Placement } from "../placement.ts";
import { type AuditReport, audit } from "./audit.ts";
import { BodyReader } from "../bytes/body-reader.ts";
import { BodyWriter } from "../bytes/body-writer.ts";
import { ReadPins } from "../bytes/read-pins.ts";
import { Janitor } from "./janitor.ts";
import { OrphanWalk } from "./orphan-walk.ts";
import { ReleaseWorker } from "./release-worker.ts";
import { dropDanglingReferences, type DanglingOutcome } from "./dangling-references.ts";

export interface DataPathOptions {
  /** `inline_threshold`: 16 KiB. */
  readonly inlineThresholdBytes: number;
  /** `block_size`: 1 MiB. */
  readonly blockSizeBytes: number;
  /** `block_gc_delay`: 10 min. */
  readonly gcDelayMs: number;
  /** commandWindow, the groups' command window: 60 s. */
  readonly commandWindowMs: number;
  /** `block_ram_buffer_max`: 256 MiB, for uploads and for downloads each. */
  readonly ramBufferBytes: number;
  /** `block_max_concurrent_writes_per_request`: 3. */
  readonly maxConcurrentBlocks?: number;
}

export interface DataPathModules {
  readonly groups: Groups;
  readonly blocks: FileBlockStore;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly cpu: Cpu;
  readonly disk: Disk;
  readonly log: Log;
  /** Whether files may be removed now. Default: yes. */
  readonly mayRemove?: () => boolean;
  /** The group of an object; undefined when its bucket is gone for good (confirmed with the control group). */
  readonly homeOf: (bucket: BucketId, key: string) => Promise<GroupId | undefined>;
}

export interface DataPath {
  readonly writer: BodyWriter;
  readonly reader: BodyReader;
  /** To be run by a WorkerRunner, in any order. */
  readonly workers: { readonly release: ReleaseWorker; readonly janitor: Janitor; readonly orphans: OrphanWalk };
  readonly pins: ReadPins;
  /** Memory of uploads and of downloads. */
  readonly budgets: { readonly writing: ByteBudget; readonly reading: ByteBudget };
  audit(): Promise<AuditReport>;
  dropDanglingReferences(): Promise<DanglingOutcome>;
  /** Carries out what was put off (references to confirm or drop). After it nothing of the data path is under way on its own. */
  flush(): Promise<void>;
}

const GiB = 1024 ** 3;
const HOUR_MS = 3600 * 1000;

/** The data path put together. Nothing runs by itself until the workers are given to a runner. */
export function createDataPath(options: DataPathOptions, given: DataPathModules): DataPath {
  const parts = { mayRemove: () => true, ...given };
  const { gcDelayMs, commandWindowMs, ramBufferBytes, maxConcurrentBlocks = 3 } = options;
  const pins = new ReadPins();
  const budgets = { writing: new ByteBudget(ramBufferBytes), reading: new ByteBudget(ramBufferBytes) };
  const budgetPatienceMs = 15_000;
  const writer = new BodyWriter(
    { ...options, maxUploadBytes: 5 * GiB, maxConcurrentBlocks, budgetPatienceMs },
    { ...parts, budget: budgets.writing },
  );
  return {
    writer,
    reader: new BodyReader(
      { readAheadBlocks: 3, firstPatienceMs: 4_000, budgetPatienceMs },
      { ...parts, budget: budgets.reading, pins },
    ),
    workers: {
      release: new ReleaseWorker({ roundMs: Math.min(200, gcDelayMs / 4) }, { ...parts, pins }),
      janitor: new Janitor({ gcDelayMs, commandWindowMs }, { ...parts, pins }),
      orphans: new OrphanWalk({ everyMs: Math.max(gcDelayMs, Math.min(24 * HOUR_MS, gcDelayMs * 20)), tranquility: 4 }, parts),
    },
    pins,
    budgets,
    audit: () => audit(parts),
    dropDanglingReferences: () => dropDanglingReferences({ ...parts, audit: () => audit(parts) }),
    flush: () => writer.flush(),
  };
}
