/** One element of a parsed document. Names without namespace prefix. */
export interface XmlElement {
  readonly name: string;
  /** Its own text, entities resolved, not trimmed; "" when it has none. */
  readonly text: string;
  readonly children: readonly XmlElement[];
  /** Attributes by name without prefix (xsi:type is "type"); xmlns declarations left out. */
  readonly attributes: ReadonlyMap<string, string>;
}

/**
 * Parses a request's document strictly: well-formed, UTF-8, no DOCTYPE, no unknown entities, at most `XML_LIMITS.depth` deep.
 *
 * @param root  names the root element must have one of.
 * @throws ApiError MalformedXML with a message that says what is wrong.
 */
export function parseXml(_bytes: Uint8Array, _options: { root: readonly string[] }): XmlElement {
  throw new Error("in the making");
}

/**
 * Takes an element's children by name and finds what nobody asked for: `done()` refuses it (P8: never ignore what you don't understand).
 * Every method throws ApiError MalformedXML naming the element.
 */
export class XmlReader {
  readonly element: XmlElement;
  constructor(element: XmlElement) {
    this.element = element;
  }

  /** Exactly one. */
  one(_name: string): XmlElement {
    throw new Error("in the making");
  }
  /** At most one. */
  optional(_name: string): XmlElement | undefined {
    throw new Error("in the making");
  }
  /** Any number up to `max`, in order. */
  many(_name: string, _max: number): readonly XmlElement[] {
    throw new Error("in the making");
  }
  /** Text of exactly one element without children; not trimmed. */
  text(_name: string): string {
    throw new Error("in the making");
  }
  /** The same of at most one. An empty element gives "". */
  optionalText(_name: string): string | undefined {
    throw new Error("in the making");
  }
  /** "true"/"false" in any case; undefined when absent. */
  optionalBoolean(_name: string): boolean | undefined {
    throw new Error("in the making");
  }
  /** A decimal integer in min ..= max; undefined when absent. */
  optionalInteger(_name: string, _range: { min: number; max: number }): number | undefined {
    throw new Error("in the making");
  }
  /** Refuses children that were not taken, and text between children. */
  done(): void {
    throw new Error("in the making");
  }
}
