import type { DigestAlgorithm, Digests } from "../../platform/cpu.ts";
import type { StoredChecksum, Upload, UploadRefusal } from "../object-service.ts";

/** Checksums an upload needs: MD5 always (the ETag), what the client signed, what it asked for. */
export function wantedDigests(upload: Upload): readonly DigestAlgorithm[] {
  const { sha256, algorithm } = upload;
  if (sha256 === undefined && algorithm === undefined) return MD5_ONLY;
  const wanted: DigestAlgorithm[] = ["MD5"];
  if (sha256 !== undefined) wanted.push("SHA256");
  if (algorithm !== undefined && !wanted.includes(algorithm)) wanted.push(algorithm);
  return wanted;
}

const MD5_ONLY: readonly DigestAlgorithm[] = ["MD5"];

/**
 * Compares what came with what the client said of it. Digests in the form in which clients gave them: SHA-256 of the payload in
 * hex, others in base64.
 */
export function verifyUpload(upload: Upload, sizeBytes: number, digests: Digests): VerifiedUpload | UploadRefusal {
  if (upload.sizeBytes !== undefined && sizeBytes !== upload.sizeBytes)
    return { ok: false, code: "incomplete-body", expected: upload.sizeBytes, received: sizeBytes };
  if (upload.sha256 !== undefined) {
    const computed = text(digests, "SHA256", "hex");
    if (computed !== upload.sha256.toLowerCase())
      return { ok: false, code: "bad-digest", which: "sha256", computed, expected: upload.sha256 };
  }
  if (upload.md5 !== undefined) {
    const computed = text(digests, "MD5", "base64");
    const expected = Buffer.from(upload.md5).toString("base64");
    if (computed !== expected) return { ok: false, code: "bad-digest", which: "md5", computed, expected };
  }
  const etag = text(digests, "MD5", "hex");
  const { algorithm } = upload;
  if (algorithm === undefined) return { ok: true, etag };
  const value = text(digests, algorithm, "base64");
  const expected = upload.expectedChecksum?.();
  if (expected !== undefined && expected !== value)
    return { ok: false, code: "bad-digest", which: algorithm, computed: value, expected };
  return { ok: true, etag, checksum: { algorithm, type: "FULL_OBJECT", value } };
}

export interface VerifiedUpload {
  readonly ok: true;
  readonly etag: string;
  readonly checksum?: StoredChecksum;
}

function text(digests: Digests, algorithm: DigestAlgorithm, encoding: "hex" | "base64"): string {
  const digest = digests[algorithm];
  return digest === undefined ? "" : Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString(encoding);
}
