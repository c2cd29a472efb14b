import type { Groups } from "../../group/groups.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Stamp } from "../../util/ids.ts";
import type { PartitionCommand } from "../commands.ts";
import type { UploadTarget } from "./data-path.ts";

/**
 * Takes the upload lease of an upload away that will never commit. Never rejects: a row that stays runs out, and others' take it
 * away.
 */
export async function endUploadLease(groups: Groups, { bucket, key, claim, group }: UploadTarget): Promise<void> {
  const command: PartitionCommand = { op: "end-lease", bucket, key, claim };
  await groups.propose(group, command).catch(() => {});
}

/**
 * Keeps a long upload's claim from being judged dead (rule 36): after commandWindow/2 it writes an upload lease in the object's
 * group and renews it every commandWindow/4. An upload that is done before needs none: its command carries `expiry`, and no
 * resolution of its claim is asked before that.
 */
export class UploadLease {
  /**
   * Log time of the object's group commandWindow after the upload's begin: resolutions on its first references, and a command
   * without an upload lease, end here.
   */
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
   * The bytes are there: may the command be sent, and does it need the upload lease? `lost`: the claim was given up meanwhile,
   * nothing may commit. The row is not renewed any more; it lasts for at least commandWindow/2.
   */
  async end(): Promise<"not-needed" | "needed" | "lost"> {
    const late = this.#clock.monotonicMs() - this.#beganMs >= this.#windowMs / 2;
    this.#stop();
    if (this.#underWay === undefined && !late) return "not-needed";
    // A fresh renewal: the last one may be commandWindow/4 old, and the command still has to wait for its turn.
    if (this.#underWay === undefined || (await this.#underWay)) this.#underWay = this.#write();
    return (await this.#underWay) ? "needed" : "lost";
  }

  /** The upload failed or was refused: the row goes. */
  async giveUp(): Promise<void> {
    this.#stop();
    await this.#underWay;
    if (this.#written) await endUploadLease(this.#groups, this.#target);
  }

  #stop(): void {
    this.#ended = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #renew(): void {
    this.#underWay = (this.#underWay ?? Promise.resolve(true)).then((alive) => (alive && !this.#ended ? this.#write() : alive));
    if (!this.#ended) this.#timer = this.#clock.timer(this.#windowMs / 4, () => this.#renew());
  }

  /** True while the claim lives. A command that may or may not have happened is tried again at the next renewal. */
  async #write(): Promise<boolean> {
    const { bucket, key, claim, group } = this.#target;
    const untilMs = this.#groups.logTime(group) + this.#windowMs;
    const command: PartitionCommand = {
      op: "renew-lease",
      bucket,
      key,
      claim,
      untilMs,
      ...(this.#written ? { renew: true } : {}),
    };
    try {
      // The first one must not come after resolutions may have been asked and forgotten again.
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
