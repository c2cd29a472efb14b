import { z } from "zod";
import { AdminError } from "./admin-error.ts";

/** Fields that several operations share. */
export const permissions = z.object({ read: z.boolean(), write: z.boolean(), owner: z.boolean() });
export const permissionChange = z.object({
  read: z.boolean().optional(),
  write: z.boolean().optional(),
  owner: z.boolean().optional(),
});
export const optionalText = z.string().optional();

/**
 * Ids of buckets and of admin tokens, and of access keys. What can't be an id is a mistake of the caller (400): tools take 404
 * for "it was deleted" and forget what they manage.
 */
export const bucketId = hexId(64);
export const tokenId = hexId(24);
export const keyId = z.string().regex(/^[A-Za-z0-9._-]{1,128}$/, "expects the id of an access key: A–Z a–z 0–9 - _ . only");

function hexId(digits: number): z.ZodType<string, string> {
  return z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${digits}}$`), `expects an id of ${digits} hexadecimal digits`)
    .toLowerCase();
}

/**
 * The release of Garage whose Admin API this is: tools read it to know which calls there are, and some stop at versions below 2.
 */
export const GARAGE_VERSION = "v2.3.0";

/** RFC 3339, or null. */
export function isoDate(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

/** The letters r, w, o of a permission set. */
export function letters(set: {
  readonly read?: boolean | undefined;
  readonly write?: boolean | undefined;
  readonly owner?: boolean | undefined;
}): string {
  return (set.read ? "r" : "") + (set.write ? "w" : "") + (set.owner ? "o" : "");
}

/** When a key or token ends: null = never, undefined = as it was. */
export function expiryOf(change: {
  readonly expiration?: string | null | undefined;
  readonly neverExpires?: boolean | undefined;
}): number | null | undefined {
  if (change.neverExpires && change.expiration != null)
    throw new AdminError("InvalidRequest", "give either expiration or neverExpires");
  if (change.neverExpires) return null;
  return change.expiration == null ? undefined : Date.parse(change.expiration);
}
