import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { textContent } from "../process/support/content.ts";
import { AWKWARD_NAMES, type Client, type Kit, type Step } from "./client.ts";
import { debian, goProgram } from "./sources.ts";
import { fetches, sameFile, sameTree, snapshot } from "./checks.ts";

export const rclone: Client = {
  name: "rclone",
  source: debian(["/usr/bin/rclone"], ["rclone"]),
  steps: (kit) => steps(kit, "rclone-bucket"),
};

export const newestRclone: Client = {
  name: "rclone-newest",
  source: goProgram("github.com/rclone/rclone", "v1.76.0"),
  slow: true,
  steps: (kit) => steps(kit, "rclone-newest-bucket"),
};

function steps({ daemon, s3, files, folder, many, must, installed }: Kit, bucket: string): Step[] {
  const root = `hangar:${bucket}`;
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
  const rclone = (...args: string[]) => must([join(installed, "rclone"), ...args], { env });
  /** How many files a command moved, by its own account. */
  const moved = async (...args: string[]): Promise<number> => {
    const { stderr } = await rclone("-v", ...args);
    return (stderr.match(/: Copied \(/g) ?? []).length;
  };
  const roundTrip = async (file: string, key: string): Promise<void> => {
    await rclone("copyto", file, `${root}/${key}`);
    const back = join(folder, `${key}.back`);
    await rclone("copyto", `${root}/${key}`, back);
    await sameFile(back, file);
  };
  return [
    {
      name: "make a bucket",
      async run() {
        await rclone("mkdir", root);
        assert.match((await rclone("lsd", "hangar:")).stdout, new RegExp(bucket));
      },
    },
    { name: "small object", run: () => roundTrip(files.small, "small") },
    { name: "empty object", run: () => roundTrip(files.empty, "empty") },
    {
      name: "200 MB in parts",
      async run() {
        await roundTrip(files.big, "big");
        assert.match((await s3.head(bucket, "big"))?.headers.etag ?? "", /-\d+"$/);
      },
    },
    {
      name: "awkward keys",
      async run() {
        for (const name of AWKWARD_NAMES) {
          await rclone("copyto", files.small, `${root}/awkward/${name}`);
          assert.ok(await s3.head(bucket, `awkward/${name}`), JSON.stringify(name));
        }
        const listed = (await rclone("lsf", `${root}/awkward`)).stdout.split("\n").filter((line) => line !== "");
        assert.deepEqual(listed.sort(), [...AWKWARD_NAMES].sort());
        await rclone("check", "--download", `${root}/awkward`, `${root}/awkward`);
        // Keys that are no file names: rclone must get through a listing that has them.
        await s3.put(bucket, "odd/slash/", Buffer.alloc(0));
        await s3.put(bucket, "odd/a/../b", Buffer.from("dots"));
        await rclone("lsf", "-R", `${root}/odd`);
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
        await rclone("copyto", `${root}/small`, `${root}/small copy`);
        assert.ok((await s3.get(bucket, "small copy"))?.body.equals(readFileSync(files.small)));
        await rclone("copyto", "--s3-copy-cutoff", "50M", `${root}/big`, `${root}/big-copy`);
        assert.equal((await s3.head(bucket, "big-copy"))?.headers["content-length"], String(files.bigBytes));
        await rclone("moveto", `${root}/small copy`, `${root}/small moved`);
        assert.equal(await s3.head(bucket, "small copy"), undefined);
      },
    },
    {
      name: "ranged read",
      async run() {
        const text = textContent(7, 3 * 2 ** 20);
        await s3.put(bucket, "text", text);
        const range = await rclone("cat", "--offset", "1048570", "--count", "2000000", `${root}/text`);
        assert.equal(range.stdout, text.subarray(1048570, 3048570).toString());
      },
    },
    {
      name: "presigned URL",
      run: async () =>
        fetches((await rclone("link", "--expire", "5m", `${root}/small`)).stdout.trim(), readFileSync(files.small)),
    },
    {
      name: "sync twice",
      async run() {
        assert.equal(await moved("sync", files.tree, `${root}/tree`), files.treeNames.length);
        const before = await snapshot(s3, bucket, "tree/");
        assert.equal(await moved("sync", files.tree, `${root}/tree`), 0);
        assert.deepEqual(await snapshot(s3, bucket, "tree/"), before);
        await rclone("check", files.tree, `${root}/tree`);
        const back = join(folder, "tree-back");
        assert.equal(await moved("sync", `${root}/tree`, back), files.treeNames.length);
        sameTree(back, files.tree);
        assert.equal(await moved("sync", `${root}/tree`, back), 0);
      },
    },
    {
      name: "delete",
      async run() {
        await rclone("deletefile", `${root}/small`);
        assert.equal(await s3.head(bucket, "small"), undefined);
        await s3.delete(bucket, "odd/slash/");
        await s3.delete(bucket, "odd/a/../b");
        await rclone("purge", root);
        assert.equal((await s3.send("HEAD", `/${bucket}`)).status, 404);
      },
    },
  ];
}
