import { assert } from "../util/assert.ts";
import { MAX_U48, writeU48 } from "./slices.ts";

/** Builds one row's payload. Numbers are big-endian and unsigned; lengths stand before what they measure. */
export class ByteWriter {
  #buffer: Buffer;
  #at = 0;

  /** @param capacity  bytes expected; more are made room for. */
  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  u8(value: number): this {
    this.#room(1);
    this.#buffer[this.#at++] = value;
    return this;
  }

  u16(value: number): this {
    assert(value >= 0 && value <= 0xffff, "a 16-bit field holds its value");
    this.#room(2);
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
    return this;
  }

  u32(value: number): this {
    assert(value >= 0 && value <= 0xffff_ffff, "a 32-bit field holds its value");
    this.#room(4);
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
    return this;
  }

  u48(value: number): this {
    assert(value >= 0 && value <= MAX_U48, "a 48-bit field holds its value");
    this.#room(6);
    this.#at = writeU48(this.#buffer, value, this.#at);
    return this;
  }

  /** Exactly `bytes` bytes from lower-case hex. */
  hex(text: string, bytes: number): this {
    this.#room(bytes);
    const written = this.#buffer.write(text, this.#at, bytes, "hex");
    assert(written === bytes && text.length === bytes * 2, "a hex field has its exact length");
    this.#at += bytes;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.#room(bytes.byteLength);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.byteLength;
    return this;
  }

  /** UTF-8 behind one byte of length. */
  text8(text: string): this {
    const length = Buffer.byteLength(text);
    assert(length <= 0xff, "a short text field holds at most 255 bytes");
    this.#room(1 + length);
    this.#buffer[this.#at++] = length;
    this.#at += this.#buffer.write(text, this.#at, length);
    return this;
  }

  /** UTF-8 behind two bytes of length. */
  text16(text: string): this {
    const length = Buffer.byteLength(text);
    this.u16(length).#room(length);
    this.#at += this.#buffer.write(text, this.#at, length);
    return this;
  }

  /** What was written; the writer is not used after this. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.byteLength) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.byteLength * 2, this.#at + bytes));
    grown.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = grown;
  }
}
