import { Argument, type Command } from "commander";
import type { AdminClient } from "./admin-client.ts";
import type { PerNode } from "./answers.ts";
import { CommandError } from "./fail.ts";
import { print, siSize, table, whole } from "./text.ts";

/** `hangar worker`, `block`, `repair`, `meta`: what goes on in the background, and what is started by hand. */
export function addMaintenanceCommands(program: Command, client: () => AdminClient): void {
  const worker = program.command("worker").description("background work");
  worker
    .command("list")
    .option("-b, --busy", "only busy ones")
    .option("-e, --errors", "only ones with errors")
    .description("list background workers")
    .action(async (options: { busy?: boolean; errors?: boolean }) => {
      const workers = onlyNode(
        (await client().post(
          "ListWorkers",
          { busyOnly: options.busy === true, errorOnly: options.errors === true },
          { node: "self" },
        )) as PerNode<WorkerInfo[]>,
      );
      print(
        table([
          ["TID", "State", "Name", "Tranq", "Done", "Queue", "Errors", "Consec", "Last"],
          ...workers.map((one) => [
            String(one.id),
            typeof one.state === "string" ? one.state : "throttled",
            one.name,
            String(one.tranquility ?? "-"),
            one.progress ?? "-",
            String(one.queueLength ?? "-"),
            String(one.errors),
            String(one.consecutiveErrors),
            one.lastError ? `${one.lastError.secsAgo}s ago` : "-",
          ]),
        ]),
      );
    });
  worker
    .command("info")
    .argument("<id>", "number of the worker (TID in `hangar worker list`)")
    .description("show one worker")
    .action(async (id: string) => {
      print(
        JSON.stringify(
          onlyNode((await client().post("GetWorkerInfo", { id: whole("worker", id) }, { node: "self" })) as PerNode<WorkerInfo>),
          null,
          2,
        ),
      );
    });
  worker
    .command("get")
    .argument("[variable]", "name of one; all when left out")
    .option("-a, --all-nodes", "of all nodes")
    .description("show variables of background work")
    .action(async (variable: string | undefined) => {
      const values = onlyNode(
        (await client().post("GetWorkerVariable", variable === undefined ? {} : { variable }, { node: "self" })) as PerNode<
          Record<string, string>
        >,
      );
      print(table(Object.entries(values)));
    });
  worker
    .command("set")
    .argument("<variable>", "name, as `hangar worker get` shows it")
    .argument("<value>", "new value")
    .option("-a, --all-nodes", "on all nodes")
    .description("change a variable of background work")
    .addHelpText("after", "\nExample: hangar worker set scrub-tranquility 4")
    .action(async (variable: string, value: string) => {
      const set = onlyNode(
        (await client().post("SetWorkerVariable", { variable, value }, { node: "self" })) as PerNode<{
          variable: string;
          value: string;
        }>,
      );
      print(table([[set.variable, set.value]]));
    });

  const block = program.command("block").description("stored blocks");
  block
    .command("list-errors")
    .description("damaged and missing blocks")
    .action(async () => {
      const problems = onlyNode(
        (await client().get("ListBlockErrors", { node: "self" })) as PerNode<
          { blockHash: string; refcount: number; errorCount: number; lastTrySecsAgo: number; message: string }[]
        >,
      );
      print(
        table([
          ["Hash", "RC", "Errors", "Last error", "What"],
          ...problems.map((one) => [
            one.blockHash,
            String(one.refcount),
            String(one.errorCount),
            `${one.lastTrySecsAgo}s ago`,
            one.message,
          ]),
        ]),
      );
    });

  block
    .command("info")
    .argument("<hash>", "hash of a block, or its first digits")
    .description("who needs a block")
    .action(async (blockHash: string) => {
      const info = onlyNode((await client().post("GetBlockInfo", { blockHash }, { node: "self" })) as PerNode<BlockInfo>);
      print("==== BLOCK INFORMATION ====");
      print(
        table([
          ["Block hash:", info.blockHash],
          ["Refcount:", String(info.refcount)],
        ]),
      );
      if (info.versions.length === 0) return;
      print("");
      print(
        table([
          ["Version", "Bucket", "Key", "Upload", "State"],
          ...info.versions.map(({ versionId, versionDeleted, backlink: { object, upload } }) => [
            versionId,
            (object ?? upload)?.bucketId.slice(0, 16) ?? "",
            (object ?? upload)?.key ?? "",
            upload?.uploadId ?? "",
            upload && !upload.uploadDeleted ? "uploading" : versionDeleted ? "deleted" : "active",
          ]),
        ]),
      );
    });
  block
    .command("retry-now")
    .argument("[hashes...]", "hashes of blocks")
    .option("--all", "all damaged and missing blocks")
    .description("fetch blocks again from other nodes (clusters only)")
    .action(async (blockHashes: string[], options: { all?: boolean }) => {
      if ((options.all === true) === blockHashes.length > 0) throw new CommandError("give either hashes or --all");
      const { count } = onlyNode(
        (await client().post("RetryBlockResync", options.all ? { all: true } : { blockHashes }, {
          node: "self",
        })) as PerNode<{ count: number }>,
      );
      print(`${count} blocks will be tried again.`);
    });
  block
    .command("purge")
    .argument("<hashes...>", "hashes of blocks, all 64 digits")
    .option("--yes", "confirm: every object that needs one of the blocks is deleted")
    .description("delete all objects that need a block which is lost")
    .action(async (hashes: string[], options: { yes?: boolean }) => {
      if (!options.yes)
        throw new CommandError("this deletes every object that needs the blocks; see `hangar block info`, then add --yes");
      const purged = onlyNode(
        (await client().post("PurgeBlocks", hashes.map(fullHash), { node: "self" })) as PerNode<Record<string, number>>,
      );
      print(
        `Purged ${purged["blocksPurged"]} blocks: deleted ${purged["objectsDeleted"]} objects, aborted ${purged["uploadsDeleted"]} uploads, released ${purged["blockRefsPurged"]} references.`,
      );
    });

  const quarantine = block.command("quarantine").description("files that no row knows of, kept for a while");
  quarantine
    .command("list")
    .description("how many there are, and the oldest of them")
    .action(async () => {
      const { count, bytes, keepSecs, files } = onlyNode(
        (await client().get("ListQuarantine", { node: "self" })) as PerNode<QuarantineList>,
      );
      print(`${count} files, ${siSize(bytes)}; kept for ${ageText(keepSecs)} unless their room is needed.`);
      if (files.length === 0) return;
      print(
        table([
          ["Hash", "Size", "Age", "State"],
          ...files.map((file) => [file.blockHash, siSize(file.bytes), ageText(file.ageSecs), file.damaged ? "damaged" : "good"]),
        ]),
      );
      if (files.length < count) print(`… and ${count - files.length} more.`);
    });
  quarantine
    .command("restore")
    .argument("[hashes...]", "hashes of blocks, all 64 digits")
    .option("--all", "all of them")
    .description("put blocks back, such as after newer metadata was put back; those that no row knows of return after a while")
    .action(async (blockHashes: string[], options: { all?: boolean }) => {
      if ((options.all === true) === blockHashes.length > 0) throw new CommandError("give either hashes or --all");
      const { count } = onlyNode(
        (await client().post("RestoreQuarantine", options.all ? { all: true } : { blockHashes: blockHashes.map(fullHash) }, {
          node: "self",
        })) as PerNode<{ count: number }>,
      );
      print(`${count} blocks were put back.`);
    });

  const repair = program
    .command("repair")
    .option("-a, --all-nodes", "on all nodes")
    .option("--yes", "confirm")
    .description("checks that are started by hand (nothing needs a repair after a crash)");
  const launch = async (repairType: unknown, said: string): Promise<void> => {
    onlyNode((await client().post("LaunchRepairOperation", { repairType }, { node: "self" })) as PerNode<null>);
    print(said);
  };
  repair
    .command("scrub")
    .addArgument(new Argument("<action>", "what to do").choices(["start", "pause", "resume", "cancel"]))
    .description("read and verify all blocks")
    .action(async (action: string) => launch({ scrub: action }, `Scrub: ${action} done; see \`hangar worker list\`.`));
  repair
    .command("rebalance")
    .description("move blocks to the directories where the present capacities put them")
    .action(async () => launch("rebalance", "Rebalance started; see `hangar worker list`."));
  repair
    .command("audit")
    .description("compare references, blocks and files, and list what does not agree")
    .action(async () => {
      const answer = (await client().post("AuditNode", {}, { node: "self" })) as PerNode<{
        broken: string[];
        unfinished: string[];
      }>;
      const { broken, unfinished } = onlyNode(answer);
      for (const finding of broken) print(`broken: ${finding}`);
      for (const finding of unfinished) print(`under way: ${finding}`);
      if (broken.length > 0) {
        print(`${broken.length} things don't fit together.`);
        process.exitCode = 1;
      } else if (unfinished.length > 0) print(`Nothing is broken; ${unfinished.length} things are still under way.`);
      else print("References, blocks and files agree.");
    });
  repair
    .command("block-refs")
    .description(
      "drop references to blocks that no object and no upload names (left behind by damaged rows); the audit lists them",
    )
    .action(async () => launch("blockRefs", "References that nothing names are dropped; their blocks go after block_gc_delay."));

  repair
    .command("accept-restored-copy")
    .description(
      "go on with metadata, or a data folder, that was put back from an older copy: blocks that the metadata does not know go into the quarantine",
    )
    .action(async () =>
      launch(
        "acceptRestoredCopy",
        "Accepted. Blocks that no row knows of go into the quarantine; see `hangar block quarantine list`.",
      ),
    );

  // What Garage repairs by hand.
  const ours = repair.commands.map((one) => one.name()).join(", ");
  for (const what of ["tables", "blocks", "versions", "mpu", "block-rc", "aliases", "clear-resync-queue"])
    repair.command(what, { hidden: true }).action(() => {
      throw new CommandError(
        `repair ${what}: nothing to repair by hand in Hangar, or not in this release; there are ${ours} (\`hangar repair --help\`)`,
      );
    });

  program
    .command("meta")
    .description("the metadata store")
    .command("snapshot")
    .option("--all", "on all nodes")
    .description("make a snapshot of the metadata (not in this release)")
    .action(async () => {
      onlyNode((await client().post("CreateMetadataSnapshot", undefined, { node: "self" })) as PerNode<null>);
      print("Snapshot made.");
    });
}

