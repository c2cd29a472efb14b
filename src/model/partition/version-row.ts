import { ByteReader } from "../../codec/byte-reader.ts";
import { ByteWriter } from "../../codec/byte-writer.ts";
import { ETAG_BYTES, readEtag, writeEtag } from "../../codec/etag.ts";
import { hexSlice, readU48 } from "../../codec/slices.ts";
import { unreachable } from "../../util/assert.ts";
import type { ClaimId, Hash, UploadId } from "../../util/ids.ts";
import type { BlockEntry, Body } from "../commands.ts";
import type { ObjectHeaders, StoredChecksum } from "../object-service.ts";
import { checkCodec, checksumCode, checksumOf, typeCode, typeOf } from "./object-row.ts";

/**
 * Payload of version rows and of part rows (tree bodies). A common beginning at fixed offsets:
 *   0 codec u8 · 1 kind of body u8 · 2 checksum algorithm u8 · 3 checksum type u8 · 4 stamp u48 · 10 size u48 · 16 ETag 18 · 34
 *   claim 16
 *   50 checksum text8
 * then, in version rows only, the headers; then the body as `kind` says (STORED_KINDS).
 */
export const VERSION_CODEC = 1;

/** Blocks up to this many are embedded in the row itself; longer lists lie in pages. */
export const EMBEDDED_BLOCKS = 64;
/** Parts up to this many are embedded in the version row. */
export const EMBEDDED_PARTS = 128;
/** Entries in a page row. */
export const PAGE_ENTRIES = 1024;

/** How the body of a stored version or part lies. */
export type StoredBody =
  | { readonly kind: "inline"; readonly bytes: Buffer }
  | { readonly kind: "blocks"; readonly blocks: readonly BlockEntry[] }
  /** Pages of the row's claim; `starts[n]` is the offset of page n's first byte. */
  | { readonly kind: "block-pages"; readonly starts: readonly number[] }
  /** Part rows of `upload`, in this order. */
  | { readonly kind: "parts"; readonly upload: UploadId; readonly parts: readonly PartEntry[] }
  /** The same, in pages of 1,024 parts. */
  | { readonly kind: "part-pages"; readonly upload: UploadId; readonly count: number; readonly starts: readonly number[] }
  /** The row was damaged: what its body was nobody knows any more. */
  | { readonly kind: "lost" };

const STORED_KINDS = ["inline", "blocks", "block-pages", "parts", "part-pages", "lost"] as const;

/** One part of a completed upload: the number under which its row lies, and its size. */
export interface PartEntry {
  readonly number: number;
  readonly size: number;
}

/** A version or part without its headers. `stored` may hold views of the row that was decoded. */
export interface Content {
  readonly stampMs: number;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly claim: ClaimId;
  readonly checksum: StoredChecksum | undefined;
  readonly stored: StoredBody;
}

export type ContentHead = Omit<Content, "stored">;

export interface Version extends Content {
  readonly headers: ObjectHeaders;
}

export function encodeVersion(version: Version): Buffer {
  const writer = beginContent(version, 256);
  writeHeaders(writer, version.headers);
  writeStored(writer, version.stored);
  return writer.finish();
}

export function decodeVersion(row: Buffer): Version {
  const reader = new ByteReader(row, CHECKSUM_AT);
  const checksum = readChecksum(row, reader);
  const headers = readHeaders(reader);
  return { ...contentHead(row, checksum), headers, stored: readStored(STORED_KINDS[row[1] as number], reader) };
}

export function encodePart(part: Content): Buffer {
  const writer = beginContent(part, 64);
  writeStored(writer, part.stored);
  return writer.finish();
}

export function decodePart(row: Buffer): Content {
  const reader = new ByteReader(row, CHECKSUM_AT);
  const checksum = readChecksum(row, reader);
  return { ...contentHead(row, checksum), stored: readStored(STORED_KINDS[row[1] as number], reader) };
}

/** A part without its body: completions and lists of parts look at thousands. */
export function decodePartHead(row: Buffer): ContentHead {
  return contentHead(row, readChecksum(row, new ByteReader(row, CHECKSUM_AT)));
}

/** Whether nobody knows any more what the version or part was whose row lies at `at` in a read buffer. */
export function isLostContent(row: Buffer, at: number): boolean {
  return STORED_KINDS[row[at + 1] as number] === "lost";
}

export function claimOfContent(row: Buffer, at: number): ClaimId {
  return hexSlice(row, at + CLAIM_AT, at + CHECKSUM_AT) as ClaimId;
}

