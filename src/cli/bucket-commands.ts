import type { Command } from "commander";
import { parseDuration, parseSize } from "../config/values.ts";
import type { AdminClient } from "./admin-client.ts";
import type { BucketInfo, KeyInfo } from "./answers.ts";
import { CommandError } from "./fail.ts";
import { bothSizes, localTime, nonEmpty, print, rwo, shortId, table } from "./text.ts";

/** How a bucket is named; what a key called it over S3 is a local name, and no way to find it. */
const BUCKET = "global name, or the beginning of its id";

/** `hangar bucket …` */
export function addBucketCommands(program: Command, client: () => AdminClient): void {
  const bucket = program.command("bucket").description("manage buckets");

  bucket
    .command("list")
    .description("list buckets")
    .action(async () => {
      const buckets = (await client().get("ListBuckets")) as {
        id: string;
        created: string;
        globalAliases: string[];
        localAliases: { accessKeyId: string; alias: string }[];
      }[];
      print(
        table([
          ["ID", "Created", "Global aliases", "Local aliases"],
          ...buckets.map((one) => [
            shortId(one.id),
            localTime(one.created).slice(0, 10),
            one.globalAliases.join(","),
            one.localAliases.map((local) => `${local.accessKeyId}:${local.alias}`).join(","),
          ]),
        ]),
      );
    });

  bucket
    .command("info")
    .argument("<bucket>", BUCKET)
    .description("show a bucket")
    .action(async (name: string) => {
      show(await find(client(), name));
    });

  bucket
    .command("create")
    .argument("<name>", "global name")
    .description("create a bucket")
    .action(async (name: string) => {
      show((await client().post("CreateBucket", { globalAlias: nonEmpty("the name", name) })) as BucketInfo);
    });

  bucket
    .command("delete")
    .argument("<bucket>", BUCKET)
    .option("--yes", "confirm")
    .description("delete an empty bucket")
    .action(async (name: string, options: { yes?: boolean }) => {
      const api = client();
      const info = await find(api, name);
      const names = [
        ...info.globalAliases,
        ...info.keys.flatMap((key) => key.bucketLocalAliases.map((alias) => `${key.accessKeyId}:${alias}`)),
      ];
      if (names.length > 1)
        throw new CommandError(
          `bucket ${name} has other names (${names.join(", ")}): take them away with \`hangar bucket unalias\` first, all but one`,
        );
      if (!options.yes) throw new CommandError(`add --yes to delete bucket ${name}`);
      await api.post("DeleteBucket", undefined, { id: info.id });
      print(`Bucket ${name} has been deleted.`);
    });

  bucket
    .command("alias")
    .argument("<bucket>", BUCKET)
    .argument("<new-name>", "global name, or with --local a name of that key")
    .option("--local <key>", "a name that only this key sees")
    .description("give a bucket another name")
    .action(async (name: string, alias: string, options: { local?: string }) => {
      nonEmpty("the new name", alias);
      const api = client();
      const bucketId = (await find(api, name)).id;
      show(
        (await api.post(
          "AddBucketAlias",
          options.local === undefined
            ? { bucketId, globalAlias: alias }
            : { bucketId, localAlias: alias, accessKeyId: await keyId(api, options.local) },
        )) as BucketInfo,
      );
    });

  bucket
    .command("unalias")
    .argument("<name>", "name to take away")
    .option("--local <key>", "it is a name that only this key sees")
    .description("take a name from a bucket")
    .action(async (alias: string, options: { local?: string }) => {
      nonEmpty("the name", alias);
      const api = client();
      if (options.local === undefined) {
        const { id } = (await api.get("GetBucketInfo", { globalAlias: alias })) as BucketInfo;
        show((await api.post("RemoveBucketAlias", { bucketId: id, globalAlias: alias })) as BucketInfo);
        return;
      }
      const info = (await api.get("GetKeyInfo", { search: options.local })) as KeyInfo;
      const held = info.buckets.find((one) => one.localAliases.includes(alias));
      if (!held) throw new CommandError(`key ${info.accessKeyId} has no bucket named ${alias}`);
      show(
        (await api.post("RemoveBucketAlias", {
          bucketId: held.id,
          localAlias: alias,
          accessKeyId: info.accessKeyId,
        })) as BucketInfo,
      );
    });

  for (const verb of ["allow", "deny"] as const) {
    bucket
      .command(verb)
      .argument("<bucket>", BUCKET)
      .requiredOption("--key <key>", "id prefix or exact name of the key")
      .option("--read", "reading and listing")
      .option("--write", "writing and deleting")
      .option("--owner", "changing the bucket's settings")
      .description(`${verb} a key what it may do with a bucket`)
      .action(async (name: string, options: { key: string; read?: boolean; write?: boolean; owner?: boolean }) => {
        if (!options.read && !options.write && !options.owner)
          throw new CommandError(`name what to ${verb}: --read, --write, --owner`);
        const api = client();
        const permissions = { read: options.read === true, write: options.write === true, owner: options.owner === true };
        show(
          (await api.post(verb === "allow" ? "AllowBucketKey" : "DenyBucketKey", {
            bucketId: (await find(api, name)).id,
            accessKeyId: await keyId(api, options.key),
            permissions,
          })) as BucketInfo,
        );
      });
  }

  bucket
    .command("website")
    .argument("<bucket>", BUCKET)
    .option("--allow", "serve the bucket as a website")
    .option("--deny", "stop serving it")
    .option("-i, --index-document <name>", "index document (index.html when left out)")
    .option("-e, --error-document <key>", "error document")
    .description("website access (kept with the bucket; this release has no web server yet)")
    .action(
      async (name: string, options: { allow?: boolean; deny?: boolean; indexDocument?: string; errorDocument?: string }) => {
        if (options.allow === options.deny) throw new CommandError("give either --allow or --deny");
        const { indexDocument = "index.html" } = options;
        if (indexDocument === "" || indexDocument.includes("/"))
          throw new CommandError(`-i ${indexDocument}: expects the name of a document, such as index.html, without slashes`);
        if (options.deny && (options.indexDocument !== undefined || options.errorDocument !== undefined))
          throw new CommandError("documents make no sense with --deny");
        const api = client();
        const websiteAccess = options.allow
          ? {
              enabled: true,
              indexDocument,
              ...(options.errorDocument === undefined ? {} : { errorDocument: options.errorDocument }),
            }
          : { enabled: false };
        await api.post("UpdateBucket", { websiteAccess }, { id: (await find(api, name)).id });
        print(options.allow ? "Website access allowed." : "Website access denied.");
      },
    );

  bucket
    .command("set-quotas")
    .argument("<bucket>", BUCKET)
    .option("--max-size <size>", 'such as "30GiB", or "none"')
    .option("--max-objects <count>", 'number, or "none"')
    .description("limit a bucket's size")
    .action(async (name: string, options: { maxSize?: string; maxObjects?: string }) => {
      if (options.maxSize === undefined && options.maxObjects === undefined)
        throw new CommandError("give --max-size or --max-objects");
      const api = client();
      const info = await find(api, name);
      const quotas = {
        maxSize: limit("--max-size", options.maxSize, info.quotas.maxSize, {
          parse: parseSize,
          expects: "a size such as 30GiB",
        }),
        maxObjects: limit("--max-objects", options.maxObjects, info.quotas.maxObjects, {
          parse: (text) => (/^\d{1,15}$/.test(text) ? Number(text) : undefined),
          expects: "a whole number such as 1000",
        }),
      };
      await api.post("UpdateBucket", { quotas }, { id: info.id });
      print("Quotas updated.");
    });

  bucket
    .command("cleanup-incomplete-uploads")
    .argument("<buckets...>", BUCKET)
    .option("--older-than <duration>", "age of the uploads", "1d")
    .description("abort multipart uploads that were never completed")
    .action(async (names: string[], options: { olderThan: string }) => {
      const api = client();
      const ms = parseDuration(options.olderThan);
      if (ms === undefined) throw new CommandError(`--older-than ${options.olderThan}: expects a duration such as 1d`);
      for (const name of names) {
        const { uploadsDeleted } = (await api.post("CleanupIncompleteUploads", {
          bucketId: (await find(api, name)).id,
          olderThanSecs: Math.floor(ms / 1000),
        })) as { uploadsDeleted: number };
        print(`${name}: ${uploadsDeleted} uploads deleted`);
      }
    });

  bucket
    .command("inspect-object")
    .argument("<bucket>", BUCKET)
    .argument("<key>", "key of the object")
    .description("show what is stored of an object")
    .action(async (name: string, key: string) => {
      nonEmpty("the key of the object", key);
      const api = client();
      print(JSON.stringify(await api.get("InspectObject", { bucketId: (await find(api, name)).id, key }), null, 2));
    });
}

