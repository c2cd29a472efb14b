/**
 * User metadata beyond ASCII as headers carry it: encoded words of RFC 2047, as AWS sends them, since clients that take headers
 * for ASCII (Rust's, Python's) can't read anything else. In come both spellings: encoded words, and the UTF-8 bytes themselves.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
 */

const NOT_ASCII = /[^\x00-\x7f]/;
const CONTROL = /[\x00-\x1f\x7f]/;
const WORD = /=\?([\w-]{1,40})(?:\*[\w-]{0,40})?\?([BbQq])\?([^?\s]*)\?=/y;
const CHARSETS: Readonly<Record<string, "utf8" | "latin1">> = {
  "utf-8": "utf8",
  utf8: "utf8",
  "us-ascii": "utf8",
  "iso-8859-1": "latin1",
};
/** An encoded word has 75 characters at most: 63 of base64, so 45 bytes. */
const WORD_BYTES = 45;

/** ASCII for any text: itself, or encoded words with spaces between them. */
export function encodeWords(text: string): string {
  if (!NOT_ASCII.test(text)) return text;
  const words: string[] = [];
  let piece = "";
  let bytes = 0;
  // No character may be cut in two (RFC 2047 §5).
  for (const character of text) {
    const length = Buffer.byteLength(character);
    if (bytes + length > WORD_BYTES) {
      words.push(word(piece));
      piece = "";
      bytes = 0;
    }
    piece += character;
    bytes += length;
  }
  words.push(word(piece));
  return words.join(" ");
}

function word(text: string): string {
  return `=?UTF-8?B?${Buffer.from(text, "utf8").toString("base64")}?=`;
}

/**
 * The text that a value of encoded words stands for. What is ASCII without them, can't be decoded, or would hold control
 * characters stays as it is: it then comes back as it was sent.
 */
export function decodeWords(value: string): string {
  if (!value.includes("=?") || NOT_ASCII.test(value)) return value;
  let text = "";
  let at = 0;
  let afterWord = false;
  while (at < value.length) {
    const start = value.indexOf("=?", at);
    const between = value.slice(at, start < 0 ? value.length : start);
    WORD.lastIndex = start < 0 ? value.length : start;
    const match = start < 0 ? null : WORD.exec(value);
    if (match === null) {
      if (start < 0) return accepted(text + between, value);
      text += between + "=?";
      at = start + 2;
      afterWord = false;
      continue;
    }
    const decoded = decodeWord(match);
    if (decoded === undefined) return value;
    // Space between two encoded words belongs to the encoding (RFC 2047 §6.2).
    text += (afterWord && between.trim() === "" ? "" : between) + decoded;
    at = WORD.lastIndex;
    afterWord = true;
  }
  return accepted(text, value);
}

function accepted(text: string, value: string): string {
  return NOT_ASCII.test(text) && !CONTROL.test(text) ? text : value;
}

function decodeWord([, charset = "", encoding = "", content = ""]: RegExpExecArray): string | undefined {
  const name = charset.toLowerCase();
  const kind = Object.hasOwn(CHARSETS, name) ? CHARSETS[name] : undefined;
  if (kind === undefined) return undefined;
  const bytes = encoding.toUpperCase() === "B" ? fromBase64(content) : fromQuoted(content);
  if (bytes === undefined) return undefined;
  const text = bytes.toString(kind);
  // Bytes that are no UTF-8 would come back as others.
  return Buffer.from(text, kind).equals(bytes) ? text : undefined;
}

function fromBase64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0 ? Buffer.from(text, "base64") : undefined;
}

function fromQuoted(text: string): Buffer | undefined {
  if (/=(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  const bytes = text
    .replaceAll("_", " ")
    .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
}
