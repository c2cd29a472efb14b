import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Query } from "../common/request-target.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { route, type RouteInput } from "./route.ts";

const NO_QUERY = new Query([]);

function input(method: string, target: string, extra: Partial<RouteInput> = {}): RouteInput {
  const [path = "", search = ""] = target.split("?");
  const [, bucket = "", ...key] = path.split("/");
  const parameters =
    search === ""
      ? []
      : search.split("&").map((piece) => ({ name: piece.split("=")[0] ?? "", value: piece.split("=")[1] ?? "" }));
  return { method, bucket, key: key.join("/"), query: new Query(parameters), copySource: false, form: false, ...extra };
}

function routed(method: string, target: string, extra: Partial<RouteInput> = {}): string {
  const found = route(input(method, target, extra));
  return found.ok ? found.operation : found.why;
}

/** One request for every operation, from AWS's API reference. */
const REQUESTS: Readonly<Record<Operation, readonly [method: string, target: string, extra?: Partial<RouteInput>]>> = {
  ListBuckets: ["GET", "/"],
  ListDirectoryBuckets: ["GET", "/?x-id=ListDirectoryBuckets"],
  WriteGetObjectResponse: ["POST", "/WriteGetObjectResponse"],
  CreateBucket: ["PUT", "/b"],
  HeadBucket: ["HEAD", "/b"],
  DeleteBucket: ["DELETE", "/b"],
  GetBucketLocation: ["GET", "/b?location"],
  GetBucketVersioning: ["GET", "/b?versioning"],
  PutBucketVersioning: ["PUT", "/b?versioning"],
  ListObjects: ["GET", "/b?prefix=p&delimiter=/"],
  ListObjectsV2: ["GET", "/b?list-type=2&prefix=p"],
  ListObjectVersions: ["GET", "/b?versions"],
  ListMultipartUploads: ["GET", "/b?uploads"],
  DeleteObjects: ["POST", "/b?delete"],
  PostObject: ["POST", "/b", { form: true }],
  GetBucketAcl: ["GET", "/b?acl"],
  PutBucketAcl: ["PUT", "/b?acl"],
  GetBucketWebsite: ["GET", "/b?website"],
  PutBucketWebsite: ["PUT", "/b?website"],
  DeleteBucketWebsite: ["DELETE", "/b?website"],
  GetObject: ["GET", "/b/k?x-id=GetObject"],
  HeadObject: ["HEAD", "/b/k"],
  GetObjectAttributes: ["GET", "/b/k?attributes"],
  GetObjectAcl: ["GET", "/b/k?acl"],
  PutObjectAcl: ["PUT", "/b/k?acl"],
  PutObject: ["PUT", "/b/k?x-id=PutObject"],
  CopyObject: ["PUT", "/b/k", { copySource: true }],
  DeleteObject: ["DELETE", "/b/k?versionId=null"],
  CreateMultipartUpload: ["POST", "/b/k?uploads"],
  UploadPart: ["PUT", "/b/k?partNumber=1&uploadId=u"],
  UploadPartCopy: ["PUT", "/b/k?partNumber=1&uploadId=u", { copySource: true }],
  CompleteMultipartUpload: ["POST", "/b/k?uploadId=u"],
  AbortMultipartUpload: ["DELETE", "/b/k?uploadId=u"],
  ListParts: ["GET", "/b/k?uploadId=u"],
  GetBucketAccelerateConfiguration: ["GET", "/b?accelerate"],
  PutBucketAccelerateConfiguration: ["PUT", "/b?accelerate"],
  GetBucketCors: ["GET", "/b?cors"],
  PutBucketCors: ["PUT", "/b?cors"],
  DeleteBucketCors: ["DELETE", "/b?cors"],
  GetBucketEncryption: ["GET", "/b?encryption"],
  PutBucketEncryption: ["PUT", "/b?encryption"],
  DeleteBucketEncryption: ["DELETE", "/b?encryption"],
  GetBucketLifecycleConfiguration: ["GET", "/b?lifecycle"],
  PutBucketLifecycleConfiguration: ["PUT", "/b?lifecycle"],
  DeleteBucketLifecycle: ["DELETE", "/b?lifecycle"],
  GetBucketLogging: ["GET", "/b?logging"],
  PutBucketLogging: ["PUT", "/b?logging"],
  GetBucketNotificationConfiguration: ["GET", "/b?notification"],
  PutBucketNotificationConfiguration: ["PUT", "/b?notification"],
  GetBucketOwnershipControls: ["GET", "/b?ownershipControls"],
  PutBucketOwnershipControls: ["PUT", "/b?ownershipControls"],
  DeleteBucketOwnershipControls: ["DELETE", "/b?ownershipControls"],
  GetBucketPolicy: ["GET", "/b?policy"],
  GetBucketPolicyStatus: ["GET", "/b?policyStatus"],
  PutBucketPolicy: ["PUT", "/b?policy"],
  DeleteBucketPolicy: ["DELETE", "/b?policy"],
  GetBucketReplication: ["GET", "/b?replication"],
  PutBucketReplication: ["PUT", "/b?replication"],
  DeleteBucketReplication: ["DELETE", "/b?replication"],
  GetBucketRequestPayment: ["GET", "/b?requestPayment"],
  PutBucketRequestPayment: ["PUT", "/b?requestPayment"],
  GetBucketTagging: ["GET", "/b?tagging"],
  PutBucketTagging: ["PUT", "/b?tagging"],
  DeleteBucketTagging: ["DELETE", "/b?tagging"],
  GetObjectLockConfiguration: ["GET", "/b?object-lock"],
  PutObjectLockConfiguration: ["PUT", "/b?object-lock"],
  GetPublicAccessBlock: ["GET", "/b?publicAccessBlock"],
  PutPublicAccessBlock: ["PUT", "/b?publicAccessBlock"],
  DeletePublicAccessBlock: ["DELETE", "/b?publicAccessBlock"],
  GetBucketAnalyticsConfiguration: ["GET", "/b?analytics&id=1"],
  ListBucketAnalyticsConfigurations: ["GET", "/b?analytics"],
  PutBucketAnalyticsConfiguration: ["PUT", "/b?analytics&id=1"],
  DeleteBucketAnalyticsConfiguration: ["DELETE", "/b?analytics&id=1"],
  GetBucketIntelligentTieringConfiguration: ["GET", "/b?intelligent-tiering&id=1"],
  ListBucketIntelligentTieringConfigurations: ["GET", "/b?intelligent-tiering"],
  PutBucketIntelligentTieringConfiguration: ["PUT", "/b?intelligent-tiering&id=1"],
  DeleteBucketIntelligentTieringConfiguration: ["DELETE", "/b?intelligent-tiering&id=1"],
  GetBucketInventoryConfiguration: ["GET", "/b?inventory&id=1"],
  ListBucketInventoryConfigurations: ["GET", "/b?inventory"],
  PutBucketInventoryConfiguration: ["PUT", "/b?inventory&id=1"],
  DeleteBucketInventoryConfiguration: ["DELETE", "/b?inventory&id=1"],
  GetBucketMetricsConfiguration: ["GET", "/b?metrics&id=1"],
  ListBucketMetricsConfigurations: ["GET", "/b?metrics"],
  PutBucketMetricsConfiguration: ["PUT", "/b?metrics&id=1"],
  DeleteBucketMetricsConfiguration: ["DELETE", "/b?metrics&id=1"],
  GetObjectTagging: ["GET", "/b/k?tagging"],
  PutObjectTagging: ["PUT", "/b/k?tagging"],
  DeleteObjectTagging: ["DELETE", "/b/k?tagging"],
  GetObjectLegalHold: ["GET", "/b/k?legal-hold"],
  PutObjectLegalHold: ["PUT", "/b/k?legal-hold"],
  GetObjectRetention: ["GET", "/b/k?retention"],
  PutObjectRetention: ["PUT", "/b/k?retention"],
  GetBucketAbac: ["GET", "/b?abac"],
  PutBucketAbac: ["PUT", "/b?abac"],
  CreateSession: ["GET", "/b?session"],
  CreateBucketMetadataConfiguration: ["POST", "/b?metadataConfiguration"],
  GetBucketMetadataConfiguration: ["GET", "/b?metadataConfiguration"],
  DeleteBucketMetadataConfiguration: ["DELETE", "/b?metadataConfiguration"],
  CreateBucketMetadataTableConfiguration: ["POST", "/b?metadataTable"],
  GetBucketMetadataTableConfiguration: ["GET", "/b?metadataTable"],
  DeleteBucketMetadataTableConfiguration: ["DELETE", "/b?metadataTable"],
  UpdateBucketMetadataAnnotationTableConfiguration: ["PUT", "/b?metadataAnnotationTable"],
  UpdateBucketMetadataInventoryTableConfiguration: ["PUT", "/b?metadataInventoryTable"],
  UpdateBucketMetadataJournalTableConfiguration: ["PUT", "/b?metadataJournalTable"],
  GetObjectAnnotation: ["GET", "/b/k?annotation&annotationName=a"],
  ListObjectAnnotations: ["GET", "/b/k?annotation"],
  PutObjectAnnotation: ["PUT", "/b/k?annotation&annotationName=a"],
  DeleteObjectAnnotation: ["DELETE", "/b/k?annotation&annotationName=a"],
  GetObjectTorrent: ["GET", "/b/k?torrent"],
  RenameObject: ["PUT", "/b/k?renameObject"],
  RestoreObject: ["POST", "/b/k?restore"],
  SelectObjectContent: ["POST", "/b/k?select&select-type=2"],
  UpdateObjectEncryption: ["PUT", "/b/k?encryption"],
};

