import type { HttpRequest } from "../../platform/http.ts";
import type { Query } from "../common/request-target.ts";
import { invalidArgument, s3Error } from "./errors.ts";
import { OPERATIONS, type LiveOperation } from "./operations.ts";
import { OVERRIDABLE } from "./overrides.ts";
import { isRefused } from "./refused-families.ts";
import { isSubResource } from "./route.ts";

/**
 * Refuses what asks for a guarantee or a wider effect that an operation does not give (P8): headers of `REFUSED_FAMILIES` and, on
 * writes, query parameters that choose another operation, another version or another part. Any other unknown header or parameter
 * is ignored, as AWS does: whole families of clients send them. Reads with unknown ones are always answered.
 */
export function screen(operation: LiveOperation, request: Pick<HttpRequest, "rawHeaders">, query: Query): void {
  const rules = RULES[operation];
  const { writes } = OPERATIONS[operation];
  const { rawHeaders } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const raw = rawHeaders[at] as string;
    const first = raw.charCodeAt(0) | 0x20;
    // Only If-* and x-amz-* can be meant: most names are passed over without a new string.
    if (first !== X && first !== I) continue;
    const name = raw.toLowerCase();
    const value = rawHeaders[at + 1] as string;
    if (!rules.understood.has(name) && isRefused(name, value, { writes })) throw refusedHeader(operation, raw, value);
  }
  if (query.parameters.length > 0) screenQuery(operation, rules, query);
}

interface Rules {
  /** Headers of refused families that the operation obeys. */
  readonly understood: ReadonlySet<string>;
  /** Query parameters that it reads. */
  readonly params: ReadonlySet<string>;
}

const X = 0x78;
const I = 0x69;

/** Of other operations; a write that ignored them would change more than was asked for. */
const NARROWING: ReadonlySet<string> = new Set(["versionId", "partNumber"]);
/**
 * How AWS names sub-resources (acl, object-lock, renameObject): without a value such a name may choose an operation that isn't
 * known here.
 */
const SUB_RESOURCE = /^[a-z][A-Za-z0-9-]*$/;

function screenQuery(operation: LiveOperation, rules: Rules, query: Query): void {
  const { writes } = OPERATIONS[operation];
  const presigned = query.has("X-Amz-Signature");
  for (const { name, value } of query.parameters) {
    if (rules.params.has(name)) {
      if (query.count(name) > 1)
        throw invalidArgument(`The query parameter ${name} must be given once.`, name, query.get(name) ?? "");
    } else if (writes && choosesMore(name, value, { presigned }))
      throw s3Error("NotImplemented", `${operation} does not support the query parameter "${name}". Remove it.`, [
        ["ArgumentName", name],
      ]);
  }
}

function choosesMore(name: string, value: string, { presigned }: { readonly presigned: boolean }): boolean {
  const lower = name.toLowerCase();
  // Those of a presigned URL were judged as headers; without one they would count for nothing, and say what a header says.
  if (lower.startsWith("x-amz-")) return !presigned;
  // Custom parameters that begin with "x-" are for the client's logs.
  if (lower.startsWith("x-")) return false;
  return isSubResource(name) || NARROWING.has(name) || (value === "" && SUB_RESOURCE.test(name));
}

function refusedHeader(operation: LiveOperation, header: string, value: string): Error {
  return s3Error(
    "NotImplemented",
    `A header you provided implies functionality that is not implemented: ${operation} does not support ${header} with this value. Remove it.`,
    [
      ["Header", header],
      ["Value", value],
    ],
  );
}

const COPY_CONDITIONS = [
  "x-amz-copy-source-if-match",
  "x-amz-copy-source-if-none-match",
  "x-amz-copy-source-if-modified-since",
  "x-amz-copy-source-if-unmodified-since",
];
const WRITE_CONDITIONS = ["if-match", "if-none-match"];
const LIST_PARAMS = ["prefix", "delimiter", "encoding-type"];

