import type { Groups } from "../../group/groups.ts";
import type { ByteSource } from "../../util/byte-source.ts";
import { assert } from "../../util/assert.ts";
import type { UploadTarget, WrittenBody } from "../bytes/data-path.ts";
import type { Body } from "../commands.ts";
import {
  type ChecksumAlgorithm,
  type CopyPartRequest,
  type CopyRequest,
  type FoundObject,
  type PutOutcome,
  type PutPartOutcome,
  ServiceError,
  type Upload,
  type UploadRefusal,
} from "../object-service.ts";
import { type BodyPiece, readPieces } from "../partition/body-reads.ts";
import { Found } from "./found-object.ts";
import { commitPut, newTarget, type OperationModules } from "./object-operations.ts";
import { commitPart, type PartTarget, partTarget, wantedChecksum } from "./upload-operations.ts";

const SOURCE_GONE = { ok: false, code: "source-gone" } as const;
type SourceGone = typeof SOURCE_GONE;

/**
 * CopyObject. Where the source's blocks can be shared only metadata is written: new references beside the source's own (rule 34).
 * A checksum that the source does not have, or a source that is let go of meanwhile, makes it a copy of the bytes.
 */
export async function copyObject(modules: OperationModules, request: CopyRequest): Promise<PutOutcome | SourceGone> {
  const { bucket, key, condition, signal, recheck } = request;
  const source = asFound(request.source.object);
  const headers = request.headers ?? source.headers;
  const written = await writeCopy(modules, source, () => newTarget(modules, bucket, key), {
    algorithm: request.algorithm,
    signal,
  });
  if (!written.ok) return written;
  return commitPut(modules, bucket, written.target, { written, headers, condition, recheck });
}

/**
 * UploadPartCopy. Only a whole object that is no multipart one can be shared as a part: a part's ETag is the MD5 of its bytes.
 * Whether the upload exists is asked before a byte is read.
 */
export async function copyPart(modules: OperationModules, request: CopyPartRequest): Promise<PutPartOutcome | SourceGone> {
  const { bucket, part, range, signal, recheck } = request;
  const wanted = await wantedChecksum(modules, request);
  if (wanted === null) return { ok: false, code: "no-such-upload" };
  const source = asFound(request.source.object);
  const newPart = (): PartTarget => partTarget(modules, request, part);
  const isWhole = range === undefined || (range.start === 0 && range.end === source.sizeBytes);
  const written =
    isWhole && source.partCount === 0 && !source.etag.includes("-")
      ? await writeCopy(modules, source, newPart, { algorithm: wanted, signal })
      : await writeBytes(modules, source.open(range), newPart(), { algorithm: wanted, sizeBytes: sizeOf(source, range), signal });
  if (!written.ok) return written;
  return commitPart(modules, bucket, written.target, { written, recheck });
}

function sizeOf(source: Found, range: CopyPartRequest["range"]): number {
  return range === undefined ? source.sizeBytes : range.end - range.start;
}

interface How {
  readonly algorithm: ChecksumAlgorithm | undefined;
  readonly signal: AbortSignal;
}

type Copied<T extends UploadTarget> = WrittenBody & { readonly target: T };

async function writeCopy<T extends UploadTarget>(
  modules: OperationModules,
  source: Found,
  newAttempt: () => T,
  { algorithm, signal }: How,
): Promise<Copied<T> | UploadRefusal | SourceGone> {
  const { checksum, etag, sizeBytes } = source;
  const hasIt = algorithm === undefined || (checksum?.algorithm === algorithm && checksum.type === "FULL_OBJECT");
  if (hasIt) {
    const target = newAttempt();
    const shared = await shareBody(modules, source, target);
    if (shared !== undefined)
      return {
        ok: true,
        ...shared,
        target,
        etag,
        sizeBytes,
        needsLease: false,
        ...(checksum === undefined ? {} : { checksum }),
      };
  }
  // A claim of its own: what the attempt above had added is dropped lazily, and must not take references of this one along.
  const wanted = algorithm ?? checksum?.algorithm;
  return writeBytes(modules, source.open(), newAttempt(), { algorithm: wanted, sizeBytes, signal });
}

/** The source's body under the target's claim without moving a byte; undefined when that can't be. */
async function shareBody(
  modules: OperationModules,
  source: Found,
  target: UploadTarget,
): Promise<{ readonly body: Body; readonly expiry: WrittenBody["expiry"] } | undefined> {
  const { inline, sizeBytes } = source;
  if (inline !== undefined) return { body: { kind: "inline", bytes: inline }, expiry: modules.groups.logTime(target.group) };
  const pieces = await allPieces(modules.groups, source);
  // Small last parts may lie inline: such a body can't be described by blocks alone.
  if (pieces === undefined || pieces.some((piece) => piece.kind === "inline")) return undefined;
  const copied = await modules.writing.copyReferences(pieces, target);
  return copied && { body: { kind: "blocks", size: sizeBytes, blocks: copied.blocks }, expiry: copied.expiry };
}

async function allPieces(groups: Groups, { place }: Found): Promise<readonly BodyPiece[] | undefined> {
  const all: BodyPiece[] = [];
  for (let offset = 0; offset < place.sizeBytes; ) {
    const pieces = await groups.read(place.group, (rows) => readPieces(rows, place, offset, PIECES_A_READ));
    if (pieces === undefined || pieces.length === 0) return undefined;
    for (const piece of pieces) all.push(piece);
    const last = pieces.at(-1) as BodyPiece;
    offset = last.offset + last.size;
  }
  return all;
}

const PIECES_A_READ = 1024;

async function writeBytes<T extends UploadTarget>(
  modules: OperationModules,
  source: ByteSource,
  target: T,
  { algorithm, sizeBytes, signal }: How & { readonly sizeBytes: number },
): Promise<Copied<T> | UploadRefusal | SourceGone> {
  const upload: Upload = { source, sizeBytes, signal, ...(algorithm === undefined ? {} : { algorithm }) };
  try {
    const written = await modules.writing.write(upload, target);
    return written.ok ? { ...written, target } : written;
  } catch (error) {
    if (error instanceof ServiceError && error.code === "object.replaced") return SOURCE_GONE;
    throw error;
  }
}

function asFound(object: FoundObject): Found {
  assert(object instanceof Found, "a copy's source comes from lookup");
  return object;
}
