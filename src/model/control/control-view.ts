import type { KvRead } from "../../platform/kv.ts";
import type { BucketId } from "../../util/ids.ts";
import type { AccessKey, Bucket, Rights } from "../control-service.ts";
import {
  allRows,
  allRowsById,
  type BucketRow,
  getRow,
  type Kind,
  type KeyRow,
  type LayoutRow,
  type SettingsRow,
  type TokenRow,
} from "./rows.ts";

/**
 * This node's copy of the control state, in memory, for synchronous reads. Follows the rows: `load` at start,
 * `refresh` with the rows that a committed command touched.
 */
export class ControlView {
  readonly buckets = new Map<BucketId, BucketView>();
  readonly aliases = new Map<string, BucketId>();
  /** By key id, then by the key's own name for the bucket. */
  readonly localAliases = new Map<string, Map<string, BucketId>>();
  readonly keys = new Map<string, AccessKey>();
  readonly tokens = new Map<string, TokenRow>();
  settings: SettingsRow | undefined;
  layout: LayoutRow | undefined;

  load(rows: KvRead): void {
    this.settings = getRow(rows, "settings", "");
    for (const bucket of allRows(rows, "bucket")) this.#setBucket(bucket.id, bucket);
    for (const [name, alias] of allRowsById(rows, "alias")) this.aliases.set(name, alias.bucket);
    for (const [id, alias] of allRowsById(rows, "localAlias")) this.#setLocalAlias(id, alias.bucket);
    for (const key of allRows(rows, "key")) this.#setKey(key.id, key);
    for (const token of allRows(rows, "token")) this.tokens.set(token.id, token);
    this.layout = getRow(rows, "layout", "");
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
    const cut = id.indexOf("\0");
    const keyId = id.slice(0, cut);
    const names = this.localAliases.get(keyId) ?? new Map<string, BucketId>();
    setOrDelete(names, id.slice(cut + 1), bucket);
    if (names.size > 0) this.localAliases.set(keyId, names);
    else this.localAliases.delete(keyId);
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
