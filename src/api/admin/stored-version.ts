import { z } from "zod";
import type { StoredVersion } from "../../model/inspection/inspection.ts";
import { isoDate } from "./fields.ts";

/** One version of InspectObject, in Garage's fields. */
export const storedVersion = z.object({
  uuid: z.string(),
  timestamp: z.string(),
  encrypted: z.boolean(),
  uploading: z.boolean(),
  aborted: z.boolean(),
  deleteMarker: z.boolean(),
  inline: z.boolean(),
  size: z.number().nullable(),
  etag: z.string().nullable(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  blocks: z.array(z.object({ partNumber: z.number(), offset: z.number(), hash: z.string(), size: z.number() })),
  /** Ours: more blocks follow than are shown. */
  blocksTruncated: z.boolean(),
});

export function shownVersion(version: StoredVersion): z.input<typeof storedVersion> {
  const { system, user } = version.headers;
  return {
    uuid: version.id,
    timestamp: isoDate(version.stampMs) as string,
    encrypted: false,
    uploading: version.kind === "upload",
    aborted: false,
    deleteMarker: false,
    inline: version.isInline,
    size: version.sizeBytes ?? null,
    etag: version.etag ?? null,
    headers: [
      ...system.map(([name, value]): [string, string] => [name, value]),
      ...user.map(([name, value]): [string, string] => [`x-amz-meta-${name}`, value]),
    ],
    blocks: version.blocks.map(({ part, offset, hash, sizeBytes }) => ({ partNumber: part, offset, hash, size: sizeBytes })),
    blocksTruncated: version.blocksTruncated,
  };
}
