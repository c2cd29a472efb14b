// The AWS SDK for Java v2: its synchronous client, its asynchronous ones (Netty and CRT) and the transfer manager.
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletionException;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.async.BlockingOutputStreamAsyncRequestBody;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.*;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

public final class SdkSteps {
  static final String BUCKET = "java-bucket";
  static final URI ENDPOINT = URI.create(System.getProperty("endpoint"));
  static final Region REGION = Region.of("garage");
  static final Path BIG = Path.of(System.getProperty("big"));
  static final Path TREE = Path.of(System.getProperty("tree"));
  static final Path FOLDER = Path.of(System.getProperty("folder"));
  static final String MANY = System.getProperty("many");

  static S3Client sync() {
    return S3Client.builder().endpointOverride(ENDPOINT).region(REGION).forcePathStyle(true).build();
  }

  static S3AsyncClient netty() {
    return S3AsyncClient.builder().endpointOverride(ENDPOINT).region(REGION).forcePathStyle(true).multipartEnabled(true).build();
  }

  static S3AsyncClient crt() {
    return S3AsyncClient.crtBuilder().endpointOverride(ENDPOINT).region(REGION).forcePathStyle(true).minimumPartSizeInBytes(8_000_000L).build();
  }

  public static void main(String[] args) {
    try {
      step(args[0]);
    } catch (Throwable failure) {
      for (Throwable one = failure; one != null; one = one.getCause()) System.err.println(one);
      for (StackTraceElement frame : failure.getStackTrace())
        if (frame.getClassName().startsWith("SdkSteps")) System.err.println("    at " + frame);
      System.exit(1);
    }
    System.exit(0);
  }

  static void step(String name) throws Exception {
    switch (name) {
      case "make a bucket" -> makeBucket();
      case "small and empty objects" -> smallAndEmpty();
      case "multipart" -> multipart();
      case "ranges and tails" -> ranges();
      case "conditions" -> conditions();
      case "metadata and checksums" -> metadata();
      case "listing of 2,500 keys" -> listing();
      case "copy and delete" -> copyAndDelete();
      case "presigned URLs" -> presigned();
      case "asynchronous" -> asynchronous(netty());
      case "asynchronous, CRT" -> asynchronous(crt());
      case "transfer manager" -> transfer(netty(), "netty");
      case "transfer manager, CRT" -> transfer(crt(), "crt");
      default -> throw new IllegalArgumentException(name);
    }
  }

  static byte[] content(int seed, int size) {
    byte[] bytes = new byte[size];
    new Random(seed).nextBytes(bytes);
    return bytes;
  }

  static void same(Object left, Object right) {
    if (!left.equals(right)) throw new AssertionError(left + " is not " + right);
  }

  static void same(byte[] left, byte[] right) {
    if (!Arrays.equals(left, right)) throw new AssertionError("other bytes: " + left.length + ", expected " + right.length);
  }

  static void refused(int status, Runnable call) {
    try {
      call.run();
    } catch (CompletionException wrapped) {
      same(((S3Exception) wrapped.getCause()).statusCode(), status);
      return;
    } catch (S3Exception error) {
      same(error.statusCode(), status);
      return;
    }
    throw new AssertionError("not refused");
  }

  static byte[] get(S3Client s3, String key) {
    return s3.getObjectAsBytes(request -> request.bucket(BUCKET).key(key)).asByteArray();
  }

  static void makeBucket() {
    try (S3Client s3 = sync()) {
      s3.createBucket(request -> request.bucket(BUCKET));
      s3.headBucket(request -> request.bucket(BUCKET));
      if (s3.listBuckets().buckets().stream().noneMatch(one -> one.name().equals(BUCKET))) throw new AssertionError("not listed");
    }
  }

