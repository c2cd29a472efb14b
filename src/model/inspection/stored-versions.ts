import type { Groups } from "../../group/groups.ts";
import type { KvRead } from "../../platform/kv.ts";
import type { BucketId, ClaimId, GroupId, UploadId } from "../../util/ids.ts";
import type { BucketRef } from "../object-service.ts";
import { type BodyPlace, type PlacedPart, readPartIndex, readPieces } from "../partition/body-reads.ts";
import { listParts, listUploads } from "../partition/list-uploads.ts";
import { readHeadVersion } from "../partition/read-version.ts";
import { readUpload } from "../partition/upload-row.ts";
import type { Placement } from "../placement.ts";
import type { StoredBlock, StoredVersion } from "./inspection.ts";

/** Blocks of one version that are told; an object of 5 TiB has millions. */
const MAX_BLOCKS = 20_000;
const MAX_PARTS = 10_000;
const MAX_UPLOADS = 100;

/** See `Inspection.versionsOf`. */
export function storedVersions(
  { groups, placement }: { readonly groups: Groups; readonly placement: Placement },
  bucket: BucketRef,
  key: string,
): Promise<readonly StoredVersion[]> {
  const group = placement.ofKey(bucket, key);
  const name: ObjectName = { group, bucket: bucket.id, key };
  return groups.read(group, (rows) => [...headVersion(rows, name), ...uploadsUnderWay(rows, name)]);
}

interface ObjectName {
  readonly group: GroupId;
  readonly bucket: BucketId;
  readonly key: string;
}

function headVersion(rows: KvRead, name: ObjectName): StoredVersion[] {
  const head = readHeadVersion(rows, name.group, name.bucket, name.key);
  if (!head) return [];
  const { stampMs, stored, claim, sizeBytes, etag, headers } = head.content;
  return [
    {
      kind: "object",
      id: head.version,
      stampMs,
      headers,
      isInline: stored.kind === "inline",
      sizeBytes,
      etag,
      ...blocksOf(rows, { ...name, claim, sizeBytes, stored }),
    },
  ];
}

function uploadsUnderWay(rows: KvRead, name: ObjectName): StoredVersion[] {
  const found: StoredVersion[] = [];
  const from = { prefix: name.key, delimiter: "", afterKey: "", skipPrefix: false, limit: MAX_UPLOADS };
  // Uploads of the key itself come before those of longer keys.
  for (const entry of listUploads(rows, [name.group], { ...from, bucket: name.bucket }).entries) {
    const { upload } = entry;
    if (entry.key !== name.key || upload === undefined) break;
    found.push(...uploadUnderWay(rows, name, upload));
  }
  return found;
}

function uploadUnderWay(rows: KvRead, name: ObjectName, upload: UploadId): StoredVersion[] {
  const { group, bucket, key } = name;
  const row = readUpload(rows, group, bucket, key, upload);
  if (!row || row.lost) return [];
  const page = listParts(rows, group, { bucket, key, upload, after: 0, limit: MAX_PARTS });
  if (!page) return [];
  const parts = page.parts.map(({ part, sizeBytes }) => ({ number: part, size: sizeBytes }));
  const sizeBytes = parts.reduce((sum, part) => sum + part.size, 0);
  // The parts as they are, read as if they were completed.
  const place: BodyPlace = { ...name, claim: "" as ClaimId, sizeBytes, stored: { kind: "parts", upload, parts } };
  return [
    {
      kind: "upload",
      id: upload,
      stampMs: row.createdMs,
      headers: row.headers,
      isInline: false,
      sizeBytes: undefined,
      etag: undefined,
      ...blocksOf(rows, place),
    },
  ];
}

function blocksOf(rows: KvRead, place: BodyPlace): Pick<StoredVersion, "blocks" | "blocksTruncated"> {
  const parts = readPartIndex(rows, place, 0, MAX_PARTS) ?? [];
  const blocks: StoredBlock[] = [];
  let part = 0;
  for (let offset = 0; offset < place.sizeBytes; ) {
    if (blocks.length >= MAX_BLOCKS) return { blocks, blocksTruncated: true };
    const pieces = readPieces(rows, place, offset, 1000);
    if (!pieces || pieces.length === 0) break;
    for (const piece of pieces) {
      offset = piece.offset + piece.size;
      while (part + 1 < parts.length && (parts[part + 1] as PlacedPart).offset <= piece.offset) part++;
      if (piece.kind !== "block") continue;
      const own = parts[part];
      blocks.push({
        part: own?.entry.number ?? 1,
        offset: piece.offset - (own?.offset ?? 0),
        hash: piece.hash,
        sizeBytes: piece.size,
      });
    }
  }
  return { blocks, blocksTruncated: false };
}
