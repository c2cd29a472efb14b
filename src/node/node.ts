import { createAdminHandler } from "../api/admin/admin-http.ts";
import { localAuthorizer, tokenAuthorizer } from "../api/admin/admin-auth.ts";
import type { AdminContext, NodeProblem } from "../api/admin/operation.ts";
import { IgnoredAcls } from "../api/common/ignored-acls.ts";
import { createS3Handler, renderS3ClientError } from "../api/s3/s3-handler.ts";
import { GroupHost } from "../group/group-host.ts";
import { Control } from "../model/control/control.ts";
import type { BucketView } from "../model/control/control-view.ts";
import { ControlMachine } from "../model/control/control-machine.ts";
import { getRow, type SettingsRow } from "../model/control/rows.ts";
import { createInspection } from "../model/inspection/inspection.ts";
import { Repair } from "../model/repair/repair.ts";
import { lastCommandOf } from "../model/repair/last-command.ts";
import { createObjectService } from "../model/objects/object-store.ts";
import { PartitionMachine } from "../model/partition/partition-machine.ts";
import { Placement } from "../model/placement.ts";
import { commandFailure, serviceFailure } from "../model/service-failure.ts";
import { withServiceErrors } from "../model/with-service-errors.ts";
import type { HttpListener } from "../platform/http.ts";
import type { Kv } from "../platform/kv.ts";
import type { Platform } from "../platform/platform.ts";
import { type BucketId, CONTROL_GROUP, type GroupId, type NodeId } from "../util/ids.ts";
import { blockOperations } from "./block-operations.ts";
import { type DataPlane, openDataPlane, statePathOf } from "./data-plane.ts";
import { ClockWatch } from "./clock-watch.ts";
import { directoriesInUse, refuseForeignDirectories } from "./data-owner.ts";
import { openDoor } from "./door.ts";
import { ensureDefaults, ensureSingleNode } from "./first-start.ts";
import { registerGauges } from "./gauges.ts";
import { type NodeOptions, StartError } from "./node-options.ts";
import { statisticsLines } from "./statistics.ts";
import { WriteGate } from "./write-gate.ts";

/** S3's smallest part that is not the last. */
const MIN_PART_BYTES = 5 * 2 ** 20;
/** How often buckets that a failure left between two phases are taken up again. */
const RECOVERY_INTERVAL_MS = 10_000;

export interface HangarNode {
  readonly id: NodeId;
  /** "host:port" or the socket's path; undefined when the API is off. */
  readonly s3Address: string | undefined;
  readonly adminAddress: string | undefined;
  /** Everything that runs in the node, for tests and simulation. */
  readonly parts: {
    readonly control: Control;
    readonly groups: GroupHost;
    readonly data: DataPlane;
    readonly admin: AdminContext;
  };
  /** Stops in reverse order: listeners first, then workers, groups, kv. Requests under way get `graceMs`. */
  stop(options: { readonly graceMs: number }): Promise<void>;
}

/**
 * The composition root: all parts of a node in the order in which they start. What is not deterministic comes with the platform,
 * so that several nodes can live in one process.
 *
 * @throws StartError · DoorError · DataDirectoryError, with a sentence for the operator
 */
