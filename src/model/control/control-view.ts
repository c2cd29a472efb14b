import type { KvRead } from "../../platform/kv.ts";
import type { BucketId } from "../../util/ids.ts";
import type { AccessKey, Bucket, ObjectOwnership, Rights } from "../control-service.ts";
import {
  allRowsById,
  type BucketRow,
  damagedRow,
  getRow,
  type Kind,
  type KeyRow,
  localAliasId,
  type LayoutRow,
  type SettingsRow,
  type TokenRow,
} from "./rows.ts";

/**
 * This node's copy of the control state, in memory, for synchronous reads. Follows the rows: `load` at start,
 * `refresh` with the rows that a committed command touched.
 */
export class ControlView {
  readonly buckets = new NeverMissed<BucketId, BucketView>((id) => damagedRow("bucket", id));
  readonly aliases = new NeverMissed<string, BucketId>((name) => damagedRow("alias", name));
  /** By key id, then by the key's own name for the bucket. */
  readonly localAliases = new Map<string, NeverMissed<string, BucketId>>();
  /** A key or token whose row is damaged is not here: it is refused as an unknown one is. */
  readonly keys = new Map<string, AccessKey>();
  readonly tokens = new Map<string, TokenRow>();
  settings: SettingsRow | undefined;
  layout: LayoutRow | undefined;

  /**
   * Loads everything that can be read; returns what can't, for the log. Names stand in their bucket's row too and are taken from
   * there.
   *
   * @throws KvError kv.damaged for the settings and the layout, without which nothing works: with a sentence for the operator.
   */
  load(rows: KvRead): readonly DamagedRow[] {
    const damaged: DamagedRow[] = [];
    const all = <K extends "bucket" | "alias" | "localAlias" | "key" | "token">(kind: K) =>
      allRowsById(rows, kind, (id) => damaged.push({ kind, id }));
    this.settings = getRow(rows, "settings", "");
    for (const [name, alias] of all("alias")) this.aliases.set(name, alias.bucket);
    for (const [id, alias] of all("localAlias")) this.#setLocalAlias(id, alias.bucket);
    for (const [, bucket] of all("bucket")) {
      this.#setBucket(bucket.id, bucket);
      for (const alias of bucket.globalAliases) this.aliases.set(alias, bucket.id);
      for (const { keyId, alias } of bucket.localAliases) this.#setLocalAlias(localAliasId(keyId, alias), bucket.id);
    }
    for (const [, key] of all("key")) this.#setKey(key.id, key);
    for (const [, token] of all("token")) this.tokens.set(token.id, token);
    this.layout = getRow(rows, "layout", "");
    for (const { kind, id } of damaged) {
      if (kind === "bucket") this.buckets.miss(id as BucketId);
      if (kind === "alias") this.aliases.miss(id);
      if (kind === "localAlias") this.#namesOf(id).miss(nameIn(id));
    }
    // A name without its bucket: that row's key has rotted, or the row is gone.
    for (const names of [this.aliases, ...this.localAliases.values()])
      for (const id of names.values()) if (this.buckets.miss(id)) damaged.push({ kind: "bucket", id });
    return damaged;
  }

  refresh(rows: KvRead, changed: readonly (readonly [Kind, string])[]): void {
    for (const [kind, id] of changed) {
      switch (kind) {
        case "settings":
          this.settings = getRow(rows, kind, id);
          break;
        case "bucket":
          this.#setBucket(id as BucketId, getRow(rows, kind, id));
          break;
        case "alias":
          setOrDelete(this.aliases, id, getRow(rows, kind, id)?.bucket);
          break;
        case "localAlias":
          this.#setLocalAlias(id, getRow(rows, kind, id)?.bucket);
          break;
        case "key":
          this.#setKey(id, getRow(rows, kind, id));
          break;
        case "token":
          setOrDelete(this.tokens, id, getRow(rows, kind, id));
          break;
        case "layout":
          this.layout = getRow(rows, kind, id);
          break;
      }
    }
  }

