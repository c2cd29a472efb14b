import { createHash } from "node:crypto";
import type { Upload } from "../../model/object-service.ts";
import type { HttpBodyError, HttpRequest } from "../../platform/http.ts";
import type { ByteSource } from "../../util/byte-source.ts";
import { type ApiError, type ProtocolErrorCode, protocolError } from "./api-error.ts";
import { AwsChunkedSource } from "./aws-chunked.ts";
import { type AnnouncedChecksums, algorithmOfHeader, isChecksumValue, parseChecksums } from "./checksum-headers.ts";
import type { PayloadMode } from "./payload-mode.ts";
import { type SmallChecksum, startChecksum } from "./small-checksum.ts";

/**
 * The body of a request as the object operations take it: aws-chunked taken off, chunk signatures checked while it is read,
 * announced checksums parsed. Nothing is read yet (so a refusal here comes before "100 Continue"). `source` rejects with ApiError
 * (IncompleteBody, InvalidChunkSizeError, SignatureDoesNotMatch, MalformedTrailerError …) or HttpBodyError (`bodyErrorAnswer`
 * says what to answer to that).
 *
 * @throws ApiError InvalidRequest, InvalidDigest, InvalidArgument for headers that contradict themselves.
 */
export function openUpload(request: HttpRequest, mode: PayloadMode): Upload {
  const announced = parseChecksums(request);
  const { source, sizeBytes, trailer } = openSource(request, mode, announced);
  return {
    source,
    ...(sizeBytes === undefined ? undefined : { sizeBytes }),
    ...(mode.kind === "digest" ? { sha256: mode.sha256 } : undefined),
    ...(announced.md5 === undefined ? undefined : { md5: announced.md5 }),
    ...(announced.algorithm === undefined
      ? undefined
      : { algorithm: announced.algorithm, expectedChecksum: trailer ?? (() => announced.value) }),
    // A getter: abort signals are made when somebody wants one, and a small PUT does not.
    get signal() {
      return request.signal;
    },
  };
}

/**
 * Reads a small body (XML) whole and verifies what was announced of it: length, SHA-256, Content-MD5, checksum.
 *
 * @returns `checked`: whether an MD5 or checksum was announced (DeleteObjects asks for one).
 * @throws ApiError MaxMessageLengthExceeded beyond `limitBytes`, IncompleteBody, BadDigest, XAmzContentSHA256Mismatch, and what
 *         `openUpload` throws; HttpBodyError.
 */
export async function readSmallBody(
  request: HttpRequest,
  mode: PayloadMode,
  { limitBytes }: { limitBytes: number },
): Promise<{ bytes: Uint8Array; checked: boolean }> {
  const announced = parseChecksums(request);
  const { source, sizeBytes, trailer } = openSource(request, mode, announced);
  if (sizeBytes !== undefined && sizeBytes > limitBytes) throw tooLong(limitBytes);
  const digests = {
    sha256: mode.kind === "digest" ? createHash("sha256") : undefined,
    md5: announced.md5 === undefined ? undefined : createHash("md5"),
    checksum: announced.algorithm === undefined ? undefined : startChecksum(announced.algorithm),
  };
  const bytes = await readAll(source, { limitBytes, digests: Object.values(digests) });
  if (sizeBytes !== undefined && bytes.byteLength !== sizeBytes)
    throw protocolError("IncompleteBody", `${bytes.byteLength} bytes were received; ${sizeBytes} were announced.`);
  if (mode.kind === "digest" && digests.sha256 !== undefined) verifyDigest(digests.sha256.digest("hex"), mode.sha256);
  if (announced.md5 !== undefined && digests.md5 !== undefined) verifyMd5(digests.md5.digest(), announced.md5);
  const expected = trailer === undefined ? announced.value : trailer();
  if (expected !== undefined && digests.checksum !== undefined && digests.checksum.digest() !== expected)
    throw protocolError("BadDigest", `The ${announced.algorithm} you specified did not match the calculated checksum.`);
  return { bytes, checked: announced.md5 !== undefined || announced.algorithm !== undefined };
}

