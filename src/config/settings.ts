import { shellWord } from "../util/shell-word.ts";
import type { Config, Fault, Secret } from "./config.ts";
import { hex32, type Reader, token } from "./values.ts";

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

/** Reads a file: its text and permission bits, or that it is not there, or why it can't be read. */
export type ReadSecretFile = (path: string) => SecretFile | { readonly failure: "absent" | { readonly reason: string } };

export interface SecretFile {
  readonly text: string;
  readonly mode: number;
}

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
  const take = (
    key: string,
    check: Reader<string>,
    given: { readonly value: string | undefined; readonly file: string | undefined },
    configured: Secret,
  ): string | undefined => {
    if (given.value !== undefined && given.file !== undefined) {
      faults.push({ key, reason: "is given both as a value and as a file on the command line or in the environment" });
      return undefined;
    }
    const source: Secret =
      given.value !== undefined ? { value: given.value } : given.file !== undefined ? { file: given.file } : configured;
    if (source === undefined) return undefined;
    let value: string;
    if ("value" in source) value = source.value;
    else {
      const found = read(source.file);
      if ("failure" in found) {
        faults.push({ key: `${key}_file`, reason: unreadable(source.file, found.failure) });
        return undefined;
      }
      if (!lenient && (found.mode & 0o077) !== 0) {
        faults.push({
          key: `${key}_file`,
          reason: `${source.file} may be read by others (mode ${(found.mode & 0o777).toString(8)}): chmod 600 it, or set allow_world_readable_secrets = true`,
        });
        return undefined;
      }
      value = found.text.trimEnd();
    }
    const checked = check(value);
    if (checked.ok) return checked.value;
    faults.push({ key: "file" in source ? `${key}_file` : key, reason: checked.fault });
    return undefined;
  };
  const { admin } = config;
  return {
    secrets: {
      rpcSecret: take("rpc_secret", hex32, { value: overrides.rpcSecret, file: overrides.rpcSecretFile }, config.rpcSecret),
      adminToken: take(
        "admin.admin_token",
        token,
        { value: overrides.adminToken, file: overrides.adminTokenFile },
        admin?.adminToken,
      ),
      metricsToken: take(
        "admin.metrics_token",
        token,
        { value: overrides.metricsToken, file: overrides.metricsTokenFile },
        admin?.metricsToken,
      ),
    },
    faults,
  };
}

/** A file that is there is not to be overwritten by a command that was copied. */
function unreadable(file: string, failure: "absent" | { readonly reason: string }): string {
  if (failure !== "absent") return `${file} cannot be read: ${failure.reason}`;
  const word = shellWord(file);
  return `${file} is not there: \`openssl rand -hex 32 > ${word} && chmod 600 ${word}\` makes one`;
}

/**
 * A warning when a configuration file holds secrets and every user of the machine may read it, with the command that mends it;
 * else undefined. Garage only looks at secret files, and so many files lie about like this that the start is not refused.
 */
export function exposedSecrets(
  file: { readonly path: string; readonly mode: number; readonly uid: number },
  inlineSecrets: readonly string[],
  user: { readonly uid: number; readonly gid: number },
): string | undefined {
  if ((file.mode & 0o004) === 0 || inlineSecrets.length === 0) return undefined;
  const name = shellWord(file.path);
  // The file of another user, mostly root's: this one reads it through its group.
  const command = file.uid === user.uid ? `chmod 600 ${name}` : `chgrp ${user.gid} ${name} && chmod 640 ${name}`;
  return `${file.path} holds ${inlineSecrets.join(", ")} and every user may read it (mode ${(file.mode & 0o777).toString(8)}): \`${command}\``;
}

/** An environment variable under our name or Garage's. */
export function fromEnvironment(env: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  return env[`HANGAR_${name}`] || env[`GARAGE_${name}`] || undefined;
}
