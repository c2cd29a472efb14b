import { createHash, type Hash } from "node:crypto";
import type { ByteSource, StreamClient } from "../../util/byte-source.ts";
import { protocolError } from "./api-error.ts";
import type { ChunkSignatures } from "./payload-mode.ts";

/**
 * Limits of the framing. A signed chunk is buffered nowhere: its bytes go out before its signature is known to be right, but the
 * end fails.
 */
export const CHUNK_LIMITS = {
  /** Size, extensions and signature of one chunk. */
  headerLineBytes: 1024,
  trailerLineBytes: 1024,
  trailers: 16,
  /** Largest chunk; 5 GiB is the largest body there is. */
  chunkBytes: 5 * 1024 ** 3,
} as const;

export interface ChunkedOptions {
  readonly chain: ChunkSignatures | undefined;
  /** Whether a trailer section follows (then its signature too, where there is a chain). */
  readonly trailer: boolean;
  /** Names (lower-case) that x-amz-trailer announced; any other trailer is refused, and a missing one too. */
  readonly announced: readonly string[];
  /** Whether a trailer's value has the right form. */
  readonly acceptsTrailer: (name: string, value: string) => boolean;
  /** x-amz-decoded-content-length; undefined when the client did not say. */
  readonly decodedBytes: number | undefined;
}

type State = "size" | "data" | "after-data" | "trailer" | "last-line" | "end";

const CR = 0x0d;
const LF = 0x0a;

/**
 * Takes the aws-chunked framing off a body: incremental, pieces are slices of what the source gave.
 *
 *     hex-size [;name[=value]]… CRLF  data CRLF  …  0 [;chunk-signature=…] CRLF  [name:value CRLF …]  CRLF
 *
 * The end (null) is given only when the last chunk, the trailer and every signature were right; till then the caller must not
 * rely on a byte. Grammar: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and
 * …/sigv4-streaming-trailers.html
 *
 * @throws (read) ApiError InvalidChunkSizeError, SignatureDoesNotMatch, MalformedTrailerError, IncompleteBody.
 */
export class AwsChunkedSource implements ByteSource {
  readonly #source: ByteSource;
  readonly #options: ChunkedOptions;
  #state: State = "size";
  #piece: Uint8Array | undefined;
  #at = 0;
  /** Start of a line that the last piece broke off. */
  #line: Buffer | undefined;
  #bareLf = false;
  #chunkLeft = 0;
  #chunkSignature = "";
  #hash: Hash | undefined;
  #decodedBytes = 0;
  readonly #trailers = new Map<string, string>();
  #canonicalTrailer = "";
  #trailerSignature: string | undefined;
  #lineEndsInLf = false;

