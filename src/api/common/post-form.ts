import type { ByteSource } from "../../util/byte-source.ts";
import type { HttpRequest } from "../../platform/http.ts";

/** A browser's upload form, read up to the beginning of its file. */
export interface PostForm {
  /** Fields before the file: names lower-case, values as UTF-8 strings, "${filename}" already put in. Fields behind the file are ignored (as on S3). */
  readonly fields: ReadonlyMap<string, string>;
  readonly file: {
    /** "" when the part has none. */
    readonly filename: string;
    /** Content-Type of the part, when it has one. */
    readonly contentType: string | undefined;
    /** Its bytes. Rejects with ApiError MalformedPOSTRequest when the form breaks off. */
    readonly source: ByteSource;
  };
}

/**
 * Reads a multipart/form-data body up to the file part. Limits as AWS: each field ≤ 16 KiB, all before the file ≤ 20 KiB.
 *
 * @throws ApiError MalformedPOSTRequest (no boundary, broken framing, no file), InvalidArgument (field given twice, no such value),
 *         MaxPostPreDataLengthExceededError.
 */
export function readPostForm(_request: HttpRequest): Promise<PostForm> {
  throw new Error("in the making");
}
