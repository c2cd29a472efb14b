import type { Command } from "commander";
import { parseSize } from "../config/values.ts";
import type { AdminClient } from "./admin-client.ts";
import type { ClusterStatus, LayoutInfo, Role } from "./answers.ts";
import { CommandError } from "./fail.ts";
import { nonEmpty, print, shortId, siSize, table, whole } from "./text.ts";

/** `hangar layout …` */
export function addLayoutCommands(program: Command, client: () => AdminClient): void {
  const layout = program.command("layout").description("which nodes store what: staged, previewed, then applied");
  const collect = (value: string, all: string[] = []): string[] => [...all, value];

  layout
    .command("assign")
    .argument("<nodes...>", "node ids, or the beginnings of them")
    .option("-z, --zone <zone>", "zone: nodes of one zone fail together")
    .option("-c, --capacity <size>", 'what the node may store, such as "500G"')
    .option("-g, --gateway", "a node without storage")
    .option("-t, --tag <tag>", "a tag (repeat for several)", collect)
    .option("--replace <node>", "a node that this one stands in for (repeat for several)", collect)
    .description("stage roles")
    .action(
      async (
        patterns: string[],
        options: { zone?: string; capacity?: string; gateway?: boolean; tag?: string[]; replace?: string[] },
      ) => {
        if (options.capacity !== undefined && options.gateway)
          throw new CommandError("a gateway has no capacity: give either -c or -g");
        if (options.zone !== undefined) nonEmpty("the zone", options.zone);
        const api = client();
        const info = await current(api);
        const known = await knownNodes(api, info);
        const capacity = options.gateway ? null : options.capacity === undefined ? undefined : parseSize(options.capacity);
        if (options.capacity !== undefined && capacity === undefined)
          throw new CommandError(`-c ${options.capacity}: expects a size such as 500G or 1TiB`);
        const roles: object[] = (options.replace ?? []).map((pattern) => ({ id: oneNode(known, pattern), remove: true }));
        for (const pattern of patterns) {
          const id = oneNode(known, pattern);
          const present = presentRole(info, id);
          const zone = options.zone ?? present?.zone;
          const bytes = capacity === undefined ? present?.capacity : capacity;
          if (zone === undefined) throw new CommandError(`${shortId(id)} has no role yet: give its zone with -z`);
          if (bytes === undefined)
            throw new CommandError(`${shortId(id)} has no role yet: give its capacity with -c, or -g for a gateway`);
          roles.push({ id, zone, capacity: bytes, tags: options.tag ?? present?.tags ?? [] });
        }
        await api.post("UpdateClusterLayout", { roles });
        print(
          "Role changes are staged but not yet committed.\nUse `hangar layout show` to view staged role changes,\nand `hangar layout apply` to enact staged changes.",
        );
      },
    );

  layout
    .command("remove")
    .argument("<node>", "node id, or the beginning of it")
    .description("stage the removal of a node")
    .action(async (pattern: string) => {
      const api = client();
      await api.post("UpdateClusterLayout", {
        roles: [{ id: oneNode(await knownNodes(api, await current(api)), pattern), remove: true }],
      });
      print(
        "Role removal is staged but not yet committed.\nUse `hangar layout show` to view staged role changes,\nand `hangar layout apply` to enact staged changes.",
      );
    });

  layout
    .command("config")
    .requiredOption("-r, --redundancy <zones>", 'zones that each partition must lie in: "max", "none" or a number')
    .description("stage the zone redundancy")
    .action(async (options: { redundancy: string }) => {
      const zoneRedundancy = /^max(imum)?$/.test(options.redundancy)
        ? "maximum"
        : options.redundancy === "none"
          ? { atLeast: 1 }
          : /^\d+$/.test(options.redundancy)
            ? { atLeast: Number(options.redundancy) }
            : undefined;
      if (zoneRedundancy === undefined) throw new CommandError(`-r ${options.redundancy}: expects max, none or a number`);
      await client().post("UpdateClusterLayout", { parameters: { zoneRedundancy } });
      print("The new zone redundancy is staged; see `hangar layout show`.");
    });

  layout
    .command("show")
    .description("the layout in force and what is staged")
    .action(async () => {
      const api = client();
      const info = await current(api);
      print("==== CURRENT CLUSTER LAYOUT ====");
      if (info.roles.length === 0)
        print("No nodes currently have a role in the cluster.\nSee `hangar status` to view available nodes.");
      else print(roleTable(info));
      print(`\nZone redundancy: ${redundancy(info.parameters)}`);
      print(`\nCurrent cluster layout version: ${info.version}`);
      if (info.stagedRoleChanges.length === 0 && info.stagedParameters === null) return;
      print("\n==== STAGED ROLE CHANGES ====");
      print(stagedTable(info));
      if (info.stagedParameters) print(`Zone redundancy: ${redundancy(info.stagedParameters)}`);
      const preview = (await api.post("PreviewClusterLayoutChanges", undefined)) as
        | { error: string }
        | { message: string[]; newLayout: LayoutInfo };
      print("\n==== NEW CLUSTER LAYOUT AFTER APPLYING CHANGES ====");
      if ("error" in preview) {
        print(
          `Error while trying to compute the assignment: ${preview.error}\nThis new layout cannot yet be applied.\nYou can also revert all proposed changes with: hangar layout revert`,
        );
        return;
      }
      print(roleTable(preview.newLayout));
      print(`\nZone redundancy: ${redundancy(preview.newLayout.parameters)}\n`);
      print(preview.message.join("\n"));
      print(
        `\nTo enact the staged role changes, type:\n\n    hangar layout apply --version ${info.version + 1}\n\nYou can also revert all proposed changes with: hangar layout revert`,
      );
    });

  layout
    .command("apply")
    .option("--version <number>", "the version that `layout show` announced")
    .description("put the staged changes into force")
    .addHelpText("after", "\nExample: hangar layout apply --version 2")
    .action(async (options: { version?: string }) => {
      const api = client();
      if (options.version === undefined || !/^\d+$/.test(options.version)) {
        throw new CommandError(
          `please pass the --version parameter to enact the changes you have seen in \`hangar layout show\` (the next version is ${(await current(api)).version + 1})`,
        );
      }
      const { message } = (await api.post("ApplyClusterLayout", { version: Number(options.version) })) as { message: string[] };
      print(message.join("\n"));
      print(
        "\nNew cluster layout with updated role assignment has been applied in cluster.\nData will now be moved around between nodes accordingly.",
      );
    });

  layout
    .command("revert")
    .option("--yes", "confirm")
    .description("forget what is staged")
    .action(async (options: { yes?: boolean }) => {
      if (!options.yes) throw new CommandError("add --yes to forget all staged changes");
      await client().post("RevertClusterLayout", undefined);
      print("All proposed role changes in cluster layout have been canceled.");
    });

  layout
    .command("history")
    .description("earlier versions of the layout")
    .action(async () => {
      const { versions } = (await client().get("GetClusterLayoutHistory")) as {
        versions: { version: number; status: string; storageNodes: number; gatewayNodes: number }[];
      };
      print("==== LAYOUT HISTORY ====");
      print(
        table([
          ["Version", "Status", "Storage nodes", "Gateway nodes"],
          ...versions.map((one) => [`#${one.version}`, one.status, String(one.storageNodes), String(one.gatewayNodes)]),
        ]),
      );
    });

  layout
    .command("skip-dead-nodes")
    .requiredOption("--version <number>", "layout version")
    .option("--allow-missing-data", "even if data may be missing")
    .description("wait no longer for nodes that are gone (clusters only)")
    .action(async (options: { version: string; allowMissingData?: boolean }) => {
      await client().post("ClusterLayoutSkipDeadNodes", {
        version: whole("--version", options.version),
        allowMissingData: options.allowMissingData === true,
      });
    });
}

