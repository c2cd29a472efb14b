import type { AccessKey, Bucket, ControlService } from "../../model/control-service.ts";
import type { ChecksumAlgorithm, ObjectHeaders, Upload } from "../../model/object-service.ts";
import type { HttpRequest } from "../../platform/http.ts";
import { isChecksumValue, checksumHeader } from "../common/checksum-headers.ts";
import { readPostForm, type PostForm } from "../common/post-form.ts";
import { checkPolicy, limitLength } from "../common/post-policy.ts";
import { uriEncode } from "../../util/uri-encoding.ts";
import { XML_HEAD, element } from "../common/xml-write.ts";
import type { FormCall, Services } from "./call.ts";
import { cannedAcl, noteIgnoredAcl } from "./canned-acl.ts";
import { CHECKSUM_ALGORITHMS } from "./checksum-answer.ts";
import { decodeWords } from "./encoded-words.ts";
import { invalidArgument, noSuchBucket, refusal, s3Error } from "./errors.ts";
import { checkKey } from "./keys.ts";
import { MAX_UPLOAD_BYTES } from "./limits.ts";
import { objectLocation } from "./location.ts";
import { checkKeptHeaders, isKept } from "./object-headers.ts";
import { operation } from "./operation.ts";
import { writtenHeaders } from "./put-object.ts";
import { isRefused } from "./refused-families.ts";
import { stillAllowed } from "./still-allowed.ts";
import { wantedChecksum } from "./wanted-checksum.ts";

/**
 * PostObject: an upload by a browser's form. The only call whose caller is known only from its body: the fields in front of the
 * file (20 KiB at most) are read first, then signature, policy and rights are judged, and only then the file.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
 */
export const PostObject = operation({
  scope: "bucket",
  right: "write",
  route: { method: "POST", mark: "form" },
  form: true,
  run: postObject,
});

async function postObject(call: FormCall, services: Services): Promise<void> {
  const { request, bucketName } = call;
  const form = await readPostForm(request);
  const { fields } = form;
  const { bucket, accessKey, sizes } = authorize(bucketName, fields, services);
  screenFields(fields);

  const key = fields.get("key") ?? "";
  if (key === "")
    throw invalidArgument(
      "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.",
      "key",
      "",
    );
  checkKey(key);
  const acl = cannedAcl(fields.get("acl"));
  const upload = uploadOf(form, request, sizes);
  const recheck = stillAllowed({ accessKey, bucket }, services);
  const outcome = await services.objects.put({ bucket, key, headers: headersOf(fields), upload, recheck });
  if (!outcome.ok) throw refusal(outcome, { bucketName, key });
  noteIgnoredAcl(acl, { id: bucket.id, name: bucketName }, services);
  const location = objectLocation({ request, bucketName, key, vhost: call.vhost });
  answerSuccess(call, { fields, key, location, headers: writtenHeaders(outcome), etag: outcome.etag });
}

function authorize(
  bucketName: string,
  fields: PostForm["fields"],
  services: Services,
): { bucket: Bucket; accessKey: AccessKey; sizes: { minBytes: number; maxBytes: number } } {
  const policy = fields.get("policy");
  const verdict = services.verifier.verifyPolicy(fields);
  if (!verdict.ok) throw verdict.error;
  if (verdict.key === undefined || policy === undefined)
    throw s3Error("AccessDenied", "Forms must carry a policy and its signature: anonymous uploads are not allowed.");
  const bucket = bucketFor(services.control, bucketName, verdict.key.id);
  const sizes = checkPolicy(policy, { fields, bucket: bucketName, nowMs: services.clock.wallMs() });
  return { bucket, accessKey: verdict.key, sizes };
}

function bucketFor(control: ControlService, name: string, keyId: string): Bucket {
  const bucket = control.resolveBucket(name, keyId);
  if (bucket === undefined) throw noSuchBucket(name);
  if (!bucket.rights(keyId).write) throw s3Error("AccessDenied", "This access key may not write to the bucket.");
  return bucket;
}

const NO_TAGS: readonly string[] = ["", "<Tagging><TagSet></TagSet></Tagging>", "<Tagging><TagSet/></Tagging>"];