  static void smallAndEmpty() {
    try (S3Client s3 = sync()) {
      for (int size : new int[] {0, 1, 10_000, 3_000_000}) {
        byte[] body = content(size, size);
        PutObjectResponse put = s3.putObject(request -> request.bucket(BUCKET).key("sized"), RequestBody.fromBytes(body));
        ResponseBytes<GetObjectResponse> got = s3.getObjectAsBytes(request -> request.bucket(BUCKET).key("sized"));
        same(got.asByteArray(), body);
        same(got.response().eTag(), put.eTag());
      }
      for (String key : List.of("sp ace", "pl+us", "per%cent%20%2F", "emoji-😀-ünï", "a/../b", "q?u&e=s#t;i:o,n@$!'()*")) {
        s3.putObject(request -> request.bucket(BUCKET).key(key), RequestBody.fromString(key));
        same(new String(get(s3, key), StandardCharsets.UTF_8), key);
      }
      refused(404, () -> get(s3, "never there"));
    }
  }

  static void multipart() {
    try (S3Client s3 = sync()) {
      String id = s3.createMultipartUpload(request -> request.bucket(BUCKET).key("parts").checksumAlgorithm(ChecksumAlgorithm.CRC32)).uploadId();
      List<CompletedPart> parts = new ArrayList<>();
      for (int number = 1; number <= 3; number++) {
        int part = number;
        UploadPartResponse up = s3.uploadPart(
            request -> request.bucket(BUCKET).key("parts").uploadId(id).partNumber(part).checksumAlgorithm(ChecksumAlgorithm.CRC32),
            RequestBody.fromBytes(content(part, 5_300_000)));
        parts.add(CompletedPart.builder().partNumber(part).eTag(up.eTag()).checksumCRC32(up.checksumCRC32()).build());
      }
      same(s3.listParts(request -> request.bucket(BUCKET).key("parts").uploadId(id)).parts().size(), 3);
      s3.completeMultipartUpload(request -> request.bucket(BUCKET).key("parts").uploadId(id).multipartUpload(all -> all.parts(parts)));
      byte[] back = get(s3, "parts");
      for (int number = 1; number <= 3; number++)
        same(Arrays.copyOfRange(back, (number - 1) * 5_300_000, number * 5_300_000), content(number, 5_300_000));
      String other = s3.createMultipartUpload(request -> request.bucket(BUCKET).key("given up")).uploadId();
      s3.abortMultipartUpload(request -> request.bucket(BUCKET).key("given up").uploadId(other));
      same(s3.listMultipartUploads(request -> request.bucket(BUCKET)).uploads().size(), 0);
    }
  }

  static void ranges() {
    try (S3Client s3 = sync()) {
      byte[] body = content(2, 3_000_000);
      s3.putObject(request -> request.bucket(BUCKET).key("ranged"), RequestBody.fromBytes(body));
      s3.putObject(request -> request.bucket(BUCKET).key("one"), RequestBody.fromString("1"));
      s3.putObject(request -> request.bucket(BUCKET).key("empty"), RequestBody.empty());
      same(range(s3, "ranged", "bytes=1048570-1048646"), Arrays.copyOfRange(body, 1048570, 1048647));
      same(range(s3, "ranged", "bytes=-8"), Arrays.copyOfRange(body, body.length - 8, body.length));
      same(range(s3, "ranged", "bytes=2999990-9999999"), Arrays.copyOfRange(body, 2999990, body.length));
      same(range(s3, "one", "bytes=-8"), new byte[] {'1'});
      // The last bytes of an empty object, as readers of Parquet and ORC ask for them.
      same(range(s3, "empty", "bytes=-1"), new byte[0]);
      refused(416, () -> range(s3, "empty", "bytes=0-0"));
    }
  }

  static byte[] range(S3Client s3, String key, String range) {
    return s3.getObjectAsBytes(request -> request.bucket(BUCKET).key(key).range(range)).asByteArray();
  }

  static void conditions() {
    try (S3Client s3 = sync()) {
      String first = s3.putObject(request -> request.bucket(BUCKET).key("once").ifNoneMatch("*"), RequestBody.fromString("first")).eTag();
      refused(412, () -> s3.putObject(request -> request.bucket(BUCKET).key("once").ifNoneMatch("*"), RequestBody.fromString("second")));
      s3.putObject(request -> request.bucket(BUCKET).key("once").ifMatch(first), RequestBody.fromString("newer"));
      refused(412, () -> s3.putObject(request -> request.bucket(BUCKET).key("once").ifMatch(first), RequestBody.fromString("stale")));
      same(new String(get(s3, "once")), "newer");
      refused(412, () -> s3.getObjectAsBytes(request -> request.bucket(BUCKET).key("once").ifMatch(first)));
      s3.getObjectAsBytes(request -> request.bucket(BUCKET).key("once").ifModifiedSince(Instant.now().plus(Duration.ofDays(1))));
    }
  }

