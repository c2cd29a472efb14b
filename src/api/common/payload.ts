import type { HttpRequest } from "../../platform/http.ts";
import type { Upload } from "../../model/object-service.ts";
import type { PayloadMode } from "./payload-mode.ts";

/**
 * The body of a request as the object operations take it: aws-chunked taken off, chunk signatures checked while it is read, announced
 * checksums parsed. Nothing is read yet (so a refusal here comes before "100 Continue").
 * `source` rejects with ApiError (IncompleteBody, InvalidChunkSizeError, SignatureDoesNotMatch, MalformedTrailerError …) or HttpBodyError.
 *
 * @throws ApiError InvalidRequest, InvalidDigest, MissingContentLength, InvalidArgument … for headers that contradict themselves.
 */
export function openUpload(_request: HttpRequest, _mode: PayloadMode): Upload {
  throw new Error("in the making");
}

/**
 * Reads a small body (XML) whole and verifies what was announced of it: length, SHA-256, Content-MD5, checksum.
 *
 * @throws ApiError MaxMessageLengthExceeded beyond `limitBytes`, IncompleteBody, BadDigest, XAmzContentSHA256Mismatch, and what `openUpload` throws.
 */
export function readSmallBody(
  _request: HttpRequest,
  _mode: PayloadMode,
  _limits: { limitBytes: number },
): Promise<{
  bytes: Uint8Array /** Whether an MD5 or checksum was announced (DeleteObjects asks for one). */;
  checked: boolean;
}> {
  throw new Error("in the making");
}

/** Content-Encoding without the token aws-chunked, from any place in the list; undefined when nothing is left. */
export function storedContentEncoding(_value: string | undefined): string | undefined {
  throw new Error("in the making");
}
