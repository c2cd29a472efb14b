// Every operation that is there, through the official SDK with its newest defaults (CRC trailers, aws-chunked bodies).
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketAclCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectAclCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { sdkClient, sdkError } from "../support/sdk.ts";
import type { S3TestServer } from "../support/server.ts";
import { startServer } from "../support/start.ts";

const MIB = 1024 * 1024;

describe("S3 operations through the SDK", () => {
  let server: S3TestServer;
  let s3: S3Client;
  before(async () => {
    server = await startServer();
    s3 = sdkClient(server);
    await s3.send(new CreateBucketCommand({ Bucket: "main" }));
  });
  after(async () => {
    s3.destroy();
    await server.stop();
    assert.deepEqual(server.errors, []);
  });

  it("buckets: create, head, list, location, versioning, ACL, delete", async () => {
    const created = await s3.send(
      new CreateBucketCommand({
        Bucket: "first-bucket",
        CreateBucketConfiguration: { LocationConstraint: server.region as never },
      }),
    );
    assert.equal(created.Location, "/first-bucket");
    assert.match(created.$metadata.requestId ?? "", /^[0-9A-F]{16}$/);
    assert.ok(created.$metadata.extendedRequestId);
    assert.deepEqual(await sdkError(s3.send(new CreateBucketCommand({ Bucket: "first-bucket" }))), {
      name: "BucketAlreadyOwnedByYou",
      status: 409,
    });
    assert.deepEqual(
      await sdkError(
        s3.send(new CreateBucketCommand({ Bucket: "x", CreateBucketConfiguration: { LocationConstraint: "eu-west-1" } })),
      ),
      {
        name: "InvalidLocationConstraint",
        status: 400,
      },
    );
    assert.deepEqual(await sdkError(s3.send(new CreateBucketCommand({ Bucket: "a..b" }))), {
      name: "InvalidBucketName",
      status: 400,
    });

    assert.equal((await s3.send(new HeadBucketCommand({ Bucket: "first-bucket" }))).BucketRegion, server.region);
    assert.equal((await sdkError(s3.send(new HeadBucketCommand({ Bucket: "no-such" })))).status, 404);
    assert.equal((await s3.send(new GetBucketLocationCommand({ Bucket: "first-bucket" }))).LocationConstraint, server.region);
    assert.equal((await s3.send(new GetBucketVersioningCommand({ Bucket: "first-bucket" }))).Status, undefined);
    const acl = await s3.send(new GetBucketAclCommand({ Bucket: "first-bucket" }));
    assert.equal(acl.Owner?.ID, server.identity.keyId);
    assert.deepEqual(
      acl.Grants?.map((grant) => [grant.Grantee?.ID, grant.Grantee?.Type, grant.Permission]),
      [[server.identity.keyId, "CanonicalUser", "FULL_CONTROL"]],
    );

    const names = (await s3.send(new ListBucketsCommand({}))).Buckets?.map((bucket) => bucket.Name);
    assert.deepEqual(
      names?.filter((name) => name === "first-bucket" || name === "main"),
      ["first-bucket", "main"],
    );
    const page = await s3.send(new ListBucketsCommand({ MaxBuckets: 1 }));
    assert.equal(page.Buckets?.length, 1);
    assert.equal(page.Buckets?.[0]?.BucketRegion, server.region);
    const rest = await s3.send(new ListBucketsCommand({ ContinuationToken: page.ContinuationToken as string, Prefix: "m" }));
    assert.deepEqual(
      rest.Buckets?.map((bucket) => bucket.Name),
      ["main"],
    );
    assert.equal(rest.Prefix, "m");

    await s3.send(new DeleteBucketCommand({ Bucket: "first-bucket" }));
    assert.deepEqual(await sdkError(s3.send(new DeleteBucketCommand({ Bucket: "first-bucket" }))), {
      name: "NoSuchBucket",
      status: 404,
    });
    await s3.send(new CreateBucketCommand({ Bucket: "full" }));
    await s3.send(new PutObjectCommand({ Bucket: "full", Key: "k", Body: "1" }));
    assert.deepEqual(await sdkError(s3.send(new DeleteBucketCommand({ Bucket: "full" }))), {
      name: "BucketNotEmpty",
      status: 409,
    });
    await s3.send(new DeleteObjectCommand({ Bucket: "full", Key: "k" }));
    await s3.send(new DeleteBucketCommand({ Bucket: "full" }));
  });

  it("put, get, head, delete an object with all its headers", async () => {
    const put = await s3.send(
      new PutObjectCommand({
        Bucket: "main",
        Key: "greeting",
        Body: "hello",
        ContentType: "text/plain",
        CacheControl: "max-age=60",
        ContentDisposition: 'attachment; filename="g.txt"',
        ContentEncoding: "identity",
        ContentLanguage: "en",
        Expires: new Date("2030-01-01T00:00:00Z"),
        WebsiteRedirectLocation: "/other",
        Metadata: { color: "red", "two-words": "a b" },
      }),
    );
    assert.equal(put.ETag, '"5d41402abc4b2a76b9719d911017c592"');
    assert.equal(put.ChecksumCRC32, "NhCmhg==");
    assert.equal(put.ChecksumType, "FULL_OBJECT");
    assert.equal(put.VersionId, undefined);

    const got = await s3.send(new GetObjectCommand({ Bucket: "main", Key: "greeting" }));
    assert.equal(await got.Body?.transformToString(), "hello");
    assert.equal(got.ChecksumCRC32, "NhCmhg==");
    const head = await s3.send(new HeadObjectCommand({ Bucket: "main", Key: "greeting" }));
    for (const answer of [got, head]) {
      assert.equal(answer.ContentLength, 5);
      assert.equal(answer.ContentType, "text/plain");
      assert.equal(answer.CacheControl, "max-age=60");
      assert.equal(answer.ContentDisposition, 'attachment; filename="g.txt"');
      assert.equal(answer.ContentEncoding, "identity");
      assert.equal(answer.ContentLanguage, "en");
      assert.equal(answer.ExpiresString, "Tue, 01 Jan 2030 00:00:00 GMT");
      assert.equal(answer.WebsiteRedirectLocation, "/other");
      assert.deepEqual(answer.Metadata, { color: "red", "two-words": "a b" });
      assert.equal(answer.AcceptRanges, "bytes");
      assert.equal(answer.VersionId, undefined);
      assert.ok(Math.abs((answer.LastModified?.getTime() ?? 0) - Date.now()) < 60_000);
    }

    assert.deepEqual((await s3.send(new GetObjectTaggingCommand({ Bucket: "main", Key: "greeting" }))).TagSet, []);
    assert.equal(
      (await s3.send(new GetObjectAclCommand({ Bucket: "main", Key: "greeting" }))).Grants?.[0]?.Permission,
      "FULL_CONTROL",
    );
    const deleted = await s3.send(new DeleteObjectCommand({ Bucket: "main", Key: "greeting" }));
    assert.equal(deleted.$metadata.httpStatusCode, 204);
    await s3.send(new DeleteObjectCommand({ Bucket: "main", Key: "greeting" }));
    assert.deepEqual(await sdkError(s3.send(new GetObjectCommand({ Bucket: "main", Key: "greeting" }))), {
      name: "NoSuchKey",
      status: 404,
    });
    assert.equal((await sdkError(s3.send(new HeadObjectCommand({ Bucket: "main", Key: "greeting" })))).status, 404);
    assert.deepEqual(await sdkError(s3.send(new GetObjectTaggingCommand({ Bucket: "main", Key: "greeting" }))), {
      name: "NoSuchKey",
      status: 404,
    });
  });

  it("bodies of every size come back", async () => {
    for (const size of [0, 1, 4096, 16_384, 16_385, 70_000, MIB, MIB + 1, 3 * MIB + 17]) {
      const body = Buffer.alloc(size, `${size} `);
      await s3.send(new PutObjectCommand({ Bucket: "main", Key: `size-${size}`, Body: body }));
      const got = await s3.send(new GetObjectCommand({ Bucket: "main", Key: `size-${size}` }));
      assert.equal(got.ContentLength, size);
      assert.ok(body.equals(Buffer.from((await got.Body?.transformToByteArray()) ?? [])), `size ${size}`);
    }
  });

  it("copies: headers kept or replaced, onto itself, conditions, checksum", async () => {
    await s3.send(
      new PutObjectCommand({
        Bucket: "main",
        Key: "src dir/ä+?.txt",
        Body: "copy me",
        ContentType: "a/b",
        Metadata: { m: "1" },
        WebsiteRedirectLocation: "/r",
      }),
    );
    const source = `main/${encodeURIComponent("src dir/ä+?.txt")}`;
    const kept = await s3.send(new CopyObjectCommand({ Bucket: "main", Key: "copy", CopySource: source }));
    assert.ok(kept.CopyObjectResult?.ETag);
    assert.ok(kept.CopyObjectResult?.LastModified);
    const head = await s3.send(new HeadObjectCommand({ Bucket: "main", Key: "copy", ChecksumMode: "ENABLED" }));
    assert.deepEqual([head.ContentType, head.Metadata, head.WebsiteRedirectLocation], ["a/b", { m: "1" }, undefined]);
    assert.ok(head.ChecksumCRC32);

    await s3.send(
      new CopyObjectCommand({
        Bucket: "main",
        Key: "copy",
        CopySource: `/${source}`,
        MetadataDirective: "REPLACE",
        ContentType: "c/d",
        Metadata: { n: "2" },
      }),
    );
    const replaced = await s3.send(new HeadObjectCommand({ Bucket: "main", Key: "copy" }));
    assert.deepEqual([replaced.ContentType, replaced.Metadata], ["c/d", { n: "2" }]);

    const illegal = await sdkError(s3.send(new CopyObjectCommand({ Bucket: "main", Key: "copy", CopySource: "main/copy" })));
    assert.deepEqual(illegal, { name: "InvalidRequest", status: 400 });
    await s3.send(
      new CopyObjectCommand({
        Bucket: "main",
        Key: "copy",
        CopySource: "main/copy",
        MetadataDirective: "REPLACE",
        ContentType: "e/f",
      }),
    );

    const summed = await s3.send(
      new CopyObjectCommand({ Bucket: "main", Key: "copy-sha", CopySource: source, ChecksumAlgorithm: "SHA256" }),
    );
    assert.equal(summed.CopyObjectResult?.ChecksumSHA256?.length, 44);

    for (const condition of [
      { CopySourceIfMatch: '"x"' },
      { CopySourceIfNoneMatch: kept.CopyObjectResult?.ETag as string },
      { CopySourceIfModifiedSince: new Date() },
      { CopySourceIfUnmodifiedSince: new Date(0) },
    ])
      assert.deepEqual(
        await sdkError(s3.send(new CopyObjectCommand({ Bucket: "main", Key: "c2", CopySource: source, ...condition }))),
        {
          name: "PreconditionFailed",
          status: 412,
        },
      );
    assert.equal(
      (await sdkError(s3.send(new CopyObjectCommand({ Bucket: "main", Key: "c2", CopySource: "main/absent" })))).name,
      "NoSuchKey",
    );
    // A plus is a plus; where there is no such key it is the space that AWS reads, and that form encoders write.
    for (const [key, body] of [
      ["a b", "with a space"],
      ["c d", "with a space"],
      ["c+d", "with a plus"],
    ] as const)
      await s3.send(new PutObjectCommand({ Bucket: "main", Key: key, Body: body }));
    for (const [from, body] of [
      ["a+b", "with a space"],
      ["a%20b", "with a space"],
      ["c+d", "with a plus"],
      ["c%2Bd", "with a plus"],
    ] as const) {
      await s3.send(new CopyObjectCommand({ Bucket: "main", Key: "plus", CopySource: `main/${from}` }));
      const got = await s3.send(new GetObjectCommand({ Bucket: "main", Key: "plus" }));
      assert.equal(await got.Body?.transformToString(), body, from);
    }
    assert.equal(
      (await sdkError(s3.send(new CopyObjectCommand({ Bucket: "main", Key: "c2", CopySource: "main/a%2Bb" })))).name,
      "NoSuchKey",
    );
    assert.equal(
      (await sdkError(s3.send(new CopyObjectCommand({ Bucket: "main", Key: "c2", CopySource: "absent/k" })))).name,
      "NoSuchBucket",
    );
    assert.equal(
      (await sdkError(s3.send(new CopyObjectCommand({ Bucket: "main", Key: "c2", CopySource: "nothing" })))).name,
      "InvalidArgument",
    );
    assert.equal(
      (await sdkError(s3.send(new CopyObjectCommand({ Bucket: "main", Key: "copy", CopySource: source, IfNoneMatch: "*" }))))
        .name,
      "PreconditionFailed",
    );
  });

  it("DeleteObjects: in order, quiet, conditions, errors per key", async () => {
    for (const key of ["d1", "d2", "d3", "d4"]) await s3.send(new PutObjectCommand({ Bucket: "main", Key: key, Body: key }));
    const etag = (await s3.send(new HeadObjectCommand({ Bucket: "main", Key: "d3" }))).ETag as string;
    const answer = await s3.send(
      new DeleteObjectsCommand({
        Bucket: "main",
        Delete: {
          Objects: [
            { Key: "d1" },
            { Key: 'never <was> & "here"' },
            { Key: "d2", ETag: '"0"' },
            { Key: "d3", ETag: etag },
            { Key: "d4", Size: 5 },
            { Key: "k".repeat(1025) },
          ],
        },
      }),
    );
    assert.deepEqual(
      answer.Deleted?.map((one) => one.Key),
      ["d1", 'never <was> & "here"', "d3"],
    );
    assert.deepEqual(
      answer.Errors?.map((one) => [one.Key?.slice(0, 2), one.Code]),
      [
        ["d2", "PreconditionFailed"],
        ["d4", "NotImplemented"],
        ["kk", "KeyTooLongError"],
      ],
    );
    const quiet = await s3.send(
      new DeleteObjectsCommand({
        Bucket: "main",
        Delete: { Quiet: true, Objects: [{ Key: "d2", VersionId: "null" }, { Key: "d4" }] },
      }),
    );
    assert.equal(quiet.Deleted, undefined);
    assert.equal(quiet.Errors, undefined);
    for (const key of ["d1", "d2", "d3", "d4"])
      assert.equal((await sdkError(s3.send(new HeadObjectCommand({ Bucket: "main", Key: key })))).status, 404);
    const many = Array.from({ length: 1001 }, (_, i) => ({ Key: `x${i}` }));
    assert.deepEqual(await sdkError(s3.send(new DeleteObjectsCommand({ Bucket: "main", Delete: { Objects: many } }))), {
      name: "MalformedXML",
      status: 400,
    });
    assert.equal(
      (await s3.send(new DeleteObjectsCommand({ Bucket: "main", Delete: { Objects: many.slice(1) } }))).Deleted?.length,
      1000,
    );
  });

  it("a multipart upload from start to end", async () => {
    const target = { Bucket: "main", Key: "dir/big one" };
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({ ...target, ContentType: "video/x", Metadata: { a: "b" } }),
    );
    const upload = { ...target, UploadId: UploadId as string };
    const bodies = [Buffer.alloc(5 * MIB, 1), Buffer.alloc(5 * MIB + 1, 2), Buffer.from("end")];
    const parts: { PartNumber: number; ETag: string; ChecksumCRC32?: string }[] = [];
    for (const [at, Body] of bodies.entries()) {
      const PartNumber = [1, 3, 10_000][at] as number;
      const { ETag, ChecksumCRC32 } = await s3.send(new UploadPartCommand({ ...upload, PartNumber, Body }));
      parts.push({ PartNumber, ETag: ETag as string, ...(ChecksumCRC32 && { ChecksumCRC32 }) });
    }
    const listed = await s3.send(new ListPartsCommand({ ...upload, MaxParts: 2 }));
    assert.deepEqual(
      listed.Parts?.map((part) => [part.PartNumber, part.Size]),
      [
        [1, 5 * MIB],
        [3, 5 * MIB + 1],
      ],
    );
    assert.equal(listed.IsTruncated, true);
    assert.equal(listed.NextPartNumberMarker, "3");
    assert.equal(listed.StorageClass, "STANDARD");
    const more = await s3.send(new ListPartsCommand({ ...upload, PartNumberMarker: "3" }));
    assert.deepEqual(
      more.Parts?.map((part) => part.PartNumber),
      [10_000],
    );
    assert.equal(more.IsTruncated, false);

    const uploads = await s3.send(new ListMultipartUploadsCommand({ Bucket: "main", Prefix: "dir/" }));
    assert.deepEqual(
      uploads.Uploads?.map((one) => [one.Key, one.UploadId]),
      [["dir/big one", UploadId]],
    );
    const grouped = await s3.send(new ListMultipartUploadsCommand({ Bucket: "main", Delimiter: "/" }));
    assert.deepEqual(
      grouped.CommonPrefixes?.map((one) => one.Prefix),
      ["dir/"],
    );

    const done = await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts } }));
    assert.match(done.ETag ?? "", /^"[0-9a-f]{32}-3"$/);
    assert.equal(done.Location, `${server.endpoint}/main/dir%2Fbig%20one`);
    assert.equal(done.Bucket, "main");
    assert.equal(done.Key, "dir/big one");

    const got = await s3.send(new GetObjectCommand(target));
    assert.ok(Buffer.concat(bodies).equals(Buffer.from((await got.Body?.transformToByteArray()) ?? [])));
    assert.equal(got.ContentType, "video/x");
    assert.deepEqual(got.Metadata, { a: "b" });
    const second = await s3.send(new GetObjectCommand({ ...target, PartNumber: 2 }));
    assert.equal(second.PartsCount, 3);
    assert.equal(second.ContentRange, `bytes ${5 * MIB}-${10 * MIB}/${10 * MIB + 4}`);
    assert.ok(bodies[1]?.equals(Buffer.from((await second.Body?.transformToByteArray()) ?? [])));
    assert.equal((await s3.send(new HeadObjectCommand({ ...target, PartNumber: 3 }))).ContentLength, 3);
    assert.equal((await sdkError(s3.send(new GetObjectCommand({ ...target, PartNumber: 4 })))).status, 416);
    const attributes = await s3.send(
      new GetObjectAttributesCommand({
        ...target,
        ObjectAttributes: ["ETag", "ObjectParts", "ObjectSize", "StorageClass", "Checksum"],
      }),
    );
    assert.equal(attributes.ETag, done.ETag?.replaceAll('"', ""));
    assert.equal(attributes.ObjectSize, 10 * MIB + 4);
    assert.equal(attributes.ObjectParts?.TotalPartsCount, 3);
    assert.equal(attributes.StorageClass, "STANDARD");
    assert.ok(attributes.LastModified);
    assert.equal((await sdkError(s3.send(new ListPartsCommand(upload)))).name, "NoSuchUpload");
  });

  it("parts copied from objects, with ranges", async () => {
    const body = Buffer.from(Array.from({ length: 6 * MIB }, (_, i) => i % 251));
    await s3.send(new PutObjectCommand({ Bucket: "main", Key: "source", Body: body }));
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket: "main", Key: "joined" }));
    const upload = { Bucket: "main", Key: "joined", UploadId: UploadId as string };
    const whole = await s3.send(new UploadPartCopyCommand({ ...upload, PartNumber: 1, CopySource: "main/source" }));
    const piece = await s3.send(
      new UploadPartCopyCommand({ ...upload, PartNumber: 2, CopySource: "main/source", CopySourceRange: "bytes=100-1048699" }),
    );
    assert.ok(piece.CopyPartResult?.LastModified);
    for (const CopySourceRange of ["bytes=0-99999999", "bytes=0-", "0-5"])
      assert.equal(
        (
          await sdkError(
            s3.send(new UploadPartCopyCommand({ ...upload, PartNumber: 3, CopySource: "main/source", CopySourceRange })),
          )
        ).name,
        "InvalidArgument",
      );
    await s3.send(
      new CompleteMultipartUploadCommand({
        ...upload,
        MultipartUpload: {
          Parts: [
            { PartNumber: 1, ETag: whole.CopyPartResult?.ETag as string },
            { PartNumber: 2, ETag: piece.CopyPartResult?.ETag as string },
          ],
        },
      }),
    );
    const got = await s3.send(new GetObjectCommand({ Bucket: "main", Key: "joined" }));
    assert.ok(
      Buffer.concat([body, body.subarray(100, 1_048_700)]).equals(Buffer.from((await got.Body?.transformToByteArray()) ?? [])),
    );
  });

  it("refuses bad completions and forgets aborted uploads", async () => {
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket: "main", Key: "bad" }));
    const upload = { Bucket: "main", Key: "bad", UploadId: UploadId as string };
    const one = (await s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: "a" }))).ETag as string;
    const two = (await s3.send(new UploadPartCommand({ ...upload, PartNumber: 2, Body: "b" }))).ETag as string;
    const complete = (Parts: { PartNumber: number; ETag: string }[]): Promise<{ name: string; status: number }> =>
      sdkError(s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })));
    assert.equal((await complete([{ PartNumber: 1, ETag: '"0"' }])).name, "InvalidPart");
    assert.equal((await complete([{ PartNumber: 3, ETag: one }])).name, "InvalidPart");
    assert.equal(
      (
        await complete([
          { PartNumber: 1, ETag: one },
          { PartNumber: 2, ETag: two },
        ])
      ).name,
      "EntityTooSmall",
    );
    assert.equal(
      (
        await complete([
          { PartNumber: 2, ETag: two },
          { PartNumber: 1, ETag: one },
        ])
      ).name,
      "InvalidPartOrder",
    );
    assert.equal((await complete([])).name, "MalformedXML");
    assert.equal(
      (await sdkError(s3.send(new UploadPartCommand({ ...upload, PartNumber: 10_001, Body: "x" })))).name,
      "InvalidArgument",
    );
    await s3.send(new AbortMultipartUploadCommand(upload));
    assert.equal((await sdkError(s3.send(new AbortMultipartUploadCommand(upload)))).name, "NoSuchUpload");
    assert.equal((await sdkError(s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: "x" })))).name, "NoSuchUpload");
    assert.equal((await sdkError(s3.send(new ListPartsCommand({ ...upload, UploadId: "zz" })))).name, "NoSuchUpload");
  });

  it("lib-storage uploads a stream in parts", async () => {
    const body = Buffer.alloc(12 * MIB, "stream ");
    const upload = new Upload({
      client: s3,
      params: { Bucket: "main", Key: "streamed", Body: new Blob([body]).stream() },
      queueSize: 3,
    });
    const done = await upload.done();
    assert.match(done.ETag ?? "", /-3"$/);
    const got = await s3.send(new GetObjectCommand({ Bucket: "main", Key: "streamed" }));
    assert.ok(body.equals(Buffer.from((await got.Body?.transformToByteArray()) ?? [])));
  });

  it("lists of three kinds", async () => {
    await s3.send(new CreateBucketCommand({ Bucket: "lists" }));
    for (const key of ["a/1", "a/2", "b"]) await s3.send(new PutObjectCommand({ Bucket: "lists", Key: key, Body: key }));
    const two = await s3.send(new ListObjectsV2Command({ Bucket: "lists", Delimiter: "/", FetchOwner: true }));
    assert.deepEqual(two.CommonPrefixes, [{ Prefix: "a/" }]);
    assert.equal(two.KeyCount, 2);
    assert.equal(two.Contents?.[0]?.Key, "b");
    assert.equal(two.Contents?.[0]?.Size, 1);
    assert.equal(two.Contents?.[0]?.StorageClass, "STANDARD");
    assert.equal(two.Contents?.[0]?.Owner?.ID, server.identity.keyId);
    assert.deepEqual(two.Contents?.[0]?.ChecksumAlgorithm, ["CRC32"]);
    assert.equal(two.Contents?.[0]?.ChecksumType, "FULL_OBJECT");
    const one = await s3.send(new ListObjectsCommand({ Bucket: "lists", Marker: "a/1" }));
    assert.deepEqual(
      one.Contents?.map((entry) => entry.Key),
      ["a/2", "b"],
    );
    assert.equal(one.Marker, "a/1");
    const versions = await s3.send(new ListObjectVersionsCommand({ Bucket: "lists", MaxKeys: 2 }));
    assert.deepEqual(
      versions.Versions?.map((version) => [version.Key, version.VersionId, version.IsLatest]),
      [
        ["a/1", "null", true],
        ["a/2", "null", true],
      ],
    );
    assert.equal(versions.NextKeyMarker, "a/2");
    const rest = await s3.send(
      new ListObjectVersionsCommand({
        Bucket: "lists",
        KeyMarker: versions.NextKeyMarker,
        VersionIdMarker: versions.NextVersionIdMarker as string,
      }),
    );
    assert.deepEqual(
      rest.Versions?.map((version) => version.Key),
      ["b"],
    );
  });
});
