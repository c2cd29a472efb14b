import { assert } from "../util/assert.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { hexSlice } from "./slices.ts";

/** An ETag in a row: 16 raw bytes and the number of parts behind its "-" (0 = none). */
export const ETAG_BYTES = 18;

export function writeEtag(writer: ByteWriter, etag: string): void {
  if (etag.length === 32) {
    writer.hex(etag, 16).u16(0);
    return;
  }
  const parts = Number(etag.slice(33));
  assert(etag.charCodeAt(32) === 0x2d && parts > 0, "an ETag is 32 hex digits, of multipart objects with -N behind");
  writer.hex(etag.slice(0, 32), 16).u16(parts);
}

export function readEtag(buffer: Buffer, at: number): string {
  const parts = ((buffer[at + 16] as number) << 8) | (buffer[at + 17] as number);
  const hex = hexSlice(buffer, at, at + 16);
  return parts === 0 ? hex : `${hex}-${parts}`;
}
