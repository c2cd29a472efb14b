// The platform of one simulated node, and what can happen to it.
import type { Platform } from "../../src/platform/platform.ts";
import { type MemoryKv, MemoryKvDisk, memoryKv } from "./memory-kv.ts";
import { MemoryLog } from "./memory-log.ts";
import { type ClockFaults, SimulatedClock } from "./simulated-clock.ts";
import { simulatedRandom } from "./simulated-random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** What a platform has beyond clock, random, log and kv is handed in: the simulated disk, HTTP, … */
export type OtherParts = Omit<Platform, "clock" | "random" | "log" | "kv" | "fatal">;

export interface SimulatedNodeOptions extends ClockFaults {
  /** All that this node draws follows from it; another one for each start of the node. */
  readonly seed: number;
  readonly time: VirtualTime;
  readonly parts: OtherParts;
  /** The metadata that a former life of the node has left. */
  readonly kvDisk?: MemoryKvDisk;
  /** Duration of an fsync of the kv, asked for each; 1 to 5 ms by default. */
  readonly syncMs?: () => number;
}

export interface SimulatedNode {
  readonly platform: Platform;
  readonly clock: SimulatedClock;
  readonly kv: MemoryKv;
  readonly log: MemoryLog;
  /** The error that `fatal` was called with. */
  readonly fatalError: unknown;
  readonly crashed: boolean;
  /**
   * Power is cut: nothing unsynced survives, no timer fires, no promise of the kv settles. The other parts are the caller's to
   * stop.
   */
  crash(options?: { readonly inFlight?: "lost" | "kept" }): void;
}

/** What `fatal` throws in a simulation, to stop the code that called it; the node has crashed when it is seen. */
export class SimulatedCrash extends Error {
  constructor(cause: unknown) {
    super("the simulated node has crashed", { cause });
    this.name = "SimulatedCrash";
  }
}

export function simPlatform({ seed, time, parts, kvDisk, syncMs, skewMs, rate }: SimulatedNodeOptions): SimulatedNode {
  const clock = new SimulatedClock(time, {
    ...(skewMs === undefined ? {} : { skewMs }),
    ...(rate === undefined ? {} : { rate }),
  });
  const random = simulatedRandom(seed);
  const disturbance = simulatedRandom(seed ^ 0x5eed);
  const log = new MemoryLog(() => time.nowMs);
  let crashed = false;
  let fatalError: unknown;
  const crash: SimulatedNode["crash"] = (options) => {
    crashed = true;
    clock.stop();
    kv.crash(options);
  };
  const fatal = (error: unknown): never => {
    fatalError ??= error;
    log.error({ err: error }, "an invariant is broken");
    crash();
    throw new SimulatedCrash(error);
  };
  const kv = memoryKv({
    clock,
    disk: kvDisk ?? new MemoryKvDisk(),
    syncMs: syncMs ?? (() => 1 + disturbance.below(4000) / 1000),
    fatal,
    // As the process ends in production.
    failed: (error) => {
      fatalError ??= error;
      log.error({ err: error }, "the metadata store failed");
      crash();
    },
  });
  return {
    platform: { ...parts, clock, random, log, kv, fatal },
    clock,
    kv,
    log,
    get fatalError() {
      return fatalError;
    },
    get crashed() {
      return crashed;
    },
    crash,
  };
}
