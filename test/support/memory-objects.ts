import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { crc32c } from "@node-rs/crc32";
import { createCRC64 } from "hash-wasm";
import type {
  ChecksumAlgorithm,
  CompleteOutcome,
  CompleteRequest,
  CopyPartRequest,
  CopyRequest,
  CreateUploadRequest,
  DeleteOutcome,
  FoundObject,
  ListEntry,
  ListPage,
  ListRequest,
  ListUploadsRequest,
  ObjectHeaders,
  ObjectPart,
  ObjectService,
  PartsPage,
  PutOutcome,
  PutPartOutcome,
  PutPartRequest,
  PutRequest,
  StoredChecksum,
  Upload,
  UploadInfo,
  UploadRef,
  UploadRefusal,
  UploadsPage,
  WriteCondition,
} from "../../src/model/object-service.ts";
import { type ByteSource, sourceOf } from "../../src/util/byte-source.ts";
import type { BucketId, UploadId, VersionId } from "../../src/util/ids.ts";

const crc64 = await createCRC64("9a6c9329ac4bc9b5");
const MIN_PART = 5 * 1024 * 1024;

interface MemoryObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly stampMs: number;
  readonly headers: ObjectHeaders;
  readonly checksum?: StoredChecksum;
  readonly parts: readonly ObjectPart[];
}
interface MemoryPart {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly stampMs: number;
  readonly checksum?: StoredChecksum;
}
interface MemoryUpload {
  readonly key: string;
  readonly id: UploadId;
  readonly createdMs: number;
  readonly headers: ObjectHeaders;
  readonly checksum: UploadInfo["checksum"];
  readonly parts: Map<number, MemoryPart>;
}

/** An ObjectService in plain maps, written from the interface alone: the S3 door is tested on it in milliseconds. */
export class MemoryObjects implements ObjectService {
  readonly #buckets = new Map<BucketId, Map<string, MemoryObject>>();
  readonly #uploads = new Map<UploadId, MemoryUpload & { readonly bucket: BucketId }>();
  readonly #inlineLimit: number;
  #ids = 1;
  /** Set by a test: what the next calls throw. */
  failure: Error | undefined;

  constructor({ inlineLimit = 16_384 }: { inlineLimit?: number } = {}) {
    this.#inlineLimit = inlineLimit;
  }

  isEmpty(id: BucketId): boolean {
    return (this.#buckets.get(id)?.size ?? 0) === 0 && [...this.#uploads.values()].every((upload) => upload.bucket !== id);
  }

  #keys(id: BucketId): Map<string, MemoryObject> {
    let keys = this.#buckets.get(id);
    if (keys === undefined) this.#buckets.set(id, (keys = new Map()));
    return keys;
  }

