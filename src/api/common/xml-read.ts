import { createRequire } from "node:module";
import type { SaxesParser } from "saxes";
import { type Clock, sleep } from "../../platform/clock.ts";
import { protocolError } from "./api-error.ts";

export const XML_LIMITS = {
  bytes: 1024 * 1024,
  depth: 16,
  /** Elements, attributes and entities together. 1,000 keys to delete with all their fields are 9,000. */
  marks: 32_768,
  /** Of one element: they are looked at together, at the end of their tag. */
  attributes: 64,
  /** Bytes that are parsed in one go, before others have their turn: 1–3 ms of CPU for plain documents, 10 ms for the densest. */
  sliceBytes: 32 * 1024,
  /** Control characters that stand for themselves; each costs 6 µs, as the parser complains of it. */
  controlCharacters: 1024,
} as const;

/** One element of a parsed document. Names without namespace prefix; attributes are read over. */
export interface XmlElement {
  readonly name: string;
  /** Its own text, entities resolved, not trimmed; "" when it has none. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

export interface XmlRules {
  /** Names the root element must have one of. */
  readonly root: readonly string[];
  /** For documents that are longer by right: other than `XML_LIMITS.bytes` and `.marks`. */
  readonly bytes?: number;
  readonly marks?: number;
  /** By name: takes a child of the root as soon as it is complete; it is then not among the root's children. May throw. */
  readonly each?: Readonly<Record<string, (child: XmlElement) => void>>;
}

const require = createRequire(import.meta.url);

/**
 * Parses a request's document strictly: well-formed, UTF-8, no DOCTYPE, no unknown entities, at most `XML_LIMITS.depth` deep.
 * Long documents are parsed in slices, with a timer between them, so that no document keeps others waiting.
 *
 * @throws ApiError MalformedXML with a message that says what is wrong; what `each` throws.
 */
export async function parseXml(bytes: Uint8Array, rules: XmlRules, { clock }: { readonly clock: Clock }): Promise<XmlElement> {
  const { bytes: limit = XML_LIMITS.bytes } = rules;
  if (bytes.byteLength > limit) throw malformed(`it is longer than ${limit} bytes.`);
  const document = new XmlDocument(rules);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (let at = 0; at < bytes.byteLength; at += XML_LIMITS.sliceBytes) {
    if (at > 0) await sleep(clock, 0);
    const slice = bytes.subarray(at, at + XML_LIMITS.sliceBytes);
    document.write(decodeUtf8(decoder, slice, { stream: true }));
  }
  document.write(decodeUtf8(decoder, new Uint8Array(0), { stream: false }));
  return document.end();
}

function decodeUtf8(decoder: TextDecoder, bytes: Uint8Array, options: { readonly stream: boolean }): string {
  try {
    return decoder.decode(bytes, options);
  } catch {
    throw malformed("it is no valid UTF-8.");
  }
}

/** An element while it is read. */
interface Open {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

/** Builds elements from the parser's events, and enforces what the parser does not. */
class XmlDocument {
  readonly #rules: XmlRules;
  readonly #parser: SaxesParser;
  readonly #open: Open[] = [];
  #root: XmlElement | undefined;
  #begun = false;
  #marks = 0;
  /** Of the tag that is read. */
  #attributes = 0;
  #controlCharacters = 0;

