import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AWKWARD_NAMES, type Client } from "./client.ts";
import { debian } from "./sources.ts";
import { sameFile, sameTree, snapshot } from "./checks.ts";

const S3CMD = "/usr/bin/s3cmd";
const BUCKET = "s3cmd-bucket";
const ROOT = `s3://${BUCKET}`;

export const s3cmd: Client = {
  name: "s3cmd",
  source: debian([S3CMD], ["s3cmd"]),
  steps: ({ daemon, s3, files, folder, many, must }) => {
    const host = `${daemon.host}:${daemon.s3Port}`;
    const s3cmd = (...args: string[]) =>
      must([
        ...[
          S3CMD,
          "--config=/dev/null",
          "--no-ssl",
          `--host=${host}`,
          `--host-bucket=${host}`,
          "--region=garage",
          "--no-progress",
        ],
        ...[`--access_key=${daemon.keyId}`, `--secret_key=${daemon.secret}`, ...args],
      ]);
    const roundTrip = async (file: string, key: string): Promise<void> => {
      await s3cmd("put", file, `${ROOT}/${key}`);
      const back = join(folder, `${key}.back`);
      await s3cmd("get", "--force", `${ROOT}/${key}`, back);
      await sameFile(back, file);
    };
    return [
      {
        name: "make a bucket",
        async run() {
          await s3cmd("mb", ROOT);
          assert.match((await s3cmd("ls")).stdout, new RegExp(ROOT));
        },
      },
      { name: "small object", run: () => roundTrip(files.small, "small") },
      { name: "empty object", run: () => roundTrip(files.empty, "empty") },
      {
        name: "200 MB in parts",
        async run() {
          await roundTrip(files.big, "big");
          assert.match((await s3.head(BUCKET, "big"))?.headers.etag ?? "", /-\d+"$/);
        },
      },
      {
        name: "awkward keys",
        async run() {
          for (const name of AWKWARD_NAMES) {
            await s3cmd("put", files.small, `${ROOT}/awkward/${name}`);
            assert.ok(await s3.head(BUCKET, `awkward/${name}`), JSON.stringify(name));
            await s3cmd("get", "--force", `${ROOT}/awkward/${name}`, join(folder, "awkward"));
            await sameFile(join(folder, "awkward"), files.small);
          }
          await s3.put(BUCKET, "slash/", Buffer.alloc(0));
          await s3.put(BUCKET, "a/../b", Buffer.from("dots"));
          const listed = (await s3cmd("ls", "--recursive", ROOT)).stdout;
          for (const key of ["slash/", "a/../b", ...AWKWARD_NAMES.map((name) => `awkward/${name}`)])
            assert.ok(listed.includes(`${ROOT}/${key}`), `s3cmd does not list ${JSON.stringify(key)}:\n${listed}`);
        },
      },
      {
        name: "listing of 2,500 keys",
        async run() {
          const lines = (await s3cmd("ls", "--recursive", `s3://${many.bucket}`)).stdout.trimEnd().split("\n");
          assert.deepEqual(
            lines.map((line) => line.slice(line.indexOf("s3://") + `s3://${many.bucket}/`.length)),
            many.keys,
          );
        },
      },
      {
        name: "copy",
        async run() {
          await s3cmd("cp", `${ROOT}/small`, `${ROOT}/small copy`);
          assert.ok((await s3.get(BUCKET, "small copy"))?.body.equals(readFileSync(files.small)));
          await s3cmd("mv", `${ROOT}/small copy`, `${ROOT}/small moved`);
          assert.equal(await s3.head(BUCKET, "small copy"), undefined);
          await s3cmd("cp", `${ROOT}/big`, `${ROOT}/big-copy`);
          assert.equal((await s3.head(BUCKET, "big-copy"))?.headers["content-length"], String(files.bigBytes));
        },
      },
      {
        name: "ranged read (continued download)",
        async run() {
          const to = join(folder, "continued");
          const whole = readFileSync(files.big);
          writeFileSync(to, whole.subarray(0, 150_000_000));
          await s3cmd("get", "--continue", `${ROOT}/big`, to);
          await sameFile(to, files.big);
        },
      },
      {
        name: "presigned URL",
        run: async () => "s3cmd signs URLs with Signature Version 2, which is not offered",
      },
      {
        name: "sync twice",
        async run() {
          await s3cmd("sync", `${files.tree}/`, `${ROOT}/tree/`);
          assert.equal((await s3.list(BUCKET, "tree/")).length, files.treeNames.length);
          const before = await snapshot(s3, BUCKET, "tree/");
          const second = await s3cmd("sync", `${files.tree}/`, `${ROOT}/tree/`);
          assert.doesNotMatch(second.stdout, /^upload: /m);
          assert.deepEqual(await snapshot(s3, BUCKET, "tree/"), before);
          const back = join(folder, "tree-back");
          mkdirSync(back);
          await s3cmd("sync", `${ROOT}/tree/`, `${back}/`);
          sameTree(back, files.tree);
          assert.doesNotMatch((await s3cmd("sync", `${ROOT}/tree/`, `${back}/`)).stdout, /^download: /m);
        },
      },
      {
        name: "delete",
        async run() {
          await s3cmd("del", `${ROOT}/small`);
          assert.equal(await s3.head(BUCKET, "small"), undefined);
          await s3cmd("rb", "--recursive", "--force", ROOT);
          assert.equal((await s3.send("HEAD", `/${BUCKET}`)).status, 404);
        },
      },
    ];
  },
};
