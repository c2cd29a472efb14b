import { closeSync, existsSync, fstatSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, parseConfig } from "../config/config.ts";
import {
  exposedSecrets,
  fromEnvironment,
  type Overrides,
  type ReadSecretFile,
  resolveSecrets,
  type Secrets,
} from "../config/settings.ts";
import { CommandError, systemReason } from "./fail.ts";

/** Options before the verb. */
export interface GlobalOptions {
  readonly config?: string;
  readonly rpcHost?: string;
  readonly rpcSecret?: string;
  readonly rpcSecretFile?: string;
  readonly adminToken?: string;
  readonly adminTokenFile?: string;
  readonly metricsToken?: string;
  readonly metricsTokenFile?: string;
  readonly allowWorldReadableSecrets?: string;
}

export interface Loaded {
  readonly path: string;
  readonly config: Config;
  readonly secrets: Secrets;
  readonly warnings: readonly string[];
}

/** Where `npm start` keeps the configuration, from the folder it is called in. */
const QUICKSTART_FILE = "hangar-data/hangar.toml";

/** Reads configuration file and secrets. All faults are reported together. @throws CommandError */
export function loadConfig(options: GlobalOptions, { checkPermissions }: { readonly checkPermissions: boolean }): Loaded {
  const env = process.env;
  const given = options.config ?? fromEnvironment(env, "CONFIG_FILE");
  const path = given ?? defaultPath();
  let file: { readonly text: string; readonly mode: number; readonly uid: number };
  try {
    file = readOpened(path);
  } catch (error) {
    const other =
      given === undefined && existsSync(QUICKSTART_FILE)
        ? `the store that \`npm start\` made here has its own: -c ${QUICKSTART_FILE}, before the verb`
        : "give another with -c FILE before the verb, or HANGAR_CONFIG_FILE";
    throw new CommandError(`cannot read the configuration file ${path}: ${systemReason(error)} (${other})`);
  }
  const parsed = parseConfig(file.text);
  if (!parsed.ok) throw new CommandError(`${path} can't be used:\n${faultLines([...parsed.faults, ...parsed.warnings])}`);
  const over = overrides(options, env);
  const { secrets, faults } = resolveSecrets(parsed.config, over, readSecret, { checkPermissions });
  if (faults.length > 0) throw new CommandError(`${path} can't be used:\n${faultLines([...faults, ...parsed.warnings])}`);
  const warnings = parsed.warnings.map((warning) => `${path}: ${warning.key} ${warning.reason}`);
  if (checkPermissions && !(over.allowWorldReadableSecrets ?? parsed.config.allowWorldReadableSecrets)) {
    const user = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const exposed = exposedSecrets({ path, ...file }, parsed.inlineSecrets, user);
    if (exposed !== undefined) warnings.push(exposed);
  }
  return { path, config: parsed.config, secrets, warnings };
}

/**
 * `--rpc-host`, or its environment variable, may name the node whose metadata_dir is here: that is who is talked to anyway.
 * @throws CommandError when it names another: this release doesn't reach it, and the answer of this one would be taken for the
 *         other's.
 */
export function refuseOtherHost(options: GlobalOptions, { config }: Loaded): void {
  const wanted = options.rpcHost ?? fromEnvironment(process.env, "RPC_HOST");
  if (wanted === undefined) return;
  const source = options.rpcHost === undefined ? "HANGAR_RPC_HOST (or GARAGE_RPC_HOST)" : "--rpc-host";
  const match = /^([0-9a-f]{64})(?:@[^@]+:\d+)?$/i.exec(wanted);
  if (!match) throw new CommandError(`${source} ${wanted}: expects id@host:port, as \`hangar node id\` prints it`);
  if ((match[1] as string).toLowerCase() !== nodeIdOf(config.metadataDir))
    throw new CommandError(
      `${source}: this release talks only to the daemon of ${config.metadataDir}, which is another; run the command on that node's machine`,
    );
}

/**
 * The id of the node that has this metadata_dir, from the public key that it wrote there; works while the daemon is stopped.
 * @throws CommandError
 */
export function nodeIdOf(metadataDir: string): string {
  const file = join(metadataDir, "node_key.pub");
  let id: string;
  try {
    id = readFileSync(file).toString("hex");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(code === "ENOENT" ? `${file} is not there yet: the daemon makes it at its first start` : message);
  }
  if (id.length !== 64) throw new CommandError(`${file} is damaged: it holds ${id.length / 2} bytes instead of 32`);
  return id;
}

/** Garage's file stands in where there is none of ours; one of ours that can't be read is not passed over. */
function defaultPath(): string {
  const [ours, garages] = ["/etc/hangar.toml", "/etc/garage.toml"];
  return !existsSync(ours) && existsSync(garages) ? garages : ours;
}

function overrides(options: GlobalOptions, env: NodeJS.ProcessEnv): Overrides {
  const from = (given: string | undefined, name: string): string | undefined => given ?? fromEnvironment(env, name);
  const lenient = from(options.allowWorldReadableSecrets, "ALLOW_WORLD_READABLE_SECRETS");
  if (lenient !== undefined && !/^(1|0|true|false)$/i.test(lenient))
    throw new CommandError(`allow-world-readable-secrets expects true or false, not "${lenient}"`);
  const all = {
    rpcSecret: from(options.rpcSecret, "RPC_SECRET"),
    rpcSecretFile: from(options.rpcSecretFile, "RPC_SECRET_FILE"),
    adminToken: from(options.adminToken, "ADMIN_TOKEN"),
    adminTokenFile: from(options.adminTokenFile, "ADMIN_TOKEN_FILE"),
    metricsToken: from(options.metricsToken, "METRICS_TOKEN"),
    metricsTokenFile: from(options.metricsTokenFile, "METRICS_TOKEN_FILE"),
    allowWorldReadableSecrets: lenient === undefined ? undefined : /^(1|true)$/i.test(lenient),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Overrides;
}

function readSecret(path: string): ReturnType<ReadSecretFile> {
  try {
    return readOpened(path);
  } catch (error) {
    return { failure: (error as NodeJS.ErrnoException).code === "ENOENT" ? "absent" : { reason: systemReason(error) } };
  }
}

/** Text and permissions of one and the same file. */
function readOpened(path: string): { text: string; mode: number; uid: number } {
  const file = openSync(path, "r");
  try {
    const { mode, uid } = fstatSync(file);
    return { text: readFileSync(file, "utf8"), mode, uid };
  } finally {
    closeSync(file);
  }
}

function faultLines(faults: readonly { readonly key: string; readonly reason: string }[]): string {
  return faults.map((fault) => `  ${fault.key} ${fault.reason}`).join("\n");
}