  constructor(rules: XmlRules) {
    this.#rules = rules;
    // Loaded with the first document: most stores at rest have read none, and it takes memory.
    const { SaxesParser: Parser } = require("saxes") as typeof import("saxes");
    const parser = new Parser({ position: false, defaultXMLVersion: "1.0", forceXMLVersion: true });
    this.#parser = parser;
    // Measured: with an eighth handler V8 keeps the parser's fields in a dictionary, and it becomes ten times slower.
    parser.on("error", (error) => {
      // XML 1.0 has no control characters, but keys may hold them, and clients write them as they are.
      if (error.message !== "disallowed character.") throw malformed(error.message);
      if (++this.#controlCharacters > XML_LIMITS.controlCharacters) throw malformed("it has too many control characters.");
    });
    parser.on("doctype", () => {
      throw malformed("it has a DOCTYPE, which is not accepted.");
    });
    parser.on("opentagstart", ({ name }) => this.#begin(localName(name)));
    parser.on("closetag", () => this.#end());
    parser.on("text", (text) => this.#text(text));
    parser.on("cdata", (text) => this.#text(text));
    parser.on("attribute", () => this.#attribute());
    // Its own method, private by its types: it refuses references to control characters ("&#x1;"), and can't count.
    (parser as unknown as { parseEntity: (entity: string) => string }).parseEntity = (entity) => this.#resolve(entity);
  }

  write(text: string): void {
    if (!this.#begun) {
      this.#begun = true;
      const encoding = /^<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']/.exec(text)?.[1];
      if (encoding !== undefined && !/^utf-?8$/i.test(encoding)) throw malformed("its encoding must be UTF-8.");
    }
    this.#parser.write(text);
  }

  end(): XmlElement {
    this.#parser.close();
    if (this.#root === undefined) throw malformed("it has no root element.");
    return this.#root;
  }

  #mark(): void {
    const { marks = XML_LIMITS.marks } = this.#rules;
    if (++this.#marks > marks)
      throw malformed(`it has more than ${marks} tags, attributes and entities. Send several smaller ones.`);
  }

  #attribute(): void {
    this.#mark();
    if (++this.#attributes > XML_LIMITS.attributes)
      throw malformed(`an element has more than ${XML_LIMITS.attributes} attributes.`);
  }

  #begin(name: string): void {
    this.#mark();
    this.#attributes = 0;
    const { root } = this.#rules;
    if (this.#open.length === 0 && !root.includes(name))
      throw malformed(`its root must be ${root.join(" or ")}, not ${quoted(name)}.`);
    if (this.#open.length >= XML_LIMITS.depth) throw malformed(`it is more than ${XML_LIMITS.depth} elements deep.`);
    this.#open.push({ name, text: "", children: [] });
  }

  #end(): void {
    const element = this.#open.pop() as Open;
    const parent = this.#open.at(-1);
    if (parent === undefined) {
      this.#root = element;
      return;
    }
    const { each } = this.#rules;
    const take =
      this.#open.length === 1 && each !== undefined && Object.hasOwn(each, element.name) ? each[element.name] : undefined;
    if (take === undefined) parent.children.push(element);
    else take(element);
  }

  /** Outside of the root only white space gets here. */
  #text(text: string): void {
    const element = this.#open.at(-1);
    if (element !== undefined) element.text += text;
  }

  /** The five named entities of XML and character references; anything else is refused. */
  #resolve(entity: string): string {
    this.#mark();
    const [, decimal, hex] = /^#(?:(\d{1,7})|[xX]([0-9a-fA-F]{1,6}))$/.exec(entity) ?? [];
    if (decimal === undefined && hex === undefined) {
      if (Object.hasOwn(NAMED, entity)) return NAMED[entity] as string;
    } else {
      const code = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
      if (code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)) return String.fromCodePoint(code);
    }
    throw malformed("it has an unknown entity or character reference.");
  }
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

/**
 * Takes an element's children by name and finds what nobody asked for: `done()` refuses it (P8: never ignore what you don't
 * understand). Every method throws ApiError MalformedXML naming the element.
 */
export class XmlReader {
  readonly element: XmlElement;
  readonly #taken = new Set<string>();

  constructor(element: XmlElement) {
    this.element = element;
  }

  /** Exactly one. */
  one(name: string): XmlElement {
    const found = this.optional(name);
    if (found === undefined) throw malformed(`${this.element.name} lacks its element ${name}.`);
    return found;
  }

  /** At most one. */
  optional(name: string): XmlElement | undefined {
    return this.many(name, 1)[0];
  }

  /** Any number up to `max`, in order. */
  many(name: string, max: number): readonly XmlElement[] {
    this.#taken.add(name);
    const found = this.element.children.filter((child) => child.name === name);
    if (found.length > max)
      throw malformed(
        `${this.element.name} has ${found.length} elements ${name}; at most ${max} ${max === 1 ? "is" : "are"} allowed.`,
      );
    return found;
  }

  /** Text of exactly one element without children; not trimmed. */
  text(name: string): string {
    return textOf(this.one(name));
  }

  /** The same of at most one. An empty element gives "". */
  optionalText(name: string): string | undefined {
    const found = this.optional(name);
    return found === undefined ? undefined : textOf(found);
  }

  /** "true"/"false" in any case; undefined when absent. */
  optionalBoolean(name: string): boolean | undefined {
    const text = this.optionalText(name)?.trim().toLowerCase();
    if (text === undefined) return undefined;
    if (text !== "true" && text !== "false") throw malformed(`${name} must be true or false.`);
    return text === "true";
  }

  /** A decimal integer in min ..= max; undefined when absent. */
  optionalInteger(name: string, { min, max }: { min: number; max: number }): number | undefined {
    const text = this.optionalText(name)?.trim();
    if (text === undefined) return undefined;
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw malformed(`${name} must be an integer from ${min} to ${max}.`);
    return value;
  }

  /** Refuses children that were not taken, and text between children. */
  done(): void {
    for (const child of this.element.children)
      if (!this.#taken.has(child.name))
        throw malformed(`${this.element.name} has an element ${quoted(child.name)} that is not known here.`);
    if (this.element.text.trim() !== "") throw malformed(`${this.element.name} has text where only elements are allowed.`);
  }
}

/** Text of an element that must hold nothing else. */
export function textOf(element: XmlElement): string {
  if (element.children.length > 0) throw malformed(`${element.name} must hold text only.`);
  return element.text;
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 100));
}

/** AWS's sentence, and what is wrong with this document. */
function malformed(detail: string): Error {
  return protocolError(
    "MalformedXML",
    `The XML you provided was not well-formed or did not validate against our published schema: ${detail}`,
  );
}
