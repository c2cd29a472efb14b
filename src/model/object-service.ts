import type { ByteSource } from "../util/byte-source.ts";
import type { BucketId, UploadId, VersionId } from "../util/ids.ts";

/**
 * The object operations, as the S3 API (and later web and K2V) call them. All are linearizable per key (P2), durable when they
 * settle (P1). Refusals that a client can cause are values; `ServiceError` is for what is the store's trouble (503, 500).
 * Implemented in model/objects/ over groups and blocks.
 */
export interface ObjectService {
  put(request: PutRequest): Promise<PutOutcome>;
  /** Head version of a key, and a reader of its bytes. `null` when there is none. */
  lookup(request: { readonly bucket: BucketRef; readonly key: string }): Promise<FoundObject | null>;
  delete(request: {
    readonly bucket: BucketRef;
    readonly key: string;
    readonly condition?: WriteCondition;
  }): Promise<DeleteOutcome>;
  copy(request: CopyRequest): Promise<PutOutcome | { readonly ok: false; readonly code: "source-gone" }>;

  list(request: ListRequest): Promise<ListPage>;

  createUpload(
    request: CreateUploadRequest,
  ): Promise<{ readonly ok: true; readonly upload: UploadId } | { readonly ok: false; readonly code: "no-such-bucket" }>;
  putPart(request: PutPartRequest): Promise<PutPartOutcome>;
  copyPart(request: CopyPartRequest): Promise<PutPartOutcome | { readonly ok: false; readonly code: "source-gone" }>;
  completeUpload(request: CompleteRequest): Promise<CompleteOutcome>;
  abortUpload(request: UploadRef): Promise<{ readonly ok: boolean }>;
  /** `null`: no such upload. */
  listParts(request: UploadRef & { readonly after: number; readonly limit: number }): Promise<PartsPage | null>;
  listUploads(request: ListUploadsRequest): Promise<UploadsPage>;
  /** What an upload was created with; null: no such upload. */
  uploadInfo(request: UploadRef): Promise<UploadInfo | null>;

  /** Exact figures of a bucket, summed over its partitions. */
  usage(bucket: BucketRef): Promise<BucketUsage>;
}

/** What the operations need to know of a bucket; comes from the control state (never from a name: P2–P4 hold per bucket id). */
export interface BucketRef {
  readonly id: BucketId;
  /** 1, 2, 4 … 64, fixed at creation. */
  readonly indexShards: number;
  readonly quotas: { readonly maxSizeBytes?: number; readonly maxObjects?: number };
}

/** Response headers kept with an object. Names lower-case without "x-amz-meta-"; values as JavaScript strings (UTF-8). */
export interface ObjectHeaders {
  /**
   * content-type, cache-control, content-disposition, content-encoding, content-language, expires,
   * x-amz-website-redirect-location.
   */
  readonly system: readonly (readonly [name: string, value: string])[];
  /** User metadata. Names and values together ≤ 2 KiB (the API checks). */
  readonly user: readonly (readonly [name: string, value: string])[];
}

export type ChecksumAlgorithm = "CRC32" | "CRC32C" | "CRC64NVME" | "SHA1" | "SHA256";

export interface StoredChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: "FULL_OBJECT" | "COMPOSITE";
  /** Base64; composite ones end in "-N". */
  readonly value: string;
}

/** Decided in the state machine, atomically with the write. ETags without quotes. An absent key: if-match → "no-such-key". */
export type WriteCondition = { readonly ifNoneMatch: "*" } | { readonly ifMatch: readonly string[] | "*" };

