import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { textContent } from "../process/support/content.ts";
import { AWKWARD_NAMES, type Client } from "./client.ts";
import { fetches, sameFile, sameTree, snapshot } from "./checks.ts";

const RCLONE = "/usr/bin/rclone";
const BUCKET = "rclone-bucket";
const ROOT = `hangar:${BUCKET}`;

export const rclone: Client = {
  name: "rclone",
  program: RCLONE,
  debianPackage: "rclone",
  steps: ({ daemon, s3, files, folder, many, must }) => {
    const env = {
      RCLONE_CONFIG: join(folder, "rclone.conf"),
      RCLONE_CONFIG_HANGAR_TYPE: "s3",
      RCLONE_CONFIG_HANGAR_PROVIDER: "Other",
      RCLONE_CONFIG_HANGAR_ENDPOINT: daemon.endpoint,
      RCLONE_CONFIG_HANGAR_REGION: "garage",
      RCLONE_CONFIG_HANGAR_FORCE_PATH_STYLE: "true",
      RCLONE_CONFIG_HANGAR_ACCESS_KEY_ID: daemon.keyId,
      RCLONE_CONFIG_HANGAR_SECRET_ACCESS_KEY: daemon.secret,
      RCLONE_S3_UPLOAD_CUTOFF: "5M",
      RCLONE_RETRIES: "1",
      RCLONE_LOW_LEVEL_RETRIES: "1",
    };
    const rclone = (...args: string[]) => must([RCLONE, ...args], { env });
    /** How many files a command moved, by its own account. */
    const moved = async (...args: string[]): Promise<number> => {
      const { stderr } = await rclone("-v", ...args);
      return (stderr.match(/: Copied \(/g) ?? []).length;
    };
    const roundTrip = async (file: string, key: string): Promise<void> => {
      await rclone("copyto", file, `${ROOT}/${key}`);
      const back = join(folder, `${key}.back`);
      await rclone("copyto", `${ROOT}/${key}`, back);
      await sameFile(back, file);
    };
    return [
      {
        name: "make a bucket",
        async run() {
          await rclone("mkdir", ROOT);
          assert.match((await rclone("lsd", "hangar:")).stdout, new RegExp(BUCKET));
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
            await rclone("copyto", files.small, `${ROOT}/awkward/${name}`);
            assert.ok(await s3.head(BUCKET, `awkward/${name}`), JSON.stringify(name));
          }
          const listed = (await rclone("lsf", `${ROOT}/awkward`)).stdout.split("\n").filter((line) => line !== "");
          assert.deepEqual(listed.sort(), [...AWKWARD_NAMES].sort());
          await rclone("check", "--download", `${ROOT}/awkward`, `${ROOT}/awkward`);
          // Keys that are no file names: rclone must get through a listing that has them.
          await s3.put(BUCKET, "odd/slash/", Buffer.alloc(0));
          await s3.put(BUCKET, "odd/a/../b", Buffer.from("dots"));
          await rclone("lsf", "-R", `${ROOT}/odd`);
        },
      },
      {
        name: "listing of 2,500 keys",
        async run() {
          const lines = (await rclone("lsf", "-R", "--files-only", `hangar:${many.bucket}`)).stdout.trimEnd().split("\n");
          assert.deepEqual(lines.sort(), [...many.keys].sort());
          const { count } = JSON.parse((await rclone("size", "--json", `hangar:${many.bucket}`)).stdout) as { count: number };
          assert.equal(count, many.keys.length);
        },
      },
      {
        name: "copy",
        async run() {
          await rclone("copyto", `${ROOT}/small`, `${ROOT}/small copy`);
          assert.ok((await s3.get(BUCKET, "small copy"))?.body.equals(readFileSync(files.small)));
          await rclone("copyto", "--s3-copy-cutoff", "50M", `${ROOT}/big`, `${ROOT}/big-copy`);
          assert.equal((await s3.head(BUCKET, "big-copy"))?.headers["content-length"], String(files.bigBytes));
          await rclone("moveto", `${ROOT}/small copy`, `${ROOT}/small moved`);
          assert.equal(await s3.head(BUCKET, "small copy"), undefined);
        },
      },
      {
        name: "ranged read",
        async run() {
          const text = textContent(7, 3 * 2 ** 20);
          await s3.put(BUCKET, "text", text);
          const range = await rclone("cat", "--offset", "1048570", "--count", "2000000", `${ROOT}/text`);
          assert.equal(range.stdout, text.subarray(1048570, 3048570).toString());
        },
      },
      {
        name: "presigned URL",
        run: async () =>
          fetches((await rclone("link", "--expire", "5m", `${ROOT}/small`)).stdout.trim(), readFileSync(files.small)),
      },
      {
        name: "sync twice",
        async run() {
          assert.equal(await moved("sync", files.tree, `${ROOT}/tree`), files.treeNames.length);
          const before = await snapshot(s3, BUCKET, "tree/");
          assert.equal(await moved("sync", files.tree, `${ROOT}/tree`), 0);
          assert.deepEqual(await snapshot(s3, BUCKET, "tree/"), before);
          await rclone("check", files.tree, `${ROOT}/tree`);
          const back = join(folder, "tree-back");
          assert.equal(await moved("sync", `${ROOT}/tree`, back), files.treeNames.length);
          sameTree(back, files.tree);
          assert.equal(await moved("sync", `${ROOT}/tree`, back), 0);
        },
      },
      {
        name: "delete",
        async run() {
          await rclone("deletefile", `${ROOT}/small`);
          assert.equal(await s3.head(BUCKET, "small"), undefined);
          await s3.delete(BUCKET, "odd/slash/");
          await s3.delete(BUCKET, "odd/a/../b");
          await rclone("purge", ROOT);
          assert.equal((await s3.send("HEAD", `/${BUCKET}`)).status, 404);
        },
      },
    ];
  },
};
