import { MAX_U48, readU48 } from "../../codec/slices.ts";
import type { KvRead } from "../../platform/kv.ts";
import { CONTROL_GROUP, type GroupId } from "../../util/ids.ts";
import { allRows } from "../control/rows.ts";
import { SEQUENCES_PER_COMMAND } from "../partition/outbox-row.ts";
import { FIELDS_START, readVersionKey, ROW, rowsOf } from "../partition/row-keys.ts";
import { stampOfVersion } from "../partition/version-row.ts";
import { ofHint } from "./plan.ts";

/** Commands that may have left no row that can be read: as many indexes are left out. */
const INDEX_GAP = 2 ** 24;
/** An index beyond this is no index but a rotten key: half of what the numbers in rows can hold. */
const MAX_INDEX = Math.floor(MAX_U48 / SEQUENCES_PER_COMMAND / 2);

/**
 * An index and a stamp from which a group of one member goes on when the row that says where it stands is damaged: not less than
 * those of any command that left a row. The index lies an index gap above, so that what deleted and unreadable rows have used
 * does not come again. The stamp does not: the clock is above it, and an index gap would date new versions ahead. Other damaged
 * rows don't stop it; their keys still tell indexes. Reads every version of the group.
 */
export function lastCommandOf(rows: KvRead, group: GroupId): { readonly index: number; readonly stampMs: number } {
  let index = 0;
  let stampMs = 0;
  const seen = (someIndex: number, someStampMs: number): void => {
    if (someIndex <= MAX_INDEX) index = Math.max(index, someIndex);
    stampMs = Math.max(stampMs, someStampMs);
  };
  const indexOf = (versionRow: Buffer, keyStart: number): number =>
    Number.parseInt(readVersionKey(versionRow, keyStart).version.slice(0, 16), 16);
  if (group === CONTROL_GROUP) {
    const over = (): void => undefined;
    for (const { guardIndex, createdMs } of allRows(rows, "bucket", over)) seen(guardIndex, createdMs);
    for (const { createdMs } of allRows(rows, "key", over)) seen(0, createdMs);
  } else {
    const versions = { ...rowsOf(group, ROW.version), onDamaged: (key: Buffer) => seen(ofHint(() => indexOf(key, 0)) ?? 0, 0) };
    rows.scan("bodies", versions, (row) => {
      seen(indexOf(row.key, row.keyStart), stampOfVersion(row.value, row.valueStart));
      return undefined;
    });
    const ofOutbox = (key: Buffer, keyStart: number): void =>
      seen(Math.floor((ofHint(() => readU48(key, keyStart + FIELDS_START)) ?? 0) / SEQUENCES_PER_COMMAND), 0);
    rows.scan("rows", { ...rowsOf(group, ROW.outbox), onDamaged: (key) => ofOutbox(key, 0) }, (row) => {
      ofOutbox(row.key, row.keyStart);
      return undefined;
    });
  }
  return { index: index + INDEX_GAP, stampMs };
}
