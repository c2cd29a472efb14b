import { isHex, type UploadId } from "../../util/ids.ts";
import { MAX_U48, writeU48 } from "../../codec/slices.ts";
import type { UploadTarget, WrittenBody } from "../bytes/data-path.ts";
import type {
  CompleteResult,
  CompleteUploadCommand,
  CreateUploadCommand,
  PutPartCommand,
  PutPartResult,
  UploadResult,
} from "../commands.ts";
import type {
  BucketRef,
  ChecksumAlgorithm,
  CompleteOutcome,
  CompleteRequest,
  CreateUploadRequest,
  PutPartOutcome,
  PutPartRequest,
  Recheck,
  UploadInfo,
  UploadRef,
} from "../object-service.ts";
import { readPartHead } from "../partition/body-reads.ts";
import { lostUpload } from "../partition/lost.ts";
import { readHead } from "../partition/read-version.ts";
import { readUpload } from "../partition/upload-row.ts";
import { serviceFailure } from "../service-failure.ts";
import { commitBody, newTarget, noBucket, type OperationModules, propose, reserve } from "./object-operations.ts";

/**
 * Upload ids begin with the time of their creation (ms, 48 bits), so that those of one key are listed in its order; the rest is
 * drawn.
 */
export async function createUpload(
  modules: OperationModules,
  request: CreateUploadRequest,
): Promise<{ readonly ok: true; readonly upload: UploadId } | { readonly ok: false; readonly code: "no-such-bucket" }> {
  const { bucket, key, headers, checksum } = request;
  const group = modules.placement.ofKey(bucket, key);
  const raw = Buffer.alloc(16);
  writeU48(raw, Math.min(modules.groups.logTime(group), MAX_U48), 0);
  raw.set(modules.random.bytes(10), 6);
  const upload = raw.toString("hex") as UploadId;
  const command: CreateUploadCommand = {
    op: "create-upload",
    bucket: bucket.id,
    key,
    upload,
    headers,
    ...(checksum === undefined ? undefined : { checksum }),
  };
  const result = await propose<UploadResult>(modules, group, command);
  if (result.ok) return { ok: true, upload };
  return { ok: false, code: noBucket(result.refused === "no-such-upload" ? "no-bucket" : result.refused) };
}

export async function putPart(modules: OperationModules, request: PutPartRequest): Promise<PutPartOutcome> {
  const { bucket, part, body } = request;
  const wanted = await wantedChecksum(modules, request);
  if (wanted === null) {
    body.source.cancel();
    return { ok: false, code: "no-such-upload" };
  }
  const target = partTarget(modules, request, part);
  // A client that sent no checksum of its own still gets the one its upload was created with.
  const bytes = body.algorithm === undefined && wanted !== undefined ? { ...body, algorithm: wanted } : body;
  const written = await modules.writing.write(bytes, target);
  if (!written.ok) return written;
  return commitPart(modules, bucket, target, { written, recheck: request.recheck });
}

export type PartTarget = UploadTarget & { readonly upload: UploadId; readonly part: number };

/** A fresh attempt at a part. */
export function partTarget(modules: OperationModules, { bucket, key, upload }: UploadRef, part: number): PartTarget {
  return { ...newTarget(modules, bucket, key), upload, part };
}

/** The algorithm that an upload's parts must carry; undefined: any or none; null: no such upload. */
export async function wantedChecksum(
  modules: OperationModules,
  request: UploadRef,
): Promise<ChecksumAlgorithm | undefined | null> {
  const info = await uploadInfo(modules, request);
  return info === null ? null : info.checksum?.algorithm;
}

export async function uploadInfo(modules: OperationModules, { bucket, key, upload }: UploadRef): Promise<UploadInfo | null> {
  if (!isHex(upload, 16)) return null;
  const group = modules.placement.ofKey(bucket, key);
  try {
    const row = await modules.groups.read(group, (rows) => readUpload(rows, group, bucket.id, key, upload));
    if (row === undefined) return null;
    if (row.lost) throw lostUpload(key, upload);
    const { createdMs, checksum } = row;
    return checksum === undefined ? { createdMs } : { createdMs, checksum };
  } catch (error) {
    throw serviceFailure(error);
  }
}