/** The bytes of an upload, with what must be true of them. */
export interface Upload {
  readonly source: ByteSource;
  /**
   * Decoded length when the client announced it: Content-Length or x-amz-decoded-content-length. A body of another length fails.
   */
  readonly sizeBytes?: number;
  /**
   * SHA-256 that the client signed (hex), when x-amz-content-sha256 is a digest: verified here, and reused as block id for a
   * single block.
   */
  readonly sha256?: string;
  /** Content-MD5, 16 bytes. */
  readonly md5?: Uint8Array;
  /**
   * Algorithm to compute and keep; when the client sent nothing: undefined, and none is kept (S3's default CRC64NVME is the API's
   * decision).
   */
  readonly algorithm?: ChecksumAlgorithm;
  /**
   * The announced checksum (base64) from a header, or from the trailer: called once, after the source's end. undefined = none
   * announced.
   */
  readonly expectedChecksum?: () => string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Called once, when all bytes are there and right before the write is decided: throws what the caller is told when it may not
 * write any more. Then nothing is written.
 */
export type Recheck = () => void;

export interface PutRequest {
  readonly bucket: BucketRef;
  readonly key: string;
  readonly headers: ObjectHeaders;
  readonly condition?: WriteCondition;
  readonly upload: Upload;
  readonly recheck?: Recheck;
}

/** Why an upload's bytes were refused; nothing of it stays. */
export type UploadRefusal =
  | {
      readonly ok: false;
      readonly code: "bad-digest";
      readonly which: "md5" | "sha256" | ChecksumAlgorithm;
      readonly computed: string;
      readonly expected: string;
    }
  | { readonly ok: false; readonly code: "incomplete-body"; readonly expected: number; readonly received: number }
  | { readonly ok: false; readonly code: "too-large"; readonly limit: number };

/** A version that was written. */
export interface WrittenVersion {
  readonly ok: true;
  readonly version: VersionId;
  readonly etag: string;
  readonly stampMs: number;
  readonly sizeBytes: number;
  readonly checksum?: StoredChecksum;
}

export type PutOutcome =
  | WrittenVersion
  | UploadRefusal
  | {
      readonly ok: false;
      readonly code: "no-such-bucket" | "precondition-failed" | "no-such-key" | "quota-exceeded";
      readonly detail?: string;
    };

export type DeleteOutcome =
  | { readonly ok: true; readonly existed: boolean }
  | { readonly ok: false; readonly code: "no-such-bucket" | "precondition-failed" | "no-such-key" };

export interface FoundObject {
  readonly version: VersionId;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly stampMs: number;
  readonly headers: ObjectHeaders;
  readonly checksum?: StoredChecksum;
  /** Number of parts of a multipart object; 0 for others. */
  readonly partCount: number;
  /** Size and offset of one part of a multipart object (1 ..= partCount); for others part 1 is the whole. null: no such part. */
  part(number: number): Promise<ObjectPart | null>;
  /** A page of the parts (GetObjectAttributes), numbers > after. */
  parts(after: number, limit: number): Promise<readonly ObjectPart[]>;
  /**
   * Bytes [start, end) of the object, every block verified. The whole when left out. Rejects with ServiceError object.damaged
   * when a block is.
   */
  open(range?: { readonly start: number; readonly end: number }): ByteSource;
  /** The whole body when it is inline (then no `open` is needed and head and body go out in one write). */
  readonly inline: Uint8Array | undefined;
}

export interface ObjectPart {
  readonly number: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly checksum?: StoredChecksum;
}

export interface CopyRequest {
  readonly source: { readonly bucket: BucketRef; readonly key: string; readonly object: FoundObject };
  readonly bucket: BucketRef;
  readonly key: string;
  /** Undefined: the source's. */
  readonly headers?: ObjectHeaders;
  /** Compute this one over the copy (full object); undefined: keep the source's. */
  readonly algorithm?: ChecksumAlgorithm;
  readonly condition?: WriteCondition;
  readonly signal: AbortSignal;
  readonly recheck?: Recheck;
}

export interface ListRequest {
  readonly bucket: BucketRef;
  readonly prefix: string;
  readonly delimiter: string;
  /**
   * Keys > after (byte order of UTF-8). When `after` ends a common prefix of an earlier page, `skipPrefix` says so: nothing under
   * it comes again.
   */
  readonly after: string;
  readonly skipPrefix: boolean;
  /** Keys and common prefixes together, 0 ..= 1,000. */
  readonly limit: number;
}

/** Keys and common prefixes in one merged order; an entry without `etag` is a common prefix. */
export interface ListPage {
  readonly entries: readonly ListEntry[];
  readonly truncated: boolean;
  /** Where the next page goes on; undefined when not truncated. */
  readonly next?: { readonly after: string; readonly skipPrefix: boolean };
}

export interface ListEntry {
  /** The key, or the common prefix. */
  readonly key: string;
  readonly prefix: boolean;
  /** As kept ("…-N" for multipart), without quotes; "" for a prefix. */
  readonly etag: string;
  readonly sizeBytes: number;
  readonly stampMs: number;
  readonly checksumAlgorithm?: ChecksumAlgorithm;
  readonly checksumType?: StoredChecksum["type"];
}

export interface UploadRef {
  readonly bucket: BucketRef;
  readonly key: string;
  readonly upload: UploadId;
}

export interface CreateUploadRequest {
  readonly bucket: BucketRef;
  readonly key: string;
  readonly headers: ObjectHeaders;
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly type: StoredChecksum["type"] };
}

