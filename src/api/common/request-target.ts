import { formDecode, uriDecode } from "../../util/uri-encoding.ts";
import { protocolError } from "./api-error.ts";

/**
 * A request target, split but not normalized: WHATWG URL classes would turn /b/a/../k into /b/k and break keys and signatures.
 */
export interface RequestTarget {
  /** Path as received, percent escapes and all; begins with "/" ("*" for OPTIONS *). */
  readonly rawPath: string;
  /** Without "?"; "" when absent. */
  readonly rawQuery: string;
  readonly query: Query;
}

export interface QueryParameter {
  readonly name: string;
  /** "" for both `?acl` and `?acl=`. */
  readonly value: string;
}

/** Decoded parameters in the order received ("+" is a space, as S3 reads queries). Names are case-sensitive. */
export class Query {
  readonly parameters: readonly QueryParameter[];

  constructor(parameters: readonly QueryParameter[]) {
    this.parameters = parameters;
  }

  /** The first value; undefined when absent. */
  get(name: string): string | undefined {
    for (const parameter of this.parameters) if (parameter.name === name) return parameter.value;
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** How often it occurs; a known parameter given twice is a client's mistake that must not be half obeyed. */
  count(name: string): number {
    let count = 0;
    for (const parameter of this.parameters) if (parameter.name === name) count++;
    return count;
  }
}

/** No operation has more than a few; each costs time before anybody knows who asks. */
export const MAX_PARAMETERS = 1000;

const NO_PARAMETERS: readonly QueryParameter[] = Object.freeze([]);

/**
 * Splits a target ("/path?query", "http://host/path?query" or "*").
 * @throws ApiError InvalidURI for anything else, and for a query whose escapes are no UTF-8.
 */
export function parseTarget(target: string): RequestTarget {
  const origin = target.charCodeAt(0) === 0x2f || target === "*" ? target : stripAuthority(target);
  const mark = origin.indexOf("?");
  if (mark < 0) return { rawPath: origin, rawQuery: "", query: new Query(NO_PARAMETERS) };
  const rawQuery = origin.slice(mark + 1);
  return { rawPath: origin.slice(0, mark), rawQuery, query: new Query(parseQuery(rawQuery)) };
}

/** Decodes a path or a part of it; "+" stays "+". @throws ApiError InvalidURI. */
export function decodePath(rawPath: string): string {
  const path = uriDecode(rawPath);
  if (path === undefined) throw protocolError("InvalidURI", "The path holds a percent escape that is broken or no UTF-8.");
  return path;
}

/**
 * @param decode  `uriDecode` reads "+" as itself. @throws ApiError InvalidURI when an escape is broken or no UTF-8, and for too
 * many.
 */
export function parseQuery(rawQuery: string, decode: Decode = formDecode): QueryParameter[] {
  const parameters: QueryParameter[] = [];
  let at = 0;
  while (at < rawQuery.length) {
    let end = rawQuery.indexOf("&", at);
    if (end < 0) end = rawQuery.length;
    if (end > at) {
      if (parameters.length >= MAX_PARAMETERS)
        throw protocolError("InvalidURI", `The query has more than ${MAX_PARAMETERS} parameters.`);
      parameters.push(parseParameter(rawQuery.slice(at, end), decode));
    }
    at = end + 1;
  }
  return parameters;
}

type Decode = (text: string) => string | undefined;

function parseParameter(text: string, decode: Decode): QueryParameter {
  const equals = text.indexOf("=");
  const name = decode(equals < 0 ? text : text.slice(0, equals));
  const value = equals < 0 ? "" : decode(text.slice(equals + 1));
  if (name === undefined || value === undefined)
    throw protocolError("InvalidURI", "The query holds a percent escape that is broken or no UTF-8.");
  return { name, value };
}

function stripAuthority(target: string): string {
  const match = /^https?:\/\/[^/?#]*/i.exec(target);
  if (match === null) throw protocolError("InvalidURI", "The request target must begin with a slash.");
  const rest = target.slice(match[0].length);
  return rest.startsWith("/") ? rest : "/" + rest;
}
