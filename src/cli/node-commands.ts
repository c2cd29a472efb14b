import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import type { AdminClient } from "./admin-client.ts";
import type { ClusterStatus, LayoutInfo, PerNode } from "./answers.ts";
import { CommandError } from "./fail.ts";
import type { Loaded } from "./files.ts";
import { stagedTable } from "./layout-commands.ts";
import { print, shortId, siSize, table } from "./text.ts";

/** `hangar status`, `health`, `node`, `stats`, `worker`, `block`, `repair`, `json-api`. */
export function addNodeCommands(program: Command, loaded: () => Loaded, client: () => AdminClient): void {
  program
    .command("status")
    .description("nodes of the cluster and their roles")
    .action(async () => status(client()));

  program
    .command("health")
    .option("-q, --quiet", "exit code only")
    .description("health of the cluster")
    .action(async (options: { quiet?: boolean }) => {
      const health = (await client().get("GetClusterHealth")) as Record<string, string | number>;
      const labels = {
        status: "Cluster health:",
        knownNodes: "Known nodes:",
        connectedNodes: "Connected nodes:",
        storageNodes: "Storage nodes:",
        storageNodesUp: "Storage nodes up:",
        partitions: "Partitions:",
        partitionsQuorum: "Partitions with quorum:",
        partitionsAllOk: "Fully healthy partitions:",
      };
      if (!options.quiet) print(table(Object.entries(labels).map(([field, label]) => [label, String(health[field])])));
      if (health["status"] === "unavailable") process.exitCode = 1;
    });

  const node = program.command("node").description("this node's identity");
  node
    .command("id")
    .option("-q, --quiet", "only the id")
    .description("print the full id of this node")
    .action((options: { quiet?: boolean }) => nodeId(loaded(), options.quiet === true));

  program
    .command("stats")
    .option("-a, --all-nodes", "of all nodes")
    .description("figures of this node and of the cluster")
    .action(async () => {
      const api = client();
      const perNode = (await api.get("GetNodeStatistics", { node: "*" })) as PerNode<{ freeform: string }>;
      for (const [id, { freeform }] of Object.entries(perNode.success)) print(`==== NODE [${shortId(id)}] ====\n${freeform}`);
      for (const [id, message] of Object.entries(perNode.error)) print(`==== NODE [${shortId(id)}] ====\nError: ${message}\n`);
      print(
        `==== CLUSTER STATISTICS ====\n${((await api.get("GetClusterStatistics")) as { freeform: string }).freeform.trimEnd()}`,
      );
    });

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
    .argument("<id>")
    .description("show one worker")
    .action(async (id: string) => {
      print(
        JSON.stringify(
          onlyNode((await client().post("GetWorkerInfo", { id: Number(id) }, { node: "self" })) as PerNode<WorkerInfo>),
          null,
          2,
        ),
      );
    });
  worker
    .command("get")
    .argument("[variable]")
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
    .argument("<variable>")
    .argument("<value>")
    .description("change a variable of background work")
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
    .argument("<action>", "start, pause, resume or cancel")
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

  program
    .command("json-api")
    .argument("<endpoint>", "name of an admin operation, such as GetClusterHealth")
    .argument("[json]", 'parameters as JSON, or "-" for standard input')
    .description("call an admin operation directly and print its JSON answer")
    .action(async (endpoint: string, json: string | undefined) => jsonApi(client(), endpoint, json));
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

function onlyNode<T>(answer: PerNode<T>): T {
  for (const message of Object.values(answer.error)) throw new CommandError(message);
  return Object.values(answer.success)[0] as T;
}

async function status(api: AdminClient): Promise<void> {
  const { nodes } = (await api.get("GetClusterStatus")) as ClusterStatus;
  const layout = (await api.get("GetClusterLayout")) as LayoutInfo;
  const staged = new Set(layout.stagedRoleChanges.map((role) => role.id));
  const healthy = nodes.filter((node) => node.isUp);
  print("==== HEALTHY NODES ====");
  print(
    table([
      ["ID", "Hostname", "Address", "Tags", "Zone", "Capacity", "DataAvail", "Version"],
      ...healthy.map((node) => {
        const place = node.dataPartition;
        const avail = place
          ? `${siSize(place.available)} (${((100 * place.available) / Math.max(1, place.total)).toFixed(1)}%)`
          : "";
        const head = [shortId(node.id), node.hostname ?? "?", node.addr ?? "N/A"];
        if (!node.role)
          return [...head, staged.has(node.id) ? "pending..." : "NO ROLE ASSIGNED", "", "", "", node.garageVersion ?? ""];
        return [
          ...head,
          `[${node.role.tags.join(",")}]`,
          node.role.zone,
          node.role.capacity === null ? "gateway" : siSize(node.role.capacity),
          node.role.capacity === null ? "" : avail,
          node.garageVersion ?? "",
        ];
      }),
    ]),
  );
  const failed = nodes.filter((node) => !node.isUp);
  if (failed.length > 0) {
    print("\n==== FAILED NODES ====");
    print(
      table([
        ["ID", "Hostname", "Tags", "Zone", "Capacity", "Last seen"],
        ...failed.map((node) => [
          shortId(node.id),
          node.hostname ?? "??",
          `[${node.role?.tags.join(",") ?? ""}]`,
          node.role?.zone ?? "",
          node.role?.capacity == null ? "gateway" : siSize(node.role.capacity),
          "never seen",
        ]),
      ]),
    );
  }
  if (layout.stagedRoleChanges.length > 0) {
    print("\n==== STAGED ROLE CHANGES ====");
    print(stagedTable(layout));
    print("\nSee `hangar layout show` for what they lead to, and `hangar layout apply` to enact them.");
  }
}

/** Reads the key that the daemon made; works while it is stopped. */
function nodeId({ config }: Loaded, quiet: boolean): void {
  let id: string;
  const file = join(config.metadataDir, "node_key.pub");
  try {
    id = readFileSync(file).toString("hex");
  } catch {
    throw new CommandError(`${file} is not there yet: the daemon makes it at its first start`);
  }
  const address = config.rpcPublicAddr ?? config.rpcBindAddr;
  print(quiet ? id : `${id}@${address}`);
  if (quiet) return;
  process.stderr.write(
    `\nTo give this node a role:\n    hangar layout assign ${id.slice(0, 16)} -z dc1 -c 1T\n    hangar layout apply --version 1\n`,
  );
}

async function jsonApi(api: AdminClient, endpoint: string, json: string | undefined): Promise<void> {
  let input: unknown;
  if (json !== undefined) {
    const text = json === "-" ? readFileSync(0, "utf8") : json;
    try {
      input = JSON.parse(text);
    } catch (error) {
      throw new CommandError(`the parameters are not valid JSON: ${(error as Error).message}`);
    }
  }
  print(JSON.stringify(await api.call(endpoint, input), null, 2));
}
