import type { Groups } from "../../group/groups.ts";
import type { BucketId, ClaimId, Hash, UploadId, VersionId } from "../../util/ids.ts";
import type { BucketRef, ObjectHeaders, ObjectService } from "../object-service.ts";
import type { Placement } from "../placement.ts";
import { type BlockUsersModules, countReferences, findBlocks, usersOfBlock } from "./block-users.ts";
import { purgeBlock } from "./purge-block.ts";
import { storedVersions } from "./stored-versions.ts";

/**
 * What is stored, for an operator's eyes: rows told as plain data. Each answer is one moment's view of a partition. Failures of
 * the layers below pass as they are; the composition root puts them into the words of the services (service-failure.ts).
 */
export interface Inspection {
  /** What is stored of a key: its version, then uploads under way, at most 100. Empty: nothing. */
  versionsOf(bucket: BucketRef, key: string): Promise<readonly StoredVersion[]>;
  /**
   * The blocks with such a hash that are needed, or wait for their removal: none, the one, or two of several.
   *
   * @param prefix  4 ..= 64 lower-case hex digits.
   */
  findBlocks(prefix: string): Promise<readonly Hash[]>;
  /** Who needs a block; the first 10,000. */
  usersOf(hash: Hash): Promise<readonly BlockUser[]>;
  /** How many need it, counted up to 10,000. */
  countReferences(hash: Hash): Promise<number>;
  /**
   * Deletes every object and aborts every upload that needs the block, as far as they still need it when their turn comes; its
   * file goes when the references are gone. All zero: nobody needs it.
   */
  purgeBlock(hash: Hash): Promise<PurgeResult>;
}

/** An object, or an upload under way, as it is stored. */
export interface StoredVersion {
  readonly kind: "object" | "upload";
  readonly id: VersionId | UploadId;
  /** When the object was written, or the upload begun. */
  readonly stampMs: number;
  readonly headers: ObjectHeaders;
  /** The bytes lie beside the names, in no block. */
  readonly isInline: boolean;
  /** Undefined: an upload, which has neither yet. */
  readonly sizeBytes: number | undefined;
  readonly etag: string | undefined;
  /** In the order of the bytes, the first 20,000; of an upload, those of its parts as they are. */
  readonly blocks: readonly StoredBlock[];
  /** More blocks follow than are told. */
  readonly blocksTruncated: boolean;
}

export interface StoredBlock {
  /** What is not multipart is part 1. */
  readonly part: number;
  /** Where the block begins in its part, in bytes. */
  readonly offset: number;
  readonly hash: Hash;
  readonly sizeBytes: number;
}

/** A reference to a block, and what stands behind it now. */
export interface BlockUser {
  readonly bucket: BucketId;
  readonly key: string;
  readonly claim: ClaimId;
  /** The upload that the bytes came with, if one did. */
  readonly upload: UploadId | undefined;
  readonly state: BlockUserState;
}

export type BlockUserState =
  | { readonly kind: "version"; readonly version: VersionId; readonly etag: string }
  | { readonly kind: "upload" }
  /** Replaced, deleted or given up: the reference will go. */
  | { readonly kind: "none" };

export interface PurgeResult {
  readonly references: number;
  readonly objects: number;
  readonly uploads: number;
}

export interface InspectionModules extends BlockUsersModules {
  readonly groups: Groups;
  readonly placement: Placement;
  readonly objects: ObjectService;
}

/** Inspection over the groups of this node. */
export function createInspection(modules: InspectionModules): Inspection {
  return {
    versionsOf: (bucket, key) => storedVersions(modules, bucket, key),
    findBlocks: (prefix) => findBlocks(modules, prefix),
    usersOf: (hash) => usersOfBlock(modules, hash),
    countReferences: (hash) => countReferences(modules, hash),
    purgeBlock: (hash) => purgeBlock(modules, hash),
  };
}
