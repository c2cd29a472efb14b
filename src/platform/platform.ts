import type { Clock } from "./clock.ts";
import type { Cpu } from "./cpu.ts";
import type { Disk } from "./disk.ts";
import type { HttpServerFactory } from "./http.ts";
import type { Kv } from "./kv.ts";
import type { Log } from "./log.ts";
import type { Random } from "./random.ts";

/** All that is not deterministic, in one plain record: a node is (configuration, platform). */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly kv: Kv;
  readonly disk: Disk;
  readonly cpu: Cpu;
  readonly http: HttpServerFactory;
  /**
   * An invariant is broken: logs and stops the process at once, before anything further is written. In the simulator: crashes the
   * node.
   */
  fatal(error: unknown): never;
}
