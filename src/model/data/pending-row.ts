import type { Groups } from "../../group/groups.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Stamp } from "../../util/ids.ts";
import type { PartitionCommand } from "../commands.ts";
import type { UploadTarget } from "./data-path.ts";

/** Takes the pending row of an upload away that will never commit. Never rejects: a row that stays runs out, and others' take it away. */
export async function removePendingRow(groups: Groups, { bucket, key, claim, group }: UploadTarget): Promise<void> {
  const command: PartitionCommand = { op: "unpend", bucket, key, claim };
  await groups.propose(group, command).catch(() => {});
}

/**
 * Keeps a long upload's claim from being judged dead (rule 36): after W/2 it writes a pending row in the object's group and renews it every
 * W/4. An upload that is done before needs none: its command carries `expiry`, and no verdict is asked before that.
 */
export class PendingRow {
  /** Log time of the object's group W after the upload's begin: verdicts on its first references, and a command without a pending row, end here. */
  readonly expiry: Stamp;
  readonly #target: UploadTarget;
  readonly #windowMs: number;
  readonly #groups: Groups;
  readonly #clock: Clock;
  readonly #beganMs: number;
  #timer: Timer | undefined;
  #written = false;
  #underWay: Promise<boolean> | undefined;
  #ended = false;

  constructor(
    { target, windowMs }: { readonly target: UploadTarget; readonly windowMs: number },
    parts: { readonly groups: Groups; readonly clock: Clock },
  ) {
    this.#target = target;
    this.#windowMs = windowMs;
    this.#groups = parts.groups;
    this.#clock = parts.clock;
    this.expiry = (parts.groups.logTime(target.group) + windowMs) as Stamp;
    this.#beganMs = parts.clock.monotonicMs();
    this.#timer = parts.clock.timer(windowMs / 2, () => this.#renew());
  }

  /** Expiry for a reference added now. */
  referenceExpiryMs(): number {
    return this.#groups.logTime(this.#target.group) + this.#windowMs;
  }

  /**
   * The bytes are there: may the command be sent, and does it need the pending row? `lost`: the claim was given up meanwhile, nothing may commit.
   * The row is not renewed any more; it lasts for at least W/2.
   */
  async end(): Promise<"not-needed" | "needed" | "lost"> {
    const late = this.#clock.monotonicMs() - this.#beganMs >= this.#windowMs / 2;
    this.#stop();
    if (this.#underWay === undefined && !late) return "not-needed";
    // A fresh renewal: the last one may be W/4 old, and the command still has to wait for its turn.
    if (this.#underWay === undefined || (await this.#underWay)) this.#underWay = this.#pend();
    return (await this.#underWay) ? "needed" : "lost";
  }

  /** The upload failed or was refused: the row goes. */
  async giveUp(): Promise<void> {
    this.#stop();
    await this.#underWay;
    if (this.#written) await removePendingRow(this.#groups, this.#target);
  }

  #stop(): void {
    this.#ended = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #renew(): void {
    this.#underWay = (this.#underWay ?? Promise.resolve(true)).then((alive) => (alive && !this.#ended ? this.#pend() : alive));
    if (!this.#ended) this.#timer = this.#clock.timer(this.#windowMs / 4, () => this.#renew());
  }

  /** True while the claim lives. A command that may or may not have happened is tried again at the next renewal. */
  async #pend(): Promise<boolean> {
    const { bucket, key, claim, group } = this.#target;
    const untilMs = this.#groups.logTime(group) + this.#windowMs;
    const command: PartitionCommand = { op: "pend", bucket, key, claim, untilMs, ...(this.#written ? { renew: true } : {}) };
    try {
      // The first one must not come after verdicts may have been asked and forgotten again.
      const result = await this.#groups.propose<PartitionCommand, { readonly ok: boolean }>(
        group,
        command,
        this.#written ? {} : { expiry: this.expiry },
      );
      if (result.ok) this.#written = true;
      return result.ok;
    } catch {
      return this.#written;
    }
  }
}
