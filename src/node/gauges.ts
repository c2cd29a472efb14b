import type { QuarantineTotals } from "../block/quarantine.ts";
import type { Config } from "../config/config.ts";
import type { LayoutState } from "../layout/state.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { NodeId } from "../util/ids.ts";
import type { ClockWatch } from "./clock-watch.ts";
import type { DataPlane } from "./data-plane.ts";
import type { Space } from "./node-options.ts";

/** Values that are read when somebody scrapes; names as Garage's dashboards have them. */
export function registerGauges(
  metrics: Metrics,
  parts: {
    readonly version: string;
    readonly config: Config;
    readonly space: () => { readonly data: Space; readonly metadata: Space };
    readonly data: DataPlane;
    readonly id: NodeId;
    readonly layout: () => LayoutState;
    readonly clockWatch: ClockWatch;
    /** Whether this node can serve its data. */
    readonly works: () => boolean;
  },
): void {
  const { version, config, space, data, id, layout, clockWatch, works } = parts;
  metrics.gauge({ name: "garage_build_info", help: "Version", labels: ["version"] }, () => [{ labels: [version], value: 1 }]);
  metrics.gauge({ name: "garage_replication_factor", help: "Copies of everything", labels: [] }, () => [
    { labels: [], value: config.replicationFactor },
  ]);
  // A disk that can't be looked at has no sample; the others, and all other figures, are shown all the same.
  const perVolume = (pick: (one: Space) => number) => () =>
    (["data", "metadata"] as const).flatMap((volume) => {
      try {
        return [{ labels: [volume], value: pick(space()[volume]) }];
      } catch {
        return [];
      }
    });
  metrics.gauge(
    { name: "garage_local_disk_avail", help: "Free bytes", labels: ["volume"] },
    perVolume((one) => one.availableBytes),
  );
  metrics.gauge(
    { name: "garage_local_disk_total", help: "Bytes in all", labels: ["volume"] },
    perVolume((one) => one.totalBytes),
  );
  metrics.gauge({ name: "block_compression_level", help: "zstd level; -1: off", labels: [] }, () => [
    { labels: [], value: config.compressionLevel ?? -1 },
  ]);
  metrics.gauge({ name: "block_ram_buffer_free_kb", help: "Memory left for blocks on their way to disk", labels: [] }, () => [
    { labels: [], value: (data.path.budgets.writing.limitBytes - data.path.budgets.writing.heldBytes) / 1024 },
  ]);
  metrics.gauge(
    {
      name: "block_ram_buffer_cut_off",
      help: "Stalled streams cut off when memory was short, since the start",
      labels: ["kind"],
    },
    () => [
      { labels: ["upload"], value: data.path.writer.cutOffs },
      { labels: ["download"], value: data.path.reader.cutOffs },
    ],
  );
  const fromLayout = (name: string, help: string, read: (own: ClusterFigures) => number): void =>
    metrics.gauge({ name, help, labels: [] }, () => [{ labels: [], value: read(figuresOf(layout(), id, works())) }]);
  fromLayout("cluster_healthy", "Whether all storage nodes are connected", (own) => own.ok);
  fromLayout("cluster_available", "Whether all partitions have a quorum", (own) => own.ok);
  fromLayout("cluster_known_nodes", "Nodes ever seen", (own) => own.known);
  fromLayout("cluster_connected_nodes", "Nodes connected", () => 1);
  fromLayout("cluster_storage_nodes", "Nodes with a storage role", (own) => own.storage);
  fromLayout("cluster_storage_nodes_ok", "Storage nodes connected", (own) => own.up);
  fromLayout("cluster_partitions", "Partitions", (own) => own.partitions);
  fromLayout("cluster_partitions_quorum", "Partitions with a quorum", (own) => own.ok * own.partitions);
  fromLayout("cluster_partitions_all_ok", "Partitions with all nodes connected", (own) => own.ok * own.partitions);
  metrics.gauge(
    { name: "group_log_time_lead_seconds", help: "How far log time is ahead of the wall clock, at most", labels: [] },
    () => [{ labels: [], value: clockWatch.leadSeconds }],
  );
  metrics.gauge({ name: "block_resync_errored_blocks", help: "Blocks damaged or missing", labels: [] }, () => [
    { labels: [], value: data.blocks.errors().length },
  ]);
  const fromStore = (name: string, help: string, read: (stats: ReturnType<DataPlane["blocks"]["stats"]>) => number): void =>
    metrics.gauge({ name, help, labels: [] }, () => [{ labels: [], value: read(data.blocks.stats()) }]);
  metrics.gauge({ name: "data_directory_available", help: "Whether the data folder's disk is there", labels: ["path"] }, () =>
    data.blocks.directories.all.map(({ path, presence }) => ({ labels: [path], value: presence.away === undefined ? 1 : 0 })),
  );
  metrics.gauge(
    {
      name: "block_collection_held",
      help: "1: nothing is removed, because the metadata may be older than the blocks",
      labels: [],
    },
    () => [{ labels: [], value: data.generation.isHeld ? 1 : 0 }],
  );
  const fromQuarantine = (name: string, help: string, read: (totals: QuarantineTotals) => number): void =>
    metrics.gauge({ name, help, labels: [] }, () => [{ labels: [], value: read(data.blocks.quarantine.totals()) }]);
  fromQuarantine("block_quarantine_files", "Files in quarantine", ({ files }) => files);
  fromQuarantine("block_quarantine_bytes", "Bytes in quarantine", ({ bytes }) => bytes);
  fromStore("block_bytes_written", "Bytes of blocks stored since the start", (stats) => stats.storedBytes);
  fromStore("block_bytes_read", "Bytes of blocks read since the start", (stats) => stats.fetchedBytes);
  fromStore("block_delete_counter", "Blocks removed since the start", (stats) => stats.removed);
  fromStore("block_corruption_counter", "Damaged blocks found since the start", (stats) => stats.damaged);
}

interface ClusterFigures {
  readonly known: number;
  readonly storage: number;
  readonly up: number;
  readonly partitions: number;
  /** 1 or 0. */
  readonly ok: number;
}

/** As GetClusterHealth counts on one node. */
function figuresOf({ version, roles, partitions }: LayoutState, own: NodeId, works: boolean): ClusterFigures {
  const storage = roles.filter(({ capacity }) => capacity !== null);
  const up = works ? storage.filter(({ id }) => id === own).length : 0;
  return {
    known: Math.max(1, roles.length),
    storage: storage.length,
    up,
    partitions: version === 0 ? 0 : partitions,
    ok: up > 0 && up === storage.length ? 1 : 0,
  };
}
