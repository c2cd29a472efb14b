import assert from "node:assert/strict";
import { join } from "node:path";
import type { Client, Kit, Step } from "./client.ts";
import { debian, goProgram } from "./sources.ts";
import { sameFile, sameTree } from "./checks.ts";

export const restic: Client = {
  name: "restic",
  source: debian(["/usr/bin/restic"], ["restic"]),
  steps: (kit) => steps(kit, "restic-bucket"),
};

export const newestRestic: Client = {
  name: "restic-newest",
  source: goProgram("github.com/restic/restic", "v0.18.1", "/cmd/restic"),
  slow: true,
  steps: (kit) => steps(kit, "restic-newest-bucket"),
};

function steps({ daemon, files, folder, must, installed }: Kit, bucket: string): Step[] {
  const env = {
    AWS_ACCESS_KEY_ID: daemon.keyId,
    AWS_SECRET_ACCESS_KEY: daemon.secret,
    AWS_DEFAULT_REGION: "garage",
    RESTIC_REPOSITORY: `s3:${daemon.endpoint}/${bucket}/backups`,
    RESTIC_PASSWORD: "correct horse",
    RESTIC_CACHE_DIR: join(folder, "cache"),
  };
  const restic = (...args: string[]) => must([join(installed, "restic"), ...args], { env });
  const backup = async (path: string): Promise<{ files_new: number; data_added: number }> => {
    const lines = (await restic("backup", "--json", path)).stdout.trimEnd().split("\n");
    return JSON.parse(lines.at(-1) as string) as { files_new: number; data_added: number };
  };
  return [
    { name: "init", run: async () => void (await restic("init")) },
    {
      name: "backup",
      async run() {
        assert.equal((await backup(files.tree)).files_new, files.treeNames.length);
        assert.ok((await backup(files.big)).data_added > 190e6);
      },
    },
    {
      name: "backup again moves nothing",
      async run() {
        const again = await backup(files.tree);
        assert.equal(again.files_new, 0);
        assert.ok(again.data_added < 10_000, `${again.data_added} bytes added`);
      },
    },
    { name: "check", run: async () => void (await restic("check", "--read-data")) },
    {
      name: "restore and compare",
      async run() {
        const back = join(folder, "restored");
        await restic("restore", "latest", "--path", files.tree, "--target", back);
        sameTree(join(back, files.tree), files.tree);
        await restic("restore", "latest", "--path", files.big, "--target", back);
        await sameFile(join(back, files.big), files.big);
      },
    },
    {
      name: "forget and prune",
      async run() {
        await restic("forget", "--keep-last", "1", "--path", files.tree, "--prune");
        await restic("check");
      },
    },
  ];
}
