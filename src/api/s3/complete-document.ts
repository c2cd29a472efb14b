import type { ChecksumAlgorithm, CompletedPart } from "../../model/object-service.ts";
import { parseXml, XmlReader, type XmlElement } from "../common/xml-read.ts";
import { CHECKSUM_ALGORITHMS } from "./checksum-answer.ts";
import { s3Error } from "./errors.ts";
import { MAX_PART_NUMBER } from "./limits.ts";

type Parts = readonly CompletedPart[];
type Checksums = Partial<Record<ChecksumAlgorithm, string>>;

/**
 * The document of CompleteMultipartUpload. 10,000 parts with checksums are more than the XML parser takes, and parsing 1,000 of them with it
 * holds the event loop up for 13 ms. So documents of the plain form that SDKs write are scanned (1 ms); all others go through the parser.
 *
 * @throws ApiError MalformedXML · InvalidPartOrder
 */
export function parseCompletion(bytes: Uint8Array): Parts {
  const parts = scanParts(bytes) ?? readParts(bytes);
  if (parts.length === 0) throw s3Error("MalformedXML", "The document must name at least one Part.");
  let last = 0;
  for (const { part } of parts) {
    if (part <= last) throw s3Error("InvalidPartOrder");
    last = part;
  }
  return parts;
}

/** 10,000 parts of three elements, two of their tags each, with quotes as entities around the ETag. */
const MAX_MARKS = 100_000;
const ROOTS = ["CompleteMultipartUpload", "CompleteMultipartUploadRequest"];
const HEAD =
  /\s*(?:<\?xml version="1\.0"(?: encoding="(?:UTF|utf)-8")?\s*\?>\s*)?<(CompleteMultipartUpload(?:Request)?)(?: xmlns="[\w:/.-]*")?>\s*/y;
/** Whitespace is taken behind elements only, so that no text can be matched in two ways. */
const PART = /<Part>\s*((?:<(?:PartNumber|ETag|Checksum\w+)>[\w"&;+/=-]*<\/\w+>\s*)+)<\/Part>\s*/y;
const FIELD =
  /<(PartNumber|ETag|Checksum(?:CRC32|CRC32C|CRC64NVME|SHA1|SHA256))>(\d{1,5}|(?:"|&quot;)?[\w+/=-]*(?:"|&quot;)?)<\/\1>\s*/y;

/** @returns undefined when the document is of another form than the plain one: the parser then decides. */
function scanParts(bytes: Uint8Array): Parts | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  HEAD.lastIndex = 0;
  const root = HEAD.exec(text)?.[1];
  if (root === undefined) return undefined;
  const parts: CompletedPart[] = [];
  PART.lastIndex = HEAD.lastIndex;
  let at = PART.lastIndex;
  for (let match = PART.exec(text); match !== null; match = PART.exec(text)) {
    at = PART.lastIndex;
    const part = scanPart(match[1] ?? "");
    if (part === undefined || parts.length >= MAX_PART_NUMBER) return undefined;
    parts.push(part);
  }
  return text.slice(at).trimEnd() === `</${root}>` ? parts : undefined;
}

function scanPart(fields: string): CompletedPart | undefined {
  let number: number | undefined;
  let etag: string | undefined;
  let checksums: Checksums | undefined;
  FIELD.lastIndex = 0;
  for (let at = 0; at < fields.length; at = FIELD.lastIndex) {
    const match = FIELD.exec(fields);
    if (match === null) return undefined;
    const [, name = "", value = ""] = match;
    if (name === "PartNumber") {
      if (number !== undefined || !/^\d+$/.test(value)) return undefined;
      number = Number(value);
    } else if (name === "ETag") {
      if (etag !== undefined) return undefined;
      etag = unquoted(value.replaceAll("&quot;", '"'));
    } else {
      const algorithm = name.slice("Checksum".length) as ChecksumAlgorithm;
      if (checksums?.[algorithm] !== undefined || value === "" || /["&]/.test(value)) return undefined;
      checksums = { ...checksums, [algorithm]: value };
    }
  }
  if (number === undefined || number < 1 || number > MAX_PART_NUMBER || etag === undefined) return undefined;
  return checksums === undefined ? { part: number, etag } : { part: number, etag, checksums };
}

/** AWS has these too; like everywhere else they are refused by name. */
const NEWER_CHECKSUM = /^Checksum(?:MD5|SHA512|XXHASH(?:3|64|128))$/;

function readParts(bytes: Uint8Array): Parts {
  const reader = new XmlReader(parseXml(bytes, { root: ROOTS, marks: MAX_MARKS }));
  const elements = reader.many("Part", MAX_PART_NUMBER);
  reader.done();
  return elements.map(readPart);
}

function readPart(found: XmlElement): CompletedPart {
  const reader = new XmlReader(found);
  const part = reader.optionalInteger("PartNumber", { min: 1, max: MAX_PART_NUMBER });
  const etag = unquoted(reader.text("ETag").trim());
  let checksums: Checksums | undefined;
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    const value = reader.optionalText(`Checksum${algorithm}`)?.trim();
    // Some clients write empty elements for the algorithms they don't use.
    if (value !== undefined && value !== "") checksums = { ...checksums, [algorithm]: value };
  }
  const newer = found.children.find(({ name }) => NEWER_CHECKSUM.test(name));
  if (newer !== undefined)
    throw s3Error("NotImplemented", `CompleteMultipartUpload does not support the element ${newer.name}. Leave it out.`, [
      ["Element", newer.name],
    ]);
  reader.done();
  if (part === undefined) throw s3Error("MalformedXML", "Every Part needs a PartNumber.");
  return checksums === undefined ? { part, etag } : { part, etag, checksums };
}

function unquoted(etag: string): string {
  return etag.length >= 2 && etag.startsWith('"') && etag.endsWith('"') ? etag.slice(1, -1) : etag;
}
