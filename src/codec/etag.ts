import { assert } from "../util/assert.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { hexSlice } from "./slices.ts";

/** An ETag in a row: 16 raw bytes and the number of parts behind its "-" (0 = none). */
export const ETAG_BYTES = 18;

const ETAG = /^[0-9a-f]{32}(?:-([1-9][0-9]{0,4}))?$/;

/** Whether the text (no quotes) is an ETag that rows can hold. */
export function isEtag(etag: string): boolean {
  const match = ETAG.exec(etag);
  return match !== null && (match[1] === undefined || Number(match[1]) <= 0xffff);
}

export function writeEtag(writer: ByteWriter, etag: string): void {
  assert(etag.length === 32 || etag.charCodeAt(32) === 0x2d, "an ETag is 32 hex digits, of multipart objects with -N behind");
  writer.hex(etag.slice(0, 32), 16).u16(etag.length === 32 ? 0 : Number(etag.slice(33)));
}

export function readEtag(buffer: Buffer, at: number): string {
  const parts = ((buffer[at + 16] as number) << 8) | (buffer[at + 17] as number);
  const hex = hexSlice(buffer, at, at + 16);
  return parts === 0 ? hex : `${hex}-${parts}`;
}
