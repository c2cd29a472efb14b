/** Branded names of things. Ids are lower-case hex strings in the program and raw bytes in rows. */
declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** SHA-256 of a block's bytes as handed to the store: 64 hex. */
export type Hash = Brand<string, "Hash">;
/** Ed25519 public key of a node: 64 hex. */
export type NodeId = Brand<string, "NodeId">;
/** 64 hex; never reused. */
export type BucketId = Brand<string, "BucketId">;
/**
 * A stored version of an object: 32 hex = log index of its put (16 hex, big-endian) and 16 hex of its claim. Order = order of
 * commits.
 */
export type VersionId = Brand<string, "VersionId">;
/** A multipart upload: 32 hex, as clients see it. */
export type UploadId = Brand<string, "UploadId">;
/** What needs blocks: one attempt at a version or a part; 32 hex, drawn by the coordinator at the start of the attempt. */
export type ClaimId = Brand<string, "ClaimId">;
/** A command's identity, the same in every retry: 32 hex. */
export type CommandId = Brand<string, "CommandId">;
/** Milliseconds since 1970 by a group's log: stamped by its leader, never goes back. */
export type Stamp = Brand<number, "Stamp">;
/** Number of a replicated group: 0 ..= partitions − 1 for partitions, CONTROL_GROUP for the control group. */
export type GroupId = Brand<number, "GroupId">;

export const CONTROL_GROUP = 0xffff as GroupId;

const HEX = /^[0-9a-f]+$/;
export function isHex(text: string, bytes: number): boolean {
  return text.length === bytes * 2 && HEX.test(text);
}