describe("route", () => {
  it("names every operation of the union", () => {
    for (const operation of Object.keys(OPERATIONS) as Operation[]) {
      const [method, target, extra] = REQUESTS[operation];
      assert.equal(routed(method, target, extra), operation, `${method} ${target}`);
    }
  });

  it("refuses methods that a resource does not have", () => {
    for (const [method, target] of [
      ["PUT", "/"],
      ["POST", "/"],
      ["DELETE", "/"],
      ["PATCH", "/b/k"],
      ["BREW", "/b"],
      ["POST", "/b"],
      ["POST", "/b/k"],
      ["DELETE", "/b?location"],
      ["HEAD", "/b/k?acl"],
      ["PUT", "/b?uploads"],
      ["DELETE", "/b?delete"],
      ["PUT", "/b/k?attributes"],
    ] as const)
      assert.equal(routed(method, target), "method", `${method} ${target}`);
  });

  it("refuses two sub-resources at once", () => {
    assert.deepEqual(route(input("GET", "/b?acl&policy")), { ok: false, why: "conflict", first: "acl", second: "policy" });
    assert.equal(routed("GET", "/b?acl&acl"), "GetBucketAcl");
  });

  it("treats keywords of the other kind of resource as parameters, which the screen judges", () => {
    assert.equal(routed("PUT", "/b/k?versioning"), "PutObject");
    assert.equal(routed("PUT", "/b?renameObject"), "CreateBucket");
  });

  it("never falls back to a plain write when a sub-resource of that resource is named", () => {
    const plain = new Set(["PutObject", "CopyObject", "DeleteObject", "CreateBucket", "DeleteBucket", "PostObject"]);
    const keywords = [
      ...new Set(Object.values(REQUESTS).flatMap(([, target]) => (target.split("?")[1] ?? "").split("&").slice(0, 1))),
    ];
    const objectWords = keywords.filter((word) => word !== "" && !/=/.test(word));
    for (const [operation, [, target]] of Object.entries(REQUESTS)) {
      const word = (target.split("?")[1] ?? "").split("&")[0] ?? "";
      if (!objectWords.includes(word)) continue;
      for (const method of ["PUT", "POST", "DELETE"]) {
        const found = routed(method, target);
        assert.ok(!plain.has(found), `${method} ${target} (${operation}) became ${found}`);
      }
    }
  });

  it("is total: any text gives an operation or a refusal", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "", "\u0000"),
        fc.string(),
        fc.string(),
        fc.array(
          fc.record({
            name: fc.oneof(fc.constantFrom("acl", "uploads", "uploadId", "versions", "delete"), fc.string()),
            value: fc.string(),
          }),
        ),
        fc.boolean(),
        fc.boolean(),
        (method, bucket, key, parameters, copySource, form) => {
          const found = route({ method, bucket, key, query: new Query(parameters), copySource, form });
          if (found.ok) assert.ok(Object.hasOwn(OPERATIONS, found.operation));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("does not take words from Object.prototype for sub-resources", () => {
    for (const word of ["constructor", "__proto__", "toString", "hasOwnProperty"])
      assert.equal(routed("GET", `/b/k?${word}`), "GetObject");
    assert.equal(
      route({ method: "constructor", bucket: "b", key: "k", query: NO_QUERY, copySource: false, form: false }).ok,
      false,
    );
  });
});
