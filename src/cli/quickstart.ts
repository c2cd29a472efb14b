// `npm start`: a store of one node for somebody who has just cloned the repository. Everything lies in one folder; a second start finds it as it was.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { createLog } from "../platform/node/log.ts";
import { loadConfig } from "./files.ts";
import { CommandError } from "./fail.ts";
import { privateFolder, startDaemon } from "./server.ts";
import { print } from "./text.ts";

const BUCKET = "my-bucket";

interface Credentials {
  readonly keyId: string;
  readonly secret: string;
}

const DEFAULT_BIND = "127.0.0.1:3900";

export async function runQuickstart(flags: { readonly data: string; readonly bind?: string }, version: string): Promise<void> {
  const folder = resolve(flags.data);
  privateFolder(folder);
  const file = join(folder, "hangar.toml");
  const first = !existsSync(file);
  if (first) writeAll(file, configText(folder, flags.bind ?? DEFAULT_BIND));
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
  const daemon = await startDaemon({ config, secrets, log, version, flags: { singleNode: true, defaultBucket: true } });
  const endpoint = `http://${reachable(daemon.node.s3Address ?? config.s3?.bindAddr ?? "")}`;
  print(welcome({ first, folder, file, endpoint, region: config.s3?.region ?? "garage", credentials, version }));
  await daemon.untilSignal();
}

function configText(folder: string, bind: string): string {
  return `# Made by \`hangar quickstart\`; yours to change. Every key is explained in docs/configuration.md.
metadata_dir = ${JSON.stringify(join(folder, "meta"))}
data_dir = ${JSON.stringify(join(folder, "data"))}

replication_factor = 1
rpc_bind_addr = ${JSON.stringify(beside(bind, 1))}
rpc_secret = "${randomBytes(32).toString("hex")}"

[s3_api]
api_bind_addr = ${JSON.stringify(bind)}
s3_region = "garage"

[admin]
api_bind_addr = ${JSON.stringify(beside(bind, 3))}
admin_token = "${randomBytes(32).toString("base64")}"
`;
}

/** The conventional ports beside S3's: 3901 for nodes and 3903 for administration when S3 has 3900; on 127.0.0.1, whatever S3 listens on. */
function beside(bind: string, offset: number): string {
  const port = Number(/:(\d+)$/.exec(bind)?.[1] ?? 3900);
  const host = /^127\.\d+\.\d+\.\d+(?=:)/.exec(bind)?.[0] ?? "127.0.0.1";
  return `${host}:${port === 0 ? 0 : port + offset}`;
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

/** The command as it is called from here, and a file name that a shell takes as one word. */
const COMMAND = import.meta.url.endsWith(".ts") ? "bin/hangar" : "hangar";
function word(text: string): string {
  return /^[\w./+:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function writeAll(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

function welcome(facts: {
  first: boolean;
  folder: string;
  file: string;
  endpoint: string;
  region: string;
  credentials: Credentials;
  version: string;
}): string {
  const { endpoint, region, credentials } = facts;
  const host = endpoint.replace("http://", "");
  return `
Hangar ${facts.version} is running${facts.first ? "" : " (as before)"}. Everything lies in ${facts.folder}

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

To administer it:   ${COMMAND} -c ${word(facts.file)} status      (and bucket, key, layout, stats …; --help)
Ctrl-C stops it; the next start finds everything as it was.
`;
}
