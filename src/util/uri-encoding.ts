/**
 * Percent encoding as AWS signs and lists with it (RFC 3986 unreserved characters stay, upper-case hex):
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html ("UriEncode").
 */

const PLAIN = /^[A-Za-z0-9\-._~]*$/;
const PLAIN_PATH = /^[A-Za-z0-9\-._~/]*$/;
const LEFT_BY_JS = /[!'()*]/g;
const SLASH = /%2F/g;

/** Encodes all but unreserved characters. Lone surrogates (no UTF-8 exists for them) become U+FFFD. */
export function uriEncode(text: string): string {
  if (PLAIN.test(text)) return text;
  return encodeURIComponent(text.toWellFormed()).replace(LEFT_BY_JS, encodeOne);
}

/** The same, with "/" left as it is: keys in paths and in listings with encoding-type=url. */
export function uriEncodePath(text: string): string {
  if (PLAIN_PATH.test(text)) return text;
  return uriEncode(text).replace(SLASH, "/");
}

/**
 * Decodes percent escapes as strict UTF-8; "+" stays "+". A string with characters above 0x7F is taken as raw latin1 bytes off
 * the wire.
 * @returns undefined for a lone "%", a broken escape, or bytes that are no UTF-8.
 */
export function uriDecode(text: string): string | undefined {
  if (isAscii(text)) {
    if (!text.includes("%")) return text;
  } else {
    const escaped = escapeHighBytes(text);
    if (escaped === undefined) return undefined;
    text = escaped;
  }
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** The same for form encoding: "+" is a space. */
export function formDecode(text: string): string | undefined {
  return uriDecode(text.includes("+") ? text.replaceAll("+", " ") : text);
}

function encodeOne(character: string): string {
  return "%" + character.charCodeAt(0).toString(16).toUpperCase();
}

const NOT_ASCII = /[^\x00-\x7f]/;
function isAscii(text: string): boolean {
  return !NOT_ASCII.test(text);
}

/** Raw bytes ≥ 0x80 as escapes, so that one decoder judges whether they are UTF-8. */
function escapeHighBytes(text: string): string | undefined {
  let wide = false;
  const escaped = text.replace(/[^\x00-\x7f]/g, (character) => {
    const code = character.charCodeAt(0);
    if (code > 0xff) wide = true;
    return "%" + code.toString(16);
  });
  return wide ? undefined : escaped;
}
