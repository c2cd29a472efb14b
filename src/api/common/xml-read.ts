import { createRequire } from "node:module";
import { protocolError } from "./api-error.ts";

export const XML_LIMITS = {
  bytes: 1024 * 1024,
  depth: 16,
  /**
   * Tags, comments and entities together. Each costs the event loop 3–5 µs, so 1 MiB of empty elements would hold it up for more than a second.
   * 1,000 keys to delete with all their fields are 12,000.
   */
  marks: 32_768,
} as const;

/** One element of a parsed document. Names without namespace prefix. */
export interface XmlElement {
  readonly name: string;
  /** Its own text, entities resolved, not trimmed; "" when it has none. */
  readonly text: string;
  readonly children: readonly XmlElement[];
  /** Attributes by name without prefix (xsi:type is "type"); xmlns declarations left out. */
  readonly attributes: ReadonlyMap<string, string>;
}

/** Documents in order, with nothing interpreted: no numbers, no trimming, no entities (they are resolved here, strictly). */
const require = createRequire(import.meta.url);

const PARSER_OPTIONS = {
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: "",
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  processEntities: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  cdataPropName: "#cdata",
  maxNestedTags: XML_LIMITS.depth,
} as const;

/**
 * Parses a request's document strictly: well-formed, UTF-8, no DOCTYPE, no unknown entities, at most `XML_LIMITS.depth` deep.
 *
 * @param root   names the root element must have one of.
 * @param marks  for documents that are longer by right: other than `XML_LIMITS.marks`.
 * @throws ApiError MalformedXML with a message that says what is wrong.
 */
export function parseXml(
  bytes: Uint8Array,
  { root, marks = XML_LIMITS.marks }: { readonly root: readonly string[]; readonly marks?: number },
): XmlElement {
  const text = decodeUtf8(bytes);
  if (marksOf(bytes) > marks) throw malformed(`it has more than ${marks} tags and entities. Send several smaller ones.`);
  if (/<!DOCTYPE/i.test(text)) throw malformed("it has a DOCTYPE, which is not accepted.");
  const encoding = /^<\?xml\s[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']/.exec(text)?.[1];
  if (encoding !== undefined && !/^utf-?8$/i.test(encoding)) throw malformed("its encoding must be UTF-8.");
  const document = readNodes(parseStrictly(text), 0);
  const [element] = document.children;
  if (element === undefined || document.children.length > 1) throw malformed("it must have exactly one root element.");
  if (document.text.trim() !== "" || !endsWithTag(text)) throw malformed("it has text outside its root element.");
  if (!root.includes(element.name)) throw malformed(`its root must be ${root.join(" or ")}, not ${quoted(element.name)}.`);
  return element;
}

/**
 * Takes an element's children by name and finds what nobody asked for: `done()` refuses it (P8: never ignore what you don't understand).
 * Every method throws ApiError MalformedXML naming the element.
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

function decodeUtf8(bytes: Uint8Array): string {
  if (bytes.byteLength > XML_LIMITS.bytes) throw malformed(`it is longer than ${XML_LIMITS.bytes} bytes.`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed("it is no valid UTF-8.");
  }
}

const LESS_THAN = 0x3c;
const AMPERSAND = 0x26;

function marksOf(bytes: Uint8Array): number {
  let marks = 0;
  for (let at = 0; at < bytes.byteLength; at++) if (bytes[at] === LESS_THAN || bytes[at] === AMPERSAND) marks++;
  return marks;
}

/** Nodes as fast-xml-parser gives them with preserveOrder: one key (the name, #text or #cdata), and ":@" with the attributes. */
type ParsedNode = Readonly<Record<string, unknown>>;

function parseStrictly(text: string): readonly ParsedNode[] {
  try {
    // Loaded with the first document: most stores at rest have read none, and it takes memory.
    const { XMLParser, XMLValidator } = require("fast-xml-parser") as typeof import("fast-xml-parser");
    // The parser itself accepts much that is not XML (unclosed elements): the validator does not.
    const verdict = XMLValidator.validate(text);
    if (verdict !== true) throw malformed(`line ${verdict.err.line}: ${verdict.err.msg}`);
    return new XMLParser(PARSER_OPTIONS).parse(text) as ParsedNode[];
  } catch (error) {
    if (error instanceof Error && error.name === "ApiError") throw error;
    throw malformed(error instanceof Error ? error.message : "it can't be parsed.");
  }
}

/** Whether nothing but comments and processing instructions follows the last tag: the parser drops text there. */
function endsWithTag(text: string): boolean {
  let rest = text.trimEnd();
  for (let start = 0; start >= 0; ) {
    start = rest.endsWith("-->") ? rest.lastIndexOf("<!--") : rest.endsWith("?>") ? rest.lastIndexOf("<?") : -1;
    if (start >= 0) rest = rest.slice(0, start).trimEnd();
  }
  return rest.endsWith(">");
}

function readNodes(nodes: readonly ParsedNode[], depth: number): { text: string; children: XmlElement[] } {
  if (depth > XML_LIMITS.depth) throw malformed(`it is more than ${XML_LIMITS.depth} elements deep.`);
  let text = "";
  const children: XmlElement[] = [];
  for (const node of nodes) {
    const name = Object.keys(node).find((key) => key !== ":@");
    if (name === undefined) continue;
    if (name === "#text") text += resolveEntities(String(node[name]));
    else if (name === "#cdata") text += (node[name] as ParsedNode[]).map((part) => String(part["#text"] ?? "")).join("");
    else {
      const content = readNodes(node[name] as ParsedNode[], depth + 1);
      children.push({
        name,
        ...content,
        attributes: readAttributes(node[":@"] as Readonly<Record<string, unknown>> | undefined),
      });
    }
  }
  return { text, children };
}

const NO_ATTRIBUTES: ReadonlyMap<string, string> = new Map();

function readAttributes(attributes: Readonly<Record<string, unknown>> | undefined): ReadonlyMap<string, string> {
  if (attributes === undefined) return NO_ATTRIBUTES;
  const read = new Map<string, string>();
  for (const [name, value] of Object.entries(attributes)) if (name !== "xmlns") read.set(name, resolveEntities(String(value)));
  return read;
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The five named entities of XML and character references, each replaced once; anything else behind "&" is refused. */
function resolveEntities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));|&/g, (_, name, decimal, hex) => {
    if (name !== undefined) return NAMED[name]!;
    const code = decimal !== undefined ? Number(decimal) : hex !== undefined ? Number.parseInt(hex, 16) : Number.NaN;
    if (!(code <= 0x10ffff) || (code >= 0xd800 && code <= 0xdfff))
      throw malformed("it has an unknown entity or character reference.");
    return String.fromCodePoint(code);
  });
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
