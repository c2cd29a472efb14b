import type { Groups } from "../../group/groups.ts";
import { emptyLayout, type LayoutState } from "../../layout/state.ts";
import type { Log } from "../../platform/log.ts";
import type { Random } from "../../platform/random.ts";
import { type BucketId, CONTROL_GROUP, type GroupId, isHex } from "../../util/ids.ts";
import type { DropUploadResult, PartitionCommand, SealResult } from "../commands.ts";
import type { AccessKey, Bucket, ControlService, CreateBucketOutcome, ObjectOwnership } from "../control-service.ts";
import { ServiceError } from "../object-service.ts";
import type { Placement } from "../placement.ts";
import { type UploadName, uploadsOf, withFewParts } from "../partition/list-uploads.ts";
import { addUsage, type Counters, readUsage } from "../partition/usage.ts";
import { bucketNameFault } from "./bucket-names.ts";
import type { AliasName, ControlCommand, ControlResult } from "./control-commands.ts";
import { type BucketView, ControlView } from "./control-view.ts";
import { type BucketRow, damagedRow, type SettingsRow } from "./rows.ts";

/** How often a change is tried again when rivals are faster. */
const MAX_RIVALS = 16;
/** Steps of one bucket's creation or end; more mean that something turns in circles. */
const MAX_STEPS = 64;
/**
 * Uploads of a deleted bucket that are dropped together, in each of its partitions: four of them hold the event loop for some 10
 * ms (measured: 85 µs an upload, all threads).
 */
const UPLOADS_TOGETHER = 32;
/** Parts that they have together, or a little more: dropping an upload counts them. */
const PARTS_TOGETHER = 1000;

export interface ControlOptions {
  /** Shards of new buckets' listings, 1 ..= 64. */
  readonly indexShards: number;
  readonly allowPunycode: boolean;
  /** Longest life of a command: a tombstone's seal stays this long, twice (rule 41). */
  readonly commandWindowMs: number;
}

export interface ControlModules {
  readonly groups: Groups;
  readonly placement: Placement;
  readonly random: Random;
  readonly log: Log;
}

export type DeleteBucketOutcome =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly code: "no-such-bucket" | "not-empty" | "busy" | "other-aliases" | "no-such-alias";
      readonly detail?: string;
    };

/**
 * Buckets, names, keys and rights: commands to the control group and the steps that a bucket's creation and end need in its
 * partitions. What a crash left half done is taken up again by `recover` (level-triggered from the rows, rule 40).
 */
export class Control implements ControlService {
  readonly view = new ControlView();
  readonly #options: ControlOptions;
  readonly #modules: ControlModules;
  /**
   * Buckets that this node drives right now and how often: recovery leaves them alone. Driving twice at once is wasteful, not
   * wrong.
   */
  readonly #driving = new Map<BucketId, number>();

