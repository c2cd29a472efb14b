import type { DigestAlgorithm, Digests } from "../platform/cpu.ts";
import type { Hash } from "../util/ids.ts";

/**
 * The blocks of this node as files, named by hash: every byte verified on write and on read.
 * References are not its business (rows of the hash's group); it asks `BlockReferences` before it lets a file go.
 */
export interface BlockStore {
  /**
   * Stores one block durably (fsynced unless data_fsync is off) and touches it: for `gcDelayMs` from now its file stays whatever
   * the rows say. Hashes, and compresses when a sample says it saves ≥ 10 %, off the event loop where that pays.
   *
   * @param data      1 ..= block size bytes; owned by the store until the promise settles.
   * @param expected  SHA-256 (hex) that the bytes must have, when the caller knows it: a mismatch rejects with block.wrong-hash.
   * @param also      further checksums of the bytes, computed in the same pass; they come back in `digests`.
   * @param onHash    called once, as soon as the hash is known (before anything is written): what needs the hash can begin beside
   *             the write.
   * @throws BlockError block.wrong-hash (`hash` = what the bytes really have) · block.no-space · block.io
   */
  store(
    data: Uint8Array,
    expected?: Hash,
    also?: readonly DigestAlgorithm[],
    onHash?: (hash: Hash) => void,
  ): Promise<StoredBlock>;
  /**
   * The bytes, verified. @throws BlockError block.absent · block.damaged (the file is set aside as *.corrupted, counted and
   * listed) · block.io
   */
  fetch(hash: Hash): Promise<Uint8Array>;
  /**
   * As `fetch`, into pooled memory: the caller must `release` it when no one reads the bytes any more. For the data path.
   * @param entry  as kept in the object's block list; `size` is verified as well.
   */
  lend(entry: { readonly hash: Hash; readonly size: number; readonly storedSize: number }): Promise<LentBlock>;
  /** True when a verified-on-write file of the hash is here; touches it. */
  holds(hash: Hash): Promise<boolean>;
  /**
   * Removes the file of a block that nothing needs (rule 33), under the lock of its hash: only when it was not touched for
   * `gcDelayMs` and `unneeded` (asked under the lock, then untouched is checked again) confirms from a fresh read of the
   * references.
   */
  removeUnneeded(hash: Hash, unneeded: () => Promise<boolean>): Promise<"removed" | "absent" | "touched" | "needed">;
}

export interface LentBlock {
  readonly bytes: Uint8Array;
  release(): void;
}

export interface StoredBlock {
  readonly hash: Hash;
  readonly storedSize: number;
  /** Holds what was asked for by `also`. */
  readonly digests: Digests;
}

export type BlockErrorCode = "block.absent" | "block.damaged" | "block.wrong-hash" | "block.no-space" | "block.io";

export class BlockError extends Error {
  readonly code: BlockErrorCode;
  readonly hash: Hash | undefined;
  constructor(code: BlockErrorCode, hash: Hash | undefined, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "BlockError";
    this.code = code;
    this.hash = hash;
  }
}
