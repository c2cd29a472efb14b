import { type ObjectService, ServiceError } from "../model/object-service.ts";
import type { Clock, Timer } from "../platform/clock.ts";
import type { Kv } from "../platform/kv.ts";
import type { Log } from "../platform/log.ts";
import type { Space } from "./node-options.ts";

export interface WriteGateOptions {
  /** lmdb_map_size; undefined: only the disk bounds the metadata. */
  readonly mapSizeBytes: number | undefined;
}

const CHECK_EVERY_MS = 1000;
/** Part of the metadata's room that new data may not take, so that deletions, releases and a restart always find some. */
const RESERVE_SHARE = 0.05;
const MAX_RESERVE_BYTES = 256 * 2 ** 20;

/**
 * Refuses new data (503, with a sentence that names the full place) shortly before the metadata has no room left at all: what frees room
 * (deleting, aborting, releasing blocks) writes rows too, and must go on. Reads always go on. Looks once a second.
 */
export class WriteGate {
  readonly #options: WriteGateOptions;
  readonly #parts: {
    readonly kv: Kv;
    readonly clock: Clock;
    readonly log: Log;
    readonly space: () => { readonly data: Space; readonly metadata: Space };
  };
  #closed: string | undefined;
  #timer: Timer | undefined;

  constructor(
    options: WriteGateOptions,
    parts: {
      readonly kv: Kv;
      readonly clock: Clock;
      readonly log: Log;
      readonly space: () => { readonly data: Space; readonly metadata: Space };
    },
  ) {
    this.#options = options;
    this.#parts = parts;
  }

  start(): void {
    this.#look();
    this.#timer = this.#parts.clock.timer(CHECK_EVERY_MS, () => this.start());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** The same service, whose writes of new data are refused while there is no room. */
  guard(objects: ObjectService): ObjectService {
    const check =
      <A, R>(operation: (request: A) => Promise<R>) =>
      (request: A): Promise<R> =>
        this.#closed === undefined ? operation(request) : Promise.reject(new ServiceError("service.no-space", this.#closed));
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
    const { kv, log, space } = this.#parts;
    const reason = this.#fault(kv.stats().sizeBytes, space().metadata);
    if (reason !== undefined && this.#closed === undefined) log.error({}, `no new data is taken: ${reason}`);
    if (reason === undefined && this.#closed !== undefined) log.info({}, "there is room again; new data is taken");
    this.#closed = reason;
  }

  #fault(usedBytes: number, disk: Space): string | undefined {
    const { mapSizeBytes } = this.#options;
    const reserve = (whole: number): number => Math.min(MAX_RESERVE_BYTES, whole * RESERVE_SHARE);
    if (mapSizeBytes !== undefined && usedBytes > mapSizeBytes - reserve(mapSizeBytes))
      return `the metadata takes ${usedBytes} of ${mapSizeBytes} bytes; raise lmdb_map_size, or delete something`;
    if (disk.availableBytes < Math.min(MAX_RESERVE_BYTES / 8, disk.totalBytes * RESERVE_SHARE))
      return `the disk of metadata_dir has ${disk.availableBytes} bytes left`;
    return undefined;
  }
}
