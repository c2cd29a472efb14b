import type { BlockOperations } from "../api/admin/block-context.ts";
import type { Config } from "../config/config.ts";
import type { Groups } from "../group/groups.ts";
import type { Control } from "../model/control/control.ts";
import { referencesTo } from "../model/partition/reference-row.ts";
import type { Placement } from "../model/placement.ts";
import type { Platform } from "../platform/platform.ts";
import type { DataPlane } from "./data-plane.ts";

const MAX_COUNTED = 10_000;

/** Blocks and background work, as the admin operations see them. */
export function blockOperations(parts: {
  readonly config: Config;
  readonly platform: Platform;
  readonly groups: Groups;
  readonly placement: Placement;
  readonly data: DataPlane;
  readonly control: Control;
}): BlockOperations {
  const { data, groups, placement } = parts;
  return {
    errors: () =>
      Promise.all(
        data.blocks.errors().map(async (damage) => {
          const group = placement.ofHash(damage.hash);
          const references = await groups.read(group, (rows) => referencesTo(rows, group, damage.hash, MAX_COUNTED).length);
          return { ...damage, references };
        }),
      ),
    workers: () => data.workers.list(),
    scrub: () => {
      throw new Error("not wired");
    },
    rebalance: () => {
      throw new Error("not wired");
    },
    audit: () => Promise.resolve([]),
    variables: () => ({}),
    setVariable: (name) => `there is no variable ${name}`,
  };
}
