import type { ChecksumAlgorithm, CompletedPart } from "../../model/object-service.ts";
import type { Clock } from "../../platform/clock.ts";
import { parseXml, textOf, XmlReader, type XmlElement } from "../common/xml-read.ts";
import { CHECKSUM_ALGORITHMS } from "./checksum-answer.ts";
import { s3Error } from "./errors.ts";
import { MAX_COMPLETE_XML_BYTES, MAX_PART_NUMBER } from "./limits.ts";
import { NEWER_CHECKSUM } from "./refused-families.ts";

/** 10,000 parts of eight elements (number, ETag, the five checksums), with quotes as entities around the ETag. */
const MAX_MARKS = 100_000;
const ROOTS = ["CompleteMultipartUpload", "CompleteMultipartUploadRequest"];

/**
 * The document of CompleteMultipartUpload. Every checksum of a part is passed on under its own name.
 *
 * @throws ApiError MalformedXML · InvalidPartOrder · NotImplemented (a checksum algorithm that isn't there)
 */
export async function parseCompletion(
  bytes: Uint8Array,
  { clock }: { readonly clock: Clock },
): Promise<readonly CompletedPart[]> {
  const parts: CompletedPart[] = [];
  let ordered = true;
  const take = (element: XmlElement): void => {
    const part = readPart(element);
    if (part.part <= (parts.at(-1)?.part ?? 0)) ordered = false;
    if (parts.length >= MAX_PART_NUMBER) throw s3Error("MalformedXML", `The document may name ${MAX_PART_NUMBER} parts.`);
    parts.push(part);
  };
  const rules = { root: ROOTS, bytes: MAX_COMPLETE_XML_BYTES, marks: MAX_MARKS, each: { Part: take } };
  new XmlReader(await parseXml(bytes, rules, { clock })).done();
  if (parts.length === 0) throw s3Error("MalformedXML", "The document must name at least one Part.");
  if (!ordered) throw s3Error("InvalidPartOrder");
  return parts;
}

/** By hand rather than by XmlReader: there are up to 10,000. */
function readPart({ children, text }: XmlElement): CompletedPart {
  let part: number | undefined;
  let etag: string | undefined;
  let checksums: Partial<Record<ChecksumAlgorithm, string>> | undefined;
  if (text.trim() !== "") throw s3Error("MalformedXML", "A Part has text where only elements are allowed.");
  for (const child of children) {
    const { name } = child;
    const value = textOf(child).trim();
    const algorithm = CHECKSUM_OF.get(name);
    if (name === "PartNumber" && part === undefined) part = partNumber(value);
    else if (name === "ETag" && etag === undefined) etag = unquoted(value);
    else if (algorithm !== undefined && checksums?.[algorithm] === undefined) {
      // Some clients write empty elements for the algorithms they don't use.
      if (value !== "") checksums = { ...checksums, [algorithm]: value };
    } else throw refused(name);
  }
  if (part === undefined) throw s3Error("MalformedXML", "Every Part needs a PartNumber.");
  if (etag === undefined) throw s3Error("MalformedXML", "Every Part needs an ETag.");
  return checksums === undefined ? { part, etag } : { part, etag, checksums };
}

const CHECKSUM_OF: ReadonlyMap<string, ChecksumAlgorithm> = new Map(
  CHECKSUM_ALGORITHMS.map((algorithm) => [`Checksum${algorithm}`, algorithm]),
);

function partNumber(text: string): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > MAX_PART_NUMBER)
    throw s3Error("MalformedXML", `A PartNumber must be an integer from 1 to ${MAX_PART_NUMBER}.`);
  return number;
}

function refused(name: string): Error {
  if (name.startsWith("Checksum") && NEWER_CHECKSUM.test(name.slice("Checksum".length)))
    return s3Error("NotImplemented", `CompleteMultipartUpload does not support the element ${name}. Leave it out.`, [
      ["Element", name],
    ]);
  return s3Error("MalformedXML", `A Part has an element ${JSON.stringify(name.slice(0, 100))} twice, or that is not known here.`);
}

function unquoted(etag: string): string {
  return etag.length >= 2 && etag.startsWith('"') && etag.endsWith('"') ? etag.slice(1, -1) : etag;
}