export async function createNode(options: NodeOptions, platform: Platform): Promise<HangarNode> {
  const { config, secrets } = options;
  const { clock, http, kv, log, random } = platform;

  // Names: groups over the kv, the control group, then the partitions.
  const settings = await kv.read((rows) => getRow(rows, "settings", ""));
  if (settings && settings.replicationFactor !== config.replicationFactor) {
    throw new StartError(
      `replication_factor = ${config.replicationFactor}, but this store was made with ${settings.replicationFactor}`,
    );
  }
  const known = await directoriesInUse(statePathOf(config), platform.disk);
  const proven = await refuseForeignDirectories(config.dataDirs, { id: options.id, settings }, { ...platform, known });
  if (settings && settings.partitions !== config.partitions)
    log.warn(
      { partitions: settings.partitions },
      `partitions = ${config.partitions} has no effect: this store was made with ${settings.partitions}`,
    );
  const born: SettingsRow = settings ?? {
    clusterId: Buffer.from(random.bytes(32)).toString("hex"),
    partitions: config.partitions,
    replicationFactor: config.replicationFactor,
  };
  const { commandWindowMs } = config;
  const repair = new Repair(() => groups, { commandWindowMs, log });
  const groups: GroupHost = await GroupHost.open(
    { partitions: born.partitions, member: options.id, commandWindowMs },
    {
      clock,
      kv,
      lastCommand: lastCommandOf,
      // The only member repairs. With several, a damaged replica stops and is filled anew from the others.
      onDamaged: repair.onDamaged,
      fatal: platform.fatal,
      machine: (group) => (group === CONTROL_GROUP ? new ControlMachine() : new PartitionMachine(group, { commandWindowMs })),
    },
  );
  const clockWatch = new ClockWatch({ groups, clock, log });
  clockWatch.look();
  const placement = new Placement(born.partitions);
  const control = new Control(
    { indexShards: config.indexShards, allowPunycode: config.allowPunycode, commandWindowMs },
    { groups, placement, random, log },
  );
  await control.start(() => born);

  // Bytes: blocks, the data path, and what cleans up behind it.
  const homeOf = async (bucket: BucketId, key: string): Promise<GroupId | undefined> => {
    const known = control.view.buckets.get(bucket);
    return known && placement.ofKey(known, key);
  };
  const cluster = control.view.settings?.clusterId ?? born.clusterId;
  const data = await openDataPlane(config, { id: options.id, cluster, proven, platform, groups, placement, homeOf });
  /** What lies in the quarantine goes as soon as its room is needed. */
  const space: NodeOptions["space"] = () => {
    const own = options.space();
    return {
      get data() {
        const { availableBytes, totalBytes } = own.data;
        return { availableBytes: Math.min(totalBytes, availableBytes + data.blocks.quarantine.freeableBytes()), totalBytes };
      },
      get metadata() {
        return own.metadata;
      },
    };
  };
  const gate = new WriteGate(
    { metadataLimitBytes: config.dbEngine === "lmdb" ? config.lmdbMapSizeBytes : undefined },
    { kv, clock, log, space, hasLayout: () => control.layout().version > 0 },
  );
  const unguarded = createObjectService(
    { minPartSize: MIN_PART_BYTES },
    { groups, placement, random, writing: data.path.writer, reading: data.path.reader, clock },
  );

  const objects = gate.guard(unguarded);
  gate.start();
  const recovery = repeat(platform, RECOVERY_INTERVAL_MS, () => {
    clockWatch.look();
    return control.recover();
  });
  const listeners: HttpListener[] = [];
  const end = async (graceMs: number): Promise<void> => {
    const steps: readonly (readonly [string, () => unknown])[] = [
      ["doors", () => Promise.all(listeners.reverse().map((listener) => listener.close({ graceMs })))],
      ["recovery of buckets", () => recovery.stop()],
      ["write gate", () => gate.stop()],
      ["background work", () => data.runner.stop()],
      ["settling of references", () => data.path.flush()],
      ["data folders", () => data.close()],
      ["groups", () => groups.stop()],
      ["worker threads", () => platform.cpu.close()],
      ["metadata store", () => kv.close()],
    ];
    // What can't be done now (a full disk) is done after the next start; it must not keep the rest from being closed.
    for (const [what, stop] of steps) {
      try {
        await stop();
      } catch (error) {
        log.error({ err: error }, `stopping: ${what} did not end in order`);
      }
    }
  };
  try {
    return await open();
  } catch (error) {
    await end(0);
    throw error;
  }

  async function open(): Promise<HangarNode> {
    await control.recover();
    if (options.singleNode) await ensureSingleNode(control, options.id, options.space().data);
    if (options.defaults) await ensureDefaults(control, options.defaults, log);
    if (control.layout().version === 0)
      log.warn(
        {},
        `this node has no role yet and takes no data: \`hangar layout assign ${options.id.slice(0, 16)} -z ZONE -c SIZE\``,
      );

    // Doors: S3, admin, and the command line's private socket. What they call fails with the services' errors, never with those
    // of the layers below.
    const told = withServiceErrors(control, commandFailure);
    const bucketOf = (id: BucketId): BucketView | undefined => control.view.buckets.get(id);
    const inspection = withServiceErrors(createInspection({ groups, placement, objects, bucketOf }), serviceFailure);
    const ignoredAcls = new IgnoredAcls();
    const problems = (): readonly NodeProblem[] => problemsOf(kv, data, clockWatch);
    const admin: AdminContext = {
      control: told,
      objects,
      ignoredAcls,
      inspection,
      blocks: withServiceErrors(blockOperations({ config, inspection, data }), serviceFailure),
      clock,
      random,
      node: {
        id: options.id,
        hostname: options.hostname,
        version: options.version,
        address: config.rpcPublicAddr ?? config.rpcBindAddr,
        dbEngine: kv.stats().engine,
        rootDomain: config.s3?.rootDomain,
        space: () => Promise.resolve(space()),
        problems,
        statistics: () => statisticsLines(options, { kv, data, cpu: platform.cpu }),
      },
      configTokens: { admin: secrets.adminToken !== undefined, metrics: secrets.metricsToken !== undefined },
    };
    registerGauges(options.metrics, {
      version: options.version,
      config,
      space,
      data,
      id: options.id,
      layout: () => control.layout(),
      clockWatch,
      works: () => !problems().some(({ isUnavailable }) => isUnavailable),
    });
    const adminParts = { context: admin, region: config.s3?.region ?? "", log, metrics: () => options.metrics.render() };
    let s3Address: string | undefined;
    let adminAddress: string | undefined;
    if (options.socket) {
      const { path, around } = options.socket;
      const handler = createAdminHandler({ ...adminParts, authorize: localAuthorizer(secrets.rpcSecret, clock) });
      listeners.push(await around(() => http.listen(path, handler, { socketMode: 0o600, audience: "operators" })));
    }
    if (config.admin) {
      const authorize = tokenAuthorizer(
        {
          adminToken: secrets.adminToken,
          metricsToken: secrets.metricsToken,
          metricsRequireToken: config.admin.metricsRequireToken,
        },
        { control: told, clock },
      );
      const handler = createAdminHandler({ ...adminParts, authorize });
      const listener = await openDoor("[admin] api_bind_addr", config.admin.bindAddr, (address) =>
        http.listen(address, handler, { socketMode: 0o220, audience: "operators" }),
      );
      listeners.push(listener);
      adminAddress = shown(listener);
    }
    if (config.s3) {
      const { region, strictRegion, rootDomain, bindAddr } = config.s3;
      const handler = createS3Handler(
        { region, strictRegion, rootDomain, hostId: options.id.slice(0, 16) },
        { objects, control: told, clock, random, log, ignoredAcls, metrics: options.metrics },
      );
      const listener = await openDoor("[s3_api] api_bind_addr", bindAddr, (address) =>
        http.listen(address, handler, { socketMode: 0o222, renderClientError: renderS3ClientError }),
      );
      listeners.push(listener);
      s3Address = shown(listener);
    }
    return {
      id: options.id,
      s3Address,
      adminAddress,
      parts: { control, groups, data, admin },
      stop: ({ graceMs }) => end(graceMs),
    };
  }
}

