import type { BucketId, ClaimId, Hash, UploadId } from "../util/ids.ts";
import type { CompletedPart, ObjectHeaders, StoredChecksum, WriteCondition, WrittenVersion } from "./object-service.ts";

/**
 * The commands of a partition group, plain data (they travel in a log later: no functions, no class instances).
 * A partition holds the object shards assigned to it (commands of the first kind) and the references of the block hashes
 * that fall into it (second kind). Results are the closed unions below; refusals are results.
 */
export type PartitionCommand =
  // ---- objects: the group of (bucket, shard of the key)
  | PutCommand
  | DeleteCommand
  /**
   * Writes or renews the upload lease of a long upload. `renew`: only while the row exists (every time but the first), else
   * "lease-lost".
   */
  | {
      readonly op: "renew-lease";
      readonly bucket: BucketId;
      readonly key: string;
      readonly claim: ClaimId;
      readonly untilMs: number;
      readonly renew?: boolean;
    }
  | { readonly op: "end-lease"; readonly bucket: BucketId; readonly key: string; readonly claim: ClaimId }
  | CreateUploadCommand
  | PutPartCommand
  | CompleteUploadCommand
  | { readonly op: "abort-upload"; readonly bucket: BucketId; readonly key: string; readonly upload: UploadId }
  /** The bucket's end under this attempt is decided (the control group says so): an upload of it goes as an aborted one does. */
  | {
      readonly op: "drop-upload";
      readonly bucket: BucketId;
      readonly attempt: number;
      readonly key: string;
      readonly upload: UploadId;
    }
  /**
   * Resolves a claim (rule 36), asked after the claim's expiry: is it live here? If not it is fenced for as long as a command
   * with it could come.
   */
  | {
      readonly op: "resolve-claim";
      readonly bucket: BucketId;
      readonly key: string;
      readonly claim: ClaimId;
      readonly upload?: UploadId;
      /** Goes with `upload`: only this part is looked at. */
      readonly part?: number;
    }
  // ---- references: the group of the block's hash
  | { readonly op: "add-refs"; readonly refs: readonly NewReference[] }
  | { readonly op: "confirm-refs"; readonly refs: readonly { readonly hash: Hash; readonly claim: ClaimId }[] }
  | { readonly op: "drop-refs"; readonly refs: readonly { readonly hash: Hash; readonly claim: ClaimId }[] }
  /** A member says that its file of an unreferenced hash is gone: the zero row may go. Refused when a reference came back. */
  | { readonly op: "forget-hash"; readonly hash: Hash }
  // ---- guards and seals: every partition that holds a shard of the bucket
  | { readonly op: "set-guard"; readonly bucket: BucketId; readonly settings: GuardSettings }
  | { readonly op: "seal"; readonly bucket: BucketId; readonly attempt: number }
  | { readonly op: "unseal"; readonly bucket: BucketId; readonly attempt: number }
  /** After the control group decided that the bucket is gone: the sealed guard stays until `untilMs` (rule 41), then goes. */
  | { readonly op: "set-tombstone"; readonly bucket: BucketId; readonly attempt: number; readonly untilMs: number }
  // ---- outbox
  | { readonly op: "outbox-done"; readonly sequences: readonly number[] }
  // ---- repairs: of a group with one member only
  | RepairRowsCommand
  /** The counters of a bucket are damaged, gone or impossible: they are what its rows say. */
  | { readonly op: "recount-usage"; readonly bucket: BucketId };

/** Damaged rows are replaced, together with what goes with them; a row that is whole when it is applied stays as it is. */
export interface RepairRowsCommand {
  readonly op: "repair-rows";
  readonly rows: readonly RepairedRow[];
}

export interface RepairedRow {
  readonly key: Uint8Array;
  /** What was seen: its checksum is wrong, or it is not there. */
  readonly found: "damaged" | "missing";
  /** undefined: the row goes. */
  readonly value: Uint8Array | undefined;
  /** Whether what it held is known no more: then it is kept as it was (a lost record). */
  readonly isLost: boolean;
  /** The counters of this bucket count the row otherwise from now on: they are made anew. */
  readonly uncounted?: BucketId;
}

export interface PutCommand {
  readonly op: "put";
  readonly bucket: BucketId;
  readonly key: string;
  readonly claim: ClaimId;
  readonly condition?: WriteCondition;
  /** True when the upload took longer than commandWindow/2: commit only while its upload lease exists. */
  readonly needsLease?: boolean;
  readonly headers: ObjectHeaders;
  /** Without quotes, lower-case hex; multipart copies keep "…-N". */
  readonly etag: string;
  readonly checksum?: StoredChecksum;
  readonly body: Body;
}

