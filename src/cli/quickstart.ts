// `npm start`: a store of one node for somebody who has just cloned the repository. Everything lies in one folder; a second start
// finds it as it was.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { shellWord } from "../util/shell-word.ts";
import { createLog } from "../platform/node/log.ts";
import { loadConfig } from "./files.ts";
import { CommandError } from "./fail.ts";
import { type Addresses, chooseAddresses } from "./free-ports.ts";
import { privateFolder, startDaemon } from "./server.ts";
import { print } from "./text.ts";

const BUCKET = "my-bucket";

interface Credentials {
  readonly keyId: string;
  readonly secret: string;
}

export async function runQuickstart(flags: { readonly data: string; readonly bind?: string }, version: string): Promise<void> {
  const folder = resolve(flags.data);
  privateFolder(folder);
  const file = join(folder, "hangar.toml");
  const first = !existsSync(file);
  const addresses = first ? await chooseAddresses(flags.bind) : undefined;
  if (addresses) writeAll(file, configText(folder, addresses));
  const credentials = credentialsOf(join(folder, "credentials.json"));
  process.env["HANGAR_DEFAULT_ACCESS_KEY"] = credentials.keyId;
  process.env["HANGAR_DEFAULT_SECRET_KEY"] = credentials.secret;
  process.env["HANGAR_DEFAULT_BUCKET"] = BUCKET;
  const { config, secrets, warnings } = loadConfig({ config: file }, { checkPermissions: true });
  if (flags.bind !== undefined && flags.bind !== config.s3?.bindAddr)
    throw new CommandError(
      `--bind is for the first start; this store has its address in ${file}: change api_bind_addr there (now ${config.s3?.bindAddr ?? "none"})`,
    );
  const log = createLog({ level: "warn" });
  for (const warning of warnings) log.warn({}, warning);
  if (!config.s3) throw new CommandError(`${file}: there is no S3 port without api_bind_addr in [s3_api]`);
  const daemon = await startDaemon({
    path: file,
    config,
    secrets,
    log,
    version,
    flags: { singleNode: true, defaultBucket: true },
  });
  const endpoint = `http://${reachable(daemon.node.s3Address ?? config.s3.bindAddr)}`;
  print(
    welcome({
      first,
      taken: addresses?.taken,
      folder,
      file,
      endpoint,
      region: config.s3.region,
      credentials,
      version,
    }),
  );
  await daemon.untilSignal();
}

function configText(folder: string, { s3, rpc, admin }: Addresses): string {
  return `# Made by \`hangar quickstart\`; yours to change. Every key is explained in docs/configuration.md.
metadata_dir = ${JSON.stringify(join(folder, "meta"))}
data_dir = ${JSON.stringify(join(folder, "data"))}

replication_factor = 1
rpc_bind_addr = ${JSON.stringify(rpc)}
rpc_secret = "${randomBytes(32).toString("hex")}"

[s3_api]
api_bind_addr = ${JSON.stringify(s3)}
s3_region = "garage"

[admin]
api_bind_addr = ${JSON.stringify(admin)}
admin_token = "${randomBytes(32).toString("base64")}"
`;
}

function credentialsOf(path: string): Credentials {
  if (existsSync(path)) {
    try {
      const found = JSON.parse(readFileSync(path, "utf8")) as Partial<Credentials>;
      if (typeof found.keyId === "string" && typeof found.secret === "string")
        return { keyId: found.keyId, secret: found.secret };
    } catch {
      // Falls through to the sentence below.
    }
    throw new CommandError(
      `${path} can't be read as {"keyId": …, "secret": …}; restore it, or remove the whole folder to begin anew`,
    );
  }
  const made = { keyId: `GK${randomBytes(12).toString("hex")}`, secret: randomBytes(32).toString("hex") };
  writeAll(path, `${JSON.stringify(made, null, 2)}\n`);
  return made;
}

/** An address that listens everywhere, as this machine reaches it. */
function reachable(address: string): string {
  return address.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, "127.0.0.1");
}

/** The command as it is called from here. */
const COMMAND = import.meta.url.endsWith(".ts") ? "bin/hangar" : "hangar";

function writeAll(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

function welcome(facts: {
  first: boolean;
  /** Addresses that another program has; this store was given others. */
  taken: readonly string[] | undefined;
  folder: string;
  file: string;
  endpoint: string;
  region: string;
  credentials: Credentials;
  version: string;
}): string {
  const { endpoint, region, credentials } = facts;
  const host = endpoint.replace("http://", "");
  const elsewhere = facts.taken?.length
    ? `${facts.taken.join(" and ")} ${facts.taken.length > 1 ? "are" : "is"} taken by another program: this store has other ports, which ${facts.file} keeps.\n`
    : "";
  return `
Hangar ${facts.version} is running${facts.first ? "" : " (as before)"}. Everything lies in ${facts.folder}
${elsewhere}
  endpoint     ${endpoint}
  region       ${region}
  key id       ${credentials.keyId}
  secret key   ${credentials.secret}
  bucket       ${BUCKET}

To try it, in another terminal:

  # awscli
  export AWS_ACCESS_KEY_ID=${credentials.keyId} AWS_SECRET_ACCESS_KEY=${credentials.secret} AWS_DEFAULT_REGION=${region}
  aws --endpoint-url ${endpoint} s3 cp README.md s3://${BUCKET}/
  aws --endpoint-url ${endpoint} s3 ls s3://${BUCKET}/

  # rclone
  rclone lsf ":s3,provider=Other,force_path_style=true,endpoint='${endpoint}',region=${region},access_key_id=${credentials.keyId},secret_access_key=${credentials.secret}:${BUCKET}"

  # s3cmd
  s3cmd --host=${host} --host-bucket=${host} --no-ssl --access_key=${credentials.keyId} --secret_key=${credentials.secret} ls s3://${BUCKET}

To administer it:   ${COMMAND} -c ${shellWord(facts.file)} status      (and bucket, key, layout, stats …; --help)
Ctrl-C stops it; the next start finds everything as it was.
`;
}
