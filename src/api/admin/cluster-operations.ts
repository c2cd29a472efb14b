import { z } from "zod";
import { isStorage } from "../../layout/roles.ts";
import { AdminError } from "./admin-error.ts";
import { GARAGE_VERSION } from "./fields.ts";
import { type AdminContext, type NodeFacts, type Operation, operation, type Space } from "./operation.ts";

const space = z.object({ available: z.number(), total: z.number() });
const health = z.object({
  status: z.enum(["healthy", "degraded", "unavailable"]),
  knownNodes: z.number(),
  connectedNodes: z.number(),
  storageNodes: z.number(),
  storageNodesUp: z.number(),
  partitions: z.number(),
  partitionsQuorum: z.number(),
  partitionsAllOk: z.number(),
});

export const CLUSTER_OPERATIONS: readonly Operation[] = [
  operation({
    name: "GetClusterStatus",
    method: "GET",
    response: z.object({
      layoutVersion: z.number(),
      nodes: z.array(
        z.object({
          id: z.string(),
          garageVersion: z.string().nullable(),
          hangarVersion: z.string().nullable(),
          addr: z.string().nullable(),
          hostname: z.string().nullable(),
          isUp: z.boolean(),
          lastSeenSecsAgo: z.number().nullable(),
          role: z.object({ zone: z.string(), tags: z.array(z.string()), capacity: z.number().nullable() }).nullable(),
          draining: z.boolean(),
          dataPartition: space.nullable(),
          metadataPartition: space.nullable(),
          /** Ours: what an operator should know of this node, a sentence each. */
          problems: z.array(z.string()),
        }),
      ),
    }),
    run: async ({ control, node }) => {
      const layout = control.layout();
      const own = await spaceOf(node);
      const others = layout.roles.filter((role) => role.id !== node.id);
      return {
        layoutVersion: layout.version,
        nodes: [
          {
            id: node.id as string,
            garageVersion: GARAGE_VERSION,
            hangarVersion: node.version,
            addr: node.address,
            hostname: node.hostname,
            isUp: works(node),
            lastSeenSecsAgo: null,
            role: roleOf(control, node.id),
            draining: false,
            dataPartition: own ? shown(own.data) : null,
            metadataPartition: own ? shown(own.metadata) : null,
            problems: node.problems().map(({ message }) => message),
          },
          ...others.map((role) => ({
            id: role.id as string,
            garageVersion: null,
            hangarVersion: null,
            addr: null,
            hostname: null,
            isUp: false,
            lastSeenSecsAgo: null,
            role: roleOf(control, role.id),
            draining: false,
            dataPartition: null,
            metadataPartition: null,
            problems: [],
          })),
        ],
      };
    },
  }),
  operation({ name: "GetClusterHealth", method: "GET", response: health, run: (context) => clusterHealth(context) }),
  operation({
    name: "GetClusterStatistics",
    method: "GET",
    response: z.object({
      freeform: z.string(),
      dataAvail: z.number().nullable(),
      metadataAvail: z.number().nullable(),
      incompleteAvailInfo: z.boolean().nullable(),
      bucketCount: z.number().nullable(),
      totalObjectCount: z.number().nullable(),
      totalObjectBytes: z.number().nullable(),
    }),
    run: async ({ control, node, objects }) => {
      const own = await spaceOf(node);
      const buckets = control.allBuckets();
      let objectCount = 0;
      let bytes = 0;
      for (const bucket of buckets.slice(0, MAX_BUCKETS_SUMMED)) {
        const usage = await objects.usage(bucket);
        objectCount += usage.objects;
        bytes += usage.bytes;
      }
      const whole = buckets.length <= MAX_BUCKETS_SUMMED;
      const lines = [
        `Storage nodes: ${control.layout().roles.filter(isStorage).length}`,
        `Partitions: ${control.view.settings?.partitions ?? 0}, ${control.view.settings?.replicationFactor ?? 1} replica(s)`,
        own
          ? `Available: data ${own.data.availableBytes} B of ${own.data.totalBytes} B, metadata ${own.metadata.availableBytes} B of ${own.metadata.totalBytes} B`
          : "Available: unknown, a directory can't be read",
        `Buckets: ${buckets.length}`,
        ...(whole ? [`Objects: ${objectCount}`, `Bytes: ${bytes}`] : []),
      ];
      return {
        freeform: `${lines.join("\n")}\n`,
        dataAvail: own?.data.availableBytes ?? null,
        metadataAvail: own?.metadata.availableBytes ?? null,
        incompleteAvailInfo: own === undefined,
        bucketCount: buckets.length,
        totalObjectCount: whole ? objectCount : null,
        totalObjectBytes: whole ? bytes : null,
      };
    },
  }),
  operation({
    name: "ConnectClusterNodes",
    method: "POST",
    body: z.array(z.string()),
    response: z.array(z.object({ success: z.boolean(), error: z.string().nullable() })),
    run: () => {
      throw new AdminError(
        "NotImplemented",
        "ConnectClusterNodes: this release runs on one node; clusters come with the next one",
      );
    },
  }),
];

const MAX_BUCKETS_SUMMED = 1000;

/** Health of the store: one node is healthy as soon as a layout gives it storage, and as long as it can serve. */
export function clusterHealth({ control, node }: AdminContext): z.input<typeof health> {
  const layout = control.layout();
  const storage = layout.roles.filter(isStorage);
  const up = works(node) ? storage.filter((role) => role.id === node.id).length : 0;
  const partitions = layout.version === 0 ? 0 : (control.view.settings?.partitions ?? 0);
  const ok = up === storage.length && up > 0;
  return {
    status: ok ? "healthy" : "unavailable",
    knownNodes: Math.max(1, layout.roles.length),
    connectedNodes: 1,
    storageNodes: storage.length,
    storageNodesUp: up,
    partitions,
    partitionsQuorum: ok ? partitions : 0,
    partitionsAllOk: ok ? partitions : 0,
  };
}

/** Undefined when a directory is gone or can't be read: the state of the cluster is asked for just then. */
async function spaceOf(node: NodeFacts): Promise<Awaited<ReturnType<NodeFacts["space"]>> | undefined> {
  try {
    return await node.space();
  } catch {
    return undefined;
  }
}

function roleOf(control: AdminContext["control"], id: string): { zone: string; tags: string[]; capacity: number | null } | null {
  const role = control.layout().roles.find((known) => known.id === id);
  return role ? { zone: role.zone, tags: [...role.tags], capacity: role.capacity } : null;
}

function shown(partition: Space): { available: number; total: number } {
  return { available: partition.availableBytes, total: partition.totalBytes };
}

function works(node: NodeFacts): boolean {
  return !node.problems().some(({ isUnavailable }) => isUnavailable);
}
