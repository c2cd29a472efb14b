import type { BucketId } from "../util/ids.ts";
import type { BucketRef } from "./object-service.ts";

/**
 * Buckets, names, keys and rights, as the APIs see them. Reads come from this node's copy of the control state, in memory and
 * synchronous; changes are commands of the control group (and of the bucket's partitions) and settle when they are in force.
 */
export interface ControlService {
  /** Access key by id; undefined when unknown or deleted. Expiry is the caller's to check against `expiresMs`. */
  accessKey(id: string): AccessKey | undefined;
  /**
   * Resolves a name as seen by a key: its local alias, then the global alias, then a 64-hex bucket id. Undefined: no such bucket.
   */
  resolveBucket(name: string, keyId: string | undefined): Bucket | undefined;
  bucket(id: BucketId): Bucket | undefined;
  /**
   * Buckets on which the key has any right, with the names by which it sees them (global aliases and its local ones), sorted by
   * name.
   */
  bucketsOf(keyId: string): readonly { readonly name: string; readonly bucket: Bucket }[];

  /**
   * S3 CreateBucket by a key: the bucket gets a *local* alias of that key (as Garage does) and all rights for it.
   * Two rivals for one name: exactly one wins.
   */
  createBucketFor(request: {
    readonly keyId: string;
    readonly name: string;
    readonly objectOwnership?: ObjectOwnership;
  }): Promise<CreateBucketOutcome>;
  /**
   * S3 DeleteBucket under a name: with other aliases left only this alias goes; else the bucket must hold no objects. Unfinished
   * uploads go with it.
   */
  deleteBucketFor(request: {
    readonly keyId: string;
    readonly name: string;
    readonly id: BucketId;
  }): Promise<{ readonly ok: true } | { readonly ok: false; readonly code: "no-such-bucket" | "not-empty" | "busy" }>;
}

/** x-amz-object-ownership of CreateBucket. Kept and told; while there are no ACLs it decides nothing. */
export type ObjectOwnership = "BucketOwnerEnforced" | "BucketOwnerPreferred" | "ObjectWriter";

export type CreateBucketOutcome =
  | { readonly ok: true; readonly id: BucketId }
  | { readonly ok: false; readonly code: "invalid-name" | "not-allowed" | "owned-by-you" | "exists"; readonly message: string };

export interface AccessKey {
  /** "GK" + 24 hex, or an imported id. */
  readonly id: string;
  readonly secret: string;
  readonly name: string;
  readonly createdMs: number;
  readonly expiresMs: number | undefined;
  readonly mayCreateBucket: boolean;
}

export interface Bucket extends BucketRef {
  readonly createdMs: number;
  readonly globalAliases: readonly string[];
  readonly localAliases: readonly { readonly keyId: string; readonly alias: string }[];
  /** Rights of a key on this bucket. */
  rights(keyId: string): Rights;
  readonly keys: readonly { readonly keyId: string; readonly rights: Rights }[];
  readonly objectOwnership: ObjectOwnership;
  readonly website: { readonly indexDocument: string; readonly errorDocument: string | undefined } | undefined;
}

export interface Rights {
  readonly read: boolean;
  readonly write: boolean;
  readonly owner: boolean;
}
