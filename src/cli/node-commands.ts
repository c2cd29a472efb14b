import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { AdminClient } from "./admin-client.ts";
import type { ClusterStatus, LayoutInfo, PerNode } from "./answers.ts";
import { CommandError } from "./fail.ts";
import { type Loaded, nodeIdOf } from "./files.ts";
import { stagedTable } from "./layout-commands.ts";
import { print, shortId, siSize, table } from "./text.ts";

/** `hangar status`, `health`, `node`, `stats`, `json-api`. */
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
    .option("-q, --quiet", "without instructions")
    .description("print the full id of this node: id@rpc_public_addr, or the id alone")
    .action((options: { quiet?: boolean }) => nodeId(loaded(), options.quiet === true));
  node
    .command("connect")
    .argument("<id@host:port>", "address of the other node, as its `hangar node id` prints it")
    .description("connect to another node (clusters only)")
    .action(async (address: string) => {
      const [result] = (await client().post("ConnectClusterNodes", [address])) as { success: boolean; error: string | null }[];
      if (!result?.success) throw new CommandError(`${address}: ${result?.error ?? "not connected"}`);
      print("Success.");
    });

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

  program
    .command("json-api")
    .argument("<endpoint>", "name of an admin operation, such as GetClusterHealth")
    .argument("[json]", 'parameters as JSON, or "-" for standard input')
    .description("call an admin operation directly and print its JSON answer")
    .action(async (endpoint: string, json: string | undefined) => jsonApi(client(), endpoint, json));
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
          return [...head, staged.has(node.id) ? "pending..." : "NO ROLE ASSIGNED", "", "", "", node.hangarVersion ?? ""];
        return [
          ...head,
          `[${node.role.tags.join(",")}]`,
          node.role.zone,
          node.role.capacity === null ? "gateway" : siSize(node.role.capacity),
          node.role.capacity === null ? "" : avail,
          node.hangarVersion ?? "",
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
  const problems = nodes.flatMap((node) => node.problems.map((problem) => `[${shortId(node.id)}] ${problem}`));
  if (problems.length > 0) print(`\n==== PROBLEMS ====\n${problems.join("\n")}`);
  if (layout.stagedRoleChanges.length > 0) {
    print("\n==== STAGED ROLE CHANGES ====");
    print(stagedTable(layout));
    print("\nSee `hangar layout show` for what they lead to, and `hangar layout apply` to enact them.");
  }
}

/** The full id on standard output, for scripts; what to do with it on standard error. Works while the daemon is stopped. */
function nodeId({ config }: Loaded, quiet: boolean): void {
  const id = nodeIdOf(config.metadataDir);
  print(config.rpcPublicAddr === undefined ? id : `${id}@${config.rpcPublicAddr}`);
  if (quiet) return;
  process.stderr.write(
    `${config.rpcPublicAddr === undefined ? "\nrpc_public_addr is not set, so this is the id without the address at which other nodes find it.\n" : ""}
To give this node a role:
    hangar layout assign ${id.slice(0, 16)} -z dc1 -c 1T
    hangar layout apply --version 1
`,
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
