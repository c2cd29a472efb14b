import { fileURLToPath } from "node:url";
import type { Client } from "./client.ts";
import { debian } from "./sources.ts";

const PYTHON = "/usr/bin/python3";
const SCRIPT = fileURLToPath(new URL("./boto3-steps.py", import.meta.url));
const STEPS = [
  "make a bucket",
  "small object",
  "empty object",
  "200 MB in parts",
  "awkward keys",
  "listing of 2,500 keys",
  "copy",
  "ranged read",
  "presigned URL",
  "browser form",
  "conditions",
  "sync twice",
  "delete",
] as const;

export const boto3: Client = {
  name: "boto3",
  source: debian(["/usr/lib/python3/dist-packages/boto3/__init__.py"], ["python3-boto3"]),
  steps: ({ daemon, files, folder, many, must }) => {
    const facts = JSON.stringify({ endpoint: daemon.endpoint, keyId: daemon.keyId, secret: daemon.secret, folder, files, many });
    return STEPS.map((name) => ({ name, run: async () => void (await must([PYTHON, SCRIPT, name], { input: facts })) }));
  },
};
