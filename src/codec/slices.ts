/**
 * Buffer's direct slice functions: what `toString(encoding)` calls after sorting out its arguments (measured: 40 ns less a call,
 * in lists thrice a key).
 */
interface DirectSlices {
  latin1Slice(start: number, end: number): string;
  utf8Slice(start: number, end: number): string;
  hexSlice(start: number, end: number): string;
}

export function latin1Slice(buffer: Buffer, start: number, end: number): string {
  return (buffer as unknown as DirectSlices).latin1Slice(start, end);
}

export function utf8Slice(buffer: Buffer, start: number, end: number): string {
  return (buffer as unknown as DirectSlices).utf8Slice(start, end);
}

export function hexSlice(buffer: Buffer, start: number, end: number): string {
  return (buffer as unknown as DirectSlices).hexSlice(start, end);
}

/** Unsigned 48-bit big-endian number (times in ms, sizes in bytes). */
export function readU48(buffer: Buffer, at: number): number {
  return (
    ((buffer[at] as number) * 256 + (buffer[at + 1] as number)) * 0x1_0000_0000 +
    (buffer[at + 2] as number) * 0x100_0000 +
    ((buffer[at + 3] as number) << 16) +
    ((buffer[at + 4] as number) << 8) +
    (buffer[at + 5] as number)
  );
}

export function writeU48(buffer: Buffer, value: number, at: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  const low = value >>> 0;
  buffer[at] = high >>> 8;
  buffer[at + 1] = high;
  buffer[at + 2] = low >>> 24;
  buffer[at + 3] = low >>> 16;
  buffer[at + 4] = low >>> 8;
  buffer[at + 5] = low;
  return at + 6;
}

export const MAX_U48 = 0xffff_ffff_ffff;