/** What is left of a version or part whose row was damaged. */
export function lostContent(known: Partial<ContentHead> = {}): Version {
  const unknown = { stampMs: 0, sizeBytes: 0, etag: "0".repeat(32), claim: "0".repeat(32) as ClaimId, checksum: undefined };
  return { ...unknown, ...known, headers: { system: [], user: [] }, stored: { kind: "lost" } };
}

/** Of a version or part row that lies at `at` in a read buffer. */
export function stampOfVersion(row: Buffer, at: number): number {
  checkCodec(row[at], VERSION_CODEC, "version");
  return readU48(row, at + 4);
}

const CLAIM_AT = 16 + ETAG_BYTES;
const CHECKSUM_AT = CLAIM_AT + 16;

function beginContent(content: Content, others: number): ByteWriter {
  const { stored, checksum } = content;
  const body = stored.kind === "inline" ? stored.bytes.byteLength : stored.kind === "blocks" ? stored.blocks.length * 40 + 2 : 0;
  const writer = new ByteWriter(CHECKSUM_AT + others + body);
  writer
    .u8(VERSION_CODEC)
    .u8(STORED_KINDS.indexOf(stored.kind))
    .u8(checksumCode(checksum?.algorithm))
    .u8(typeCode(checksum?.type))
    .u48(content.stampMs)
    .u48(content.sizeBytes);
  writeEtag(writer, content.etag);
  return writer.hex(content.claim, 16).text8(checksum?.value ?? "");
}

function contentHead(row: Buffer, checksum: StoredChecksum | undefined): ContentHead {
  checkCodec(row[0], VERSION_CODEC, "version");
  const reader = new ByteReader(row, 4);
  const stampMs = reader.u48();
  const sizeBytes = reader.u48();
  const etag = readEtag(row, 16);
  return { stampMs, sizeBytes, etag, claim: row.toString("hex", CLAIM_AT, CHECKSUM_AT) as ClaimId, checksum };
}

function readChecksum(row: Buffer, reader: ByteReader): StoredChecksum | undefined {
  const value = reader.text8();
  const algorithm = checksumOf(row[2] as number);
  return algorithm === undefined ? undefined : { algorithm, type: typeOf(row[3] as number), value };
}

// ---- headers: [count u8]([name code u8, or 0 and text8][value text16])… [count u16]([name text16][value text16])…

/** Names that take one byte; the code is the place in the list, from 1: append only. */
const SYSTEM_NAMES = [
  "content-type",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "expires",
  "x-amz-website-redirect-location",
];

export function writeHeaders(writer: ByteWriter, headers: ObjectHeaders): void {
  writer.u8(headers.system.length);
  for (const [name, value] of headers.system) {
    const code = SYSTEM_NAMES.indexOf(name) + 1;
    writer.u8(code);
    if (code === 0) writer.text8(name);
    writer.text16(value);
  }
  writer.u16(headers.user.length);
  for (const [name, value] of headers.user) writer.text16(name).text16(value);
}

export function readHeaders(reader: ByteReader): ObjectHeaders {
  const system: [string, string][] = [];
  for (let count = reader.u8(); count > 0; count--) {
    const code = reader.u8();
    const name = code === 0 ? reader.text8() : (SYSTEM_NAMES[code - 1] ?? `unknown-${code}`);
    system.push([name, reader.text16()]);
  }
  const user: [string, string][] = [];
  for (let count = reader.u16(); count > 0; count--) user.push([reader.text16(), reader.text16()]);
  return { system, user };
}

// ---- bodies

/** Everything of a body but inline bytes: what an outbox row keeps of it. */
export function writeStored(writer: ByteWriter, stored: StoredBody): void {
  switch (stored.kind) {
    case "inline":
      writer.bytes(stored.bytes);
      return;
    case "blocks":
      writeBlocks(writer.u16(stored.blocks.length), stored.blocks);
      return;
    case "block-pages":
      writer.u16(stored.starts.length);
      for (const start of stored.starts) writer.u48(start);
      return;
    case "parts":
      writer.hex(stored.upload, 16).u16(stored.parts.length);
      writeParts(writer, stored.parts);
      return;
    case "part-pages":
      writer.hex(stored.upload, 16).u16(stored.count).u16(stored.starts.length);
      for (const start of stored.starts) writer.u48(start);
      return;
    case "lost":
      return;
    default:
      unreachable(stored);
  }
}

