// hadoop-aws: the file system S3A, as Spark, Hive and Flink mount it.
import java.io.FileNotFoundException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.util.Arrays;
import java.util.Random;
import java.util.TreeSet;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.*;

public final class S3aSteps {
  static final String BUCKET = "s3a-bucket";
  static FileSystem fs;

  public static void main(String[] args) {
    try {
      step(args[0]);
    } catch (Throwable failure) {
      for (Throwable one = failure; one != null; one = one.getCause()) System.err.println(one);
      for (StackTraceElement frame : failure.getStackTrace())
        if (frame.getClassName().startsWith("S3aSteps")) System.err.println("    at " + frame);
      System.exit(1);
    }
    System.exit(0);
  }

  static void step(String name) throws Exception {
    fs = mount(BUCKET);
    switch (name) {
      case "write and read back" -> writeAndRead();
      case "40 MB in parts" -> parts();
      case "ranges and tails" -> ranges();
      case "folders and rename" -> rename();
      case "listing of 2,500 keys" -> listing();
      case "create once" -> createOnce();
      case "committed by rename" -> commit();
      case "uploads completed later" -> pendingUploads();
      case "delete" -> delete();
      default -> throw new IllegalArgumentException(name);
    }
    fs.close();
  }

  static FileSystem mount(String bucket) throws Exception {
    Configuration conf = new Configuration();
    conf.set("fs.s3a.endpoint", System.getProperty("endpoint"));
    conf.set("fs.s3a.endpoint.region", "garage");
    conf.set("fs.s3a.access.key", System.getenv("AWS_ACCESS_KEY_ID"));
    conf.set("fs.s3a.secret.key", System.getenv("AWS_SECRET_ACCESS_KEY"));
    conf.set("fs.s3a.path.style.access", "true");
    conf.set("fs.s3a.connection.ssl.enabled", "false");
    conf.set("fs.s3a.multipart.size", "8M");
    conf.set("fs.s3a.attempts.maximum", "1");
    conf.set("fs.s3a.retry.limit", "1");
    conf.set("fs.s3a.buffer.dir", System.getProperty("folder"));
    conf.set("hadoop.tmp.dir", System.getProperty("folder"));
    return FileSystem.newInstance(URI.create("s3a://" + bucket + "/"), conf);
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

  static void put(String path, byte[] body) throws Exception {
    try (OutputStream out = fs.create(new Path(path), true)) {
      out.write(body);
    }
  }

  static byte[] get(String path) throws Exception {
    try (InputStream in = fs.open(new Path(path))) {
      return in.readAllBytes();
    }
  }

  static void absent(String path) throws Exception {
    try {
      fs.getFileStatus(new Path(path));
    } catch (FileNotFoundException expected) {
      return;
    }
    throw new AssertionError(path + " is there");
  }

  static void writeAndRead() throws Exception {
    for (int size : new int[] {0, 1, 10_000}) {
      put("/sized", content(size, size));
      same(get("/sized"), content(size, size));
      same(fs.getFileStatus(new Path("/sized")).getLen(), (long) size);
    }
    for (String name : new String[] {"sp ace", "pl+us", "per%cent%20", "emoji-😀-ünï", "q&e=s,n@$!'()"}) {
      put("/awkward/" + name, name.getBytes());
      same(get("/awkward/" + name), name.getBytes());
    }
    absent("/never there");
  }

  static void parts() throws Exception {
    byte[] body = content(3, 40_000_000);
    try (OutputStream out = fs.create(new Path("/parts"), true)) {
      for (int at = 0; at < body.length; at += 500_000) out.write(body, at, 500_000);
    }
    same(get("/parts"), body);
    put("/parts", new byte[] {1});
    same(get("/parts"), new byte[] {1});
  }

  static void ranges() throws Exception {
    byte[] body = content(4, 3_000_000);
    put("/ranged", body);
    put("/empty", new byte[0]);
    try (FSDataInputStream in = fs.open(new Path("/ranged"))) {
      byte[] some = new byte[77];
      in.readFully(1_048_570, some);
      same(some, Arrays.copyOfRange(body, 1_048_570, 1_048_647));
      in.seek(body.length - 8);
      same(in.readAllBytes(), Arrays.copyOfRange(body, body.length - 8, body.length));
      in.seek(5);
      same(in.read(), body[5] & 255);
    }
    try (FSDataInputStream in = fs.open(new Path("/empty"))) {
      same(in.read(), -1);
    }
  }

  static void rename() throws Exception {
    fs.mkdirs(new Path("/a/b/c"));
    for (int at = 0; at < 30; at++) put("/a/b/file-" + at, content(at, at * 100));
    same(fs.rename(new Path("/a/b"), new Path("/moved")), true);
    absent("/a/b");
    for (int at = 0; at < 30; at++) same(get("/moved/file-" + at), content(at, at * 100));
    same(fs.getFileStatus(new Path("/moved/c")).isDirectory(), true);
    same(fs.listStatus(new Path("/moved")).length, 31);
    FileUtil.copy(fs, new Path("/moved/file-7"), fs, new Path("/copied"), false, fs.getConf());
    same(get("/copied"), content(7, 700));
  }

  static void listing() throws Exception {
    try (FileSystem many = mount(System.getProperty("many"))) {
      TreeSet<String> found = new TreeSet<>();
      for (var entries = many.listFiles(new Path("/"), true); entries.hasNext(); ) found.add(entries.next().getPath().toUri().getPath());
      same(found.size(), 2500);
      same(many.listStatus(new Path("/")).length, 25);
    }
  }

  static void createOnce() throws Exception {
    Path path = new Path("/once");
    try (OutputStream out = createFile(path)) {
      out.write(1);
    }
    try {
      OutputStream out = createFile(path);
      out.write(2);
      out.close();
    } catch (Exception expected) {
      same(get("/once"), new byte[] {1});
      return;
    }
    throw new AssertionError("written twice");
  }

  /** Its builder's type is lost by the chain of calls. */
  static OutputStream createFile(Path path) throws Exception {
    FSDataOutputStreamBuilder<?, ?> builder = fs.createFile(path);
    builder.must("fs.option.create.conditional.overwrite", true);
    return (OutputStream) builder.build();
  }

  static void commit() throws Exception {
    // What a job does: tasks write below _temporary, the driver moves what they finished and marks the end.
    for (int task = 0; task < 5; task++) put("/job/_temporary/0/task-" + task + "/part-" + task, content(task, 20_000));
    for (int task = 0; task < 5; task++)
      same(fs.rename(new Path("/job/_temporary/0/task-" + task + "/part-" + task), new Path("/job/part-" + task)), true);
    same(fs.delete(new Path("/job/_temporary"), true), true);
    put("/job/_SUCCESS", new byte[0]);
    same(fs.listStatus(new Path("/job")).length, 6);
    same(get("/job/part-4"), content(4, 20_000));
  }

  static void pendingUploads() throws Exception {
    Path path = new Path("/uploaded");
    MultipartUploader uploader = fs.createMultipartUploader(new Path("/")).build();
    UploadHandle upload = uploader.startUpload(path).get();
    byte[] one = content(1, 8 << 20), two = content(2, 1000);
    var parts = new java.util.HashMap<Integer, PartHandle>();
    parts.put(1, uploader.putPart(upload, 1, false, path, new java.io.ByteArrayInputStream(one), one.length).get());
    parts.put(2, uploader.putPart(upload, 2, true, path, new java.io.ByteArrayInputStream(two), two.length).get());
    absent("/uploaded");
    uploader.complete(upload, path, parts).get();
    same(fs.getFileStatus(path).getLen(), (long) one.length + two.length);
    UploadHandle other = uploader.startUpload(new Path("/given up")).get();
    uploader.abort(other, new Path("/given up")).get();
    absent("/given up");
    uploader.close();
  }

  static void delete() throws Exception {
    for (FileStatus entry : fs.listStatus(new Path("/"))) same(fs.delete(entry.getPath(), true), true);
    same(fs.listStatus(new Path("/")).length, 0);
  }
}
