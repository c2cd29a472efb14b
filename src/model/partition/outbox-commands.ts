import type { Entry } from "../../group/groups.ts";
import type { KvRead, KvWrite, Tree } from "../../platform/kv.ts";
import { MAX_PARTS, partNumbers } from "./data-reads.ts";
import { type OutboxEntry, outboxEntry } from "./outbox-row.ts";
import { outboxKey, pageKey, partKey, ROW } from "./row-keys.ts";
import { type Content, decodePart, PAGE_ENTRIES } from "./version-row.ts";

/**
 * The effects are carried out: their entries go, and with them the rows that only they still needed.
 */
export function applyOutboxDone(rows: KvWrite, sequences: readonly number[], entry: Entry): { readonly ok: true } {
  const gone: { tree: Tree; key: Buffer }[] = [];
  for (const sequence of sequences) {
    const effect = outboxEntry(rows, entry.group, sequence);
    if (effect === undefined) continue;
    for (const key of bodyRows(rows, entry, effect)) gone.push({ tree: "bodies", key });
    gone.push({ tree: "rows", key: outboxKey(entry.group, sequence) });
  }
  for (const { tree, key } of gone) rows.remove(tree, key);
  return { ok: true };
}

function bodyRows(rows: KvRead, { group }: Entry, effect: OutboxEntry): readonly Buffer[] {
  if (effect.kind === "body") return blockPages(effect, effect, group);
  const { bucket, key, upload } = effect;
  const rowsOfParts = (numbers: readonly number[]): readonly Buffer[] =>
    numbers.flatMap((number) => partRows(rows, group, effect, partKey(group, bucket, key, upload, number)));
  if (effect.numbers !== "all") return rowsOfParts(effect.numbers);
  const pages = Array.from({ length: Math.ceil(MAX_PARTS / PAGE_ENTRIES) }, (_, page) =>
    pageKey(group, ROW.partPage, { bucket, key, owner: upload, page }),
  );
  return [...rowsOfParts(partNumbers(rows, group, effect, { from: 1, limit: MAX_PARTS })), ...pages];
}

function partRows(rows: KvRead, group: Entry["group"], place: OutboxEntry, part: Buffer): readonly Buffer[] {
  const row = rows.view("bodies", part);
  return row === undefined ? [] : [part, ...blockPages(place, decodePart(row), group)];
}

function blockPages(
  { bucket, key }: OutboxEntry,
  { claim, stored }: Pick<Content, "claim" | "stored">,
  group: Entry["group"],
): readonly Buffer[] {
  if (stored.kind !== "block-pages") return [];
  return stored.starts.map((_start, page) => pageKey(group, ROW.blockPage, { bucket, key, owner: claim, page }));
}
