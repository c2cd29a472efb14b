import { OPERATIONS, type Operation } from "./operations.ts";
import type { Query } from "../common/request-target.ts";

/**
 * Names the operation of a request: a pure function of method, path, query and two headers. Knows all of S3's operations, also
 * those that are not there, so that a newer sub-resource never falls back to a plainer one (GET ?attributes is not GET, PUT
 * ?renameObject is not PUT).
 */
export interface RouteInput {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: Query;
  /** x-amz-copy-source is present. */
  readonly copySource: boolean;
  /** Content-Type is multipart/form-data. */
  readonly form: boolean;
}

export type Route =
  | { readonly ok: true; readonly operation: Operation }
  /** AWS: 405 MethodNotAllowed. `resource`: what the method was tried on; `allowed`: the methods it has. */
  | { readonly ok: false; readonly why: "method"; readonly resource: string; readonly allowed: readonly string[] }
  /** AWS: 400 InvalidArgument "Conflicting query string parameters". */
  | { readonly ok: false; readonly why: "conflict"; readonly first: string; readonly second: string };

/** One operation per method; a function where a parameter decides. */
type Selector = Operation | ((query: Query) => Operation);
type Methods = {
  readonly GET?: Selector;
  readonly HEAD?: Selector;
  readonly PUT?: Selector;
  readonly POST?: Selector;
  readonly DELETE?: Selector;
};

const byId =
  (one: Operation, list: Operation): Selector =>
  (query) =>
    query.get("id") === undefined ? list : one;

/** Sub-resource keywords of buckets. */
const BUCKET: Readonly<Record<string, Methods>> = {
  abac: { GET: "GetBucketAbac", PUT: "PutBucketAbac" },
  accelerate: { GET: "GetBucketAccelerateConfiguration", PUT: "PutBucketAccelerateConfiguration" },
  acl: { GET: "GetBucketAcl", PUT: "PutBucketAcl" },
  analytics: {
    GET: byId("GetBucketAnalyticsConfiguration", "ListBucketAnalyticsConfigurations"),
    PUT: "PutBucketAnalyticsConfiguration",
    DELETE: "DeleteBucketAnalyticsConfiguration",
  },
  cors: { GET: "GetBucketCors", PUT: "PutBucketCors", DELETE: "DeleteBucketCors" },
  delete: { POST: "DeleteObjects" },
  encryption: { GET: "GetBucketEncryption", PUT: "PutBucketEncryption", DELETE: "DeleteBucketEncryption" },
  "intelligent-tiering": {
    GET: byId("GetBucketIntelligentTieringConfiguration", "ListBucketIntelligentTieringConfigurations"),
    PUT: "PutBucketIntelligentTieringConfiguration",
    DELETE: "DeleteBucketIntelligentTieringConfiguration",
  },
  inventory: {
    GET: byId("GetBucketInventoryConfiguration", "ListBucketInventoryConfigurations"),
    PUT: "PutBucketInventoryConfiguration",
    DELETE: "DeleteBucketInventoryConfiguration",
  },
  lifecycle: { GET: "GetBucketLifecycleConfiguration", PUT: "PutBucketLifecycleConfiguration", DELETE: "DeleteBucketLifecycle" },
  location: { GET: "GetBucketLocation" },
  logging: { GET: "GetBucketLogging", PUT: "PutBucketLogging" },
  metadataAnnotationTable: { PUT: "UpdateBucketMetadataAnnotationTableConfiguration" },
  metadataConfiguration: {
    GET: "GetBucketMetadataConfiguration",
    POST: "CreateBucketMetadataConfiguration",
    DELETE: "DeleteBucketMetadataConfiguration",
  },
  metadataInventoryTable: { PUT: "UpdateBucketMetadataInventoryTableConfiguration" },
  metadataJournalTable: { PUT: "UpdateBucketMetadataJournalTableConfiguration" },
  metadataTable: {
    GET: "GetBucketMetadataTableConfiguration",
    POST: "CreateBucketMetadataTableConfiguration",
    DELETE: "DeleteBucketMetadataTableConfiguration",
  },
  metrics: {
    GET: byId("GetBucketMetricsConfiguration", "ListBucketMetricsConfigurations"),
    PUT: "PutBucketMetricsConfiguration",
    DELETE: "DeleteBucketMetricsConfiguration",
  },
  notification: { GET: "GetBucketNotificationConfiguration", PUT: "PutBucketNotificationConfiguration" },
  "object-lock": { GET: "GetObjectLockConfiguration", PUT: "PutObjectLockConfiguration" },
  ownershipControls: {
    GET: "GetBucketOwnershipControls",
    PUT: "PutBucketOwnershipControls",
    DELETE: "DeleteBucketOwnershipControls",
  },
  policy: { GET: "GetBucketPolicy", PUT: "PutBucketPolicy", DELETE: "DeleteBucketPolicy" },
  policyStatus: { GET: "GetBucketPolicyStatus" },
  publicAccessBlock: { GET: "GetPublicAccessBlock", PUT: "PutPublicAccessBlock", DELETE: "DeletePublicAccessBlock" },
  replication: { GET: "GetBucketReplication", PUT: "PutBucketReplication", DELETE: "DeleteBucketReplication" },
  requestPayment: { GET: "GetBucketRequestPayment", PUT: "PutBucketRequestPayment" },
  session: { GET: "CreateSession" },
  tagging: { GET: "GetBucketTagging", PUT: "PutBucketTagging", DELETE: "DeleteBucketTagging" },
  uploads: { GET: "ListMultipartUploads" },
  versioning: { GET: "GetBucketVersioning", PUT: "PutBucketVersioning" },
  versions: { GET: "ListObjectVersions" },
  website: { GET: "GetBucketWebsite", PUT: "PutBucketWebsite", DELETE: "DeleteBucketWebsite" },
};

