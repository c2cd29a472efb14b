import { Packr } from "msgpackr";
import type { LayoutState } from "../../layout/state.ts";
import { KvError, type KvRead, type KvWrite } from "../../platform/kv.ts";
import { type BucketId, CONTROL_GROUP } from "../../util/ids.ts";
import type { ObjectOwnership } from "../control-service.ts";
import { isDamage } from "../partition/damage.ts";

/**
 * Rows of the control group: [group u16][kind u8][id utf-8], payload MessagePack behind one byte of format number. Small and
 * rare, so clarity wins.
 */
export const KINDS = {
  settings: 0x40,
  bucket: 0x41,
  alias: 0x42,
  localAlias: 0x43,
  key: 0x44,
  token: 0x45,
  layout: 0x46,
} as const;
export type Kind = keyof typeof KINDS;

export interface RowTypes {
  /** Id "": what is fixed at the cluster's bootstrap. */
  readonly settings: SettingsRow;
  readonly bucket: BucketRow;
  /** Id: the global name. */
  readonly alias: AliasRow;
  /** Id: key id, NUL, name. */
  readonly localAlias: AliasRow;
  readonly key: KeyRow;
  readonly token: TokenRow;
  /** Id "". */
  readonly layout: LayoutRow;
}

/**
 * The layout with staging and history, as src/layout keeps it; `revision` grows with every change, so that a stale one is
 * refused.
 */
export interface LayoutRow {
  readonly revision: number;
  readonly state: LayoutState;
}

export interface SettingsRow {
  readonly clusterId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
}

/**
 * `phase`: what the control leader still has to drive to its end in the partitions (rule 40: recovery is level-triggered from
 * here).
 */
export type BucketPhase = "creating" | "live" | "deleting" | "unsealing" | "removing";

export interface BucketRow {
  readonly id: BucketId;
  readonly createdMs: number;
  readonly phase: BucketPhase;
  /** Number of the last attempt to delete (rule 38). */
  readonly attempt: number;
  readonly indexShards: number;
  readonly globalAliases: readonly string[];
  readonly localAliases: readonly { readonly keyId: string; readonly alias: string }[];
  /**
   * For each key with any right a string of the letters r, w, o. Pairs, because key ids come from outside: one may be
   * "constructor".
   */
  readonly rights: readonly (readonly [keyId: string, letters: string])[];
  readonly website?: { readonly indexDocument: string; readonly errorDocument?: string };
  /** Absent: BucketOwnerEnforced, as for every bucket that is made without a wish. */
  readonly objectOwnership?: ObjectOwnership;
  readonly quotas: { readonly maxSizeBytes?: number; readonly maxObjects?: number };
  /** Index of the control entry that last changed what guards hold. */
  readonly guardIndex: number;
}

export interface AliasRow {
  readonly bucket: BucketId;
}

export interface KeyRow {
  readonly id: string;
  /** "" once deleted: an id that was ever used is never given again. */
  readonly secret: string;
  readonly name: string;
  readonly createdMs: number;
  readonly expiresMs?: number;
  readonly mayCreateBucket: boolean;
  readonly deleted: boolean;
}

export interface TokenRow {
  /** Part before the dot. */
  readonly id: string;
  readonly name: string;
  /** Argon2id hash of the whole token, PHC-like text. */
  readonly hash: string;
  readonly createdMs: number;
  readonly expiresMs?: number;
  readonly scope: readonly string[];
}

const packr = new Packr({ useRecords: false });
const FORMAT = 1;
const ID_START = 3;

export function rowKey(kind: Kind, id: string): Buffer {
  const key = Buffer.allocUnsafe(3 + Buffer.byteLength(id));
  key.writeUInt16BE(CONTROL_GROUP, 0);
  key[2] = KINDS[kind];
  key.write(id, 3);
  return key;
}

/** @throws KvError kv.damaged with a sentence that names what the row holds. */
export function getRow<K extends Kind>(rows: KvRead, kind: K, id: string): RowTypes[K] | undefined {
  let value: Buffer | undefined;
  try {
    value = rows.get("rows", rowKey(kind, id));
  } catch (error) {
    throw isDamage(error) ? damagedRow(kind, id, { cause: error }) : error;
  }
  return value === undefined ? undefined : (decode(value) as RowTypes[K]);
}

/** What is said of a damaged row, to who needs it and to the log. */
export function damagedRow(kind: Kind, id: string, options?: ErrorOptions): KvError {
  const key = rowKey(kind, id);
  return new KvError("kv.damaged", `row ${key.toString("hex")} of rows is damaged: it holds ${HOLDS[kind](id)}`, {
    ...options,
    key,
  });
}

const RESTORE = "start with a backup of metadata_dir in its place";
const HOLDS: Readonly<Record<Kind, (id: string) => string>> = {
  settings: () =>
    `the cluster's id and its numbers of partitions and replicas, which stand nowhere else. There is no safe default: ${RESTORE}`,
  layout: () => `the layout with its history, which stands nowhere else. There is no safe default: ${RESTORE}`,
  bucket: (id) =>
    `bucket ${id}: its names, rights, quotas and website. Requests for it fail, its data stays as it is: ${RESTORE}`,
  alias: (id) => `the bucket name ${JSON.stringify(id)}`,
  localAlias: (id) => `the bucket name ${JSON.stringify(id.replace("\0", ":"))} of a key`,
  key: (id) => `access key ${id}, which is refused: make another one`,
  token: (id) => `admin token ${id}, which is refused: make another one`,
};

export function putRow<K extends Kind>(rows: KvWrite, kind: K, id: string, row: RowTypes[K]): void {
  const packed = packr.pack(row);
  const value = Buffer.allocUnsafe(1 + packed.byteLength);
  value[0] = FORMAT;
  packed.copy(value, 1);
  rows.put("rows", rowKey(kind, id), value);
}

export function removeRow(rows: KvWrite, kind: Kind, id: string): void {
  rows.remove("rows", rowKey(kind, id));
}

/** All rows of a kind, in the order of their ids; with `onDamaged` over damaged ones, which are told to it. */
export function allRows<K extends Kind>(rows: KvRead, kind: K, onDamaged?: (id: string) => void): RowTypes[K][] {
  return allRowsById(rows, kind, onDamaged).map(([, row]) => row);
}

/** As `allRows`, with the id of each. */
export function allRowsById<K extends Kind>(
  rows: KvRead,
  kind: K,
  onDamaged?: (id: string) => void,
): [id: string, row: RowTypes[K]][] {
  const found: [string, RowTypes[K]][] = [];
  const start = rowKey(kind, "");
  const end = Buffer.from(start);
  end[2] = KINDS[kind] + 1;
  const told = onDamaged && ((key: Buffer) => onDamaged(key.toString("utf8", ID_START)));
  rows.scan("rows", { start, end, ...(told && { onDamaged: told }) }, (row) => {
    found.push([
      row.key.toString("utf8", row.keyStart + ID_START, row.keyEnd),
      decode(row.value.subarray(row.valueStart, row.valueEnd)) as RowTypes[K],
    ]);
    return undefined;
  });
  return found;
}

function decode(value: Uint8Array): unknown {
  if (value[0] !== FORMAT) throw new Error(`control row of format ${value[0]}; this release reads ${FORMAT}`);
  return packr.unpack(value.subarray(1));
}

export function localAliasId(keyId: string, alias: string): string {
  return `${keyId}\0${alias}`;
}
