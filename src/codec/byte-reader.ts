import { hexSlice, readU48, utf8Slice } from "./slices.ts";

/** Reads one row's payload field by field, as ByteWriter wrote it. Reading beyond the end throws RangeError. */
export class ByteReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  constructor(buffer: Buffer, start = 0, end = buffer.byteLength) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  /** Offset of the next field in the buffer. */
  get position(): number {
    return this.#at;
  }

  u8(): number {
    return this.#buffer[this.#take(1)] as number;
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  u48(): number {
    return readU48(this.#buffer, this.#take(6));
  }

  hex(bytes: number): string {
    const at = this.#take(bytes);
    return hexSlice(this.#buffer, at, at + bytes);
  }

  /** A view, not a copy. */
  bytes(count: number): Buffer {
    const at = this.#take(count);
    return this.#buffer.subarray(at, at + count);
  }

  text8(): string {
    const length = this.u8();
    const at = this.#take(length);
    return utf8Slice(this.#buffer, at, at + length);
  }

  text16(): string {
    const length = this.u16();
    const at = this.#take(length);
    return utf8Slice(this.#buffer, at, at + length);
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#end) throw new RangeError("a row ends before its last field");
    this.#at = at + bytes;
    return at;
  }
}
