import type { DigestAlgorithm } from "../cpu.ts";
import type { FileIdentity } from "../disk.ts";

/** What travels between the event loop and its block workers. `job` numbers a request; some need no answer. */
export type ToWorker = { readonly job: number } & (
  | { readonly op: "slab"; readonly slab: number; readonly memory: SharedArrayBuffer }
  | { readonly op: "forget-slab"; readonly slab: number }
  /** Slabs were forgotten: collect now, for an idle worker never does, and memory that it holds is not freed. */
  | { readonly op: "collect" }
  | { readonly op: "digest"; readonly data: View; readonly algorithms: readonly DigestAlgorithm[] }
  | { readonly op: "digester"; readonly digester: number; readonly algorithms: readonly DigestAlgorithm[] }
  | { readonly op: "update"; readonly digester: number; readonly data: View }
  | { readonly op: "finish" | "discard"; readonly digester: number }
  | {
      readonly op: "write";
      readonly data: View;
      readonly hash: string;
      readonly paths: readonly string[];
      readonly roots: readonly FileIdentity[];
      readonly verify: boolean;
      readonly algorithms: readonly DigestAlgorithm[];
      readonly level: number | undefined;
      readonly sync: boolean;
    }
  | {
      readonly op: "read";
      readonly hash: string;
      readonly paths: readonly string[];
      readonly into: View;
      readonly compressedFirst: boolean;
      readonly setAside: boolean;
    }
);

export type FromWorker =
  | { readonly job: number; readonly result: unknown; readonly error?: undefined }
  | {
      readonly job: number;
      readonly error: { readonly code: string | undefined; readonly path: string | undefined; readonly message: string };
    };

/** Bytes in shared memory that the worker knows by number. */
export interface View {
  readonly slab: number;
  readonly offset: number;
  readonly length: number;
}
