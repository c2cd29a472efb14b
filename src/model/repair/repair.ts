import type { OnDamaged } from "../../group/group-host.ts";
import type { Groups } from "../../group/groups.ts";
import type { KvError } from "../../platform/kv.ts";
import type { Log } from "../../platform/log.ts";
import { CONTROL_GROUP, type GroupId } from "../../util/ids.ts";
import type { PartitionCommand } from "../commands.ts";
import { isDamage } from "../partition/damage.ts";
import { planRepair } from "./plan.ts";

/** Damaged rows that one repair may meet on its way: a recount reads every row of a bucket. */
const MAX_NESTED = 1_000;

/**
 * Repairs damaged rows of a node that is the only member of its groups, when a command or a read has met one: by a second
 * reading, and by commands of their own. Several that meet the same row wait for one repair.
 */
export class Repair {
  readonly #groups: () => Groups;
  readonly #commandWindowMs: number;
  readonly #log: Pick<Log, "warn" | "error">;
  readonly #underWay = new Map<string, Promise<"repaired">>();

  /** @param groups  asked when there is something to do: the groups themselves are made with this. */
  constructor(
    groups: () => Groups,
    { commandWindowMs, log }: { readonly commandWindowMs: number; readonly log: Pick<Log, "warn" | "error"> },
  ) {
    this.#groups = groups;
    this.#commandWindowMs = commandWindowMs;
    this.#log = log;
  }

  /** Rejects when it could not be done (a full store, for one); the log has said why. */
  readonly onDamaged: OnDamaged = (group, error) => {
    const name = `${group} ${error.key?.toString("hex")}`;
    let repair = this.#underWay.get(name);
    if (repair === undefined) {
      repair = this.#repair(group, error).finally(() => this.#underWay.delete(name));
      this.#underWay.set(name, repair);
    }
    return repair;
  };

  async #repair(group: GroupId, error: KvError): Promise<"repaired"> {
    const { key } = error;
    // Rows of the control group that stand elsewhere too are taken from there when they are loaded (control-view.ts).
    if (key === undefined || group === CONTROL_GROUP || key.byteLength < 3 || key.readUInt16BE() !== group) throw error;
    try {
      const groups = this.#groups();
      const times = { nowMs: groups.logTime(group), commandWindowMs: this.#commandWindowMs };
      const { rows, recount } = await groups.inspect(group, (snapshot) => planRepair(snapshot, group, key, times));
      if (rows.length > 0) {
        await this.#propose(group, { op: "repair-rows", rows }, key);
        const lost = rows.filter(({ isLost }) => isLost).length;
        const keys = rows.slice(0, MAX_KEYS_LOGGED).map((row) => Buffer.from(row.key).toString("hex"));
        const told = { group, damage: error.message, rows: rows.length, lost, keys };
        if (lost > 0)
          this.#log.error(
            told,
            "what damaged rows held is lost; `hangar repair audit` names the objects, and the rows are kept as they were",
          );
        else this.#log.warn(told, "damaged rows were rebuilt from others");
      }
      const uncounted = rows.flatMap((row) => row.uncounted ?? []);
      for (const bucket of new Set([...recount, ...uncounted])) {
        await this.#propose(group, { op: "recount-usage", bucket }, key);
        this.#log.warn({ group, bucket, damage: error.message }, "a bucket's counters were counted anew");
      }
      return "repaired";
    } catch (cause) {
      if (cause !== error) this.#log.error({ err: cause, damage: error.message }, "a damaged row could not be repaired");
      throw cause;
    }
  }

  /** What else it meets is repaired before; its own row is not repaired for itself. */
  async #propose(group: GroupId, command: PartitionCommand, own: Buffer): Promise<void> {
    let before = own;
    for (let nested = 0; ; nested++) {
      try {
        await this.#groups().propose(group, command, { isRepair: true });
        return;
      } catch (error) {
        if (!isDamage(error) || nested === MAX_NESTED || error.key === undefined || error.key.equals(before)) throw error;
        before = error.key;
        await this.#repair(group, error);
      }
    }
  }
}

const MAX_KEYS_LOGGED = 10;