export function storedKindCode(stored: StoredBody): number {
  return STORED_KINDS.indexOf(stored.kind);
}

export function readStored(kind: StoredBody["kind"] | undefined, reader: ByteReader): StoredBody {
  switch (kind) {
    case "inline":
      return { kind, bytes: reader.bytes(reader.left) };
    case "blocks":
      return { kind, blocks: readBlocks(reader, reader.u16()) };
    case "block-pages":
      return { kind, starts: readStarts(reader) };
    case "parts":
      return { kind, upload: reader.hex(16) as UploadId, parts: readParts(reader, reader.u16()) };
    case "part-pages":
      return { kind, upload: reader.hex(16) as UploadId, count: reader.u16(), starts: readStarts(reader) };
    case "lost":
      return { kind };
    default:
      throw new RangeError("a body of a kind that this release does not know");
  }
}

export function storedKindOf(code: number): StoredBody["kind"] | undefined {
  return STORED_KINDS[code];
}

function readStarts(reader: ByteReader): number[] {
  const starts: number[] = [];
  for (let count = reader.u16(); count > 0; count--) starts.push(reader.u48());
  return starts;
}

function writeBlocks(writer: ByteWriter, blocks: readonly BlockEntry[]): void {
  for (const block of blocks) writer.hex(block.hash, 32).u32(block.size).u32(block.storedSize);
}

function readBlocks(reader: ByteReader, count: number): BlockEntry[] {
  const blocks: BlockEntry[] = [];
  for (; count > 0; count--) blocks.push({ hash: reader.hex(32) as Hash, size: reader.u32(), storedSize: reader.u32() });
  return blocks;
}

function writeParts(writer: ByteWriter, parts: readonly PartEntry[]): void {
  for (const part of parts) writer.u16(part.number).u48(part.size);
}

function readParts(reader: ByteReader, count: number): PartEntry[] {
  const parts: PartEntry[] = [];
  for (; count > 0; count--) parts.push({ number: reader.u16(), size: reader.u48() });
  return parts;
}

// ---- pages: [codec u8][count u16] and the entries; a lost one has the count 0xffff and none

const LOST_COUNT = 0xffff;

export function encodeLostPage(): Buffer {
  return new ByteWriter(3).u8(VERSION_CODEC).u16(LOST_COUNT).finish();
}

export function encodeBlockPage(blocks: readonly BlockEntry[]): Buffer {
  const writer = new ByteWriter(3 + blocks.length * 40).u8(VERSION_CODEC).u16(blocks.length);
  writeBlocks(writer, blocks);
  return writer.finish();
}

export function decodeBlockPage(row: Buffer): BlockEntry[] | "lost" {
  checkCodec(row[0], VERSION_CODEC, "block page");
  const reader = new ByteReader(row, 1);
  const count = reader.u16();
  return count === LOST_COUNT ? "lost" : readBlocks(reader, count);
}

export function encodePartPage(parts: readonly PartEntry[]): Buffer {
  const writer = new ByteWriter(3 + parts.length * 8).u8(VERSION_CODEC).u16(parts.length);
  writeParts(writer, parts);
  return writer.finish();
}

export function decodePartPage(row: Buffer): PartEntry[] | "lost" {
  checkCodec(row[0], VERSION_CODEC, "part page");
  const reader = new ByteReader(row, 1);
  const count = reader.u16();
  return count === LOST_COUNT ? "lost" : readParts(reader, count);
}

/** How a command's body will lie, and the page rows that it needs besides its own. */
export function layOut(body: Body): {
  readonly stored: StoredBody;
  readonly sizeBytes: number;
  readonly pages: readonly Buffer[];
} {
  if (body.kind === "inline") {
    const { bytes } = body;
    return {
      stored: { kind: "inline", bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) },
      sizeBytes: bytes.byteLength,
      pages: [],
    };
  }
  const { blocks, size } = body;
  if (blocks.length <= EMBEDDED_BLOCKS) return { stored: { kind: "blocks", blocks }, sizeBytes: size, pages: [] };
  const pages: Buffer[] = [];
  const starts: number[] = [];
  let offset = 0;
  for (let at = 0; at < blocks.length; at += PAGE_ENTRIES) {
    const page = blocks.slice(at, at + PAGE_ENTRIES);
    starts.push(offset);
    pages.push(encodeBlockPage(page));
    for (const block of page) offset += block.size;
  }
  return { stored: { kind: "block-pages", starts }, sizeBytes: size, pages };
}