  static void metadata() {
    try (S3Client s3 = sync()) {
      for (ChecksumAlgorithm algorithm : List.of(ChecksumAlgorithm.CRC32, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256)) {
        s3.putObject(
            request -> request.bucket(BUCKET).key("described").checksumAlgorithm(algorithm).contentType("text/x-test").cacheControl("no-cache")
                .metadata(Map.of("colour", "blue")),
            RequestBody.fromString("described"));
        HeadObjectResponse head = s3.headObject(request -> request.bucket(BUCKET).key("described").checksumMode(ChecksumMode.ENABLED));
        same(head.contentType() + head.cacheControl() + head.metadata(), "text/x-testno-cache{colour=blue}");
        String sum = algorithm == ChecksumAlgorithm.CRC32 ? head.checksumCRC32() : algorithm == ChecksumAlgorithm.SHA1 ? head.checksumSHA1() : head.checksumSHA256();
        if (sum == null) throw new AssertionError("no checksum " + algorithm);
        same(new String(get(s3, "described")), "described");
      }
      // The right owner, as careful callers name it.
      String owner = s3.getBucketAcl(request -> request.bucket(BUCKET)).owner().id();
      s3.headObject(request -> request.bucket(BUCKET).key("described").expectedBucketOwner(owner));
      refused(403, () -> s3.headObject(request -> request.bucket(BUCKET).key("described").expectedBucketOwner("111122223333")));
    }
  }

  static void listing() {
    try (S3Client s3 = sync()) {
      same((int) s3.listObjectsV2Paginator(request -> request.bucket(MANY).maxKeys(300)).contents().stream().count(), 2500);
      same((int) s3.listObjectsV2Paginator(request -> request.bucket(MANY).delimiter("/").maxKeys(7)).commonPrefixes().stream().count(), 25);
      same(s3.listObjects(request -> request.bucket(MANY).maxKeys(10)).contents().size(), 10);
    }
  }

  static void copyAndDelete() {
    try (S3Client s3 = sync()) {
      byte[] body = content(5, 100_000);
      s3.putObject(request -> request.bucket(BUCKET).key("dir/from +%"), RequestBody.fromBytes(body));
      s3.copyObject(request -> request.sourceBucket(BUCKET).sourceKey("dir/from +%").destinationBucket(BUCKET).destinationKey("dir/copy"));
      same(get(s3, "dir/copy"), body);
      s3.deleteObject(request -> request.bucket(BUCKET).key("dir/copy"));
      refused(404, () -> get(s3, "dir/copy"));
      List<ObjectIdentifier> keys = IntStream.range(0, 50).mapToObj(at -> {
        s3.putObject(request -> request.bucket(BUCKET).key("gone/" + at), RequestBody.fromString("x"));
        return ObjectIdentifier.builder().key("gone/" + at).build();
      }).toList();
      same(s3.deleteObjects(request -> request.bucket(BUCKET).delete(all -> all.objects(keys))).deleted().size(), 50);
      same(s3.listObjectsV2(request -> request.bucket(BUCKET).prefix("gone/")).keyCount(), 0);
    }
  }

