import type { Groups } from "../../group/groups.ts";
import { emptyLayout, type LayoutState } from "../../layout/state.ts";
import type { Log } from "../../platform/log.ts";
import type { Random } from "../../platform/random.ts";
import { type BucketId, CONTROL_GROUP, isHex } from "../../util/ids.ts";
import type { PartitionCommand, SealResult } from "../commands.ts";
import type { AccessKey, Bucket, ControlService, CreateBucketOutcome } from "../control-service.ts";
import { ServiceError } from "../object-service.ts";
import type { Placement } from "../placement.ts";
import { bucketNameFault } from "./bucket-names.ts";
import type { ControlCommand, ControlResult } from "./control-commands.ts";
import { type BucketView, ControlView } from "./control-view.ts";
import type { SettingsRow } from "./rows.ts";

const MAX_RIVALS = 16;

export interface ControlOptions {
  /** Shards of new buckets' listings, 1 ..= 64. */
  readonly indexShards: number;
  readonly allowPunycode: boolean;
  /** Longest life of a command: a buried seal stays this long, twice (rule 41). */
  readonly commandWindowMs: number;
}

export interface ControlParts {
  readonly groups: Groups;
  readonly placement: Placement;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Buckets, names, keys and rights: commands to the control group and the steps that a bucket's birth and end need in its partitions.
 * What a crash left half done is taken up again by `recover` (level-triggered from the rows, rule 40).
 */
export class Control implements ControlService {
  readonly view = new ControlView();
  readonly #options: ControlOptions;
  readonly #parts: ControlParts;
  /** Deletions this node drives right now, so that recovery does not drive them twice. */
  readonly #driving = new Set<BucketId>();

