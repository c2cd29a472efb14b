import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Client, Kit, Step } from "./client.ts";
import { here, maven } from "./sources.ts";

export const javaSdk: Client = {
  name: "java-sdk",
  source: maven("java/sdk-pom.xml"),
  steps: (kit) =>
    javaSteps(kit, "SdkSteps", [
      "make a bucket",
      "small and empty objects",
      "multipart",
      "ranges and tails",
      "conditions",
      "metadata and checksums",
      "listing of 2,500 keys",
      "copy and delete",
      "presigned URLs",
      "asynchronous",
      "asynchronous, CRT",
      "transfer manager",
      "transfer manager, CRT",
    ]),
};

export const s3a: Client = {
  name: "s3a",
  source: maven("java/s3a-pom.xml"),
  slow: true,
  steps: (kit) =>
    javaSteps(
      kit,
      "S3aSteps",
      [
        "write and read back",
        "40 MB in parts",
        "ranges and tails",
        "folders and rename",
        "listing of 2,500 keys",
        "create once",
        "committed by rename",
        "uploads completed later",
        "delete",
      ],
      () => kit.s3.must("PUT", "/s3a-bucket"),
    ),
};

/** For programs that run for seconds. */
const QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8"];

/** Each step runs `java CLASS STEP` in a process of its own; the first one compiles. */
function javaSteps(
  { daemon, folder, files, many, must, installed }: Kit,
  main: string,
  names: readonly string[],
  prepare: () => Promise<unknown> = async () => {},
): Step[] {
  const classes = join(folder, "classes");
  const facts = { endpoint: daemon.endpoint, folder, big: files.big, tree: files.tree, many: many.bucket };
  const properties = Object.entries(facts).map(([name, value]) => `-D${name}=${value}`);
  return names.map((name, at) => ({
    name,
    async run() {
      if (at === 0) {
        mkdirSync(classes);
        await must(["javac", ...QUICK.map((option) => `-J${option}`), "-proc:none", "-d", classes, here(`java/${main}.java`)], {
          env: { CLASSPATH: installed },
        });
        await prepare();
      }
      await must(["java", "-Xmx1g", ...QUICK, ...properties, main, name], { env: { CLASSPATH: `${classes}:${installed}` } });
    },
  }));
}