/** @throws CommandError */
function fullHash(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text))
    throw new CommandError(`${text}: expects the hash of a block with all its 64 hexadecimal digits, as the lists show it`);
  return text.toLowerCase();
}

interface QuarantineList {
  readonly count: number;
  readonly bytes: number;
  readonly keepSecs: number;
  readonly files: readonly {
    readonly blockHash: string;
    readonly damaged: boolean;
    readonly bytes: number;
    readonly ageSecs: number;
  }[];
}

/** Days, hours or minutes; seconds below that. */
function ageText(seconds: number): string {
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
  ] as const;
  const unit = units.find(([, size]) => seconds >= size);
  return unit ? `${Math.floor(seconds / unit[1])} ${unit[0]}` : `${Math.floor(seconds)} s`;
}

interface BlockInfo {
  readonly blockHash: string;
  readonly refcount: number;
  readonly versions: readonly {
    readonly versionId: string;
    readonly versionDeleted: boolean;
    readonly backlink: {
      readonly object?: { readonly bucketId: string; readonly key: string };
      readonly upload?: {
        readonly bucketId: string;
        readonly key: string;
        readonly uploadId: string;
        readonly uploadDeleted: boolean;
      };
    };
  }[];
}

interface WorkerInfo {
  readonly id: number;
  readonly name: string;
  readonly state: string | object;
  readonly errors: number;
  readonly consecutiveErrors: number;
  readonly lastError: { readonly message: string; readonly secsAgo: number } | null;
  readonly tranquility: number | null;
  readonly progress: string | null;
  readonly queueLength: number | null;
}

/** The answer of this node, from the answers by node. */
function onlyNode<T>(answer: PerNode<T>): T {
  for (const message of Object.values(answer.error)) throw new CommandError(message);
  return Object.values(answer.success)[0] as T;
}
