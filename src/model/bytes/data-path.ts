import type { ByteSource } from "../../util/byte-source.ts";
import type { BucketId, ClaimId, GroupId, Stamp, UploadId } from "../../util/ids.ts";
import type { BlockEntry, Body } from "../commands.ts";
import type { StoredChecksum, Upload, UploadRefusal } from "../object-service.ts";
import type { BodyPiece, BodyPlace } from "../partition/body-reads.ts";

/** For whom bytes are written: one attempt at a version (or at a part, with `upload` and `part`). */
export interface UploadTarget {
  readonly bucket: BucketId;
  readonly key: string;
  /** The object's group: upload leases live there, and its log time bounds the claim. */
  readonly group: GroupId;
  /** Drawn for this attempt, never used before. */
  readonly claim: ClaimId;
  readonly upload?: UploadId;
  readonly part?: number;
}

/** Bytes that are durable, with their references added: what the put or put-part command needs. */
export interface WrittenBody {
  readonly ok: true;
  readonly body: Body;
  /** MD5 of the bytes, lower-case hex. */
  readonly etag: string;
  readonly checksum?: StoredChecksum;
  readonly sizeBytes: number;
  /** Goes into the command: the upload lasted beyond commandWindow/2 and lives by its upload lease. */
  readonly needsLease: boolean;
  /**
   * Goes into `propose` as the command's expiry when `needsLease` is false: a later commit could find its claim fenced
   * (rule 36).
   */
  readonly expiry: Stamp;
}

/**
 * Writes bodies. Each body ends by exactly one call: `settled` when the command that names it committed, `discard` when it will
 * never commit. When neither is known (group.unknown-outcome): neither; the janitor resolves the claim.
 */
export interface BodyWriting {
  /**
   * Takes an upload's bytes to disk and verifies everything the client said of them. On a refusal or error nothing of it stays
   * (references are dropped at once where possible, else after their expiry).
   * @throws ServiceError service.slow-down · service.no-space · service.unavailable; what the source rejects with
   */
  write(upload: Upload, target: UploadTarget): Promise<WrittenBody | UploadRefusal>;
  /** The command committed: its references are marked as in use, lazily, off the path of the answer. */
  settled(target: UploadTarget, body: Body): void;
  /** The command was refused: its references go, lazily, and the upload lease of an upload that needed one. */
  discard(target: UploadTarget, refused: { readonly body: Body; readonly needsLease?: boolean }): void;
  /**
   * A copy by metadata: adds references under the new claim wherever the source claim's reference still is (rule 34).
   * @returns undefined when a reference of the source is gone (what was added is dropped): copy the bytes with `write` instead.
   */
  copyReferences(
    pieces: readonly BodyPiece[],
    target: UploadTarget,
  ): Promise<{ readonly blocks: readonly BlockEntry[]; readonly expiry: Stamp } | undefined>;
}

/** Reads bodies. */
export interface BodyReading {
  /**
   * Bytes [start, end) of a body, every block verified, read ahead within bounds; pages through the block list as it goes. While
   * it runs, the release of the body's blocks is held back. The source rejects with ServiceError object.damaged · object.replaced
   * · service.slow-down. Each piece is lent: it may be overwritten as soon as `read` is called again, so it must have left the
   * process by then.
   */
  open(place: BodyPlace, range?: { readonly start: number; readonly end: number }): ByteSource;
}
