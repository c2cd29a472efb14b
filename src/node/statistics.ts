import type { Cpu } from "../platform/cpu.ts";
import type { Kv } from "../platform/kv.ts";
import type { DataPlane } from "./data-plane.ts";
import type { NodeOptions } from "./node-options.ts";

/** What `hangar stats` shows of a node. */
export function statisticsLines(
  options: NodeOptions,
  { kv, data, cpu }: { readonly kv: Kv; readonly data: DataPlane; readonly cpu: Cpu },
): string[] {
  const rows = kv.stats();
  const blocks = data.blocks.stats();
  const quarantine = data.blocks.quarantine.totals();
  const work = cpu.stats();
  return [
    `Node ID: ${options.id}`,
    `Hostname: ${options.hostname}`,
    `Hangar version: ${options.version}`,
    "",
    `Database engine: ${rows.engine}`,
    `Rows: ${rows.rows.rows} short, ${rows.rows.bodies} bodies; ${rows.sizeBytes} bytes`,
    `Commits since the start: ${rows.commits}, fsyncs: ${rows.fsyncs}, damaged rows met: ${rows.damagedRows}`,
    "",
    `Blocks stored since the start: ${blocks.stored} (${blocks.storedBytes} bytes), deduplicated: ${blocks.deduplicated}, compressed: ${blocks.compressed}`,
    `Blocks read: ${blocks.fetched} (${blocks.fetchedBytes} bytes), removed: ${blocks.removed}, damaged: ${blocks.damaged}, missing: ${blocks.missing}`,
    `In quarantine: ${quarantine.files} files (${quarantine.bytes} bytes, which count as free)`,
    `Memory for blocks: ${data.path.budgets.writing.heldBytes} of ${data.path.budgets.writing.limitBytes} bytes writing, ${data.path.budgets.reading.heldBytes} of ${data.path.budgets.reading.limitBytes} bytes reading`,
    `Worker threads: ${work.workers}, jobs under way: ${work.jobsUnderWay}, died: ${work.workerDeaths}`,
  ];
}
