import type { Command } from "commander";
import type { AdminClient } from "./admin-client.ts";
import type { KeyInfo } from "./answers.ts";
import { expiry } from "./expiry.ts";
import { CommandError } from "./fail.ts";
import { localTime, nonEmpty, print, rwo, shortId, table } from "./text.ts";

const KEY = "id prefix or exact name";

/** `hangar key …` */
export function addKeyCommands(program: Command, client: () => AdminClient): void {
  const key = program.command("key").description("manage S3 access keys");

  key
    .command("list")
    .description("list access keys")
    .action(async () => {
      const keys = (await client().get("ListKeys")) as {
        id: string;
        name: string;
        created: string | null;
        expiration: string | null;
        expired: boolean;
      }[];
      print(
        table([
          ["ID", "Created", "Name", "Expiration"],
          ...keys.map((one) => [
            one.id,
            localTime(one.created).slice(0, 10),
            one.name,
            one.expired ? "expired" : localTime(one.expiration),
          ]),
        ]),
      );
    });

  key
    .command("info")
    .argument("<key>", KEY)
    .option("--show-secret", "show the secret too")
    .description("show a key and its buckets")
    .action(async (pattern: string, options: { showSecret?: boolean }) => {
      show(
        (await client().get("GetKeyInfo", {
          search: nonEmpty("the name of the key", pattern),
          ...(options.showSecret ? { showSecretKey: "true" } : {}),
        })) as KeyInfo,
      );
    });

  key
    .command("create")
    .alias("new")
    .argument("[name]", "name of the key", "Unnamed key")
    .option("--expires-in <duration>", 'validity, such as "90d"')
    .description("create a key")
    .action(async (name: string, options: { expiresIn?: string }) => {
      show((await client().post("CreateKey", { name, ...expiry(options) })) as KeyInfo);
    });

  key
    .command("import")
    .argument("<id>", "access key id")
    .argument("<secret>", "secret key")
    .option("-n, --name <name>", "name of the key", "Imported key")
    .option("--yes", "confirm: importing is for keys made elsewhere")
    .description("import a key that exists elsewhere")
    .action(async (id: string, secret: string, options: { name: string; yes?: boolean }) => {
      if (!options.yes)
        throw new CommandError(
          "importing is meant for keys of another store; to make a new one use `hangar key create`. Add --yes to go on.",
        );
      show((await client().post("ImportKey", { accessKeyId: id, secretAccessKey: secret, name: options.name })) as KeyInfo);
    });

  key
    .command("rename")
    .argument("<key>", KEY)
    .argument("<name>", "new name")
    .description("rename a key")
    .action(async (pattern: string, name: string) => {
      await update(client(), pattern, { name: nonEmpty("the new name", name) });
    });

  key
    .command("set")
    .argument("<key>", KEY)
    .option("--expires-in <duration>", "validity from now")
    .option("--never-expires", "no end of validity")
    .description("change a key's validity")
    .action(async (pattern: string, options: { expiresIn?: string; neverExpires?: boolean }) => {
      if (options.expiresIn === undefined && !options.neverExpires)
        throw new CommandError("give --expires-in or --never-expires");
      if (options.expiresIn !== undefined && options.neverExpires)
        throw new CommandError("give either --expires-in or --never-expires");
      await update(client(), pattern, options.neverExpires ? { neverExpires: true } : expiry(options));
    });

  for (const verb of ["allow", "deny"] as const) {
    key
      .command(verb)
      .argument("<key>", KEY)
      .option("--create-bucket", "the right to create buckets")
      .description(`${verb} what a key may do`)
      .action(async (pattern: string, options: { createBucket?: boolean }) => {
        if (!options.createBucket) throw new CommandError(`name what to ${verb}: --create-bucket`);
        await update(client(), pattern, { [verb]: { createBucket: true } });
      });
  }

  key
    .command("delete")
    .argument("<key>", KEY)
    .option("--yes", "confirm")
    .description("delete a key for good")
    .action(async (pattern: string, options: { yes?: boolean }) => {
      const api = client();
      const info = (await api.get("GetKeyInfo", { search: nonEmpty("the name of the key", pattern) })) as KeyInfo;
      if (!options.yes)
        throw new CommandError(
          `add --yes to delete key ${info.accessKeyId} (${info.name}), which has rights on ${info.buckets.length} bucket(s)`,
        );
      await api.post("DeleteKey", undefined, { id: info.accessKeyId });
      print(`Access key ${info.accessKeyId} was deleted successfully.`);
    });

  key
    .command("delete-expired")
    .option("--yes", "confirm")
    .description("delete all keys past their expiration")
    .action(async (options: { yes?: boolean }) => {
      const api = client();
      const expired = ((await api.get("ListKeys")) as { id: string; name: string; expired: boolean }[]).filter(
        (one) => one.expired,
      );
      if (expired.length > 0 && !options.yes)
        throw new CommandError(
          `add --yes to delete ${expired.length} expired key(s): ${expired.map((one) => one.id).join(", ")}`,
        );
      for (const one of expired) await api.post("DeleteKey", undefined, { id: one.id });
      print(`${expired.length} expired access key(s) deleted.`);
    });
}

async function update(api: AdminClient, pattern: string, change: object): Promise<void> {
  const { accessKeyId } = (await api.get("GetKeyInfo", { search: nonEmpty("the name of the key", pattern) })) as KeyInfo;
  show((await api.post("UpdateKey", change, { id: accessKeyId })) as KeyInfo);
}

function show(info: KeyInfo): void {
  print("==== ACCESS KEY INFORMATION ====");
  print(
    table([
      ["Key ID:", info.accessKeyId],
      ["Key name:", info.name],
      ["Secret key:", info.secretAccessKey ?? "(redacted)"],
      ["Created:", localTime(info.created)],
      ["Validity:", info.expired ? "expired" : "valid"],
      ["Expiration:", localTime(info.expiration)],
      [],
      ["Can create buckets:", String(info.permissions.createBucket)],
    ]),
  );
  print("\n==== BUCKETS FOR THIS KEY ====");
  print(
    table([
      ["Permissions", "ID", "Global aliases", "Local aliases"],
      ...info.buckets.map((bucket) => [
        rwo(bucket.permissions),
        shortId(bucket.id),
        bucket.globalAliases.join(","),
        bucket.localAliases.join(","),
      ]),
    ]),
  );
}