/** What an operator should know of, worst first. */
function problemsOf(kv: Kv, { blocks, generation }: DataPlane, clockWatch: ClockWatch): readonly NodeProblem[] {
  const clockProblem = clockWatch.problem();
  const others = [...generation.problems(), ...(clockProblem === undefined ? [] : [clockProblem])];
  return [
    ...(kv.failure === undefined ? [] : [{ message: kv.failure.message, isUnavailable: true }]),
    ...blocks.directories.away().map((message) => ({ message, isUnavailable: true })),
    ...others.map((message) => ({ message, isUnavailable: false })),
  ];
}

function shown({ address }: HttpListener): string {
  if ("path" in address) return address.path;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/**
 * Runs `fn` again and again, with `intervalMs` between two runs. A failure is logged and tried again. `stop` settles when a run
 * under way is through: nothing may work on parts that are being closed.
 */
function repeat({ clock, log }: Platform, intervalMs: number, fn: () => Promise<unknown>): { stop(): Promise<void> } {
  let stopped = false;
  let timer = clock.timer(intervalMs, run);
  let running: Promise<void> = Promise.resolve();
  function run(): void {
    running = fn()
      .then(() => undefined)
      .catch((error: unknown) => log.error({ err: error }, "recovery of buckets failed"))
      .finally(() => {
        if (!stopped) timer = clock.timer(intervalMs, run);
      });
  }
  return {
    stop() {
      stopped = true;
      timer.cancel();
      return running;
    },
  };
}
