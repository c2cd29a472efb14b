import type { Config } from "../config/config.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { NodeId } from "../util/ids.ts";

/** What a node is started with, besides its platform. */
export interface NodeOptions {
  readonly config: Config;
  readonly secrets: {
    readonly rpcSecret: string;
    readonly adminToken: string | undefined;
    readonly metricsToken: string | undefined;
  };
  readonly id: NodeId;
  readonly hostname: string;
  readonly version: string;
  readonly metrics: Metrics;
  /** Give this node its role and apply the first layout, when there is none. */
  readonly singleNode: boolean;
  /** Key, and bucket for it, to make when they are not there. */
  readonly defaults: DefaultKey | undefined;
  /** The daemon's private socket; `around` is called around its binding. Undefined: none (simulation). */
  readonly socket: { readonly path: string; readonly around: <T>(bind: () => Promise<T>) => Promise<T> } | undefined;
  /** Free and total bytes of the disks. `data` leaves out directories that are not there; `metadata` throws when it is not. */
  readonly space: () => { readonly data: Space; readonly metadata: Space };
}

export interface DefaultKey {
  readonly keyId: string;
  readonly secret: string;
  readonly bucket: string | undefined;
}

export interface Space {
  readonly availableBytes: number;
  readonly totalBytes: number;
}

/** A setting or the state of the store makes the start impossible; the message tells the operator what to do. */
export class StartError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StartError";
  }
}