async function find(api: AdminClient, name: string): Promise<BucketInfo> {
  return (await api.get("GetBucketInfo", { search: nonEmpty("the name of the bucket", name) })) as BucketInfo;
}

async function keyId(api: AdminClient, pattern: string): Promise<string> {
  return ((await api.get("GetKeyInfo", { search: nonEmpty("the name of the key", pattern) })) as KeyInfo).accessKeyId;
}

function limit(
  option: string,
  given: string | undefined,
  present: number | null,
  { parse, expects }: { readonly parse: (text: string) => number | undefined; readonly expects: string },
): number | null {
  if (given === undefined) return present;
  if (given === "none") return null;
  const value = parse(given);
  if (value === undefined) throw new CommandError(`${option} ${given}: expects ${expects}, or none`);
  return value;
}

function show(info: BucketInfo): void {
  print("==== BUCKET INFORMATION ====");
  const site = info.websiteConfig;
  print(
    table([
      ["Bucket:", info.id],
      ["Created:", localTime(info.created)],
      [],
      ["Size:", bothSizes(info.bytes)],
      ["Objects:", String(info.objects)],
      ...(info.unfinishedMultipartUploads > 0
        ? [
            [],
            ["Unfinished multipart uploads:", String(info.unfinishedMultipartUploads)],
            ["Parts of them:", String(info.unfinishedMultipartUploadParts)],
            ["Size of them:", bothSizes(info.unfinishedMultipartUploadBytes)],
          ]
        : []),
      [],
      ["Website access:", String(info.websiteAccess)],
      ...(site
        ? [
            ["  index document:", site.indexDocument],
            ["  error document:", site.errorDocument ?? "(not defined)"],
          ]
        : []),
      ...(info.ignoredCannedAcl === undefined
        ? []
        : [["Canned ACLs:", `taken, grant nothing (there are no ACLs); the latest: ${info.ignoredCannedAcl}`]]),
      ...(info.quotas.maxSize === null && info.quotas.maxObjects === null
        ? []
        : [
            [],
            ["Quotas:", "enabled"],
            ...(info.quotas.maxSize === null ? [] : [["  maximum size:", bothSizes(info.quotas.maxSize)]]),
            ...(info.quotas.maxObjects === null ? [] : [["  maximum number of objects:", String(info.quotas.maxObjects)]]),
          ]),
      [],
      ...(info.globalAliases.length === 0
        ? [["Global alias:", "(none)"]]
        : info.globalAliases.map((alias) => ["Global alias:", alias])),
    ]),
  );
  print("\n==== KEYS FOR THIS BUCKET ====");
  print(
    table([
      ["Permissions", "Access key", "", "Local aliases"],
      ...info.keys.map((key) => [rwo(key.permissions), key.accessKeyId, key.name, key.bucketLocalAliases.join(",")]),
    ]),
  );
}