export interface PutPartRequest extends UploadRef {
  /** 1 ..= 10,000 */
  readonly part: number;
  readonly body: Upload;
  readonly recheck?: Recheck;
}

export interface CopyPartRequest extends UploadRef {
  readonly part: number;
  readonly source: { readonly bucket: BucketRef; readonly key: string; readonly object: FoundObject };
  /** [start, end) of the source; the whole when left out. */
  readonly range?: { readonly start: number; readonly end: number };
  readonly signal: AbortSignal;
  readonly recheck?: Recheck;
}

export type PutPartOutcome =
  | Omit<WrittenVersion, "version">
  | UploadRefusal
  | {
      readonly ok: false;
      readonly code: "no-such-bucket" | "no-such-upload" | "quota-exceeded" | "checksum-type-mismatch";
      readonly detail?: string;
    };

/**
 * A part as a completion names it. Every checksum that is named (base64 by algorithm) must be the part's own, under its own name.
 */
export interface CompletedPart {
  readonly part: number;
  readonly etag: string;
  readonly checksums?: Readonly<Partial<Record<ChecksumAlgorithm, string>>>;
}

export interface CompleteRequest extends UploadRef {
  readonly parts: readonly CompletedPart[];
  readonly condition?: WriteCondition;
  readonly fullObjectChecksum?: string;
  readonly objectSize?: number;
}

export type CompleteOutcome =
  | WrittenVersion
  | {
      readonly ok: false;
      readonly code:
        | "no-such-bucket"
        | "no-such-upload"
        | "precondition-failed"
        | "no-such-key"
        | "quota-exceeded"
        | "bad-digest"
        | "wrong-object-size";
      readonly detail?: string;
    }
  | { readonly ok: false; readonly code: "invalid-part" | "part-too-small"; readonly part: number };

export interface PartsPage {
  readonly info: UploadInfo;
  readonly parts: readonly {
    readonly part: number;
    readonly etag: string;
    readonly sizeBytes: number;
    readonly stampMs: number;
    readonly checksum?: StoredChecksum;
  }[];
  readonly truncated: boolean;
}

export interface UploadInfo {
  readonly createdMs: number;
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly type: StoredChecksum["type"] };
}

export interface ListUploadsRequest {
  readonly bucket: BucketRef;
  readonly prefix: string;
  readonly delimiter: string;
  /** Uploads of keys > afterKey, or of the same key with an id > afterUpload (when given). */
  readonly afterKey: string;
  readonly afterUpload?: string;
  readonly skipPrefix: boolean;
  readonly limit: number;
}

export interface UploadsPage {
  /** Merged order; an entry without `upload` is a common prefix. Uploads of one key are ordered by time of creation, then id. */
  readonly entries: readonly {
    readonly key: string;
    readonly upload?: UploadId;
    readonly createdMs: number;
    readonly checksum?: UploadInfo["checksum"];
  }[];
  readonly truncated: boolean;
}

export interface BucketUsage {
  readonly objects: number;
  readonly versions: number;
  readonly bytes: number;
  readonly uploads: number;
  readonly parts: number;
  readonly partBytes: number;
}

/** The store's own trouble. HTTP status and S3 code are decided in api/s3. */
export type ServiceErrorCode =
  | "service.unavailable" // 503: nothing was changed
  | "service.unknown-outcome" // 503, for a conditional write 409: the command may have been applied or not
  | "service.slow-down" // 503 SlowDown: a named limit is reached
  | "service.no-space" // 507-like; S3: 503 with a message that names the full disk
  | "object.damaged" // 500: a block fails its hash; never served
  | "object.replaced"; // the version's bytes went away while reading (only after minutes without a read pin)

export class ServiceError extends Error {
  readonly code: ServiceErrorCode;
  constructor(code: ServiceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ServiceError";
    this.code = code;
  }
}