  constructor(options: ControlOptions, parts: ControlParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Loads the view; gives birth to a new store when there is none. */
  async start(birth: () => SettingsRow): Promise<void> {
    await this.#parts.groups.read(CONTROL_GROUP, (rows) => this.view.load(rows));
    if (!this.view.settings) await this.command({ op: "birth", settings: birth() });
  }

  /** Drives every bucket that is between two phases to its end. Returns how many could not be finished now. */
  async recover(): Promise<number> {
    let left = 0;
    for (const bucket of [...this.view.buckets.values()]) {
      if (bucket.row.phase === "live" || this.#driving.has(bucket.id)) continue;
      try {
        await this.#drive(bucket.id);
      } catch (error) {
        left++;
        this.#parts.log.warn(
          { err: error, bucket: bucket.id, phase: bucket.row.phase },
          "bucket not settled yet, will try again",
        );
      }
    }
    return left;
  }

  /** Has a command decided; on success the view shows it before this settles. */
  async command(command: ControlCommand): Promise<ControlResult> {
    const result = await this.#parts.groups.propose<ControlCommand, ControlResult>(CONTROL_GROUP, command);
    if (result.ok && result.rows.length > 0)
      await this.#parts.groups.read(CONTROL_GROUP, (rows) => this.view.refresh(rows, result.rows));
    return result;
  }

  accessKey(id: string): AccessKey | undefined {
    return this.view.keys.get(id);
  }

  resolveBucket(name: string, keyId: string | undefined): Bucket | undefined {
    const local = keyId === undefined ? undefined : this.view.localAliases.get(keyId)?.get(name);
    const id = local ?? this.view.aliases.get(name) ?? (isHex(name, 32) ? (name as BucketId) : undefined);
    return id === undefined ? undefined : this.bucket(id);
  }

  bucket(id: BucketId): BucketView | undefined {
    const bucket = this.view.buckets.get(id);
    return bucket?.row.phase === "burying" ? undefined : bucket;
  }

  bucketsOf(keyId: string): readonly { readonly name: string; readonly bucket: Bucket }[] {
    const found: { name: string; bucket: Bucket }[] = [];
    for (const bucket of this.view.buckets.values()) {
      const rights = bucket.rights(keyId);
      if (!rights.read && !rights.write && !rights.owner) continue;
      for (const name of bucket.globalAliases) found.push({ name, bucket });
      for (const local of bucket.localAliases) if (local.keyId === keyId) found.push({ name: local.alias, bucket });
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  async createBucketFor(request: { readonly keyId: string; readonly name: string }): Promise<CreateBucketOutcome> {
    const { keyId, name } = request;
    const fault = bucketNameFault(name, this.#options);
    if (fault) return { ok: false, code: "invalid-name", message: `${name}: ${fault}` };
    if (!this.view.keys.get(keyId)?.mayCreateBucket) {
      return {
        ok: false,
        code: "not-allowed",
        message: `key ${keyId} may not create buckets; allow it with \`hangar key allow --create-bucket ${keyId}\``,
      };
    }
    return this.#create({ localAlias: { keyId, alias: name }, rights: { keyId, letters: "rwo" } });
  }

  /** A bucket by the administrator: a global name, a key's own name, or none. */
  async createBucket(request: {
    readonly globalAlias?: string;
    readonly localAlias?: { readonly keyId: string; readonly alias: string; readonly letters: string };
  }): Promise<CreateBucketOutcome> {
    for (const name of [request.globalAlias, request.localAlias?.alias]) {
      const fault = name === undefined ? undefined : bucketNameFault(name, this.#options);
      if (fault) return { ok: false, code: "invalid-name", message: `${name}: ${fault}` };
    }
    const { globalAlias, localAlias } = request;
    return this.#create({
      ...(globalAlias === undefined ? {} : { globalAlias }),
      ...(localAlias ? { localAlias: { keyId: localAlias.keyId, alias: localAlias.alias } } : {}),
      ...(localAlias && localAlias.letters !== "" ? { rights: { keyId: localAlias.keyId, letters: localAlias.letters } } : {}),
    });
  }

  async deleteBucketFor(request: {
    readonly keyId: string;
    readonly name: string;
    readonly id: BucketId;
  }): ReturnType<ControlService["deleteBucketFor"]> {
    const { keyId, name, id } = request;
    const bucket = this.bucket(id);
    if (!bucket) return { ok: false, code: "no-such-bucket" };
    if (bucket.globalAliases.length + bucket.localAliases.length > 1) {
      const local = this.view.localAliases.get(keyId)?.get(name) === id;
      const result = await this.command({ op: "remove-alias", bucket: id, alias: name, ...(local ? { keyId } : {}) });
      if (result.ok) return { ok: true };
      if (result.code !== "last-alias" && result.code !== "no-such-alias")
        return { ok: false, code: result.code === "busy" ? "busy" : "no-such-bucket" };
    }
    const outcome = await this.deleteBucket(id);
    return outcome.ok ? outcome : { ok: false, code: outcome.code === "other-aliases" ? "busy" : outcome.code };
  }

  /** Deletes an empty bucket with at most one name. */
  async deleteBucket(
    id: BucketId,
  ): Promise<
    | { readonly ok: true }
    | { readonly ok: false; readonly code: "no-such-bucket" | "not-empty" | "busy" | "other-aliases"; readonly detail?: string }
  > {
    const begun = await this.command({ op: "begin-delete", id });
    if (!begun.ok) {
      if (begun.code === "other-aliases") return { ok: false, code: "other-aliases", detail: begun.detail ?? "" };
      return { ok: false, code: begun.code === "busy" ? "busy" : "no-such-bucket" };
    }
    return (await this.#drive(id)) === "gone" ? { ok: true } : { ok: false, code: "not-empty" };
  }

  async #create(names: {
    readonly globalAlias?: string;
    readonly localAlias?: { readonly keyId: string; readonly alias: string };
    readonly rights?: { readonly keyId: string; readonly letters: string };
  }): Promise<CreateBucketOutcome> {
    const id = Buffer.from(this.#parts.random.bytes(32)).toString("hex") as BucketId;
    const created = await this.command({ op: "create-bucket", id, indexShards: this.#options.indexShards, ...names });
    if (!created.ok) {
      if (created.code === "alias-yours")
        return { ok: false, code: "owned-by-you", message: "this bucket exists already and belongs to you" };
      if (created.code === "alias-taken") return { ok: false, code: "exists", message: "a bucket of this name exists already" };
      if (created.code === "no-such-key")
        return { ok: false, code: "not-allowed", message: `there is no access key ${created.detail}` };
      throw new ServiceError("service.unavailable", `the bucket could not be created: ${created.code}`);
    }
    await this.#drive(id);
    return { ok: true, id };
  }

  /** The layout as it stands (version 0 before the first apply). */
  layout(): LayoutState {
    const { settings, layout } = this.view;
    return (
      layout?.state ??
      emptyLayout({ replicationFactor: settings?.replicationFactor ?? 1, partitions: settings?.partitions ?? 256 })
    );
  }

  /** Changes the layout by a pure function; again from the newest one when a rival was faster. The function's LayoutError passes through. */
  async changeLayout(change: (layout: LayoutState) => LayoutState): Promise<LayoutState> {
    for (let attempt = 0; attempt < MAX_RIVALS; attempt++) {
      const layout = change(this.layout());
      const result = await this.command({ op: "set-layout", expectedRevision: this.view.layout?.revision ?? 0, layout });
      if (result.ok) return layout;
    }
    throw new ServiceError("service.unavailable", "the layout changes all the time; try again");
  }

  /** Takes a bucket from the phase it is in to the next stable one. */
  async #drive(id: BucketId): Promise<"live" | "gone"> {
    this.#driving.add(id);
    try {
      for (;;) {
        const row = this.view.buckets.get(id)?.row;
        if (!row) return "gone";
        const { attempt } = row;
        switch (row.phase) {
          case "live":
            return "live";
          case "creating":
            await this.#everywhere(row, {
              op: "set-guard",
              bucket: id,
              settings: { controlIndex: row.guardIndex, indexShards: row.indexShards },
            });
            await this.command({ op: "bucket-ready", id });
            break;
          case "deleting": {
            const seals = (await this.#everywhere(row, { op: "seal", bucket: id, attempt })) as SealResult[];
            const refused = seals.some((seal) => !seal.ok && seal.refused !== "no-bucket");
            await this.command({ op: refused ? "cancel-delete" : "finish-delete", id, attempt });
            break;
          }
          case "unsealing":
            await this.#everywhere(row, { op: "unseal", bucket: id, attempt });
            await this.command({ op: "unsealed", id, attempt });
            break;
          case "burying": {
            const untilMs = this.#parts.groups.logTime(CONTROL_GROUP) + 2 * this.#options.commandWindowMs;
            await this.#everywhere(row, { op: "bury", bucket: id, attempt, untilMs });
            await this.command({ op: "buried", id });
            return "gone";
          }
        }
      }
    } finally {
      this.#driving.delete(id);
    }
  }

  #everywhere(bucket: { readonly id: BucketId; readonly indexShards: number }, command: PartitionCommand): Promise<unknown[]> {
    return Promise.all(
      this.#parts.placement
        .groupsOf(bucket)
        .map((group) => this.#parts.groups.propose<PartitionCommand, unknown>(group, command)),
    );
  }
}
