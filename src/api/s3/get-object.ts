import type { FoundObject, StoredChecksum } from "../../model/object-service.ts";
import type { BucketCall, Services } from "./call.ts";
import { pushChecksum } from "./checksum-answer.ts";
import { judgeRead, rangeHolds } from "./conditions.ts";
import { invalidArgument, invalidRange, noSuchKey, preconditionFailed, s3Error } from "./errors.ts";
import { MAX_PART_NUMBER } from "./limits.ts";
import { pushKeptHeaders, wireText } from "./object-headers.ts";
import { operation } from "./operation.ts";
import { OVERRIDABLE, overridesOf } from "./overrides.ts";
import { parseRange, type ByteRange } from "./ranges.ts";
import { checkVersionId } from "./version-id.ts";

/**
 * GetObject and HeadObject: preconditions, range or part, headers, bytes.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
 */

const PARAMS = ["versionId", "partNumber", ...OVERRIDABLE.map((header) => `response-${header}`)];

export const GetObject = operation({
  scope: "object",
  right: "read",
  route: { method: "GET" },
  params: PARAMS,
  run: getObject,
});

export const HeadObject = operation({
  scope: "object",
  right: "read",
  route: { method: "HEAD" },
  params: PARAMS,
  run: headObject,
});

function getObject(call: BucketCall, services: Services): Promise<void> {
  return readObject(call, services, false);
}

function headObject(call: BucketCall, services: Services): Promise<void> {
  return readObject(call, services, true);
}

async function readObject(call: BucketCall, services: Services, headOnly: boolean): Promise<void> {
  const { request, query, answer } = call;
  const plain = query.parameters.length === 0;
  if (!plain) checkVersionId(query, call.key);
  const overrides = plain ? undefined : overridesOf(query);
  const partNumber = plain ? undefined : partNumberOf(call);
  const object = await services.objects.lookup({ bucket: call.bucket, key: call.key });
  if (object === null) throw noSuchKey(call.key);

  const headers = ["ETag", `"${object.etag}"`, "Last-Modified", services.dates.http(object.stampMs)];
  const verdict = judgeRead(object, {
    ifMatch: request.header("if-match"),
    ifUnmodifiedSince: request.header("if-unmodified-since"),
    ifNoneMatch: request.header("if-none-match"),
    ifModifiedSince: request.header("if-modified-since"),
    nowMs: services.clock.wallMs(),
  });
  if (verdict === "not-modified") {
    for (const [name, value] of object.headers.system)
      if (name === "cache-control" || name === "expires") headers.push(name, wireText(value));
    return answer.send(304, headers);
  }
  if (verdict !== "go") throw preconditionFailed(verdict);

  const selected = await select(call, object, partNumber);
  headers.push("Accept-Ranges", "bytes");
  pushKeptHeaders(headers, object.headers, overrides);
  const { start, end } = selected.range;
  if (selected.partial) headers.push("Content-Range", `bytes ${start}-${end - 1}/${object.sizeBytes}`);
  if (partNumber !== undefined && object.partCount > 0) headers.push("x-amz-mp-parts-count", String(object.partCount));
  if (request.header("x-amz-checksum-mode")?.toUpperCase() === "ENABLED") pushChecksum(headers, selected.checksum);

  const status = selected.partial ? 206 : 200;
  if (headOnly) {
    headers.push("Content-Length", String(end - start));
    return answer.send(status, headers);
  }
  if (start === end) return answer.send(status, headers);
  if (object.inline !== undefined)
    return answer.send(status, headers, selected.partial ? object.inline.subarray(start, end) : object.inline);

  headers.push("Content-Length", String(end - start));
  // The transport reads the first piece before the head goes out: if it is damaged the client gets an error, not a broken answer.
  return answer.stream(status, headers, object.open(selected.partial ? selected.range : undefined));
}

interface Selected {
  readonly range: ByteRange;
  /** 206 with Content-Range. */
  readonly partial: boolean;
  /** Checksum of exactly the selected bytes, where one is kept. */
  readonly checksum: StoredChecksum | undefined;
}

async function select(call: BucketCall, object: FoundObject, partNumber: number | undefined): Promise<Selected> {
  const { request } = call;
  const whole = { start: 0, end: object.sizeBytes };
  const rangeHeader = request.header("range");
  if (partNumber !== undefined) {
    if (rangeHeader !== undefined)
      throw s3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter");
    const part = await object.part(partNumber);
    if (part === null)
      throw s3Error("InvalidPartNumber", "", [
        ["PartNumberRequested", String(partNumber)],
        ["ActualPartCount", String(Math.max(1, object.partCount))],
      ]);
    const range = { start: part.offset, end: part.offset + part.sizeBytes };
    // No Content-Range can be written for no bytes.
    return { range, partial: part.sizeBytes > 0, checksum: checksumOfPart(object, part.checksum) };
  }
  if (rangeHeader === undefined || !rangeHolds(request.header("if-range"), object))
    return { range: whole, partial: false, checksum: object.checksum };
  const range = parseRange(rangeHeader, object.sizeBytes);
  if (range === "whole") return { range: whole, partial: false, checksum: object.checksum };
  if (range === "unsatisfiable") throw invalidRange(rangeHeader, object.sizeBytes);
  return { range, partial: true, checksum: undefined };
}

/** The part's value; the type is the object's: it says how those of the parts make up its own. */
function checksumOfPart(
  { partCount, checksum: whole }: FoundObject,
  part: StoredChecksum | undefined,
): StoredChecksum | undefined {
  if (partCount === 0) return whole;
  return part === undefined || whole === undefined ? part : { ...part, type: whole.type };
}

function partNumberOf({ query }: BucketCall): number | undefined {
  const value = query.get("partNumber");
  if (value === undefined) return undefined;
  const number = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > MAX_PART_NUMBER)
    throw invalidArgument(`Part number must be an integer between 1 and ${MAX_PART_NUMBER}, inclusive`, "partNumber", value);
  return number;
}
