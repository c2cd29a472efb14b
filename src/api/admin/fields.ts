import { z } from "zod";
import { AdminError } from "./admin-error.ts";

/** Fields that several operations share. */
export const permissions = z.object({ read: z.boolean(), write: z.boolean(), owner: z.boolean() });
export const permissionChange = z.strictObject({
  read: z.boolean().optional(),
  write: z.boolean().optional(),
  owner: z.boolean().optional(),
});
export const optionalText = z.string().optional();

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