/** Sub-resource keywords of objects. */
const OBJECT: Readonly<Record<string, Methods>> = {
  acl: { GET: "GetObjectAcl", PUT: "PutObjectAcl" },
  annotation: {
    GET: (query) => (query.get("annotationName") === undefined ? "ListObjectAnnotations" : "GetObjectAnnotation"),
    PUT: "PutObjectAnnotation",
    DELETE: "DeleteObjectAnnotation",
  },
  attributes: { GET: "GetObjectAttributes" },
  encryption: { PUT: "UpdateObjectEncryption" },
  "legal-hold": { GET: "GetObjectLegalHold", PUT: "PutObjectLegalHold" },
  renameObject: { PUT: "RenameObject" },
  restore: { POST: "RestoreObject" },
  retention: { GET: "GetObjectRetention", PUT: "PutObjectRetention" },
  select: { POST: "SelectObjectContent" },
  tagging: { GET: "GetObjectTagging", PUT: "PutObjectTagging", DELETE: "DeleteObjectTagging" },
  torrent: { GET: "GetObjectTorrent" },
  uploads: { POST: "CreateMultipartUpload" },
  uploadId: { GET: "ListParts", PUT: "UploadPart", POST: "CompleteMultipartUpload", DELETE: "AbortMultipartUpload" },
};

const BUCKET_WORDS: ReadonlyMap<string, Methods> = new Map(Object.entries(BUCKET));
const OBJECT_WORDS: ReadonlyMap<string, Methods> = new Map(Object.entries(OBJECT));

const PLAIN_BUCKET: Methods = {
  GET: (query) => (query.get("list-type") === undefined ? "ListObjects" : "ListObjectsV2"),
  HEAD: "HeadBucket",
  PUT: "CreateBucket",
  DELETE: "DeleteBucket",
};
const PLAIN_OBJECT: Methods = { GET: "GetObject", HEAD: "HeadObject", PUT: "PutObject", DELETE: "DeleteObject" };

/** Every sub-resource keyword, for the screen: on the other kind of resource it is unknown, and a write must not ignore it. */
export function isSubResource(name: string): boolean {
  return BUCKET_WORDS.has(name) || OBJECT_WORDS.has(name);
}

export function route(input: RouteInput): Route {
  const { method, bucket, key, query } = input;
  if (bucket === "") return service(method, query);
  if (method === "POST" && key === "" && bucket === "WriteGetObjectResponse") return found("WriteGetObjectResponse");

  const words = key === "" ? BUCKET_WORDS : OBJECT_WORDS;
  let word = "";
  let methods = key === "" ? PLAIN_BUCKET : PLAIN_OBJECT;
  for (const { name } of query.parameters) {
    const candidate = words.get(name);
    if (candidate === undefined) continue;
    if (word !== "" && word !== name) return { ok: false, why: "conflict", first: word, second: name };
    word = name;
    methods = candidate;
  }

  if (method === "POST" && key === "" && word === "" && input.form) return found("PostObject");
  const selector = select(methods, method);
  if (selector === undefined)
    return {
      ok: false,
      why: "method",
      resource: word !== "" ? word : key === "" ? "BUCKET" : "OBJECT",
      // A browser's form makes POST a method of buckets; one that is no form is refused all the same.
      allowed: Object.keys(methods).concat(methods === PLAIN_BUCKET && method !== "POST" ? "POST" : []),
    };
  const operation = typeof selector === "function" ? selector(query) : selector;
  if (input.copySource) {
    if (operation === "PutObject") return found("CopyObject");
    if (operation === "UploadPart") return found("UploadPartCopy");
  }
  return found(operation);
}

function service(method: string, query: Query): Route {
  if (method !== "GET") return { ok: false, why: "method", resource: "SERVICE", allowed: ["GET"] };
  return found(query.get("x-id") === "ListDirectoryBuckets" ? "ListDirectoryBuckets" : "ListBuckets");
}

function select(methods: Methods, method: string): Selector | undefined {
  switch (method) {
    case "GET":
      return methods.GET;
    case "PUT":
      return methods.PUT;
    case "HEAD":
      return methods.HEAD;
    case "DELETE":
      return methods.DELETE;
    case "POST":
      return methods.POST;
    default:
      return undefined;
  }
}

// One answer per operation, made once: routing allocates nothing on the way of a plain GET or PUT.
const FOUND = Object.fromEntries(
  (Object.keys(OPERATIONS) as Operation[]).map((operation) => [operation, { ok: true, operation }]),
) as Readonly<Record<Operation, Route>>;
function found(operation: Operation): Route {
  return FOUND[operation];
}
