/**
 * Text inside row keys so that the order of the keys is the byte order of the text's UTF-8.
 * Where nothing follows the text it stands as it is; where something follows, NUL becomes 00 FF and 00 01 ends it,
 * so no text is the beginning of another and shorter ones come first.
 */
const NUL_FOLLOWER = 0xff;
const END_FOLLOWER = 0x01;
/** Bytes that end an ordered text. */
export const ORDERED_END_BYTES = 2;

/** Bytes that `writeOrdered` will write, its end included. */
export function orderedLength(text: string): number {
  let length = Buffer.byteLength(text) + ORDERED_END_BYTES;
  for (let at = text.indexOf("\0"); at >= 0; at = text.indexOf("\0", at + 1)) length++;
  return length;
}

/** Writes the text and its end at `at`; returns the offset behind it. The buffer must have room. */
export function writeOrdered(target: Buffer, at: number, text: string): number {
  if (!text.includes("\0")) {
    at += target.write(text, at);
  } else {
    const plain = Buffer.from(text);
    for (const byte of plain) {
      target[at++] = byte;
      if (byte === 0) target[at++] = NUL_FOLLOWER;
    }
  }
  target[at++] = 0;
  target[at++] = END_FOLLOWER;
  return at;
}

/** Reads an ordered text that begins at `start`; `end` is the offset behind its end mark. */
export function readOrdered(source: Buffer, start: number): { readonly text: string; readonly end: number } {
  let at = source.indexOf(0, start);
  if (at >= 0 && source[at + 1] === END_FOLLOWER)
    return { text: source.toString("utf8", start, at), end: at + ORDERED_END_BYTES };
  const plain: number[] = [];
  for (at = start; at + 1 < source.length; at++) {
    const byte = source[at] as number;
    if (byte === 0) {
      if (source[at + 1] === END_FOLLOWER) return { text: Buffer.from(plain).toString(), end: at + ORDERED_END_BYTES };
      at++;
    }
    plain.push(byte);
  }
  throw new RangeError("ordered text without an end");
}

/**
 * The least key that is greater than every key beginning with `prefix`.
 * @param prefix  holds at least one byte below 0xFF.
 */
export function successor(prefix: Uint8Array): Buffer {
  let last = prefix.byteLength - 1;
  while (last >= 0 && prefix[last] === 0xff) last--;
  if (last < 0) throw new RangeError("a prefix of only 0xFF bytes has no successor");
  const next = Buffer.from(prefix.subarray(0, last + 1));
  next[last] = (next[last] as number) + 1;
  return next;
}