  #judge(request: {
    bucket: { id: BucketId };
    key: string;
    condition?: WriteCondition;
  }): "precondition-failed" | "no-such-key" | undefined {
    const { condition } = request;
    if (condition === undefined) return undefined;
    const present = this.#keys(request.bucket.id).get(request.key);
    if ("ifNoneMatch" in condition) return present === undefined ? undefined : "precondition-failed";
    if (present === undefined) return "no-such-key";
    return condition.ifMatch === "*" || condition.ifMatch.includes(present.etag) ? undefined : "precondition-failed";
  }

  #store(request: { bucket: { id: BucketId }; key: string }, object: MemoryObject): Extract<PutOutcome, { ok: true }> {
    this.#keys(request.bucket.id).set(request.key, object);
    const version = (this.#ids++).toString(16).padStart(32, "0") as VersionId;
    const { etag, stampMs, bytes, checksum } = object;
    return { ok: true, version, etag, stampMs, sizeBytes: bytes.byteLength, ...(checksum && { checksum }) };
  }

  async put(request: PutRequest): Promise<PutOutcome> {
    if (this.failure) throw this.failure;
    const taken = await take(request.upload);
    if (!taken.ok) return taken;
    const refused = this.#judge(request);
    if (refused !== undefined) return { ok: false, code: refused };
    const { bytes, etag, checksum } = taken;
    return this.#store(request, {
      bytes,
      etag,
      stampMs: Date.now(),
      headers: request.headers,
      parts: [],
      ...(checksum && { checksum }),
    });
  }

  lookup({ bucket, key }: { bucket: { id: BucketId }; key: string }): Promise<FoundObject | null> {
    if (this.failure) return Promise.reject(this.failure);
    const object = this.#keys(bucket.id).get(key);
    return Promise.resolve(object === undefined ? null : found(object, this.#inlineLimit));
  }

  delete(request: { bucket: { id: BucketId }; key: string; condition?: WriteCondition }): Promise<DeleteOutcome> {
    if (this.failure) return Promise.reject(this.failure);
    const refused = this.#judge(request);
    if (refused !== undefined) return Promise.resolve({ ok: false, code: refused });
    return Promise.resolve({ ok: true, existed: this.#keys(request.bucket.id).delete(request.key) });
  }

  async copy(request: CopyRequest): Promise<PutOutcome> {
    const bytes = await readAll(request.source.object.open());
    const refused = this.#judge(request);
    if (refused !== undefined) return { ok: false, code: refused };
    const { etag, headers, checksum: kept } = request.source.object;
    const checksum = request.algorithm === undefined ? kept : full(request.algorithm, bytes);
    const parts = this.#keys(request.source.bucket.id).get(request.source.key)?.parts ?? [];
    return this.#store(request, {
      bytes,
      etag,
      stampMs: Date.now(),
      headers: request.headers ?? headers,
      parts,
      ...(checksum && { checksum }),
    });
  }

  list({ bucket, prefix, delimiter, after, skipPrefix, limit }: ListRequest): Promise<ListPage> {
    if (this.failure) return Promise.reject(this.failure);
    const entries: ListEntry[] = [];
    const keys = this.#keys(bucket.id);
    let last = { after, skipPrefix };
    for (const key of [...keys.keys()].sort(byBytes)) {
      if (!key.startsWith(prefix) || byBytes(key, after) <= 0) continue;
      if (last.skipPrefix && key.startsWith(last.after)) continue;
      const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
      if (entries.length >= limit) return Promise.resolve({ entries, truncated: true, next: last });
      const group = at < 0 ? undefined : key.slice(0, at + delimiter.length);
      entries.push(group === undefined ? entryOf(key, keys.get(key) as MemoryObject) : prefixEntry(group));
      last = { after: group ?? key, skipPrefix: group !== undefined };
    }
    return Promise.resolve({ entries, truncated: false });
  }

  createUpload(request: CreateUploadRequest): Promise<{ ok: true; upload: UploadId }> {
    const id = (this.#ids++).toString(16).padStart(32, "0") as UploadId;
    const { key, headers, checksum } = request;
    this.#uploads.set(id, { bucket: request.bucket.id, key, id, createdMs: Date.now(), headers, checksum, parts: new Map() });
    return Promise.resolve({ ok: true, upload: id });
  }

  #upload(ref: UploadRef): (MemoryUpload & { readonly bucket: BucketId }) | undefined {
    const upload = this.#uploads.get(ref.upload);
    return upload?.bucket === ref.bucket.id && upload.key === ref.key ? upload : undefined;
  }

  async putPart(request: PutPartRequest): Promise<PutPartOutcome> {
    const upload = this.#upload(request);
    if (upload === undefined) return { ok: false, code: "no-such-upload" };
    const { body } = request;
    const wanted = upload.checksum?.algorithm;
    if (wanted !== undefined && body.algorithm !== undefined && wanted !== body.algorithm)
      return { ok: false, code: "checksum-type-mismatch" };
    const taken = await take(wanted === undefined ? body : { ...body, algorithm: wanted });
    if (!taken.ok) return taken;
    return this.#keepPart(upload, request.part, taken.bytes, taken.checksum);
  }

  #keepPart(upload: MemoryUpload, part: number, bytes: Buffer, checksum: StoredChecksum | undefined): PutPartOutcome {
    const kept = { bytes, etag: md5(bytes).toString("hex"), stampMs: Date.now(), ...(checksum && { checksum }) };
    upload.parts.set(part, kept);
    return { ok: true, etag: kept.etag, stampMs: kept.stampMs, sizeBytes: bytes.byteLength, ...(checksum && { checksum }) };
  }

  async copyPart(request: CopyPartRequest): Promise<PutPartOutcome> {
    const upload = this.#upload(request);
    if (upload === undefined) return { ok: false, code: "no-such-upload" };
    const bytes = await readAll(request.source.object.open(request.range));
    const algorithm = upload.checksum?.algorithm;
    return this.#keepPart(upload, request.part, bytes, algorithm && full(algorithm, bytes));
  }

  completeUpload(request: CompleteRequest): Promise<CompleteOutcome> {
    return Promise.resolve(this.#complete(request));
  }

  #complete(request: CompleteRequest): CompleteOutcome {
    const upload = this.#upload(request);
    if (upload === undefined) return { ok: false, code: "no-such-upload" };
    const chosen: MemoryPart[] = [];
    for (const { part, etag, checksum } of request.parts) {
      const kept = upload.parts.get(part);
      if (kept === undefined || kept.etag !== etag || (checksum !== undefined && checksum !== kept.checksum?.value))
        return { ok: false, code: "invalid-part", part };
      chosen.push(kept);
    }
    const small = chosen.slice(0, -1).findIndex((part) => part.bytes.byteLength < MIN_PART);
    if (small >= 0) return { ok: false, code: "part-too-small", part: request.parts[small]?.part ?? 0 };
    const bytes = Buffer.concat(chosen.map((part) => part.bytes));
    if (request.objectSize !== undefined && request.objectSize !== bytes.byteLength)
      return { ok: false, code: "wrong-object-size" };
    const checksum = combined(upload.checksum, chosen, bytes);
    if (request.fullObjectChecksum !== undefined && request.fullObjectChecksum !== checksum?.value)
      return { ok: false, code: "bad-digest" };
    const refused = this.#judge(request);
    if (refused !== undefined) return { ok: false, code: refused };
    this.#uploads.delete(upload.id);
    let offset = 0;
    const parts = chosen.map((part, at) => {
      const one = { number: at + 1, offset, sizeBytes: part.bytes.byteLength, ...(part.checksum && { checksum: part.checksum }) };
      offset += part.bytes.byteLength;
      return one;
    });
    const etag = `${md5(Buffer.concat(chosen.map((part) => Buffer.from(part.etag, "hex")))).toString("hex")}-${chosen.length}`;
    return this.#store(request, {
      bytes,
      etag,
      stampMs: Date.now(),
      headers: upload.headers,
      parts,
      ...(checksum && { checksum }),
    });
  }

  abortUpload(ref: UploadRef): Promise<{ ok: boolean }> {
    return Promise.resolve({ ok: this.#upload(ref) !== undefined && this.#uploads.delete(ref.upload) });
  }

  listParts(request: UploadRef & { after: number; limit: number }): Promise<PartsPage | null> {
    const upload = this.#upload(request);
    if (upload === undefined) return Promise.resolve(null);
    const all = [...upload.parts].sort(([a], [b]) => a - b).filter(([part]) => part > request.after);
    const parts = all.slice(0, request.limit).map(([part, { etag, stampMs, bytes, checksum }]) => ({
      part,
      etag,
      stampMs,
      sizeBytes: bytes.byteLength,
      ...(checksum && { checksum }),
    }));
    return Promise.resolve({ info: infoOf(upload), parts, truncated: all.length > request.limit });
  }

  listUploads(request: ListUploadsRequest): Promise<UploadsPage> {
    const { bucket, prefix, delimiter, afterKey, afterUpload, skipPrefix, limit } = request;
    const entries: UploadsPage["entries"][number][] = [];
    const sorted = [...this.#uploads.values()]
      .filter((upload) => upload.bucket === bucket.id && upload.key.startsWith(prefix))
      .sort((a, b) => byBytes(a.key, b.key) || (a.id < b.id ? -1 : 1));
    for (const upload of sorted) {
      const order = byBytes(upload.key, afterKey);
      if (order < 0 || (order === 0 && (afterUpload === undefined || upload.id <= afterUpload))) continue;
      if (skipPrefix && upload.key.startsWith(afterKey)) continue;
      const at = delimiter === "" ? -1 : upload.key.indexOf(delimiter, prefix.length);
      const group = at < 0 ? undefined : upload.key.slice(0, at + delimiter.length);
      if (group !== undefined && entries.at(-1)?.key === group) continue;
      if (entries.length >= limit) return Promise.resolve({ entries, truncated: true });
      if (group !== undefined) entries.push({ key: group, createdMs: 0 });
      else entries.push({ key: upload.key, upload: upload.id, createdMs: upload.createdMs, checksum: upload.checksum });
    }
    return Promise.resolve({ entries, truncated: false });
  }

  uploadInfo(ref: UploadRef): Promise<UploadInfo | null> {
    const upload = this.#upload(ref);
    return Promise.resolve(upload === undefined ? null : infoOf(upload));
  }

  usage(): ReturnType<ObjectService["usage"]> {
    return Promise.resolve({ objects: 0, versions: 0, bytes: 0, uploads: 0, parts: 0, partBytes: 0 });
  }
}

type Taken =
  | { readonly ok: true; readonly bytes: Buffer; readonly etag: string; readonly checksum?: StoredChecksum }
  | UploadRefusal;

async function take(upload: Upload): Promise<Taken> {
  const bytes = await readAll(upload.source);
  if (upload.sizeBytes !== undefined && bytes.byteLength !== upload.sizeBytes)
    return { ok: false, code: "incomplete-body", expected: upload.sizeBytes, received: bytes.byteLength };
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (upload.sha256 !== undefined && upload.sha256 !== sha256)
    return { ok: false, code: "bad-digest", which: "sha256", computed: sha256, expected: upload.sha256 };
  const digest = md5(bytes);
  if (upload.md5 !== undefined && !digest.equals(upload.md5))
    return {
      ok: false,
      code: "bad-digest",
      which: "md5",
      computed: digest.toString("base64"),
      expected: Buffer.from(upload.md5).toString("base64"),
    };
  const etag = digest.toString("hex");
  if (upload.algorithm === undefined) return { ok: true, bytes, etag };
  const checksum = full(upload.algorithm, bytes);
  const expected = upload.expectedChecksum?.();
  if (expected !== undefined && expected !== checksum.value)
    return { ok: false, code: "bad-digest", which: upload.algorithm, computed: checksum.value, expected };
  return { ok: true, bytes, etag, checksum };
}

export async function readAll(source: ByteSource): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let piece = await source.read(); piece !== null; piece = await source.read()) pieces.push(Uint8Array.from(piece));
  return Buffer.concat(pieces);
}

