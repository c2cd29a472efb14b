import { z } from "zod";
import { apply, layoutHistory, preview } from "../../layout/apply.ts";
import { LayoutError } from "../../layout/failures.ts";
import { type LayoutChange, revert, stageAll } from "../../layout/staging.ts";
import { type LayoutState, storedPartitions } from "../../layout/state.ts";
import { AdminError } from "./admin-error.ts";
import { type AdminContext, type Operation, operation } from "./operation.ts";

const redundancy = z.union([z.literal("maximum"), z.object({ atLeast: z.number().int() })]);
const parameters = z.object({ zoneRedundancy: redundancy });
const role = { id: z.string(), zone: z.string(), tags: z.array(z.string()), capacity: z.number().nullable() };

const layoutShape = z.object({
  version: z.number(),
  roles: z.array(z.object({ ...role, storedPartitions: z.number().nullable(), usableCapacity: z.number().nullable() })),
  parameters,
  partitionSize: z.number(),
  stagedRoleChanges: z.array(z.union([z.object({ id: z.string(), remove: z.literal(true) }), z.object(role)])),
  stagedParameters: parameters.nullable(),
});
type LayoutShape = z.input<typeof layoutShape>;

export const LAYOUT_OPERATIONS: readonly Operation[] = [
  operation({ name: "GetClusterLayout", method: "GET", response: layoutShape, run: ({ control }) => describe(control.layout()) }),
  operation({
    name: "GetClusterLayoutHistory",
    method: "GET",
    response: z.object({
      currentVersion: z.number(),
      minAck: z.number(),
      versions: z.array(
        z.object({ version: z.number(), status: z.string(), storageNodes: z.number(), gatewayNodes: z.number() }),
      ),
      updateTrackers: z.null(),
    }),
    run: ({ control }) => {
      const layout = control.layout();
      return {
        currentVersion: layout.version,
        minAck: layout.version,
        versions: layoutHistory(layout, layout.version),
        updateTrackers: null,
      };
    },
  }),
  operation({
    name: "UpdateClusterLayout",
    method: "POST",
    body: z.object({
      /** A role to give, or `remove`. */
      roles: z
        .array(
          z.object({
            id: z.string(),
            remove: z.boolean().optional(),
            zone: z.string().optional(),
            tags: z.array(z.string()).optional(),
            capacity: z.number().int().nullish(),
          }),
        )
        .optional(),
      parameters: parameters.nullish(),
    }),
    response: layoutShape,
    run: (context, { body }) => {
      const changes = (body.roles ?? []).map(({ id, remove, zone, tags, capacity }): LayoutChange => {
        if (remove) return { kind: "remove", node: id };
        if (zone === undefined) throw new AdminError("InvalidRequest", `the role of ${id}: give a zone, or remove: true`);
        return { kind: "assign", node: id, zone, capacity: capacity ?? null, tags: tags ?? [] };
      });
      if (body.parameters) changes.push({ kind: "config", zoneRedundancy: body.parameters.zoneRedundancy });
      return change(context, (layout) => stageAll(layout, changes));
    },
  }),
  operation({
    name: "PreviewClusterLayoutChanges",
    method: "POST",
    response: z.union([
      z.object({ error: z.string() }),
      z.object({ message: z.array(z.string()), newLayout: layoutShape, statistics: z.unknown() }),
    ]),
    run: ({ control }) => {
      try {
        const { next, report } = preview(control.layout());
        return { message: [...report.message], newLayout: describe(next), statistics: report.statistics };
      } catch (error) {
        if (error instanceof LayoutError) return { error: error.message };
        throw error;
      }
    },
  }),
  operation({
    name: "ApplyClusterLayout",
    method: "POST",
    body: z.object({ version: z.number().int() }),
    response: z.object({ message: z.array(z.string()), layout: layoutShape, statistics: z.unknown() }),
    run: async (context, { body }) => {
      let report: ReturnType<typeof apply>["report"] | undefined;
      const layout = await change(context, (present) => {
        const applied = apply(present, body.version);
        report = applied.report;
        return applied.next;
      });
      return { message: [...(report?.message ?? [])], layout, statistics: report?.statistics };
    },
  }),
  operation({ name: "RevertClusterLayout", method: "POST", response: layoutShape, run: (context) => change(context, revert) }),
  operation({
    name: "ClusterLayoutSkipDeadNodes",
    method: "POST",
    body: z.object({ version: z.number().int(), allowMissingData: z.boolean() }),
    response: z.object({ ackUpdated: z.array(z.string()), syncUpdated: z.array(z.string()) }),
    run: () => {
      throw new AdminError("NotImplemented", "ClusterLayoutSkipDeadNodes: a single node waits for no other");
    },
  }),
];

async function change({ control }: AdminContext, fn: (layout: LayoutState) => LayoutState): Promise<LayoutShape> {
  try {
    return describe(await control.changeLayout(fn));
  } catch (error) {
    if (error instanceof LayoutError) throw new AdminError("InvalidRequest", error.message);
    throw error;
  }
}

function describe(layout: LayoutState): LayoutShape {
  const stored = storedPartitions(layout.assignment);
  return {
    version: layout.version,
    roles: layout.roles.map(({ id, zone, tags, capacity }) => {
      const partitions = stored.get(id) ?? null;
      return {
        id,
        zone,
        tags: [...tags],
        capacity,
        storedPartitions: partitions,
        usableCapacity: partitions === null ? null : partitions * layout.partitionSize,
      };
    }),
    parameters: { zoneRedundancy: layout.parameters.zoneRedundancy },
    partitionSize: layout.partitionSize,
    stagedRoleChanges: layout.stagedRoles.map((staged) =>
      staged.remove
        ? { id: staged.id, remove: true as const }
        : { id: staged.id, zone: staged.zone, tags: [...staged.tags], capacity: staged.capacity },
    ),
    stagedParameters: layout.stagedParameters && { zoneRedundancy: layout.stagedParameters.zoneRedundancy },
  };
}