  constructor(source: ByteSource, options: ChunkedOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** Value of a trailer by lower-case name; meaningful after the end. */
  trailer(name: string): string | undefined {
    return this.#trailers.get(name);
  }

  get sender(): StreamClient | undefined {
    return this.#source.sender;
  }

  cancel(): void {
    this.#piece = undefined;
    this.#source.cancel();
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#state === "end") return this.#drain();
      if (this.#piece === undefined || this.#at >= this.#piece.byteLength) {
        const piece = await this.#source.read();
        if (piece === null) {
          // Some clients leave out the last CRLF; whether all is there has been, or is now, decided without it.
          if (this.#line !== undefined || (this.#state !== "trailer" && this.#state !== "last-line"))
            throw protocolError("IncompleteBody", "The body ended before its last chunk.");
          this.#finish();
          return null;
        }
        this.#piece = piece;
        this.#at = 0;
      }
      const data = this.#step(this.#piece);
      if (data !== undefined) return data;
    }
  }

  /** Takes what it can from the piece. @returns data, or undefined when more is to be looked at. */
  #step(piece: Uint8Array): Uint8Array | undefined {
    if (this.#state === "data") return this.#takeData(piece);
    const line = this.#takeLine(piece);
    if (line === undefined) return undefined;
    switch (this.#state) {
      case "size":
        this.#beginChunk(line);
        break;
      case "after-data":
        if (line !== "") throw chunkError("a chunk is longer than its announced size.");
        this.#state = "size";
        break;
      case "trailer":
        if (line === "" && this.#bareLf) throw trailerError("it has an empty line that does not end in CRLF.");
        if (line !== "") this.#takeTrailer(line);
        // AWS's description ends a trailer's line in LF CRLF: then this is the rest of that, and the signature or the end
        // follows.
        else if (this.#lineEndsInLf && this.#trailerSignature === undefined) this.#lineEndsInLf = false;
        else this.#finish();
        break;
      default:
        if (line !== "") throw chunkError("data follows the last chunk.");
        this.#finish();
    }
    return undefined;
  }

  #takeData(piece: Uint8Array): Uint8Array | undefined {
    const end = Math.min(piece.byteLength, this.#at + this.#chunkLeft);
    const data = this.#at === 0 && end === piece.byteLength ? piece : piece.subarray(this.#at, end);
    this.#at = end;
    this.#chunkLeft -= data.byteLength;
    this.#decodedBytes += data.byteLength;
    this.#hash?.update(data);
    if (this.#chunkLeft === 0) {
      this.#checkChunk();
      this.#state = "after-data";
    }
    return data;
  }

  /** A line without its CRLF, once it is complete. Bare LF is refused, except in a trailer, where some clients send it. */
  #takeLine(piece: Uint8Array): string | undefined {
    const limit = this.#state === "trailer" ? CHUNK_LIMITS.trailerLineBytes : CHUNK_LIMITS.headerLineBytes;
    const start = this.#at;
    const end = piece.indexOf(LF, start);
    const stop = end < 0 ? piece.byteLength : end;
    const kept = this.#line?.byteLength ?? 0;
    if (kept + stop - start > limit) throw chunkError(`a line of its framing is longer than ${limit} bytes.`);
    const here = Buffer.from(piece.buffer, piece.byteOffset + start, stop - start);
    this.#at = end < 0 ? stop : stop + 1;
    if (end < 0) {
      this.#line = this.#line === undefined ? Buffer.from(here) : Buffer.concat([this.#line, here]);
      return undefined;
    }
    const whole = this.#line === undefined ? here : Buffer.concat([this.#line, here]);
    this.#line = undefined;
    const ended = whole.byteLength > 0 && whole[whole.byteLength - 1] === CR;
    if (!ended && this.#state !== "trailer") throw chunkError("a line of its framing does not end in CRLF.");
    this.#bareLf = !ended;
    return whole.toString("latin1", 0, ended ? whole.byteLength - 1 : whole.byteLength);
  }

  #beginChunk(line: string): void {
    const semicolon = line.indexOf(";");
    const size = semicolon < 0 ? line : line.slice(0, semicolon);
    if (!/^[0-9a-fA-F]{1,16}$/.test(size)) throw chunkError("a chunk does not begin with its size in hex.");
    this.#chunkLeft = Number.parseInt(size, 16);
    if (this.#chunkLeft > CHUNK_LIMITS.chunkBytes) throw chunkError(`a chunk is larger than ${CHUNK_LIMITS.chunkBytes} bytes.`);
    const { decodedBytes } = this.#options;
    if (decodedBytes !== undefined && this.#decodedBytes + this.#chunkLeft > decodedBytes)
      throw protocolError(
        "IncompleteBody",
        `The chunks hold more bytes than the ${decodedBytes} that x-amz-decoded-content-length announces.`,
      );
    if (this.#options.chain !== undefined) {
      this.#chunkSignature = chunkSignature(semicolon < 0 ? "" : line.slice(semicolon));
      this.#hash = createHash("sha256");
    }
    if (this.#chunkLeft > 0) {
      this.#state = "data";
      return;
    }
    this.#checkChunk();
    if (decodedBytes !== undefined && this.#decodedBytes !== decodedBytes)
      throw protocolError(
        "IncompleteBody",
        `The chunks hold ${this.#decodedBytes} bytes; x-amz-decoded-content-length announces ${decodedBytes}.`,
      );
    this.#state = this.#options.trailer ? "trailer" : "last-line";
  }

  #checkChunk(): void {
    const { chain } = this.#options;
    if (chain === undefined || this.#hash === undefined) return;
    const digest = this.#hash.digest("hex");
    this.#hash = undefined;
    if (!chain.acceptChunk(digest, this.#chunkSignature)) throw badSignature("a chunk");
  }

  #takeTrailer(line: string): void {
    this.#lineEndsInLf = this.#bareLf;
    const colon = line.indexOf(":");
    if (colon <= 0) throw trailerError("a line of it is not of the form name:value.");
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "x-amz-trailer-signature") {
      if (this.#trailerSignature !== undefined) throw trailerError("it has two signatures.");
      this.#trailerSignature = value;
      return;
    }
    if (this.#trailerSignature !== undefined) throw trailerError("its signature must be its last line.");
    if (this.#trailers.size >= CHUNK_LIMITS.trailers) throw trailerError(`it has more than ${CHUNK_LIMITS.trailers} lines.`);
    if (this.#trailers.has(name)) throw trailerError(`it has ${name} twice.`);
    if (!this.#options.announced.includes(name)) throw trailerError(`x-amz-trailer does not announce ${JSON.stringify(name)}.`);
    if (!this.#options.acceptsTrailer(name, value)) throw trailerError(`the value of ${name} is invalid.`);
    this.#trailers.set(name, value);
    this.#canonicalTrailer += `${name}:${value}\n`;
  }

  #finish(): void {
    const { chain, trailer, announced } = this.#options;
    if (trailer) {
      for (const name of announced)
        if (!this.#trailers.has(name)) throw trailerError(`${name}, announced in x-amz-trailer, is missing.`);
      if (chain !== undefined) {
        if (this.#trailerSignature === undefined) throw trailerError("x-amz-trailer-signature is missing.");
        const digest = createHash("sha256").update(this.#canonicalTrailer, "latin1").digest("hex");
        if (!chain.acceptTrailer(digest, this.#trailerSignature)) throw badSignature("the trailer");
      }
    }
    this.#state = "end";
  }

  /** Nothing may follow. */
  async #drain(): Promise<null> {
    if (this.#piece !== undefined && this.#at < this.#piece.byteLength) throw chunkError("data follows the end of the chunks.");
    this.#piece = undefined;
    if ((await this.#source.read()) !== null) throw chunkError("data follows the end of the chunks.");
    return null;
  }
}

const SIGNATURE = /^;chunk-signature=([0-9a-f]{64})$/;

/** The extension of a signed chunk; other extensions beside it would be unsigned, and mean nothing. */
function chunkSignature(extensions: string): string {
  const match = SIGNATURE.exec(extensions);
  if (match === null) throw chunkError("a chunk lacks its ;chunk-signature=<64 hex>.");
  return match[1]!;
}

function chunkError(detail: string): Error {
  return protocolError("InvalidChunkSizeError", `The aws-chunked body is malformed: ${detail}`);
}
function trailerError(detail: string): Error {
  return protocolError("MalformedTrailerError", `The trailer of the aws-chunked body is malformed: ${detail}`);
}
function badSignature(what: string): Error {
  return protocolError(
    "SignatureDoesNotMatch",
    `The signature of ${what} of the body does not match. Check your key and signing method.`,
  );
}
