import type { Config, Fault, Secret } from "./config.ts";
import { hex32 } from "./values.ts";

/** What the command line and the environment say; they win over the file. */
export interface Overrides {
  readonly rpcSecret?: string;
  readonly rpcSecretFile?: string;
  readonly adminToken?: string;
  readonly adminTokenFile?: string;
  readonly metricsToken?: string;
  readonly metricsTokenFile?: string;
  readonly allowWorldReadableSecrets?: boolean;
}

export interface Secrets {
  readonly rpcSecret: string | undefined;
  readonly adminToken: string | undefined;
  readonly metricsToken: string | undefined;
}

/** Reads a file: its text and permission bits; undefined when it is not there. */
export type ReadSecretFile = (path: string) => { readonly text: string; readonly mode: number } | undefined;

/**
 * The secrets in force. A secret file that others may read is refused, unless allowed (`allow_world_readable_secrets`);
 * commands other than the server skip that check. Trailing white space of files is cut.
 */
export function resolveSecrets(
  config: Config,
  overrides: Overrides,
  read: ReadSecretFile,
  options: { readonly checkPermissions: boolean },
): { readonly secrets: Secrets; readonly faults: readonly Fault[] } {
  const faults: Fault[] = [];
  const lenient = !options.checkPermissions || (overrides.allowWorldReadableSecrets ?? config.allowWorldReadableSecrets);
  const take = (key: string, value: string | undefined, file: string | undefined, configured: Secret): string | undefined => {
    if (value !== undefined && file !== undefined) {
      faults.push({ key, reason: "is given both as a value and as a file on the command line or in the environment" });
      return undefined;
    }
    if (value !== undefined) return value;
    const path = file ?? (configured && "file" in configured ? configured.file : undefined);
    if (path === undefined) return configured && "value" in configured ? configured.value : undefined;
    const found = read(path);
    if (!found) faults.push({ key: `${key}_file`, reason: `${path} cannot be read` });
    else if (!lenient && (found.mode & 0o077) !== 0)
      faults.push({
        key: `${key}_file`,
        reason: `${path} may be read by others (mode ${(found.mode & 0o777).toString(8)}): chmod 600 it, or set allow_world_readable_secrets = true`,
      });
    return found?.text.trimEnd();
  };
  const rpcSecret = take("rpc_secret", overrides.rpcSecret, overrides.rpcSecretFile, config.rpcSecret);
  if (rpcSecret !== undefined) {
    const checked = hex32(rpcSecret);
    if (!checked.ok) faults.push({ key: "rpc_secret", reason: checked.fault });
  }
  return {
    secrets: {
      rpcSecret: rpcSecret?.trim().toLowerCase(),
      adminToken: take("admin.admin_token", overrides.adminToken, overrides.adminTokenFile, config.admin?.adminToken),
      metricsToken: take("admin.metrics_token", overrides.metricsToken, overrides.metricsTokenFile, config.admin?.metricsToken),
    },
    faults,
  };
}

/** An environment variable under our name or Garage's. */
export function fromEnvironment(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const value = env[`HANGAR_${name}`] ?? env[`GARAGE_${name}`];
  return value === "" ? undefined : value;
}
