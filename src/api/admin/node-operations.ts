import { z } from "zod";
import { AdminError } from "./admin-error.ts";
import { GARAGE_VERSION } from "./fields.ts";
import { type AdminContext, type Operation, operation } from "./operation.ts";

const worker = z.object({
  id: z.number(),
  name: z.string(),
  state: z.union([z.enum(["busy", "idle", "done"]), z.object({ throttled: z.object({ durationSecs: z.number() }) })]),
  errors: z.number(),
  consecutiveErrors: z.number(),
  lastError: z.object({ message: z.string(), secsAgo: z.number() }).nullable(),
  tranquility: z.number().nullable(),
  progress: z.string().nullable(),
  queueLength: z.number().nullable(),
  persistentErrors: z.number().nullable(),
  freeform: z.array(z.string()),
});

/** `run` gives the answer of this node; the table's runner wraps it as {success: {id: …}, error: {}}. */
export const NODE_OPERATIONS: readonly Operation[] = [
  operation({
    name: "GetNodeInfo",
    method: "GET",
    perNode: true,
    response: z.object({
      nodeId: z.string(),
      garageVersion: z.string(),
      hangarVersion: z.string(),
      garageFeatures: z.array(z.string()),
      rustVersion: z.string(),
      dbEngine: z.string(),
      hostname: z.string(),
    }),
    run: ({ node }) => ({
      nodeId: node.id,
      garageVersion: GARAGE_VERSION,
      hangarVersion: node.version,
      garageFeatures: [],
      rustVersion: "",
      dbEngine: node.dbEngine,
      hostname: node.hostname,
    }),
  }),
  operation({
    name: "GetNodeStatistics",
    method: "GET",
    perNode: true,
    response: z.object({ freeform: z.string() }),
    run: ({ node }) => ({ freeform: `${node.statistics().join("\n")}\n` }),
  }),
  operation({
    name: "ListWorkers",
    method: "POST",
    perNode: true,
    body: z.object({ busyOnly: z.boolean().optional(), errorOnly: z.boolean().optional() }),
    response: z.array(worker),
    run: (context, { body }) =>
      workers(context).filter(
        (one) => (!body.busyOnly || one.state === "busy" || typeof one.state === "object") && (!body.errorOnly || one.errors > 0),
      ),
  }),
  operation({
    name: "GetWorkerInfo",
    method: "POST",
    perNode: true,
    body: z.object({ id: z.number().int() }),
    response: worker,
    run: (context, { body }) => {
      const found = workers(context).find((one) => one.id === body.id);
      if (!found) throw new AdminError("NoSuchWorker", `there is no worker ${body.id}`);
      return found;
    },
  }),
  operation({
    name: "GetWorkerVariable",
    method: "POST",
    perNode: true,
    body: z.object({ variable: z.string().nullish() }),
    response: z.record(z.string(), z.string()),
    run: ({ blocks }, { body }) => {
      if (body.variable == null) return { ...blocks.variables() };
      return { [body.variable]: variableOf(blocks, body.variable) };
    },
  }),
  operation({
    name: "SetWorkerVariable",
    method: "POST",
    perNode: true,
    body: z.object({ variable: z.string(), value: z.string() }),
    response: z.object({ variable: z.string(), value: z.string() }),
    run: async ({ blocks }, { body }) => {
      variableOf(blocks, body.variable);
      const fault = await blocks.setVariable(body.variable, body.value);
      if (fault !== undefined) throw new AdminError("InvalidRequest", fault);
      return { variable: body.variable, value: variableOf(blocks, body.variable) };
    },
  }),
  operation({
    name: "LaunchRepairOperation",
    method: "POST",
    perNode: true,
    body: z.object({
      repairType: z.union([z.string(), z.object({ scrub: z.enum(["start", "pause", "resume", "cancel"]) })]),
    }),
    response: z.null(),
    run: async ({ blocks }, { body }) => {
      if (typeof body.repairType === "object") await blocks.scrub(body.repairType.scrub);
      else if (body.repairType === "rebalance") blocks.rebalance();
      else if (body.repairType === "blockRefs") await dropDanglingReferences(blocks);
      else if (body.repairType === "acceptRestoredCopy") await acceptRestoredCopy(blocks);
      else
        throw new AdminError(
          "NotImplemented",
          `repair ${body.repairType}: nothing to repair by hand in Hangar, or not in this release; there are scrub, rebalance, blockRefs and acceptRestoredCopy, and the call AuditNode`,
        );
      return null;
    },
  }),
  operation({
    name: "CreateMetadataSnapshot",
    method: "POST",
    perNode: true,
    response: z.null(),
    run: () => {
      throw new AdminError(
        "NotImplemented",
        "CreateMetadataSnapshot: not in this release. A backup needs metadata_dir and data_dir as they were at one moment: stop the daemon and copy both, or take one snapshot of the file system that has both",
      );
    },
  }),
  operation({
    name: "AuditNode",
    method: "POST",
    perNode: true,
    response: z.object({ broken: z.array(z.string()), unfinished: z.array(z.string()) }),
    run: async ({ blocks }) => {
      const { broken, unfinished } = await blocks.audit();
      return { broken: [...broken], unfinished: [...unfinished] };
    },
  }),
];

async function acceptRestoredCopy(blocks: AdminContext["blocks"]): Promise<void> {
  const accepted = await blocks.acceptRestoredCopy();
  if (accepted.length === 0)
    throw new AdminError("InvalidRequest", "there is nothing to accept: metadata and data folders are as new as each other");
}

/** Rows that are told of one refusal; the audit tells all. */
const MAX_ROWS_TOLD = 5;

async function dropDanglingReferences(blocks: AdminContext["blocks"]): Promise<void> {
  const outcome = await blocks.dropDanglingReferences();
  if (outcome.ok) return;
  const { inDoubt } = outcome;
  const told = inDoubt.slice(0, MAX_ROWS_TOLD).map(({ kind, detail }) => `${kind}: ${detail}`);
  const more = inDoubt.length > MAX_ROWS_TOLD ? `; and ${inDoubt.length - MAX_ROWS_TOLD} more, see \`repair audit\`` : "";
  throw new AdminError(
    "InvalidRequest",
    `nothing was dropped: rows that are damaged or missing may name references still. Put the metadata back from a copy, or overwrite or delete the keys first. ${told.join("; ")}${more}`,
  );
}

function variableOf(blocks: AdminContext["blocks"], name: string): string {
  const all = blocks.variables();
  const value = Object.hasOwn(all, name) ? all[name] : undefined;
  if (value !== undefined) return value;
  throw new AdminError("InvalidRequest", `there is no variable ${name}; known: ${Object.keys(all).join(", ")}`);
}

function workers({ blocks }: AdminContext): z.input<typeof worker>[] {
  return blocks.workers().map((facts) => ({
    id: facts.id,
    name: facts.name,
    state: facts.state === "throttled" ? { throttled: { durationSecs: 0 } } : facts.state,
    errors: facts.errors,
    consecutiveErrors: facts.consecutiveErrors,
    lastError: facts.lastError ? { message: facts.lastError.message, secsAgo: facts.lastError.secondsAgo } : null,
    tranquility: facts.tranquility ?? null,
    progress: facts.progress ?? null,
    queueLength: facts.queueLength ?? null,
    persistentErrors: facts.persistentErrors ?? null,
    freeform: [...(facts.freeform ?? [])],
  }));
}