/** A field of the name of a refused header asks for the same. The others that aren't known are for the page's own use. */
function screenFields(fields: PostForm["fields"]): void {
  for (const [name, value] of fields) {
    if (name === "tagging" ? NO_TAGS.includes(value.trim()) : !isRefused(name, value, { writes: true })) continue;
    throw s3Error("NotImplemented", `PostObject does not support the form field "${name}" with this value. Remove it.`, [
      ["Header", name],
    ]);
  }
}

function headersOf(fields: PostForm["fields"]): ObjectHeaders {
  const system: [string, string][] = [];
  const user: [string, string][] = [];
  for (const [name, value] of fields) {
    if (name.startsWith("x-amz-meta-")) user.push([name.slice("x-amz-meta-".length), decodeWords(value)]);
    else if (isKept(name) && value !== "") system.push([name, value]);
  }
  const headers = { system, user };
  checkKeptHeaders(headers);
  return headers;
}

function uploadOf(form: PostForm, request: HttpRequest, sizes: { minBytes: number; maxBytes: number }): Upload {
  const source = limitLength(form.file.source, {
    minBytes: sizes.minBytes,
    maxBytes: Math.min(sizes.maxBytes, MAX_UPLOAD_BYTES),
  });
  const checksum = checksumField(form.fields);
  const upload = { source, signal: request.signal };
  return checksum === undefined ? upload : { ...upload, algorithm: checksum.algorithm, expectedChecksum: () => checksum.value };
}

function checksumField(fields: PostForm["fields"]): { algorithm: ChecksumAlgorithm; value: string | undefined } | undefined {
  const wanted = wantedChecksum(fields.get("x-amz-checksum-algorithm"));
  let found: { algorithm: ChecksumAlgorithm; value: string | undefined } | undefined;
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    const value = fields.get(checksumHeader(algorithm));
    if (value === undefined) continue;
    if (found !== undefined) throw s3Error("InvalidRequest", "Expecting a single x-amz-checksum- field.");
    if (!isChecksumValue(algorithm, value))
      throw s3Error("InvalidRequest", `Value for ${checksumHeader(algorithm)} field is invalid.`);
    found = { algorithm, value };
  }
  if (wanted === undefined) return found;
  if (found !== undefined && found.algorithm !== wanted)
    throw s3Error("InvalidRequest", "The checksum field is not of the algorithm in x-amz-checksum-algorithm.");
  return found ?? { algorithm: wanted, value: undefined };
}

interface Stored {
  readonly fields: PostForm["fields"];
  readonly key: string;
  readonly location: string;
  readonly headers: string[];
  readonly etag: string;
}

function answerSuccess({ answer, bucketName }: FormCall, stored: Stored): void {
  const { fields, key, location, headers, etag } = stored;
  const redirect = redirectTarget(fields, { bucketName, key, etag });
  headers.push("Location", redirect ?? location);
  if (redirect !== undefined) {
    answer.send(303, headers);
    return;
  }
  const status = fields.get("success_action_status");
  if (status === "201")
    answer.xml(
      `${XML_HEAD}<PostResponse>${element("Location", location)}${element("Bucket", bucketName)}${element("Key", key)}` +
        `<ETag>&quot;${etag}&quot;</ETag></PostResponse>`,
      { status: 201, headers },
    );
  else answer.send(status === "200" ? 200 : 204, headers);
}

/** success_action_redirect (or its old name) with what was stored in the query; AWS ignores what is no URL. */
function redirectTarget(
  fields: PostForm["fields"],
  { bucketName, key, etag }: { bucketName: string; key: string; etag: string },
): string | undefined {
  const url = fields.get("success_action_redirect") ?? fields.get("redirect");
  if (url === undefined || !/^https?:\/\/[\x21-\x7e]+$/i.test(url)) return undefined;
  const [, target = "", mark = ""] = /^([^#]*)(#.*)?$/.exec(url) ?? [];
  const join = target.includes("?") ? "&" : "?";
  return `${target}${join}bucket=${uriEncode(bucketName)}&key=${uriEncode(key)}&etag=${uriEncode(`"${etag}"`)}${mark}`;
}
