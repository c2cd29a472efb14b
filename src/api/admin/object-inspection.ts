import { type BodyPlace, type PlacedPart, readPartIndex, readPieces } from "../../model/partition/body-reads.ts";
import { listParts, listUploads } from "../../model/partition/list-uploads.ts";
import { readHeadVersion } from "../../model/partition/read-version.ts";
import { readUpload } from "../../model/partition/upload-row.ts";
import type { ObjectHeaders } from "../../model/object-service.ts";
import type { BucketView } from "../../model/control/control-view.ts";
import type { KvRead } from "../../platform/kv.ts";
import type { ClaimId, GroupId, UploadId } from "../../util/ids.ts";
import { AdminError } from "./admin-error.ts";
import { isoDate } from "./fields.ts";
import type { AdminContext } from "./operation.ts";

/** Longest S3 key. */
const MAX_KEY_BYTES = 1024;
/** Blocks of one version that are shown; an object of 5 TiB has millions. */
const MAX_BLOCKS = 20_000;
const MAX_PARTS = 10_000;
const MAX_UPLOADS = 100;

interface StoredVersion {
  readonly uuid: string;
  readonly timestamp: string;
  readonly encrypted: boolean;
  readonly uploading: boolean;
  readonly aborted: boolean;
  readonly deleteMarker: boolean;
  readonly inline: boolean;
  readonly size: number | null;
  readonly etag: string | null;
  readonly headers: [string, string][];
  readonly blocks: { readonly partNumber: number; readonly offset: number; readonly hash: string; readonly size: number }[];
  /** Ours: more blocks follow than are shown. */
  readonly blocksTruncated: boolean;
}

/** What is stored of a key: its version, and uploads under way. One moment's view. */
export async function inspectObject(
  { groups, placement }: AdminContext,
  bucket: BucketView,
  key: string,
): Promise<{ bucketId: string; key: string; versions: StoredVersion[] }> {
  if (key === "" || Buffer.byteLength(key) > MAX_KEY_BYTES)
    throw new AdminError("InvalidRequest", `a key has 1 to ${MAX_KEY_BYTES} bytes`);
  const group = placement.ofKey(bucket, key);
  const versions = await groups.read(group, (rows) => [
    ...headVersion(rows, group, bucket, key),
    ...unfinished(rows, group, bucket, key),
  ]);
  if (versions.length === 0) throw new AdminError("NoSuchKey", `nothing is stored under the key ${key}`);
  return { bucketId: bucket.id, key, versions };
}

function headVersion(rows: KvRead, group: GroupId, bucket: BucketView, key: string): StoredVersion[] {
  const head = readHeadVersion(rows, group, bucket.id, key);
  if (!head) return [];
  const { stampMs, stored, claim, sizeBytes, etag, headers } = head.content;
  return [
    {
      ...PLAIN,
      uuid: head.version,
      timestamp: isoDate(stampMs) as string,
      inline: stored.kind === "inline",
      size: sizeBytes,
      etag,
      headers: shownHeaders(headers),
      ...blocksOf(rows, { group, bucket: bucket.id, key, claim, sizeBytes, stored }),
    },
  ];
}

function unfinished(rows: KvRead, group: GroupId, bucket: BucketView, key: string): StoredVersion[] {
  const found: StoredVersion[] = [];
  const from = { prefix: key, delimiter: "", afterKey: "", skipPrefix: false, limit: MAX_UPLOADS };
  // Uploads of the key itself come before those of longer keys.
  for (const entry of listUploads(rows, [group], { ...from, bucket: bucket.id }).entries) {
    const { upload } = entry;
    if (entry.key !== key || upload === undefined) break;
    found.push(...uploadVersion(rows, group, bucket, key, upload));
  }
  return found;
}

function uploadVersion(rows: KvRead, group: GroupId, bucket: BucketView, key: string, upload: UploadId): StoredVersion[] {
  const row = readUpload(rows, group, bucket.id, key, upload);
  const page = listParts(rows, group, { bucket: bucket.id, key, upload, after: 0, limit: MAX_PARTS });
  if (!row || !page) return [];
  const parts = page.parts.map(({ part, sizeBytes }) => ({ number: part, size: sizeBytes }));
  const sizeBytes = parts.reduce((sum, part) => sum + part.size, 0);
  // The parts as they are, read as if they were completed.
  const place: BodyPlace = {
    group,
    bucket: bucket.id,
    key,
    claim: "" as ClaimId,
    sizeBytes,
    stored: { kind: "parts", upload, parts },
  };
  return [
    {
      ...PLAIN,
      uuid: upload,
      timestamp: isoDate(row.createdMs) as string,
      uploading: true,
      headers: shownHeaders(row.headers),
      ...blocksOf(rows, place),
    },
  ];
}

const PLAIN = {
  encrypted: false,
  uploading: false,
  aborted: false,
  deleteMarker: false,
  inline: false,
  size: null,
  etag: null,
};

/** Blocks with their place in their part; what is not multipart is part 1. */
function blocksOf(rows: KvRead, place: BodyPlace): Pick<StoredVersion, "blocks" | "blocksTruncated"> {
  const parts = readPartIndex(rows, place, 0, MAX_PARTS) ?? [];
  const blocks: StoredVersion["blocks"] = [];
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
        partNumber: own?.entry.number ?? 1,
        offset: piece.offset - (own?.offset ?? 0),
        hash: piece.hash,
        size: piece.size,
      });
    }
  }
  return { blocks, blocksTruncated: false };
}

function shownHeaders({ system, user }: ObjectHeaders): [string, string][] {
  return [
    ...system.map(([name, value]): [string, string] => [name, value]),
    ...user.map(([name, value]): [string, string] => [`x-amz-meta-${name}`, value]),
  ];
}