  constructor(options: ControlOptions, modules: ControlModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /**
   * Loads the view; bootstraps a new store when there is none. Damaged rows of single buckets, names, keys and tokens are logged.
   *
   * @throws KvError kv.damaged when the settings or the layout can't be read: with a sentence for the operator.
   */
  async start(bootstrap: () => SettingsRow): Promise<void> {
    const { groups, log } = this.#modules;
    const damaged = await groups.read(CONTROL_GROUP, (rows) => this.view.load(rows));
    for (const { kind, id } of damaged) log.error({ kind, id }, damagedRow(kind, id).message);
    if (!this.view.settings) await this.command({ op: "bootstrap", settings: bootstrap() });
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
        this.#modules.log.warn(
          { err: error, bucket: bucket.id, phase: bucket.row.phase },
          "bucket not settled yet, will try again",
        );
      }
    }
    return left;
  }

  /** Has a command decided; on success the view shows it before this settles. */
  async command(command: ControlCommand): Promise<ControlResult> {
    const result = await this.#modules.groups.propose<ControlCommand, ControlResult>(CONTROL_GROUP, command);
    if (result.ok && result.rows.length > 0)
      await this.#modules.groups.read(CONTROL_GROUP, (rows) => this.view.refresh(rows, result.rows));
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

  /**
   * Undefined also for one that is not there yet, or not any more, in all its partitions: before its creation settles, nobody may
   * meet it.
   */
  bucket(id: BucketId): BucketView | undefined {
    const bucket = this.view.buckets.get(id);
    return bucket && isThere(bucket.row) ? bucket : undefined;
  }

  /** All buckets, in no particular order. */
  allBuckets(): readonly BucketView[] {
    return [...this.view.buckets.values()].filter((bucket) => isThere(bucket.row));
  }

  bucketsOf(keyId: string): readonly { readonly name: string; readonly bucket: Bucket }[] {
    const found: { name: string; bucket: Bucket }[] = [];
    for (const bucket of this.allBuckets()) {
      const rights = bucket.rights(keyId);
      if (!rights.read && !rights.write && !rights.owner) continue;
      for (const name of bucket.globalAliases) found.push({ name, bucket });
      for (const local of bucket.localAliases) if (local.keyId === keyId) found.push({ name: local.alias, bucket });
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  async createBucketFor(request: Parameters<ControlService["createBucketFor"]>[0]): Promise<CreateBucketOutcome> {
    const { keyId, name, objectOwnership } = request;
    const fault = bucketNameFault(name, this.#options);
    if (fault) return { ok: false, code: "invalid-name", message: `${name}: ${fault}` };
    if (!this.view.keys.get(keyId)?.mayCreateBucket) {
      return {
        ok: false,
        code: "not-allowed",
        message: `key ${keyId} may not create buckets; allow it with \`hangar key allow --create-bucket ${keyId}\``,
      };
    }
    return this.#create({
      localAlias: { keyId, alias: name },
      rights: { keyId, letters: "rwo" },
      ...(objectOwnership === undefined ? {} : { objectOwnership }),
    });
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
    const local = this.view.localAliases.get(keyId)?.get(name) === id;
    // An id instead of a name deletes a bucket of at most one name.
    const alias: AliasName | undefined = name === id ? undefined : { alias: name, ...(local ? { keyId } : {}) };
    for (let attempt = 0; attempt < MAX_RIVALS; attempt++) {
      const outcome = await this.deleteBucket(id, alias);
      if (outcome.ok) return outcome;
      if (outcome.code === "no-such-alias") return { ok: false, code: "no-such-bucket" };
      if (outcome.code !== "other-aliases") return { ok: false, code: outcome.code };
      if (alias === undefined) return { ok: false, code: "busy" };
      const removed = await this.command({ op: "remove-alias", bucket: id, ...alias });
      if (removed.ok) return { ok: true };
      // A rival took the other names away in between: then the bucket itself goes.
      if (removed.code !== "last-alias") return { ok: false, code: removed.code === "busy" ? "busy" : "no-such-bucket" };
    }
    return { ok: false, code: "busy" };
  }

  /**
   * Deletes a bucket without objects, and its unfinished uploads with it. It may have one name, or, with `evenSeveral`, more;
   * with `name`, only while that is one of them. Settles when nothing of it is left but blocks to be released. `detail`: the
   * names it has.
   */
  async deleteBucket(
    id: BucketId,
    name?: AliasName,
    { evenSeveral = false }: { readonly evenSeveral?: boolean } = {},
  ): Promise<DeleteBucketOutcome> {
    const bucket = this.bucket(id);
    if (!bucket) return { ok: false, code: "no-such-bucket" };
    // The seals decide; this look keeps a deletion that has no chance from stopping other people's puts for a moment.
    const tooManyNames = !evenSeveral && bucket.globalAliases.length + bucket.localAliases.length > 1;
    if (!tooManyNames && !(await this.#looksEmpty(bucket.row))) return { ok: false, code: "not-empty" };
    const begun = await this.command({
      op: "begin-delete",
      id,
      ...(name ? { name } : {}),
      ...(evenSeveral ? { evenSeveral } : {}),
    });
    if (!begun.ok) {
      if (begun.code === "other-aliases") return { ok: false, code: "other-aliases", detail: begun.detail ?? "" };
      if (begun.code === "no-such-alias") return { ok: false, code: "no-such-alias" };
      return { ok: false, code: begun.code === "busy" ? "busy" : "no-such-bucket" };
    }
    return (await this.#drive(id)) === "gone" ? { ok: true } : { ok: false, code: "not-empty" };
  }

  async #looksEmpty(bucket: BucketRow): Promise<boolean> {
    const groups = this.#modules.placement.groupsOf(bucket);
    const sum: Counters = { objects: 0, versions: 0, bytes: 0, uploads: 0, parts: 0, partBytes: 0 };
    await this.#modules.groups.readAll(groups, (rows) => {
      for (const group of groups) addUsage(sum, readUsage(rows, group, bucket.id));
    });
    return sum.objects === 0 && sum.versions === 0;
  }

  /** Gives a bucket another name; refused as "invalid-name" (detail: why) when it can't be one. */
  addAlias(
    bucket: BucketId,
    name: AliasName,
  ): Promise<ControlResult | { readonly ok: false; readonly code: "invalid-name"; readonly detail: string }> {
    const fault = bucketNameFault(name.alias, this.#options);
    if (fault) return Promise.resolve({ ok: false, code: "invalid-name", detail: `${name.alias}: ${fault}` });
    return this.command({ op: "add-alias", bucket, ...name });
  }

  async #create(names: {
    readonly globalAlias?: string;
    readonly localAlias?: { readonly keyId: string; readonly alias: string };
    readonly rights?: { readonly keyId: string; readonly letters: string };
    readonly objectOwnership?: ObjectOwnership;
  }): Promise<CreateBucketOutcome> {
    const id = Buffer.from(this.#modules.random.bytes(32)).toString("hex") as BucketId;
    const created = await this.command({ op: "create-bucket", id, indexShards: this.#options.indexShards, ...names });
    if (!created.ok) {
      // Who is told that the bucket exists may use it: if a rival is still making it, that is waited for.
      const holder = this.view.buckets.get((created.detail ?? "") as BucketId);
      if (holder?.row.phase === "creating") await this.#drive(holder.id);
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

  /**
   * Changes the layout by a pure function; again from the newest one when a rival was faster. The function's LayoutError passes
   * through.
   */
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
    this.#driving.set(id, (this.#driving.get(id) ?? 0) + 1);
    try {
      for (let steps = 0; steps < MAX_STEPS; steps++) {
        const row = this.view.buckets.get(id)?.row;
        if (!row) return "gone";
        if (row.phase === "live") return "live";
        const end = row.phase === "removing";
        await this.#step(row);
        if (end) return "gone";
      }
      throw new ServiceError("service.unavailable", `bucket ${id} is changed all the time; try again`);
    } finally {
      const others = (this.#driving.get(id) ?? 1) - 1;
      if (others > 0) this.#driving.set(id, others);
      else this.#driving.delete(id);
    }
  }

  /** One phase further. Every step may be repeated, and be done by several at once. */
  async #step(row: BucketRow): Promise<void> {
    const { id, attempt } = row;
    switch (row.phase) {
      case "live":
        return;
      case "creating":
        await this.#everywhere(row, setGuard(row));
        return this.#move(id, { op: "bucket-ready", id });
      case "deleting": {
        const seals = (await this.#everywhere(row, { op: "seal", bucket: id, attempt })) as SealResult[];
        const refused = seals.some((seal) => !seal.ok && seal.refused !== "no-bucket");
        return this.#move(id, { op: refused ? "cancel-delete" : "finish-delete", id, attempt });
      }
      case "unsealing":
        await this.#everywhere(row, { op: "unseal", bucket: id, attempt });
        return this.#move(id, { op: "unsealed", id, attempt });
      case "removing": {
        await Promise.all(this.#modules.placement.groupsOf(row).map((group) => this.#dropUploads(group, row)));
        const untilMs = this.#modules.groups.logTime(CONTROL_GROUP) + 2 * this.#options.commandWindowMs;
        const removed = (await this.#everywhere(row, { op: "set-tombstone", bucket: id, attempt, untilMs })) as {
          readonly ok: boolean;
        }[];
        // Decided after all seals of this attempt held, so none can refuse; the row stays, and with it the warning, if one does.
        if (!removed.every((one) => one.ok)) throw notSealed(id, attempt);
        return this.#move(id, { op: "remove-bucket", id });
      }
    }
  }

  /**
   * The unfinished uploads of a bucket whose end is decided, some at a time: one transaction never holds many. Its seal lets none
   * come in, so each is met once; those that another driver has dropped already are skipped.
   */
  async #dropUploads(group: GroupId, { id, attempt }: BucketRow): Promise<void> {
    const { groups } = this.#modules;
    for (let after: UploadName | undefined; ; ) {
      const behind = after;
      const some = await groups.read(group, (rows) =>
        withFewParts(rows, group, uploadsOf(rows, group, id, { after: behind, limit: UPLOADS_TOGETHER }), PARTS_TOGETHER),
      );
      if (some.length === 0) return;
      const dropped = await Promise.all(
        some.map((upload) => {
          const command: PartitionCommand = { op: "drop-upload", attempt, ...upload };
          return groups.propose<PartitionCommand, DropUploadResult>(group, command);
        }),
      );
      if (dropped.some((one) => !one.ok && one.refused === "not-sealed")) throw notSealed(id, attempt);
      after = some.at(-1);
    }
  }

  /** A refusal means that somebody else was faster: then the view must show what he did before the next look. */
  async #move(id: BucketId, command: ControlCommand): Promise<void> {
    const result = await this.command(command);
    if (!result.ok) await this.#modules.groups.read(CONTROL_GROUP, (rows) => this.view.refresh(rows, [["bucket", id]]));
  }

  #everywhere(bucket: { readonly id: BucketId; readonly indexShards: number }, command: PartitionCommand): Promise<unknown[]> {
    return Promise.all(
      this.#modules.placement
        .groupsOf(bucket)
        .map((group) => this.#modules.groups.propose<PartitionCommand, unknown>(group, command)),
    );
  }
}

function setGuard({ id, guardIndex, indexShards, attempt }: BucketRow): PartitionCommand {
  return { op: "set-guard", bucket: id, settings: { controlIndex: guardIndex, indexShards, attempt } };
}

function notSealed(id: BucketId, attempt: number): Error {
  return new Error(`a partition of the deleted bucket ${id} is not sealed by attempt ${attempt}`);
}

/** A bucket whose creation is not finished, or whose deletion is decided, is not there for anyone. */
function isThere(row: BucketRow): boolean {
  return row.phase !== "creating" && row.phase !== "removing";
}