async function current(api: AdminClient): Promise<LayoutInfo> {
  return (await api.get("GetClusterLayout")) as LayoutInfo;
}

async function knownNodes(api: AdminClient, info: LayoutInfo): Promise<readonly string[]> {
  const status = (await api.get("GetClusterStatus")) as ClusterStatus;
  return [
    ...new Set([
      ...status.nodes.map((node) => node.id),
      ...info.roles.map((role) => role.id),
      ...info.stagedRoleChanges.map((role) => role.id),
    ]),
  ];
}

function oneNode(known: readonly string[], pattern: string): string {
  const prefix = pattern.split("@")[0]?.toLowerCase() ?? "";
  const found = known.filter((id) => id.startsWith(prefix));
  if (prefix !== "" && found.length === 1) return found[0] as string;
  throw new CommandError(
    found.length === 0
      ? `no node has an id that begins with ${pattern}`
      : `${found.length} nodes have ids that begin with ${pattern}; give more of the id`,
  );
}

function presentRole(info: LayoutInfo, id: string): Role | undefined {
  const staged = info.stagedRoleChanges.find((role) => role.id === id);
  return staged && !("remove" in staged) ? staged : info.roles.find((role) => role.id === id);
}

export function roleTable(info: LayoutInfo): string {
  return table([
    ["ID", "Tags", "Zone", "Capacity", "Usable capacity"],
    ...info.roles.map((role) => {
      const usable =
        role.usableCapacity === null || role.capacity === null
          ? ""
          : `${siSize(role.usableCapacity)} (${((100 * role.usableCapacity) / role.capacity).toFixed(1)}%)`;
      return [
        shortId(role.id),
        `[${role.tags.join(", ")}]`,
        role.zone,
        role.capacity === null ? "gateway" : siSize(role.capacity),
        usable,
      ];
    }),
  ]);
}

export function stagedTable(info: LayoutInfo): string {
  return table([
    ["ID", "Tags", "Zone", "Capacity"],
    ...info.stagedRoleChanges.map((role) =>
      "remove" in role
        ? [shortId(role.id), "REMOVED"]
        : [shortId(role.id), `[${role.tags.join(", ")}]`, role.zone, role.capacity === null ? "gateway" : siSize(role.capacity)],
    ),
  ]);
}

function redundancy(parameters: LayoutInfo["parameters"]): string {
  return parameters.zoneRedundancy === "maximum" ? "maximum" : `at least ${parameters.zoneRedundancy.atLeast} zones`;
}