/** What to answer when a body could not be read; undefined when nobody is there to be answered. */
export function bodyErrorAnswer(error: HttpBodyError): ApiError<ProtocolErrorCode> | undefined {
  switch (error.code) {
    case "client-gone":
    case "shutdown":
      return undefined;
    case "timeout":
      return protocolError(
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.",
      );
    case "malformed":
      return protocolError("IncompleteBody", `The body could not be read to its end: ${error.message}.`);
  }
}

/** Content-Encoding without the token aws-chunked, from any place in the list; undefined when nothing is left. */
export function storedContentEncoding(value: string | undefined): string | undefined {
  if (value === undefined || !/aws-chunked/i.test(value)) return value === "" ? undefined : value;
  const left = value
    .split(",")
    .map((token) => token.trim())
    .filter((token) => token !== "" && token.toLowerCase() !== "aws-chunked");
  return left.length === 0 ? undefined : left.join(",");
}

interface OpenedSource {
  readonly source: ByteSource;
  readonly sizeBytes: number | undefined;
  /** The announced trailer's value, after the end. */
  readonly trailer: (() => string | undefined) | undefined;
}

function openSource(request: HttpRequest, mode: PayloadMode, { trailer }: AnnouncedChecksums): OpenedSource {
  if (trailer !== undefined && (mode.kind !== "chunks" || !mode.trailer))
    throw protocolError(
      "InvalidRequest",
      "x-amz-trailer needs a body with a trailer: x-amz-content-sha256: STREAMING-…-TRAILER.",
    );
  if (mode.kind !== "chunks") return { source: request.body, sizeBytes: request.contentLength, trailer: undefined };
  const sizeBytes = decodedLength(request.header("x-amz-decoded-content-length"));
  const source = new AwsChunkedSource(request.body, {
    chain: mode.chain,
    trailer: mode.trailer,
    announced: trailer === undefined ? [] : [trailer],
    acceptsTrailer: isTrailerValue,
    decodedBytes: sizeBytes,
  });
  return { source, sizeBytes, trailer: trailer === undefined ? undefined : () => source.trailer(trailer) };
}

function isTrailerValue(name: string, value: string): boolean {
  const algorithm = algorithmOfHeader(name);
  return algorithm !== undefined && isChecksumValue(algorithm, value);
}

function decodedLength(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text))
    throw protocolError("InvalidArgument", "x-amz-decoded-content-length must be a number of bytes.", {
      elements: [
        ["ArgumentName", "x-amz-decoded-content-length"],
        ["ArgumentValue", text],
      ],
    });
  return Number(text);
}

/** Each piece is hashed as it comes: a long body in one go would hold up the event loop. */
async function readAll(
  source: ByteSource,
  { limitBytes, digests }: { limitBytes: number; digests: readonly (Pick<SmallChecksum, "update"> | undefined)[] },
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let piece = await source.read(); piece !== null; piece = await source.read()) {
    length += piece.byteLength;
    if (length > limitBytes) {
      source.cancel();
      throw tooLong(limitBytes);
    }
    // A piece is ours only until the next read. (slice() would be a view: pieces may be Buffers.)
    pieces.push(Buffer.from(piece));
    for (const digest of digests) digest?.update(piece);
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length);
}

function tooLong(limitBytes: number): Error {
  return protocolError("MaxMessageLengthExceeded", `Your request was too big: its body may have ${limitBytes} bytes.`, {
    elements: [["MaxMessageLengthBytes", String(limitBytes)]],
  });
}

function verifyDigest(computed: string, expected: string): void {
  if (computed === expected) return;
  throw protocolError(
    "XAmzContentSHA256Mismatch",
    "The provided 'x-amz-content-sha256' header does not match what was computed.",
    {
      elements: [
        ["ClientComputedContentSHA256", expected],
        ["S3ComputedContentSHA256", computed],
      ],
    },
  );
}

function verifyMd5(computed: Buffer, expected: Uint8Array): void {
  if (computed.equals(expected)) return;
  throw protocolError("BadDigest", "The Content-MD5 you specified did not match what we received.", {
    elements: [
      ["ExpectedDigest", Buffer.from(expected).toString("base64")],
      ["CalculatedDigest", computed.toString("base64")],
    ],
  });
}