  #setBucket(id: BucketId, row: BucketRow | undefined): void {
    setOrDelete(this.buckets, id, row && new BucketView(row));
  }

  #setLocalAlias(id: string, bucket: BucketId | undefined): void {
    setOrDelete(this.#namesOf(id), nameIn(id), bucket);
  }

  /** The names that the key of a local alias has. */
  #namesOf(localAlias: string): NeverMissed<string, BucketId> {
    const keyId = localAlias.slice(0, localAlias.indexOf("\0"));
    let names = this.localAliases.get(keyId);
    if (names === undefined) {
      names = new NeverMissed((name) => damagedRow("localAlias", localAliasId(keyId, name)));
      this.localAliases.set(keyId, names);
    }
    return names;
  }

  #setKey(id: string, row: KeyRow | undefined): void {
    if (!row || row.deleted) {
      this.keys.delete(id);
      return;
    }
    const { secret, name, createdMs, expiresMs, mayCreateBucket } = row;
    this.keys.set(id, { id, secret, name, createdMs, expiresMs, mayCreateBucket });
  }
}

export interface DamagedRow {
  readonly kind: Kind;
  readonly id: string;
}

/** Rows by id. Asked for one that is there but can't be read it throws, so that nobody takes it for absent. */
class NeverMissed<K, V> extends Map<K, V> {
  readonly #missed = new Set<K>();
  readonly #damage: (id: K) => Error;

  constructor(damage: (id: K) => Error) {
    super();
    this.#damage = damage;
  }

  /** Its row is damaged, whatever it holds. False when it is here nevertheless, or was missed before. */
  miss(id: K): boolean {
    if (super.has(id) || this.#missed.has(id)) return false;
    this.#missed.add(id);
    return true;
  }

  override get(id: K): V | undefined {
    const value = super.get(id);
    if (value === undefined && this.#missed.has(id)) throw this.#damage(id);
    return value;
  }
  override has(id: K): boolean {
    return this.get(id) !== undefined;
  }
}

function nameIn(localAlias: string): string {
  return localAlias.slice(localAlias.indexOf("\0") + 1);
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

const ALL_RIGHTS: readonly Rights[] = Array.from({ length: 8 }, (_, bits) => ({
  read: (bits & 1) > 0,
  write: (bits & 2) > 0,
  owner: (bits & 4) > 0,
}));

/** Rights of a string of the letters r, w, o. */
export function rightsOf(letters: string): Rights {
  return ALL_RIGHTS[
    (letters.includes("r") ? 1 : 0) | (letters.includes("w") ? 2 : 0) | (letters.includes("o") ? 4 : 0)
  ] as Rights;
}

export class BucketView implements Bucket {
  readonly row: BucketRow;
  readonly id: BucketId;
  readonly indexShards: number;
  readonly quotas: Bucket["quotas"];
  readonly #rights = new Map<string, Rights>();

  constructor(row: BucketRow) {
    this.row = row;
    this.id = row.id;
    this.indexShards = row.indexShards;
    this.quotas = row.quotas;
    for (const [keyId, letters] of row.rights) this.#rights.set(keyId, rightsOf(letters));
  }

  get createdMs(): number {
    return this.row.createdMs;
  }
  get globalAliases(): readonly string[] {
    return this.row.globalAliases;
  }
  get localAliases(): Bucket["localAliases"] {
    return this.row.localAliases;
  }
  get objectOwnership(): ObjectOwnership {
    return this.row.objectOwnership ?? "BucketOwnerEnforced";
  }
  get website(): Bucket["website"] {
    const site = this.row.website;
    return site && { indexDocument: site.indexDocument, errorDocument: site.errorDocument };
  }
  rights(keyId: string): Rights {
    return this.#rights.get(keyId) ?? rightsOf("");
  }
  get keys(): Bucket["keys"] {
    return [...this.#rights].map(([keyId, rights]) => ({ keyId, rights }));
  }
}