function rules(params: readonly string[], understood: readonly string[] = []): Rules {
  return { understood: new Set(understood), params: new Set(["x-id", ...params]) };
}

const read = (...params: readonly string[]): Rules => rules(params);
const write = rules;

const OBJECT_READ = read("versionId", "partNumber", ...OVERRIDABLE.map((header) => `response-${header}`));

/** What each operation reads of the query, and which headers of refused families it obeys. */
const RULES: Readonly<Record<LiveOperation, Rules>> = {
  ListBuckets: read("prefix", "max-buckets", "continuation-token", "bucket-region"),

  CreateBucket: write([]),
  HeadBucket: read(),
  DeleteBucket: write([]),
  GetBucketLocation: read("location"),
  GetBucketVersioning: read("versioning"),
  ListObjects: read(...LIST_PARAMS, "marker", "max-keys"),
  ListObjectsV2: read(...LIST_PARAMS, "list-type", "continuation-token", "start-after", "fetch-owner", "max-keys"),
  ListObjectVersions: read(...LIST_PARAMS, "versions", "key-marker", "version-id-marker", "max-keys"),
  ListMultipartUploads: read(...LIST_PARAMS, "uploads", "key-marker", "upload-id-marker", "max-uploads"),
  DeleteObjects: write(["delete"]),
  PostObject: write([]),
  GetBucketAcl: read("acl"),
  GetBucketWebsite: read("website"),

  GetObject: OBJECT_READ,
  HeadObject: OBJECT_READ,
  GetObjectAttributes: read("attributes", "versionId"),
  GetObjectAcl: read("acl", "versionId"),
  PutObject: write([], WRITE_CONDITIONS),
  CopyObject: write([], [...WRITE_CONDITIONS, ...COPY_CONDITIONS]),
  DeleteObject: write(["versionId"], ["if-match"]),
  CreateMultipartUpload: write(["uploads"]),
  UploadPart: write(["partNumber", "uploadId"]),
  UploadPartCopy: write(["partNumber", "uploadId"], ["x-amz-copy-source-range", ...COPY_CONDITIONS]),
  CompleteMultipartUpload: write(["uploadId"], WRITE_CONDITIONS),
  AbortMultipartUpload: write(["uploadId"]),
  ListParts: read("uploadId", "max-parts", "part-number-marker", "encoding-type"),

  GetBucketAccelerateConfiguration: read("accelerate"),
  GetBucketCors: read("cors"),
  GetBucketEncryption: read("encryption"),
  GetBucketLifecycleConfiguration: read("lifecycle"),
  GetBucketLogging: read("logging"),
  GetBucketNotificationConfiguration: read("notification"),
  GetBucketOwnershipControls: read("ownershipControls"),
  GetBucketPolicy: read("policy"),
  GetBucketPolicyStatus: read("policyStatus"),
  GetBucketReplication: read("replication"),
  GetBucketRequestPayment: read("requestPayment"),
  GetBucketTagging: read("tagging"),
  GetObjectLockConfiguration: read("object-lock"),
  GetPublicAccessBlock: read("publicAccessBlock"),
  GetBucketAnalyticsConfiguration: read("analytics", "id"),
  ListBucketAnalyticsConfigurations: read("analytics", "continuation-token"),
  GetBucketIntelligentTieringConfiguration: read("intelligent-tiering", "id"),
  ListBucketIntelligentTieringConfigurations: read("intelligent-tiering", "continuation-token"),
  GetBucketInventoryConfiguration: read("inventory", "id"),
  ListBucketInventoryConfigurations: read("inventory", "continuation-token"),
  GetBucketMetricsConfiguration: read("metrics", "id"),
  ListBucketMetricsConfigurations: read("metrics", "continuation-token"),
  GetObjectTagging: read("tagging", "versionId"),
  GetObjectLegalHold: read("legal-hold", "versionId"),
  GetObjectRetention: read("retention", "versionId"),
};