  static void presigned() throws Exception {
    try (S3Presigner signer = S3Presigner.builder().endpointOverride(ENDPOINT).region(REGION)
        .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build()).build()) {
      var put = signer.presignPutObject(all -> all.signatureDuration(Duration.ofMinutes(5))
          .putObjectRequest(request -> request.bucket(BUCKET).key("by url").contentType("text/x-test")));
      HttpURLConnection up = (HttpURLConnection) put.url().openConnection();
      up.setRequestMethod("PUT");
      up.setDoOutput(true);
      up.setRequestProperty("Content-Type", "text/x-test");
      up.getOutputStream().write("by url".getBytes());
      same(up.getResponseCode(), 200);
      var get = signer.presignGetObject(all -> all.signatureDuration(Duration.ofMinutes(5)).getObjectRequest(request -> request.bucket(BUCKET).key("by url")));
      same(get.url().openStream().readAllBytes(), "by url".getBytes());
    }
  }

  static void asynchronous(S3AsyncClient s3) throws Exception {
    var puts = IntStream.range(0, 30).mapToObj(at -> s3.putObject(
        request -> request.bucket(BUCKET).key("async/" + at), AsyncRequestBody.fromBytes(content(at, at * 1000)))).toList();
    for (var put : puts) put.join();
    var gets = IntStream.range(0, 30).mapToObj(at -> s3.getObject(
        request -> request.bucket(BUCKET).key("async/" + at), AsyncResponseTransformer.toBytes())).toList();
    for (int at = 0; at < 30; at++) same(gets.get(at).join().asByteArray(), content(at, at * 1000));
    byte[] large = content(7, 21_000_000);
    s3.putObject(request -> request.bucket(BUCKET).key("async/large"), AsyncRequestBody.fromBytes(large)).join();
    same(s3.getObject(request -> request.bucket(BUCKET).key("async/large"), AsyncResponseTransformer.toBytes()).join().asByteArray(), large);
    // A stream whose length nobody knows beforehand.
    BlockingOutputStreamAsyncRequestBody body = AsyncRequestBody.forBlockingOutputStream(null);
    var streamed = s3.putObject(request -> request.bucket(BUCKET).key("async/streamed"), body);
    try (var out = body.outputStream()) {
      for (int piece = 0; piece < 100; piece++) out.write(content(piece, 100_000));
    }
    streamed.join();
    byte[] back = s3.getObject(request -> request.bucket(BUCKET).key("async/streamed"), AsyncResponseTransformer.toBytes()).join().asByteArray();
    for (int piece = 0; piece < 100; piece++) same(Arrays.copyOfRange(back, piece * 100_000, (piece + 1) * 100_000), content(piece, 100_000));
    refused(404, () -> s3.getObject(request -> request.bucket(BUCKET).key("never there"), AsyncResponseTransformer.toBytes()).join());
    s3.close();
  }

  static void transfer(S3AsyncClient s3, String name) throws Exception {
    try (S3TransferManager manager = S3TransferManager.builder().s3Client(s3).build()) {
      manager.uploadFile(all -> all.source(BIG).putObjectRequest(request -> request.bucket(BUCKET).key(name + "/big"))).completionFuture().join();
      Path back = FOLDER.resolve(name + ".back");
      manager.downloadFile(all -> all.destination(back).getObjectRequest(request -> request.bucket(BUCKET).key(name + "/big"))).completionFuture().join();
      if (Files.mismatch(BIG, back) != -1) throw new AssertionError("other bytes came back");
      manager.copy(all -> all.copyObjectRequest(request -> request.sourceBucket(BUCKET).sourceKey(name + "/big").destinationBucket(BUCKET)
          .destinationKey(name + "/big copy"))).completionFuture().join();
      same(s3.headObject(request -> request.bucket(BUCKET).key(name + "/big copy")).join().contentLength(), Files.size(BIG));
      same(manager.uploadDirectory(all -> all.source(TREE).bucket(BUCKET).s3Prefix(name + "/tree")).completionFuture().join().failedTransfers().size(), 0);
      Path tree = FOLDER.resolve(name + "-tree");
      same(manager.downloadDirectory(all -> all.bucket(BUCKET).listObjectsV2RequestTransformer(list -> list.prefix(name + "/tree/")).destination(tree))
          .completionFuture().join().failedTransfers().size(), 0);
      try (var paths = Files.walk(TREE)) {
        for (Path path : paths.filter(Files::isRegularFile).toList())
          if (Files.mismatch(path, tree.resolve(TREE.relativize(path).toString())) != -1) throw new AssertionError(path + " differs");
      }
      Files.delete(back);
    }
  }
}