function found(object: MemoryObject, inlineLimit: number): FoundObject {
  const { bytes, etag, stampMs, headers, checksum, parts } = object;
  const whole: ObjectPart = { number: 1, offset: 0, sizeBytes: bytes.byteLength };
  return {
    version: "0".repeat(32) as VersionId,
    sizeBytes: bytes.byteLength,
    etag,
    stampMs,
    headers,
    ...(checksum && { checksum }),
    partCount: parts.length,
    part: (number) => Promise.resolve((parts.length > 0 ? parts[number - 1] : number === 1 ? whole : undefined) ?? null),
    parts: (after, limit) => Promise.resolve(parts.filter((part) => part.number > after).slice(0, limit)),
    open: (range) => sourceOf(range === undefined ? bytes : bytes.subarray(range.start, range.end)),
    inline: bytes.byteLength <= inlineLimit ? bytes : undefined,
  };
}

function combined(plan: UploadInfo["checksum"], parts: readonly MemoryPart[], bytes: Buffer): StoredChecksum | undefined {
  if (plan === undefined) return undefined;
  if (plan.type === "FULL_OBJECT") return full(plan.algorithm, bytes);
  const raw = Buffer.concat(parts.map((part) => Buffer.from(part.checksum?.value ?? "", "base64")));
  return { ...plan, value: `${full(plan.algorithm, raw).value}-${parts.length}` };
}

