import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitFor } from "../process/support/wait-for.ts";
import type { Client } from "./client.ts";
import { goProgram } from "./sources.ts";

const BUCKET = "tofu-bucket";
const STATE = "network/state";
const LOCK = `${STATE}.tflock`;

/** OpenTofu with its state in the store, guarded by a lock file: a PUT that must not find one. */
export const tofu: Client = {
  name: "tofu",
  source: goProgram("github.com/opentofu/opentofu", "v1.12.6", "/cmd/tofu"),
  slow: true,
  steps: ({ daemon, s3, folder, must, installed }) => {
    const env = { TF_CLI_CONFIG_FILE: "/dev/null", CHECKPOINT_DISABLE: "1", TF_IN_AUTOMATION: "1" };
    const workers = ["one", "other"].map((name) => join(folder, name)) as [string, string];
    const [one, other] = workers;
    const tofu = (cwd: string, ...args: string[]) => must([join(installed, "tofu"), ...args], { cwd, env });
    const apply = (cwd: string, value: string) =>
      tofu(cwd, "apply", "-auto-approve", "-input=false", "-no-color", "-lock-timeout=0s", `-var=value=${value}`);
    const state = async (): Promise<{ serial: number; outputs: { value: { value: string } } }> =>
      JSON.parse((await s3.get(BUCKET, STATE))?.body.toString() ?? "null");
    return [
      {
        name: "init and apply",
        async run() {
          await s3.must("PUT", `/${BUCKET}`);
          const text = `
terraform {
  backend "s3" {
    bucket                      = "${BUCKET}"
    key                         = "${STATE}"
    region                      = "garage"
    endpoints                   = { s3 = "${daemon.endpoint}" }
    use_path_style              = true
    use_lockfile                = true
    skip_credentials_validation = true
    skip_region_validation      = true
    skip_requesting_account_id  = true
    skip_metadata_api_check     = true
  }
}
variable "value" { type = string }
resource "terraform_data" "it" {
  input            = var.value
  triggers_replace = var.value
  provisioner "local-exec" {
    command = "if [ \${var.value} = slow ]; then touch ${folder}/held; n=0; while [ ! -e ${folder}/release ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done; fi"
  }
}
output "value" { value = terraform_data.it.output }
`;
          for (const worker of workers) {
            mkdirSync(worker);
            writeFileSync(join(worker, "main.tf"), text);
            await tofu(worker, "init", "-input=false", "-no-color");
          }
          await apply(one, "first");
          assert.equal((await state()).outputs.value.value, "first");
          assert.equal(await s3.head(BUCKET, LOCK), undefined, "the lock is given back");
        },
      },
      {
        name: "the other one goes on from there",
        async run() {
          const { serial } = await state();
          assert.match((await tofu(other, "output", "-no-color")).stdout, /value = "first"/);
          await apply(other, "second");
          assert.equal((await state()).outputs.value.value, "second");
          assert.ok((await state()).serial > serial);
        },
      },
      {
        name: "a rival is kept out",
        async run() {
          const slow = apply(one, "slow");
          slow.catch(() => {});
          await waitFor("the first one works under its lock", () => existsSync(join(folder, "held")));
          try {
            await assert.rejects(apply(other, "rival"), /Error acquiring the state lock/);
          } finally {
            writeFileSync(join(folder, "release"), "");
          }
          await slow;
          assert.equal((await state()).outputs.value.value, "slow");
          await apply(other, "afterwards");
          assert.equal((await state()).outputs.value.value, "afterwards");
        },
      },
      {
        name: "a lock that was left behind",
        async run() {
          const info = {
            ID: "11111111-2222-3333-4444-555555555555",
            Operation: "OperationTypeApply",
            Info: "",
            Who: "x@y",
            Version: "1",
            Created: new Date().toISOString(),
            Path: `${BUCKET}/${STATE}`,
          };
          await s3.put(BUCKET, LOCK, Buffer.from(JSON.stringify(info)));
          await assert.rejects(apply(one, "kept out"), /11111111-2222/);
          await tofu(one, "force-unlock", "-force", info.ID);
          assert.equal(await s3.head(BUCKET, LOCK), undefined);
          await apply(one, "last");
        },
      },
      {
        name: "destroy",
        async run() {
          await tofu(one, "destroy", "-auto-approve", "-input=false", "-no-color", "-var=value=last");
          assert.deepEqual((await state()).outputs, {});
        },
      },
    ];
  },
};
