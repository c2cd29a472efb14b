import type { Hash } from "../util/ids.ts";
import type { FileIdentity } from "./disk.ts";

/**
 * Heavy work off the event loop: checksums, compression, and the fused passes over a block's file ("compress, write, fsync,
 * rename" and "read, decompress, verify"), so that a block crosses threads once and is copied nowhere. Measured: one hop costs
 * about 30 µs of CPU, SHA-256 of 1 MiB 620 µs, MD5 1,400 µs. The simulated one works at once, on the simulated disk.
 */
export interface Cpu {
  /**
   * Memory that the workers see without a copy; its content is undefined. Owned by the caller until `free`.
   * Bytes from elsewhere may be passed to every call too: they are copied once.
   */
  allocate(sizeBytes: number): Uint8Array;
  /** Gives memory from `allocate` back (the same view, or any view on it). No call that got it may be under way. */
  free(bytes: Uint8Array): void;

  /**
   * Checksums of one piece; small ones (≤ 16 KiB) are computed on the calling thread. `bytes` stay untouched until it settles.
   */
  digest(bytes: Uint8Array, algorithms: readonly DigestAlgorithm[]): Promise<Digests>;
  /** Checksums of a stream, all on one worker so that updates keep their order. */
  digester(algorithms: readonly DigestAlgorithm[]): Digester;

  /** Has one block's file on disk, whole and durable, when it settles. @throws DiskError · CpuError cpu.worker-died */
  writeBlock(job: WriteBlock): Promise<BlockWritten>;
  /** Reads a block's file and verifies it. @throws DiskError · CpuError cpu.worker-died */
  readBlock(job: ReadBlock): Promise<BlockRead>;

  /**
   * In the name of every file that `writeBlock` has aside: ROOT/xx/yy/NAME.TOKEN-n.tmp. Others' were left by a process that died.
   */
  readonly asideToken: string;

  stats(): CpuStats;
  /** Ends the workers; what is under way rejects. */
  close(): Promise<void>;
}

export type DigestAlgorithm = "MD5" | "SHA1" | "SHA256" | "CRC32" | "CRC32C" | "CRC64NVME";
/** Raw digests; CRCs big-endian (as S3 encodes them in base64). Holds exactly the algorithms asked for. */
export type Digests = Readonly<Partial<Record<DigestAlgorithm, Uint8Array>>>;

export interface Digester {
  /** Takes the next bytes; settles when they may be changed or freed. Calls may overlap, their order counts. */
  update(bytes: Uint8Array): Promise<void>;
  /** After the last update was called. The digester is gone then. */
  finish(): Promise<Digests>;
  /** Gives up without a result; harmless after the end. */
  discard(): void;
}

export interface WriteBlock {
  readonly data: Uint8Array;
  readonly hash: Hash;
  /** Absolute paths without suffix where the block may lie; a new file goes to the first one. Form: ROOT/xx/yy/NAME. */
  readonly paths: readonly string[];
  /**
   * The directory that ROOT of each of `paths` must be while the file is found or written, on whose file system the file must be:
   * anything else rejects with disk.away. Absent: any.
   */
  readonly roots?: readonly FileIdentity[];
  /** Whether the bytes must still be shown to have `hash`. */
  readonly verify: boolean;
  /** Further checksums of `data`, computed in the same pass. */
  readonly digests?: readonly DigestAlgorithm[];
  /** zstd level; undefined: never compress. Compressed only when it saves ≥ 10 % (a sample of 32 KiB decides first). */
  readonly compressionLevel: number | undefined;
  readonly sync: boolean;
}

export type BlockWritten =
  | {
      readonly outcome: "written" | "existed";
      /** Size of the file. */
      readonly storedSize: number;
      readonly digests: Digests;
      /** Files of this name whose content was wrong: set aside as *.corrupted and replaced. */
      readonly corrupted: readonly string[];
    }
  | { readonly outcome: "wrong-hash"; readonly actual: Hash; readonly digests: Digests };

export interface ReadBlock {
  readonly hash: Hash;
  /** As in WriteBlock. */
  readonly paths: readonly string[];
  /** Where the bytes go (from `allocate`, or it costs a copy). */
  readonly into: Uint8Array;
  /** Look for the compressed form first. */
  readonly compressedFirst: boolean;
  /**
   * Whether a damaged file is set aside as *.corrupted at once. Only for who holds the lock of the hash: a good copy may take the
   * file's place at any moment otherwise. When false, damage is only told.
   */
  readonly setAside: boolean;
}

export type BlockRead =
  | { readonly outcome: "ok"; readonly sizeBytes: number; readonly corrupted: readonly string[] }
  /** No good file. `corrupted` names the files that were set aside as *.corrupted (none: there was no file at all). */
  | { readonly outcome: "absent"; readonly corrupted: readonly string[] }
  /** A file is here, but not with the right bytes (only without `setAside`). */
  | { readonly outcome: "damaged"; readonly path: string }
  /** The block is longer than `into`. */
  | { readonly outcome: "too-small" };

export interface CpuStats {
  readonly workers: number;
  readonly jobsUnderWay: number;
  readonly jobsDone: number;
  readonly workerDeaths: number;
  /** Memory from `allocate`: in use, and kept for reuse. */
  readonly bytesInUse: number;
  readonly bytesKept: number;
}

export class CpuError extends Error {
  readonly code: "cpu.worker-died" | "cpu.closed";
  constructor(code: CpuError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CpuError";
    this.code = code;
  }
}
