import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { content } from "../process/support/content.ts";
import { waitFor } from "../process/support/wait-for.ts";
import type { Client } from "./client.ts";
import { debian } from "./sources.ts";

const S3FS = "/usr/bin/s3fs";
const BUCKET = "s3fs-bucket";

export const s3fs: Client = {
  name: "s3fs",
  source: debian([S3FS], ["s3fs"]),
  steps: ({ daemon, s3, folder, must }) => {
    const mount = join(folder, "mount");
    let missing: string | undefined = existsSync("/dev/fuse") ? undefined : "no /dev/fuse";
    const mounted = (): boolean => readFileSync("/proc/mounts", "utf8").includes(` ${mount} `);
    const step = (name: string, run: () => Promise<void>) => ({ name, run: async () => missing ?? run() });
    return [
      step("mount", async () => {
        await s3.must("PUT", `/${BUCKET}`);
        mkdirSync(mount);
        const password = join(folder, "passwd");
        writeFileSync(password, `${daemon.keyId}:${daemon.secret}`, { mode: 0o600 });
        const options = ["use_path_request_style", "endpoint=garage", `url=${daemon.endpoint}`, `passwd_file=${password}`];
        try {
          await must([S3FS, BUCKET, mount, ...options.flatMap((one) => ["-o", one])]);
        } catch (error) {
          if (!/fuse: (device not found|mount failed|failed to open)|Operation not permitted/i.test(String(error))) throw error;
          missing = "FUSE does not work here";
          return;
        }
        await waitFor("the file system is there", mounted);
      }),
      step("write", async () => {
        mkdirSync(join(mount, "folder"));
        writeFileSync(join(mount, "folder/small"), content(1, 5000));
        writeFileSync(join(mount, "empty"), "");
        writeFileSync(join(mount, "sp ace+%😀"), content(2, 300));
        writeFileSync(join(mount, "big"), content(3, 8 * 2 ** 20));
        assert.ok((await s3.get(BUCKET, "folder/small"))?.body.equals(content(1, 5000)));
        assert.ok((await s3.get(BUCKET, "sp ace+%😀"))?.body.equals(content(2, 300)));
        assert.ok((await s3.get(BUCKET, "big"))?.body.equals(content(3, 8 * 2 ** 20)));
      }),
      step("read", async () => {
        await s3.put(BUCKET, "from-outside", content(4, 3_000_000));
        assert.ok(readFileSync(join(mount, "from-outside")).equals(content(4, 3_000_000)));
        assert.ok(readFileSync(join(mount, "big")).equals(content(3, 8 * 2 ** 20)));
        assert.deepEqual(readdirSync(mount).sort(), ["big", "empty", "folder", "from-outside", "sp ace+%😀"]);
      }),
      step("rename", async () => {
        renameSync(join(mount, "big"), join(mount, "folder/big moved"));
        assert.ok((await s3.get(BUCKET, "folder/big moved"))?.body.equals(content(3, 8 * 2 ** 20)));
        assert.equal(await s3.head(BUCKET, "big"), undefined);
        renameSync(join(mount, "folder"), join(mount, "folder-2"));
        assert.ok(readFileSync(join(mount, "folder-2/small")).equals(content(1, 5000)));
      }),
      step("delete", async () => {
        rmSync(join(mount, "folder-2"), { recursive: true });
        assert.equal((await s3.list(BUCKET, "folder")).length, 0);
      }),
      step("unmount", async () => {
        await must(["umount", mount]);
        await waitFor("it is gone", () => !mounted());
      }),
    ];
  },
};
