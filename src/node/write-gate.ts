import { type ObjectService, ServiceError } from "../model/object-service.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Kv } from "../platform/kv.ts";
import type { Log } from "../platform/log.ts";
import type { Space } from "./node-options.ts";

export interface WriteGateOptions {
  /** `lmdb_map_size`; undefined: only the disk bounds the metadata. */
  readonly metadataLimitBytes: number | undefined;
}

/**
 * Room of the metadata beyond `lmdb_map_size` that new data may not take, so that deletions, releases and a restart always find
 * some. More than what the largest batch of commands can bring at once.
 */
export const METADATA_RESERVE_BYTES = 64 * 2 ** 20;
/**
 * Room for the metadata, free space on its disk and what deleted rows left inside the store, below which new data is refused;
 * less on tiny disks.
 */
const DISK_RESERVE_BYTES = 32 * 2 ** 20;
const DISK_RESERVE_SHARE = 0.05;
const CHECK_EVERY_MS = 1000;
const NO_LAYOUT = "no node has the role to store data yet: `hangar layout assign`, then `hangar layout apply --version 1`";
/**
 * From this share of the limit on, or below this free space on the disk, every write looks for itself: a second is long for a
 * fast writer.
 */
const NEAR = 0.9;
const NEAR_DISK_RESERVES = 8;

interface GateModules {
  readonly kv: Pick<Kv, "stats">;
  readonly clock: Clock;
  readonly log: Log;
  readonly space: () => { readonly metadata: Space };
  /** Whether a layout says who stores data. Asked by every write. */
  readonly hasLayout: () => boolean;
}

/**
 * Refuses new data (503, with a sentence that says why) while the metadata has no room for it, or no layout says who stores it.
 * What frees room (deleting, aborting, releasing blocks) writes rows too, and goes on in a reserve. Reads always go on.
 */
export class WriteGate {
  readonly #options: WriteGateOptions;
  readonly #modules: GateModules;
  #closed: string | undefined;
  #near = false;
  #timer: Timer | undefined;

  constructor(options: WriteGateOptions, modules: GateModules) {
    this.#options = options;
    this.#modules = modules;
  }

  start(): void {
    this.#look();
    this.#timer = this.#modules.clock.timer(CHECK_EVERY_MS, () => this.start());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** The same service, whose writes of new data are refused while there is no room. */
  guard(objects: ObjectService): ObjectService {
    const check =
      <A, R>(operation: (request: A) => Promise<R>) =>
      (request: A): Promise<R> => {
        if (this.#near) this.#look();
        const reason = this.#closed ?? (this.#modules.hasLayout() ? undefined : NO_LAYOUT);
        return reason === undefined ? operation(request) : Promise.reject(new ServiceError("service.no-space", reason));
      };
    return {
      ...objects,
      put: check(objects.put),
      copy: check(objects.copy),
      createUpload: check(objects.createUpload),
      putPart: check(objects.putPart),
      copyPart: check(objects.copyPart),
    };
  }

  #look(): void {
    const { log } = this.#modules;
    const reason = this.#fault();
    if (reason !== undefined && this.#closed === undefined) log.error({}, `no new data is taken: ${reason}`);
    if (reason === undefined && this.#closed !== undefined) log.info({}, "there is room again; new data is taken");
    this.#closed = reason;
  }

  #fault(): string | undefined {
    const { kv, space } = this.#modules;
    const { metadataLimitBytes } = this.#options;
    this.#near = false;
    if (metadataLimitBytes !== undefined) {
      const { usedBytes } = kv.stats();
      this.#near = usedBytes > NEAR * metadataLimitBytes;
      if (usedBytes > metadataLimitBytes)
        return `the metadata takes ${usedBytes} bytes of ${metadataLimitBytes} (lmdb_map_size): raise it, or delete something`;
    }
    let free: Space;
    try {
      free = space().metadata;
    } catch (error) {
      return `metadata_dir can't be looked at: ${(error as Error).message}`;
    }
    const { availableBytes, totalBytes } = free;
    const reserveBytes = Math.min(DISK_RESERVE_BYTES, totalBytes * DISK_RESERVE_SHARE);
    if (availableBytes >= NEAR_DISK_RESERVES * reserveBytes) return undefined;
    // Files never get shorter: after deletions the room is inside the store.
    const { sizeBytes, usedBytes } = kv.stats();
    const insideBytes = Math.max(0, sizeBytes - usedBytes);
    const roomBytes = availableBytes + insideBytes;
    this.#near ||= roomBytes < NEAR_DISK_RESERVES * reserveBytes;
    if (roomBytes >= reserveBytes) return undefined;
    return `the disk of metadata_dir is full: ${availableBytes} bytes of free space are left, and ${insideBytes} inside the metadata`;
  }
}
