import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AWKWARD_KEYS, type Client, type Kit } from "./client.ts";
import { debian } from "./sources.ts";
import { fetches, sameFile, sameTree, snapshot } from "./checks.ts";

const AWS = "/usr/bin/aws";
const BUCKET = "aws-bucket";

export const awscli: Client = {
  name: "awscli",
  source: debian([AWS], ["awscli"]),
  steps: (kit) => {
    const { s3, files, folder, must } = kit;
    const aws = (...args: string[]) => must([AWS, "--endpoint-url", kit.daemon.endpoint, ...args]);
    return [
      {
        name: "make a bucket",
        async run() {
          await aws("s3", "mb", `s3://${BUCKET}`);
          assert.match((await aws("s3", "ls")).stdout, new RegExp(BUCKET));
        },
      },
      { name: "small object", run: () => roundTrip(kit, aws, files.small, "small") },
      { name: "empty object", run: () => roundTrip(kit, aws, files.empty, "empty") },
      {
        name: "200 MB in parts",
        async run() {
          await roundTrip(kit, aws, files.big, "big");
          const head = await s3.head(BUCKET, "big");
          assert.match(head?.headers.etag ?? "", /-\d+"$/, "it went up in parts");
        },
      },
      {
        name: "awkward keys",
        async run() {
          for (const key of AWKWARD_KEYS)
            await aws("s3api", "put-object", "--bucket", BUCKET, "--key", key, "--body", files.small);
          const found = (await s3.list(BUCKET)).map((one) => one.key);
          for (const key of AWKWARD_KEYS)
            assert.ok(found.includes(key), `${JSON.stringify(key)} is not there: ${found.join("\n")}`);
          const listed = JSON.parse((await aws("s3api", "list-objects-v2", "--bucket", BUCKET)).stdout) as {
            Contents: { Key: string }[];
          };
          for (const key of AWKWARD_KEYS)
            assert.ok(
              listed.Contents.some((one) => one.Key === key),
              `aws does not list ${JSON.stringify(key)}`,
            );
          for (const key of ["sp ace", "a/../b", "per%cent%20%2F", "emoji-😀-ünï"]) {
            await aws("s3api", "get-object", "--bucket", BUCKET, "--key", key, join(folder, "awkward"));
            await sameFile(join(folder, "awkward"), files.small);
          }
          await aws("s3", "cp", files.small, `s3://${BUCKET}/high/le vel+%/`);
          assert.ok(await s3.head(BUCKET, "high/le vel+%/small"));
        },
      },
      {
        name: "listing of 2,500 keys",
        async run() {
          const lines = (await aws("s3", "ls", "--recursive", `s3://${kit.many.bucket}/`)).stdout.trimEnd().split("\n");
          assert.deepEqual(
            lines.map((line) => line.slice(31)),
            kit.many.keys,
          );
          const folders = (await aws("s3", "ls", `s3://${kit.many.bucket}/`)).stdout.match(/PRE/g) ?? [];
          assert.equal(folders.length, 25);
        },
      },
      {
        name: "copy",
        async run() {
          await aws("s3", "cp", `s3://${BUCKET}/small`, `s3://${BUCKET}/small copy`);
          assert.ok((await s3.get(BUCKET, "small copy"))?.body.equals(readFileSync(files.small)));
          await aws("s3", "cp", `s3://${BUCKET}/big`, `s3://${BUCKET}/big-copy`);
          assert.equal((await s3.head(BUCKET, "big-copy"))?.headers["content-length"], String(files.bigBytes));
          await aws("s3", "mv", `s3://${BUCKET}/small copy`, `s3://${BUCKET}/small moved`);
          assert.equal(await s3.head(BUCKET, "small copy"), undefined);
        },
      },
      {
        name: "ranged read",
        async run() {
          const to = join(folder, "range");
          await aws("s3api", "get-object", "--bucket", BUCKET, "--key", "big", "--range", "bytes=8388600-8388700", to);
          assert.ok(readFileSync(to).equals(readFileSync(files.big).subarray(8388600, 8388701)));
        },
      },
      {
        name: "presigned URL",
        async run() {
          const url = (await aws("s3", "presign", `s3://${BUCKET}/small`, "--expires-in", "300")).stdout.trim();
          await fetches(url, readFileSync(files.small));
        },
      },
      {
        name: "sync twice",
        async run() {
          const first = (await aws("s3", "sync", files.tree, `s3://${BUCKET}/tree`)).stdout;
          assert.equal(first.match(/upload: /g)?.length, files.treeNames.length);
          const before = await snapshot(s3, BUCKET, "tree/");
          const second = (await aws("s3", "sync", files.tree, `s3://${BUCKET}/tree`)).stdout;
          assert.doesNotMatch(second, /upload: /);
          assert.deepEqual(await snapshot(s3, BUCKET, "tree/"), before);
          const back = join(folder, "tree-back");
          mkdirSync(back);
          await aws("s3", "sync", `s3://${BUCKET}/tree`, back);
          sameTree(back, files.tree);
          assert.doesNotMatch((await aws("s3", "sync", `s3://${BUCKET}/tree`, back)).stdout, /download: /);
        },
      },
      {
        name: "delete",
        async run() {
          await aws("s3", "rm", `s3://${BUCKET}/small`);
          assert.equal(await s3.head(BUCKET, "small"), undefined);
          await aws("s3", "rm", "--recursive", `s3://${BUCKET}/tree`);
          assert.equal((await s3.list(BUCKET, "tree/")).length, 0);
          await aws("s3", "rb", "--force", `s3://${BUCKET}`);
          assert.equal((await s3.send("HEAD", `/${BUCKET}`)).status, 404);
        },
      },
    ];
  },
};

async function roundTrip(
  { s3, folder }: Kit,
  aws: (...args: string[]) => Promise<unknown>,
  file: string,
  key: string,
): Promise<void> {
  await aws("s3", "cp", "--only-show-errors", file, `s3://${BUCKET}/${key}`);
  assert.ok(await s3.head(BUCKET, key));
  const back = join(folder, `${key}.back`);
  await aws("s3", "cp", "--only-show-errors", `s3://${BUCKET}/${key}`, back);
  await sameFile(back, file);
}
