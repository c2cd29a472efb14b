import type { HttpRequest } from "../../platform/http.ts";
import type { Query } from "../common/request-target.ts";
import { invalidArgument, s3Error } from "./errors.ts";
import { OPERATIONS, type LiveOperation } from "./operations.ts";
import { isSubResource } from "./route.ts";

/**
 * Refuses what an operation does not understand (P8): an x-amz-* header, an If-* precondition or, on a write, a query parameter that is not in
 * the operation's rules is answered 501 by name, never ignored. Headers that ask for what Hangar does not do pass only with a value that
 * asks for nothing (x-amz-acl: private, x-amz-storage-class: STANDARD …): clients send those by default.
 */
export function screen(operation: LiveOperation, request: Pick<HttpRequest, "rawHeaders">, query: Query): void {
  const rules = RULES[operation];
  screenHeaders(operation, rules, request.rawHeaders);
  if (query.parameters.length > 0) screenQuery(operation, rules, query);
}

/** true: understood, the operation reads it (or it changes nothing) · a test: passes when the value asks for nothing. */
type HeaderRule = true | ((value: string) => boolean);

interface Rules {
  readonly headers: ReadonlyMap<string, HeaderRule>;
  readonly conditions: ReadonlySet<string>;
  /** Whether a precondition that is not understood is refused; reads of bucket settings and lists ignore them, as HTTP allows. */
  readonly conditional: boolean;
  readonly params: ReadonlySet<string>;
}

const X = 0x78;
const I = 0x69;

function screenHeaders(operation: LiveOperation, rules: Rules, rawHeaders: readonly string[]): void {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const raw = rawHeaders[at] as string;
    const first = raw.charCodeAt(0) | 0x20;
    if (first !== X && first !== I) continue;
    const name = raw.toLowerCase();
    if (first === X) {
      if (!name.startsWith("x-amz-") || name.startsWith("x-amz-meta-")) continue;
      const rule = rules.headers.get(name);
      if (rule === true) continue;
      if (rule === undefined || !rule((rawHeaders[at + 1] as string).trim()))
        throw refused(operation, raw, rawHeaders[at + 1] as string);
    } else if (name.startsWith("if-") && rules.conditional && !rules.conditions.has(name)) {
      throw refused(operation, raw, rawHeaders[at + 1] as string);
    }
  }
}

function screenQuery(operation: LiveOperation, rules: Rules, query: Query): void {
  const { writes } = OPERATIONS[operation];
  for (const { name } of query.parameters) {
    if (rules.params.has(name)) {
      if (query.count(name) > 1)
        throw invalidArgument(`The query parameter ${name} must be given once.`, name, query.get(name) ?? "");
      continue;
    }
    if (!writes && !isSubResource(name)) continue;
    // Custom parameters that begin with "x-" are for the client's logs; the X-Amz-* ones of a presigned URL are judged as headers.
    const lower = name.toLowerCase();
    if (lower.startsWith("x-amz-") ? query.has("X-Amz-Signature") : lower.startsWith("x-")) continue;
    throw s3Error("NotImplemented", `${operation} does not support the query parameter "${name}". Remove it.`, [
      ["ArgumentName", name],
    ]);
  }
}

function refused(operation: LiveOperation, header: string, value: string): Error {
  return s3Error(
    "NotImplemented",
    `A header you provided implies functionality that is not implemented: ${operation} does not support ${header} with this value. Remove it.`,
    [
      ["Header", header],
      ["Value", value],
    ],
  );
}

const oneOf =
  (...values: readonly string[]): HeaderRule =>
  (value) =>
    values.includes(value);

type HeaderRules = Readonly<Record<string, HeaderRule>>;

/** Of every request: signature, body framing, checksums of the body, client's name; and requests for what costs or changes nothing here. */
const ALWAYS: HeaderRules = {
  "x-amz-date": true,
  "x-amz-content-sha256": true,
  "x-amz-security-token": true,
  "x-amz-user-agent": true,
  "x-amz-decoded-content-length": true,
  "x-amz-trailer": true,
  "x-amz-sdk-checksum-algorithm": true,
  "x-amz-checksum-crc32": true,
  "x-amz-checksum-crc32c": true,
  "x-amz-checksum-crc64nvme": true,
  "x-amz-checksum-sha1": true,
  "x-amz-checksum-sha256": true,
  "x-amz-checksum-mode": true,
  // Nobody is charged, and nothing is locked or archived.
  "x-amz-request-payer": true,
  "x-amz-bypass-governance-retention": true,
  "x-amz-optional-object-attributes": true,
  "x-amz-bucket-object-lock-enabled": oneOf("false", "False"),
};

