/**
 * The request headers that ask for a guarantee, or for a wider effect, that isn't given here (P8): refused by name with 501,
 * unless the operation understands them or their value asks for nothing. Any other unknown header is ignored, as AWS does.
 * docs/s3.md lists exactly these names (a test compares); ADR 9 says why. What an operation understands stands in its record;
 * what a query parameter may ask for, in screen.ts.
 */
export interface RefusedFamily {
  /** As docs/s3.md shows it. */
  readonly name: string;
  /** Lower-case header names. */
  readonly header: RegExp;
  /** Refused on reads too; without it only on writes: an answer to a read can't pretend that anything was kept or changed. */
  readonly reads?: true;
  /** Whether a value (trimmed) asks for nothing that isn't done anyway. */
  readonly passes: (value: string) => boolean;
}

/**
 * Algorithms that AWS has and that aren't here yet. Names that AWS does not have either are 400 where an operation reads them.
 */
export const NEWER_CHECKSUM = /^(?:MD5|SHA512|XXHASH(?:3|64|128))$/i;

const never = (): boolean => false;
const empty = (value: string): boolean => value === "";
const oneOf =
  (...values: readonly string[]): RefusedFamily["passes"] =>
  (value) =>
    values.includes(value);

export const REFUSED_FAMILIES: readonly RefusedFamily[] = [
  // Conditions: `understood` of the operation names those that it decides.
  { name: "If-*, x-amz-*if-*", header: /^(?:x-amz-(?:.+-)?)?if-/, passes: never },
  { name: "x-amz-object-lock-*", header: /^x-amz-object-lock-/, passes: oneOf("", "OFF") },
  { name: "x-amz-bucket-object-lock-enabled", header: /^x-amz-bucket-object-lock-enabled$/, passes: oneOf("", "false", "False") },
  // Of a read as well: whoever sends a key expects bytes that nobody can read without it.
  {
    name: "x-amz-server-side-encryption-customer-*, x-amz-copy-source-server-side-encryption-customer-*",
    header: /^x-amz-(?:copy-source-)?server-side-encryption-customer-/,
    reads: true,
    passes: empty,
  },
  {
    name: "x-amz-server-side-encryption*",
    header: /^x-amz-server-side-encryption(?!-customer-)/,
    passes: oneOf("", "false", "False"),
  },
  { name: "x-amz-grant-*", header: /^x-amz-grant-/, passes: empty },
  { name: "x-amz-tagging", header: /^x-amz-tagging$/, passes: empty },
  // The second and third are taken and reported as STANDARD: they promise less than it, and cost as little.
  {
    name: "x-amz-storage-class",
    header: /^x-amz-storage-class$/,
    passes: oneOf("", "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA"),
  },
  {
    name: "x-amz-checksum-*",
    header: /^x-amz-checksum-(?!(?:crc32c?|crc64nvme|sha1|sha256|type|mode|algorithm)$)/,
    passes: never,
  },
  {
    name: "x-amz-checksum-algorithm, x-amz-sdk-checksum-algorithm",
    header: /^x-amz-(?:sdk-)?checksum-algorithm$/,
    passes: (value) => !NEWER_CHECKSUM.test(value),
  },
  {
    name: "x-amz-trailer",
    header: /^x-amz-trailer$/,
    passes: (value) => !value.split(",").some((name) => NEWER_CHECKSUM.test(name.trim().replace(/^x-amz-checksum-/i, ""))),
  },
  { name: "x-amz-copy-source-range", header: /^x-amz-copy-source-range$/, passes: empty },
  { name: "x-amz-write-offset-bytes", header: /^x-amz-write-offset-bytes$/, passes: empty },
];

// Most headers belong to none: one look tells.
const OF_READS = lookFor(REFUSED_FAMILIES.filter(({ reads }) => reads === true));
const OF_WRITES = lookFor(REFUSED_FAMILIES);

function lookFor(families: readonly RefusedFamily[]): { readonly any: RegExp; readonly families: readonly RefusedFamily[] } {
  return { any: new RegExp(families.map(({ header }) => header.source).join("|")), families };
}

/** Whether a header that the operation does not understand must be refused. @param name  lower-case. */
export function isRefused(name: string, value: string, { writes }: { readonly writes: boolean }): boolean {
  const { any, families } = writes ? OF_WRITES : OF_READS;
  return any.test(name) && families.some(({ header, passes }) => header.test(name) && !passes(value.trim()));
}