/** Checksum of bytes as S3 writes it. */
export function full(algorithm: ChecksumAlgorithm, bytes: Uint8Array): StoredChecksum {
  return { algorithm, type: "FULL_OBJECT", value: raw(algorithm, bytes).toString("base64") };
}

function raw(algorithm: ChecksumAlgorithm, bytes: Uint8Array): Buffer {
  switch (algorithm) {
    case "CRC32":
      return fourBytes(crc32(bytes));
    case "CRC32C":
      return fourBytes(crc32c(Buffer.from(bytes)));
    case "CRC64NVME":
      return Buffer.from(crc64.init().update(bytes).digest("hex"), "hex");
    case "SHA1":
      return createHash("sha1").update(bytes).digest();
    case "SHA256":
      return createHash("sha256").update(bytes).digest();
  }
}

function fourBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function md5(bytes: Uint8Array): Buffer {
  return createHash("md5").update(bytes).digest();
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function infoOf({ createdMs, checksum }: MemoryUpload): UploadInfo {
  return { createdMs, ...(checksum && { checksum }) };
}

function entryOf(key: string, { etag, bytes, stampMs, checksum }: MemoryObject): ListEntry {
  const entry = { key, prefix: false, etag, sizeBytes: bytes.byteLength, stampMs };
  return checksum === undefined ? entry : { ...entry, checksumAlgorithm: checksum.algorithm, checksumType: checksum.type };
}

function prefixEntry(key: string): ListEntry {
  return { key, prefix: true, etag: "", sizeBytes: 0, stampMs: 0 };
}
