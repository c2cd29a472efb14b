import type { Hash } from "../util/ids.ts";

/**
 * The blocks of this node as files, named by hash: every byte verified on write and on read.
 * References are not its business (rows of the hash's group); it asks `BlockReferences` before it lets a file go.
 */
export interface BlockStore {
  /**
   * Stores one block durably (fsynced unless data_fsync is off) and touches it: for `gcDelayMs` from now its file stays whatever the rows say.
   * Hashes, and compresses when a sample says it saves ≥ 10 %, off the event loop where that pays.
   *
   * @param data      1 ..= block size bytes; owned by the store until the promise settles.
   * @param expected  SHA-256 (hex) that the bytes must have, when the caller knows it: a mismatch rejects with block.wrong-hash.
   * @throws BlockError block.wrong-hash · block.no-space · block.io
   */
  store(data: Uint8Array, expected?: Hash): Promise<StoredBlock>;
  /** The bytes, verified. @throws BlockError block.absent · block.damaged (the file is set aside as *.corrupted, counted and listed) · block.io */
  fetch(hash: Hash): Promise<Uint8Array>;
  /** True when a verified-on-write file of the hash is here; touches it. */
  holds(hash: Hash): Promise<boolean>;
}

export interface StoredBlock {
  readonly hash: Hash;
  readonly storedSize: number;
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
