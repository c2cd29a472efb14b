import type { KvRead } from "../platform/kv.ts";
import { CONTROL_GROUP, type GroupId } from "../util/ids.ts";
import { allRows } from "./control/rows.ts";
import { lastSequence, SEQUENCES_PER_COMMAND } from "./partition/outbox-row.ts";
import { readVersionKey, ROW, rowsOf } from "./partition/row-keys.ts";
import { stampOfVersion } from "./partition/version-row.ts";

/**
 * The highest index and stamp of a group's commands that any of its rows still shows: where a group of one member goes on when the row that
 * says so is damaged. What has gone with deleted rows may come again: version ids hold half a claim besides, sequences are used up.
 * Reads every version of the group.
 */
export function lastCommandOf(rows: KvRead, group: GroupId): { readonly index: number; readonly stampMs: number } {
  let index = 0;
  let stampMs = 0;
  const seen = (someIndex: number, someStampMs: number): void => {
    index = Math.max(index, someIndex);
    stampMs = Math.max(stampMs, someStampMs);
  };
  if (group === CONTROL_GROUP) {
    for (const { guardIndex, createdMs } of allRows(rows, "bucket")) seen(guardIndex, createdMs);
    for (const { createdMs } of allRows(rows, "key")) seen(0, createdMs);
    return { index, stampMs };
  }
  rows.scan("bodies", rowsOf(group, ROW.version), (row) => {
    const { version } = readVersionKey(row.key, row.keyStart);
    seen(Number.parseInt(version.slice(0, 16), 16), stampOfVersion(row.value, row.valueStart));
    return undefined;
  });
  seen(Math.floor(lastSequence(rows, group) / SEQUENCES_PER_COMMAND), 0);
  return { index, stampMs };
}
