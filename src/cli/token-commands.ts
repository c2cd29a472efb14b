import type { Command } from "commander";
import type { AdminClient } from "./admin-client.ts";
import { expiry } from "./expiry.ts";
import { CommandError } from "./fail.ts";
import { localTime, nonEmpty, print, table } from "./text.ts";

interface TokenInfo {
  readonly id: string | null;
  readonly name: string;
  readonly created: string | null;
  readonly expiration: string | null;
  readonly expired: boolean;
  readonly scope: readonly string[];
  readonly secretToken?: string;
}

const TOKEN = "id prefix or exact name";

/** `hangar admin-token …` */
export function addTokenCommands(program: Command, client: () => AdminClient): void {
  const token = program.command("admin-token").description("tokens for the admin port");

  token
    .command("list")
    .description("list admin tokens")
    .action(async () => {
      const tokens = (await client().get("ListAdminTokens")) as TokenInfo[];
      print(
        table([
          ["ID", "Created", "Name", "Expiration", "Scope"],
          ...tokens.map((one) => [
            one.id ?? "-",
            one.created === null ? "-" : localTime(one.created).slice(0, 10),
            one.name,
            one.expired ? "expired" : localTime(one.expiration),
            one.scope.join(", "),
          ]),
        ]),
      );
    });
  token
    .command("info")
    .argument("<token>", TOKEN)
    .description("show an admin token")
    .action(async (pattern: string) => {
      show((await client().get("GetAdminTokenInfo", { search: nonEmpty("the name of the token", pattern) })) as TokenInfo);
    });
  token
    .command("create")
    .argument("[name]", "name of the token", "Unnamed token")
    .option("--expires-in <duration>", "validity from now")
    .option("--scope <operations>", "comma-separated operations, Metrics, or *", "*")
    .option("-q, --quiet", "print only the secret token")
    .description("create an admin token; its secret is shown once")
    .action(async (name: string, options: { expiresIn?: string; scope: string; quiet?: boolean }) => {
      const made = (await client().post("CreateAdminToken", {
        name,
        scope: scopeOf(options.scope),
        ...expiry(options),
      })) as TokenInfo;
      if (options.quiet) return print(made.secretToken ?? "");
      print(`This is your secret bearer token, it will not be shown again:\n\n${made.secretToken}\n`);
      show(made);
    });
  token
    .command("rename")
    .argument("<token>", TOKEN)
    .argument("<name>", "new name")
    .description("rename an admin token")
    .action(async (pattern: string, name: string) => update(client(), pattern, () => ({ name: nonEmpty("the new name", name) })));
  token
    .command("set")
    .argument("<token>", TOKEN)
    .option("--expires-in <duration>", "validity from now")
    .option("--never-expires", "no end of validity")
    .option("--scope <operations>", "new scope; +A,B adds, -A,B takes away")
    .description("change an admin token")
    .action(async (pattern: string, options: { expiresIn?: string; neverExpires?: boolean; scope?: string }) => {
      const { expiresIn, neverExpires, scope } = options;
      if (expiresIn === undefined && !neverExpires && scope === undefined)
        throw new CommandError("give --expires-in, --never-expires or --scope");
      if (expiresIn !== undefined && neverExpires) throw new CommandError("give either --expires-in or --never-expires");
      await update(client(), pattern, (present) => ({
        ...(neverExpires ? { neverExpires: true } : expiry(options)),
        ...(scope === undefined ? {} : { scope: changedScope(present.scope, scope) }),
      }));
    });
  token
    .command("delete")
    .argument("<token>", TOKEN)
    .option("--yes", "confirm")
    .description("delete an admin token")
    .action(async (pattern: string, options: { yes?: boolean }) => {
      const api = client();
      const info = (await api.get("GetAdminTokenInfo", { search: nonEmpty("the name of the token", pattern) })) as TokenInfo;
      if (!options.yes) throw new CommandError(`add --yes to delete admin token ${info.id} (${info.name})`);
      await api.post("DeleteAdminToken", undefined, { id: info.id ?? "" });
      print("Admin API token has been deleted.");
    });
  token
    .command("delete-expired")
    .option("--yes", "confirm")
    .description("delete all tokens past their expiration")
    .action(async (options: { yes?: boolean }) => {
      const api = client();
      const expired = ((await api.get("ListAdminTokens")) as TokenInfo[]).filter((one) => one.expired && one.id !== null);
      if (expired.length > 0 && !options.yes) throw new CommandError(`add --yes to delete ${expired.length} expired token(s)`);
      for (const one of expired) await api.post("DeleteAdminToken", undefined, { id: one.id ?? "" });
      print(`${expired.length} admin tokens have been deleted.`);
    });
}

async function update(api: AdminClient, pattern: string, change: (present: TokenInfo) => object): Promise<void> {
  const info = (await api.get("GetAdminTokenInfo", { search: nonEmpty("the name of the token", pattern) })) as TokenInfo;
  show((await api.post("UpdateAdminToken", change(info), { id: info.id ?? "" })) as TokenInfo);
}

function scopeOf(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function changedScope(present: readonly string[], wish: string): string[] {
  if (wish.startsWith("+")) return [...present, ...scopeOf(wish.slice(1))];
  if (wish.startsWith("-")) return present.filter((name) => !scopeOf(wish.slice(1)).includes(name));
  return scopeOf(wish);
}

function show(info: TokenInfo): void {
  print("==== ADMINISTRATION TOKEN INFORMATION ====");
  print(
    table([
      ["Token ID:", info.id ?? "-"],
      ["Token name:", info.name],
      ["Created:", localTime(info.created)],
      ["Validity:", info.expired ? "expired" : "valid"],
      ["Expiration:", localTime(info.expiration)],
      ["Scope:", info.scope.join(", ")],
    ]),
  );
}