/** Checks the quotas, has the part that was written decided, and lets go of its blocks when it was refused. */
export async function commitPart(
  modules: OperationModules,
  bucket: BucketRef,
  target: PartTarget,
  { written, recheck }: { readonly written: WrittenBody; readonly recheck: Recheck | undefined },
): Promise<PutPartOutcome> {
  const { group, key, claim, upload, part } = target;
  const { body, sizeBytes, etag, checksum, needsLease } = written;
  const command: PutPartCommand = {
    op: "put-part",
    bucket: bucket.id,
    key,
    upload,
    part,
    claim,
    etag,
    body,
    ...(checksum === undefined ? undefined : { checksum }),
    ...(needsLease ? { needsLease } : undefined),
  };
  const room = await reserve(modules, bucket, { target, written }, (rows) => {
    const old = readPartHead(rows, { group, bucket: bucket.id, key }, upload, part);
    return { bytes: sizeBytes - (old?.sizeBytes ?? 0), objects: 0, besideParts: true };
  });
  if (!room.ok) return { ok: false, code: "quota-exceeded", detail: room.detail };
  try {
    const result = await commitBody<PutPartResult>(modules, target, { command, written, recheck });
    if (result.ok) return { ok: true, etag, stampMs: result.stampMs, sizeBytes, ...(checksum === undefined ? {} : { checksum }) };
    switch (result.refused) {
      case "no-such-upload":
      case "checksum-type-mismatch":
        return { ok: false, code: result.refused };
      case "lost":
        throw lostUpload(key, upload);
      default:
        return { ok: false, code: noBucket(result.refused) };
    }
  } finally {
    room.reservation.release();
  }
}

export async function completeUpload(
  modules: OperationModules,
  { minPartSize }: { readonly minPartSize: number },
  request: CompleteRequest,
): Promise<CompleteOutcome> {
  const { bucket, key, upload, condition, fullObjectChecksum, objectSize } = request;
  if (!isHex(upload, 16)) return { ok: false, code: "no-such-upload" };
  const group = modules.placement.ofKey(bucket, key);
  const room = await modules.quotas
    .reserve(bucket, (rows) => {
      // Without its row this is a repeated completion: it adds nothing.
      if (readUpload(rows, group, bucket.id, key, upload) === undefined) return { bytes: 0, objects: 0 };
      const old = readHead(rows, group, bucket.id, key, { sure: false });
      let bytes = -(old?.sizeBytes ?? 0);
      for (const { part } of request.parts)
        bytes += readPartHead(rows, { group, bucket: bucket.id, key }, upload, part)?.sizeBytes ?? 0;
      return { bytes, objects: old === undefined ? 1 : 0 };
    })
    .catch((error: unknown) => {
      throw serviceFailure(error);
    });
  if (!room.ok) return { ok: false, code: "quota-exceeded", detail: room.detail };
  const command: CompleteUploadCommand = {
    op: "complete-upload",
    bucket: bucket.id,
    key,
    upload,
    parts: request.parts,
    minPartSize,
    ...(condition === undefined ? undefined : { condition }),
    ...(fullObjectChecksum === undefined ? undefined : { fullObjectChecksum }),
    ...(objectSize === undefined ? undefined : { objectSize }),
  };
  try {
    return completeOutcome(await propose<CompleteResult>(modules, group, command), request);
  } finally {
    room.reservation.release();
  }
}

function completeOutcome(result: CompleteResult, { key, upload }: UploadRef): CompleteOutcome {
  if (result.ok) return result;
  switch (result.refused) {
    case "invalid-part":
    case "part-too-small":
      return { ok: false, code: result.refused, part: result.part };
    case "wrong-object-size":
      return { ok: false, code: result.refused, detail: `the parts have ${result.sizeBytes} bytes together` };
    case "lost":
      throw lostUpload(key, upload);
    case "no-bucket":
    case "sealed":
      return { ok: false, code: noBucket(result.refused) };
    default:
      return { ok: false, code: result.refused };
  }
}

export async function abortUpload(
  modules: OperationModules,
  { bucket, key, upload }: UploadRef,
): Promise<{ readonly ok: boolean }> {
  if (!isHex(upload, 16)) return { ok: false };
  const command = { op: "abort-upload", bucket: bucket.id, key, upload } as const;
  const result = await propose<UploadResult>(modules, modules.placement.ofKey(bucket, key), command);
  if (!result.ok && result.refused === "sealed") noBucket(result.refused);
  return { ok: result.ok };
}
