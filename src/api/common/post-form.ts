import type { Busboy, BusboyFileStream, BusboyInstance } from "@fastify/busboy";
import type { HttpRequest } from "../../platform/http.ts";
import type { ByteSource, StreamClient } from "../../util/byte-source.ts";
import { protocolError } from "./api-error.ts";

export const FORM_LIMITS = {
  fieldBytes: 16 * 1024,
  /** Names and values of all fields before the file. */
  totalBytes: 20 * 1024,
  fields: 100,
  nameBytes: 256,
  filenameBytes: 1024,
  partHeaderBytes: 8 * 1024,
  /** Around the fields: boundaries and part headers. */
  framingBytes: 64 * 1024,
} as const;

const FILENAME_VARIABLE = "$" + "{filename}";

/** A browser's upload form, read up to the beginning of its file. */
export interface PostForm {
  /**
   * Fields before the file: names lower-case, values as UTF-8 strings, "${filename}" already put in. Fields behind the file are
   * ignored (as on S3).
   */
  readonly fields: ReadonlyMap<string, string>;
  readonly file: {
    /** "" when the part has none. */
    readonly filename: string;
    /**
     * Content-Type of the part without parameters ("text/plain" when it has none). S3 takes an object's type from the form's
     * field instead.
     */
    readonly contentType: string | undefined;
    /** Its bytes. Rejects with ApiError MalformedPOSTRequest when the form breaks off. */
    readonly source: ByteSource;
  };
}

/**
 * Reads a multipart/form-data body up to the file part. Limits as AWS: each field ≤ 16 KiB, all before the file ≤ 20 KiB.
 *
 * @throws ApiError MalformedPOSTRequest (no boundary, broken framing), InvalidArgument (field given twice, no file),
 *         MaxPostPreDataLengthExceededError; what the body's source rejects with.
 */
export async function readPostForm(request: HttpRequest): Promise<PostForm> {
  const contentType = request.header("content-type") ?? "";
  if (!/^multipart\/form-data\s*;/i.test(contentType))
    throw protocolError("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.");
  // Loaded with the first form: it takes memory, and most stores never see one.
  const { Busboy: Parser } = await import("@fastify/busboy");
  const reader = new FormReader(request.body, contentType, Parser);
  await reader.readFields();
  const { filename, contentType: fileType } = reader.file;
  const fields = new Map<string, string>();
  for (const [name, value] of reader.fields) fields.set(name, expandFilename(value, filename));
  return { fields, file: { filename, contentType: fileType, source: reader } };
}

function expandFilename(value: string, filename: string): string {
  if (!value.includes(FILENAME_VARIABLE)) return value;
  const expanded = value.replaceAll(FILENAME_VARIABLE, () => filename);
  if (Buffer.byteLength(expanded) > FORM_LIMITS.fieldBytes) throw tooLarge();
  return expanded;
}

/**
 * Pushes the body into the form parser, piece by piece as its reader asks, and hands out what comes out. Then it is the file's
 * bytes.
 */