const NEW_OBJECT: HeaderRules = {
  "x-amz-acl": oneOf("private", "bucket-owner-full-control"),
  "x-amz-storage-class": oneOf("STANDARD"),
  "x-amz-tagging": oneOf(""),
  "x-amz-website-redirect-location": true,
  "x-amz-object-lock-legal-hold": oneOf("OFF"),
  "x-amz-server-side-encryption-bucket-key-enabled": oneOf("false", "False"),
};

const COPY_SOURCE: HeaderRules = {
  "x-amz-copy-source": true,
  "x-amz-copy-source-if-match": true,
  "x-amz-copy-source-if-none-match": true,
  "x-amz-copy-source-if-modified-since": true,
  "x-amz-copy-source-if-unmodified-since": true,
};

const READ_CONDITIONS = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"];
const WRITE_CONDITIONS = ["if-match", "if-none-match"];
const LIST_PARAMS = ["prefix", "delimiter", "encoding-type"];

function rules(
  params: readonly string[] = [],
  headers: HeaderRules = {},
  { conditions = [], conditional = false }: { conditions?: readonly string[]; conditional?: boolean } = {},
): Rules {
  return {
    headers: new Map(Object.entries({ ...ALWAYS, ...headers })),
    conditions: new Set(conditions),
    conditional,
    params: new Set(["x-id", ...params]),
  };
}

const read = (...params: readonly string[]): Rules => rules(params);
const write = (params: readonly string[], headers: HeaderRules = {}, conditions: readonly string[] = []): Rules =>
  rules(params, headers, { conditions, conditional: true });

const OVERRIDES = [
  "response-content-type",
  "response-content-language",
  "response-expires",
  "response-cache-control",
  "response-content-disposition",
  "response-content-encoding",
];
const OBJECT_READ = rules(["versionId", "partNumber", ...OVERRIDES], {}, { conditions: READ_CONDITIONS, conditional: true });

/** What each operation understands. Reads ignore other query parameters (clients add cache breakers), except sub-resources of another kind. */
const RULES: Readonly<Record<LiveOperation, Rules>> = {
  ListBuckets: read("prefix", "max-buckets", "continuation-token", "bucket-region"),

  CreateBucket: write([], { "x-amz-acl": oneOf("private"), "x-amz-object-ownership": oneOf("BucketOwnerEnforced") }),
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
  GetObjectAttributes: rules(["attributes", "versionId"], {
    "x-amz-object-attributes": true,
    "x-amz-max-parts": true,
    "x-amz-part-number-marker": true,
  }),
  GetObjectAcl: read("acl", "versionId"),
  PutObject: write([], NEW_OBJECT, WRITE_CONDITIONS),
  CopyObject: write(
    [],
    {
      ...NEW_OBJECT,
      ...COPY_SOURCE,
      "x-amz-metadata-directive": true,
      // Nothing has tags or annotations yet: copying them and leaving them out are the same.
      "x-amz-tagging-directive": oneOf("COPY", "REPLACE"),
      "x-amz-object-annotation-directive": true,
      "x-amz-checksum-algorithm": true,
    },
    WRITE_CONDITIONS,
  ),
  DeleteObject: write(["versionId"], {}, ["if-match"]),
  CreateMultipartUpload: write(["uploads"], { ...NEW_OBJECT, "x-amz-checksum-algorithm": true, "x-amz-checksum-type": true }),
  UploadPart: write(["partNumber", "uploadId"]),
  UploadPartCopy: write(["partNumber", "uploadId"], { ...COPY_SOURCE, "x-amz-copy-source-range": true }),
  CompleteMultipartUpload: write(["uploadId"], { "x-amz-checksum-type": true, "x-amz-mp-object-size": true }, WRITE_CONDITIONS),
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
