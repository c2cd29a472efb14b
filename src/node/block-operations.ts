import type { BlockOperations } from "../api/admin/block-context.ts";
import type { QuarantinedFile } from "../block/quarantine.ts";
import type { Config } from "../config/config.ts";
import type { Inspection } from "../model/inspection/inspection.ts";
import { parseWhole, type WorkerVariables } from "../task/variables.ts";
import type { Hash } from "../util/ids.ts";
import type { DataPlane } from "./data-plane.ts";

/** Quarantined files that are shown; all are counted. */
const MAX_LISTED = 1000;

/** Blocks and background work, as the admin operations see them. */
export function blockOperations({
  config,
  inspection,
  data,
}: {
  readonly config: Config;
  readonly inspection: Inspection;
  readonly data: DataPlane;
}): BlockOperations {
  const { blocks, generation, path, runner, scrub, rebalance } = data;
  const isoOrNever = (ms: number | undefined): string => (ms === undefined ? "never" : new Date(ms).toISOString());
  const variables: WorkerVariables = {
    "scrub-tranquility": {
      get: () => String(scrub.info().tranquility),
      set: (value) => scrub.setTranquility(parseWhole("scrub-tranquility", value, { low: 0, high: 100 })),
    },
    "scrub-last-completed": { get: () => isoOrNever(scrub.info().lastCompletedMs) },
    "scrub-next-run": { get: () => isoOrNever(scrub.info().nextRunMs) },
    "scrub-corruptions_detected": { get: () => String(scrub.info().corruptions) },
  };
  return {
    errors: () =>
      Promise.all(
        blocks.errors().map(async (damage) => ({ ...damage, references: await inspection.countReferences(damage.hash) })),
      ),
    workers: () => runner.list(),
    async scrub(command) {
      await scrub[command]();
      data.wakeScrub();
    },
    rebalance() {
      rebalance.start();
      data.wakeRebalance();
    },
    async audit() {
      // What a disk holds that is not there can't be compared with anything.
      const away = blocks.directories.away();
      if (away.length > 0) return { broken: away, unfinished: [] };
      const report = await path.audit();
      const lines = (list: typeof report.broken): string[] =>
        list.map(({ kind, hash, claim, detail }) => [kind, hash, claim, detail].filter(Boolean).join(" "));
      return { broken: lines(report.broken), unfinished: lines(report.unfinished) };
    },
    dropDanglingReferences: () => path.dropDanglingReferences(),
    async quarantine() {
      const oldest: QuarantinedFile[] = [];
      for await (const file of blocks.quarantine.files()) if (oldest.push(file) >= MAX_LISTED) break;
      return { ...blocks.quarantine.totals(), keepMs: config.blockQuarantineKeepMs, oldest };
    },
    async restoreQuarantined(which) {
      let count = 0;
      if (which !== "all") {
        for (const hash of which) if (await blocks.restore(hash as Hash)) count++;
        return count;
      }
      for await (const { hash, isDamaged } of blocks.quarantine.files()) if (!isDamaged && (await blocks.restore(hash))) count++;
      return count;
    },
    acceptRestoredCopy: () => generation.accept(),
    variables: () => Object.fromEntries(Object.entries(variables).map(([name, variable]) => [name, variable.get()])),
    async setVariable(name, value) {
      const variable = Object.hasOwn(variables, name) ? variables[name] : undefined;
      if (!variable) return `there is no variable ${name}; known: ${Object.keys(variables).join(", ")}`;
      if (!variable.set) return `${name} can only be read`;
      try {
        await variable.set(value);
        return undefined;
      } catch (error) {
        if (error instanceof RangeError) return error.message;
        throw error;
      }
    },
  };
}