/** What an object's bytes are. */
export type Body =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "blocks"; readonly size: number; readonly blocks: readonly BlockEntry[] };

/** One block of a body, in order. `storedSize` = bytes on disk (after zstd). */
export interface BlockEntry {
  readonly hash: Hash;
  readonly size: number;
  readonly storedSize: number;
}

export interface DeleteCommand {
  readonly op: "delete";
  readonly bucket: BucketId;
  readonly key: string;
  readonly condition?: WriteCondition;
}

export interface CreateUploadCommand {
  readonly op: "create-upload";
  readonly bucket: BucketId;
  readonly key: string;
  readonly upload: UploadId;
  readonly headers: ObjectHeaders;
  readonly checksum?: UploadChecksum;
}

/** x-amz-checksum-algorithm and -type of CreateMultipartUpload. */
export interface UploadChecksum {
  readonly algorithm: StoredChecksum["algorithm"];
  readonly type: StoredChecksum["type"];
}

export interface PutPartCommand {
  readonly op: "put-part";
  readonly bucket: BucketId;
  readonly key: string;
  readonly upload: UploadId;
  /** 1 ..= 10,000 */
  readonly part: number;
  readonly claim: ClaimId;
  readonly needsLease?: boolean;
  readonly etag: string;
  readonly checksum?: StoredChecksum;
  readonly body: Body;
}

export interface CompleteUploadCommand {
  readonly op: "complete-upload";
  readonly bucket: BucketId;
  readonly key: string;
  readonly upload: UploadId;
  readonly condition?: WriteCondition;
  /** Strictly ascending by number; the coordinator has checked the order, apply checks existence, ETags, checksums and sizes. */
  readonly parts: readonly CompletedPart[];
  /** Smallest size of a part that is not the last. */
  readonly minPartSize: number;
  /** Full-object checksum that the client gave (base64), to be compared with the one combined from the parts. */
  readonly fullObjectChecksum?: string;
  /** x-amz-mp-object-size, when given. */
  readonly objectSize?: number;
}

export interface NewReference {
  readonly hash: Hash;
  readonly claim: ClaimId;
  readonly size: number;
  readonly bucket: BucketId;
  readonly key: string;
  readonly upload?: UploadId;
  readonly part?: number;
  /** Log time of the object's group after which a resolution may be asked. */
  readonly expiryMs: number;
  /** Metadata-only copy: add only where this claim's reference to the hash still is (rule 34). */
  readonly onlyIfClaim?: ClaimId;
}

/** What a bucket's guard holds for this partition: apply trusts only this. */
export interface GuardSettings {
  /** Index of the control entry that set it; only higher ones are taken. */
  readonly controlIndex: number;
  readonly indexShards: number;
  /** Attempts to delete the bucket that are over, this one and those before; counts where the guard is new or damaged. */
  readonly attempt?: number;
}

export type Refusal = "no-bucket" | "sealed";

export type PutResult =
  | WrittenVersion
  | {
      readonly ok: false;
      readonly refused: Refusal | "precondition-failed" | "no-such-key" | "lost" | "claim-fenced" | "lease-lost";
    };
export type DeleteResult =
  | { readonly ok: true; readonly existed: boolean }
  | { readonly ok: false; readonly refused: Refusal | "precondition-failed" | "no-such-key" | "lost" };
export type UploadResult = { readonly ok: true } | { readonly ok: false; readonly refused: Refusal | "no-such-upload" };
export type DropUploadResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly refused: "no-bucket" | "not-sealed" | "no-such-upload" };
export type PutPartResult =
  | { readonly ok: true; readonly stampMs: number }
  | {
      readonly ok: false;
      readonly refused: Refusal | "no-such-upload" | "claim-fenced" | "lease-lost" | "checksum-type-mismatch" | "lost";
    };
export type CompleteResult =
  | WrittenVersion
  | {
      readonly ok: false;
      readonly refused: Refusal | "no-such-upload" | "precondition-failed" | "no-such-key" | "bad-digest" | "lost";
    }
  | { readonly ok: false; readonly refused: "invalid-part" | "part-too-small"; readonly part: number }
  | { readonly ok: false; readonly refused: "wrong-object-size"; readonly sizeBytes: number };
export type ResolveClaimResult = { readonly live: boolean; readonly wait?: boolean };
export type AddRefsResult = { readonly added: readonly boolean[] };
export type SealResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly refused: "not-empty" | "no-bucket" | "old-attempt" };