class FormReader implements ByteSource {
  readonly #body: ByteSource;
  readonly #parser: BusboyInstance;
  readonly fields = new Map<string, string>();
  #fieldBytes = 0;
  #fedBytes = 0;
  #file: { filename: string; contentType: string | undefined } | undefined;
  #pieces: Uint8Array[] = [];
  #fileEnded = false;
  #formEnded = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(body: ByteSource, contentType: string, Parser: typeof Busboy) {
    this.#body = body;
    try {
      this.#parser = new Parser({
        headers: { "content-type": contentType },
        // A file under no name is taken for one, to be refused as such.
        isPartAFile: (name, _type, filename) => (name ? name.toLowerCase() === "file" : filename !== undefined),
        limits: {
          fieldNameSize: FORM_LIMITS.nameBytes,
          fieldSize: FORM_LIMITS.fieldBytes,
          fields: FORM_LIMITS.fields,
          files: 1,
          headerPairs: 20,
          headerSize: FORM_LIMITS.partHeaderBytes,
        },
      });
    } catch (cause) {
      throw malformed(cause instanceof Error ? cause.message : "no boundary", cause);
    }
    this.#parser.on("field", (name, value, nameTruncated, valueTruncated) =>
      this.#onField(name, value, nameTruncated || valueTruncated),
    );
    this.#parser.on("file", (name, stream, filename, _encoding, type) => {
      if (!name) this.#fail(malformed("the file's field has no name"));
      this.#onFile(stream, filename, type);
    });
    this.#parser.on("fieldsLimit", () => this.#fail(tooLarge()));
    this.#parser.on("finish", () => this.#settle(() => (this.#formEnded = true)));
    this.#parser.on("error", (error: unknown) =>
      this.#fail(malformed(error instanceof Error ? error.message : String(error), error)),
    );
  }

  get file(): { filename: string; contentType: string | undefined } {
    if (this.#file !== undefined) return this.#file;
    throw protocolError("InvalidArgument", "POST requires exactly one file upload per request.", {
      elements: [["ArgumentName", "file"]],
    });
  }

  /** Until the file begins, or the form ends without one. */
  async readFields(): Promise<void> {
    while (this.#file === undefined && !this.#formEnded) {
      await this.#feed();
      if (this.#file === undefined && this.#fedBytes > FORM_LIMITS.totalBytes + FORM_LIMITS.framingBytes) this.#fail(tooLarge());
      if (this.#error !== undefined) throw this.#error;
    }
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) return piece;
      if (this.#error !== undefined) throw this.#error;
      if (this.#fileEnded) return null;
      if (this.#formEnded) throw malformed("the file is not complete");
      await this.#feed();
    }
  }

  get sender(): StreamClient | undefined {
    return this.#body.sender;
  }

  cancel(): void {
    this.#pieces = [];
    this.#fail(malformed("given up"));
    this.#body.cancel();
  }

  /** One piece of the body, until the parser has dealt with it. */
  async #feed(): Promise<void> {
    const piece = await this.#body.read();
    if (this.#error !== undefined) return;
    if (piece === null) {
      const ended = this.#settled();
      this.#parser.end();
      return ended;
    }
    this.#fedBytes += piece.byteLength;
    const taken = this.#settled();
    // A copy: slices of it may still wait in the parser's streams when the body is read again. Uploads by form are rare.
    this.#parser.write(Buffer.from(piece), () => this.#settle(() => undefined));
    return taken;
  }

  #settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #settle(change: () => unknown): void {
    change();
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #fail(error: Error): void {
    this.#settle(() => {
      this.#error ??= error;
    });
  }

  /** @param given  undefined when the part names no field. */
  #onField(given: string | undefined, value: string, truncated: boolean): void {
    if (this.#file !== undefined) return;
    const name = given ?? "";
    const lower = name.toLowerCase();
    this.#fieldBytes += Buffer.byteLength(name) + Buffer.byteLength(value);
    if (truncated || this.#fieldBytes > FORM_LIMITS.totalBytes) this.#fail(tooLarge());
    else if (this.fields.has(lower))
      this.#fail(
        protocolError("InvalidArgument", "POST requires exactly one value per field.", {
          elements: [["ArgumentName", name.slice(0, 100)]],
        }),
      );
    else this.fields.set(lower, value);
  }

  #onFile(stream: BusboyFileStream, filename: string | undefined, contentType: string | undefined): void {
    if (Buffer.byteLength(filename ?? "") > FORM_LIMITS.filenameBytes) this.#fail(tooLarge());
    this.#file = { filename: filename ?? "", contentType: contentType === "" ? undefined : contentType };
    stream.on("data", (piece: Uint8Array) => this.#settle(() => this.#pieces.push(piece)));
    stream.on("end", () => this.#settle(() => (this.#fileEnded = !stream.truncated)));
    stream.on("error", (error) => this.#fail(malformed(error.message, error)));
  }
}

function malformed(detail: string, cause?: unknown): Error {
  return protocolError(
    "MalformedPOSTRequest",
    `The body of your POST request is not well-formed multipart/form-data: ${detail}`,
    { cause },
  );
}

function tooLarge(): Error {
  return protocolError(
    "MaxPostPreDataLengthExceededError",
    `Your POST request fields preceding the upload file were too large: ${FORM_LIMITS.fieldBytes} bytes a field, ${FORM_LIMITS.totalBytes} together.`,
  );
}
