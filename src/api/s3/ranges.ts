/** Byte ranges: Range of reads, x-amz-copy-source-range of copies. All results are [start, end). */

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const RANGE = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i;
const COPY_RANGE = /^bytes=(\d+)-(\d+)$/;

/**
 * One range of a Range header (RFC 9110 §14): first–last, first–, –suffix.
 * @returns "whole" for what is to be ignored: several ranges, another unit, malformed · "unsatisfiable" for 416.
 */
export function parseRange(header: string, sizeBytes: number): ByteRange | "whole" | "unsatisfiable" {
  const match = RANGE.exec(header);
  if (match === null) return "whole";
  const [, first = "", last = ""] = match;
  if (first === "") {
    if (last === "") return "whole";
    const suffix = toNumber(last);
    if (suffix === 0) return "unsatisfiable";
    // AWS answers 200 and no bytes: readers of a file's last bytes don't know that it is empty.
    if (sizeBytes === 0) return "whole";
    return { start: Math.max(0, sizeBytes - suffix), end: sizeBytes };
  }
  const start = toNumber(first);
  if (last !== "" && toNumber(last) < start) return "whole";
  if (start >= sizeBytes) return "unsatisfiable";
  return { start, end: last === "" ? sizeBytes : Math.min(toNumber(last) + 1, sizeBytes) };
}

/** "bytes=first-last", nothing else. @returns undefined when malformed. */
export function parseCopyRange(header: string): ByteRange | undefined {
  const match = COPY_RANGE.exec(header.trim());
  if (match === null) return undefined;
  const start = toNumber(match[1] ?? "");
  const end = toNumber(match[2] ?? "") + 1;
  return start < end ? { start, end } : undefined;
}

/** Digits of any length: beyond 2^53 the exact value does not matter, only that it is beyond every object. */
function toNumber(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 1);
}
