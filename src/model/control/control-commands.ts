import type { BucketId } from "../../util/ids.ts";
import type { LayoutState } from "../../layout/state.ts";
import type { ObjectOwnership } from "../control-service.ts";
import type { Kind, SettingsRow, TokenRow } from "./rows.ts";

/** Commands of the control group: plain data, decided one after the other, so that of several rivals at most one wins (P3). */
export type ControlCommand =
  | { readonly op: "bootstrap"; readonly settings: SettingsRow }
  | {
      readonly op: "create-bucket";
      readonly id: BucketId;
      readonly indexShards: number;
      readonly globalAlias?: string;
      readonly localAlias?: { readonly keyId: string; readonly alias: string };
      readonly rights?: { readonly keyId: string; readonly letters: string };
      readonly objectOwnership?: ObjectOwnership;
    }
  /** All partitions of the bucket have its guard. */
  | { readonly op: "bucket-ready"; readonly id: BucketId }
  /**
   * Refused when the bucket has several names, unless `evenSeveral` (then all go with it), or, with `name`, when that is not its
   * only one: a rival may have given the name away.
   */
  | { readonly op: "begin-delete"; readonly id: BucketId; readonly name?: AliasName; readonly evenSeveral?: boolean }
  | { readonly op: "finish-delete"; readonly id: BucketId; readonly attempt: number }
  | { readonly op: "cancel-delete"; readonly id: BucketId; readonly attempt: number }
  | { readonly op: "unsealed"; readonly id: BucketId; readonly attempt: number }
  | { readonly op: "remove-bucket"; readonly id: BucketId }
  | { readonly op: "add-alias"; readonly bucket: BucketId; readonly alias: string; readonly keyId?: string }
  /** Refused when it is the bucket's last name, unless `evenLast`. */
  | {
      readonly op: "remove-alias";
      readonly bucket: BucketId;
      readonly alias: string;
      readonly keyId?: string;
      readonly evenLast?: boolean;
    }
  | {
      readonly op: "change-rights";
      readonly bucket: BucketId;
      readonly keyId: string;
      readonly add: string;
      readonly remove: string;
    }
  | {
      readonly op: "update-bucket";
      readonly id: BucketId;
      /** null: switched off. */
      readonly website?: { readonly indexDocument: string; readonly errorDocument?: string } | null;
      /** null: no limit. */
      readonly maxSizeBytes?: number | null;
      readonly maxObjects?: number | null;
    }
  | {
      readonly op: "create-key";
      readonly id: string;
      readonly secret: string;
      readonly name: string;
      readonly expiresMs?: number;
      readonly mayCreateBucket: boolean;
      /** An equal live key is no conflict (server --default-access-key). */
      readonly sameIsFine?: boolean;
    }
  | {
      readonly op: "update-key";
      readonly id: string;
      readonly name?: string;
      readonly expiresMs?: number | null;
      readonly mayCreateBucket?: boolean;
    }
  | { readonly op: "delete-key"; readonly id: string }
  | { readonly op: "create-token"; readonly token: Omit<TokenRow, "createdMs"> }
  /** What is left out stays as it is. */
  | {
      readonly op: "update-token";
      readonly id: string;
      readonly name?: string;
      readonly expiresMs?: number | null;
      readonly scope?: readonly string[];
    }
  | { readonly op: "delete-token"; readonly id: string }
  /** The layout's own rules live in src/layout; the coordinator computes, apply compares the base it computed from. */
  | { readonly op: "set-layout"; readonly expectedRevision: number; readonly layout: LayoutState };

/** A global name, or the name that a key has for a bucket. */
export interface AliasName {
  readonly alias: string;
  readonly keyId?: string;
}

/** `rows`: what changed, for the copies in memory. `detail` says more, for instance which bucket has the name already. */
export type ControlResult =
  | { readonly ok: true; readonly rows: readonly (readonly [kind: Kind, id: string])[] }
  | { readonly ok: false; readonly code: ControlRefusal; readonly detail?: string };

export type ControlRefusal =
  | "already-bootstrapped"
  | "no-such-bucket"
  | "no-such-key"
  | "no-such-token"
  | "no-such-alias"
  | "token-exists"
  | "alias-taken"
  | "alias-yours"
  | "last-alias"
  | "other-aliases"
  | "key-exists"
  | "busy"
  | "old-attempt"
  | "stale-layout";
