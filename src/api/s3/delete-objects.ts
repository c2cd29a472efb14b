import { readSmallBody } from "../common/payload.ts";
import { XmlReader, parseXml, type XmlElement } from "../common/xml-read.ts";
import { S3_NAMESPACE, XML_HEAD, element, escapeXml } from "../common/xml-write.ts";
import type { BucketCall, Services } from "./call.ts";
import { checkMayCompare, ifMatchCondition } from "./conditions.ts";
import { finalErrorOf, refusal, s3Error } from "./errors.ts";
import { checkKey } from "./keys.ts";
import { DELETE_CONCURRENCY, MAX_DELETE_KEYS, MAX_XML_BYTES } from "./limits.ts";
import { operation } from "./operation.ts";
import { stillAllowed } from "./still-allowed.ts";
import { deletesCurrent } from "./version-id.ts";

/**
 * DeleteObjects: each key on its own, some at a time; the answer names them in the order of the request.
 * AWS demands Content-MD5 or a checksum; Garage does not, so requests without one are let in, and what is announced is checked.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
 */
export const DeleteObjects = operation({
  scope: "bucket",
  right: "write",
  route: { method: "POST", subresource: "delete" },
  run: deleteObjects,
});

async function deleteObjects(call: BucketCall, services: Services): Promise<void> {
  const { bytes } = await readSmallBody(call.request, call.payload, { limitBytes: MAX_XML_BYTES });
  if (bytes.byteLength === 0) throw s3Error("MissingRequestBodyError");
  const { quiet, victims } = await parseDelete(bytes, services);
  stillAllowed(call, services)();

  const results = new Array<string>(victims.length).fill("");
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < victims.length && !call.request.signal.aborted) {
      const at = next++;
      results[at] = await deleteOne(call, victims[at] as Victim, { quiet, services });
    }
  };
  await Promise.all(Array.from({ length: Math.min(DELETE_CONCURRENCY, victims.length) }, work));
  call.answer.xml(`${XML_HEAD}<DeleteResult xmlns="${S3_NAMESPACE}">${results.join("")}</DeleteResult>`);
}

interface Victim {
  readonly key: string;
  readonly version: string | undefined;
  readonly etag: string | undefined;
  /** Conditions that are not there: this key is answered 501. */
  readonly unsupported: string | undefined;
}

async function deleteOne(
  call: BucketCall,
  { key, version, etag, unsupported }: Victim,
  { quiet, services }: { readonly quiet: boolean; readonly services: Services },
): Promise<string> {
  try {
    checkKey(key);
    if (unsupported !== undefined)
      throw s3Error("NotImplemented", `DeleteObjects does not support the condition ${unsupported}. Leave it out.`);
    if (deletesCurrent(version)) {
      const { bucket, bucketName } = call;
      const condition = etag === undefined ? undefined : ifMatchCondition(etag);
      checkMayCompare(condition, call);
      const outcome = await services.objects.delete(condition === undefined ? { bucket, key } : { bucket, key, condition });
      if (!outcome.ok) throw refusal(outcome, { bucketName, key }, { condition: "If-Match" });
    }
    if (quiet) return "";
    return "<Deleted>" + element("Key", key) + versionXml(version) + "</Deleted>";
  } catch (error) {
    const { code, message, log } = finalErrorOf(error, { conditional: etag !== undefined });
    const kind = `${log} ${code} DeleteObjects of a key`;
    if (log === "error") services.trouble.write("error", kind, { err: error, key }, "DeleteObjects failed on a key");
    else if (log === "warn")
      services.trouble.write("warn", kind, { code, reason: String(error), key }, "DeleteObjects could not serve a key now");
    return `<Error><Key>${escapeXml(key)}</Key>${versionXml(version)}<Code>${code}</Code>${element("Message", message)}</Error>`;
  }
}

function versionXml(version: string | undefined): string {
  return version === undefined ? "" : element("VersionId", version);
}

async function parseDelete(
  bytes: Uint8Array,
  { clock }: Services,
): Promise<{ readonly quiet: boolean; readonly victims: readonly Victim[] }> {
  const victims: Victim[] = [];
  const take = (object: XmlElement): void => {
    if (victims.length >= MAX_DELETE_KEYS) throw s3Error("MalformedXML", `The document may name ${MAX_DELETE_KEYS} objects.`);
    victims.push(parseVictim(object));
  };
  const reader = new XmlReader(await parseXml(bytes, { root: ["Delete"], each: { Object: take } }, { clock }));
  const quiet = reader.optionalBoolean("Quiet") ?? false;
  reader.done();
  if (victims.length === 0) throw s3Error("MalformedXML", "The document must name at least one Object.");
  return { quiet, victims };
}

function parseVictim(object: XmlElement): Victim {
  const reader = new XmlReader(object);
  const key = reader.text("Key");
  const version = emptyAsAbsent(reader.optionalText("VersionId"));
  const etag = emptyAsAbsent(reader.optionalText("ETag"));
  const modified = reader.optionalText("LastModifiedTime");
  const size = reader.optionalText("Size");
  reader.done();
  if (key === "") throw s3Error("MalformedXML", "Every Object needs a Key that is not empty.");
  return {
    key,
    version,
    etag,
    unsupported: modified !== undefined ? "LastModifiedTime" : size !== undefined ? "Size" : undefined,
  };
}

function emptyAsAbsent(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
