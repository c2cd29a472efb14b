import type { Entry } from "../../group/groups.ts";
import type { KvRange, KvRead, KvWrite, Tree } from "../../platform/kv.ts";
import { type OutboxEntry, outboxEntry } from "./outbox-row.ts";
import { outboxKey, pageKey, pagesOf, partKey, partsOfUpload, ROW } from "./row-keys.ts";
import { type Content, decodePart } from "./version-row.ts";

/** The effects are carried out: their entries go, and with them the rows that only they still needed. */
export function applyOutboxDone(rows: KvWrite, sequences: readonly number[], entry: Entry): { readonly ok: true } {
  const gone: { tree: Tree; key: Buffer }[] = [];
  for (const sequence of sequences) {
    const effect = outboxEntry(rows, entry.group, sequence);
    if (effect === undefined) continue;
    gone.push({ tree: "rows", key: outboxKey(entry.group, sequence) });
    for (const key of bodyRows(rows, entry, effect)) gone.push({ tree: "bodies", key });
  }
  for (const { tree, key } of gone) rows.remove(tree, key);
  return { ok: true };
}

function bodyRows(rows: KvRead, { group }: Entry, effect: OutboxEntry): readonly Buffer[] {
  if (effect.kind === "body") return blockPages(effect, effect, group);
  const { bucket, key, upload, numbers } = effect;
  if (numbers === "all") {
    const keys = keysOf(rows, partsOfUpload(group, effect));
    const indexes = keysOf(rows, pagesOf(group, ROW.partPage, { bucket, key, owner: upload }));
    return [...keys.flatMap((part) => partRows(rows, group, effect, part)), ...indexes];
  }
  return numbers.flatMap((number) => partRows(rows, group, effect, partKey(group, bucket, key, upload, number)));
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

function keysOf(rows: KvRead, range: KvRange): readonly Buffer[] {
  const keys: Buffer[] = [];
  rows.scan("bodies", range, (row) => {
    keys.push(Buffer.from(row.key.subarray(row.keyStart, row.keyEnd)));
    return undefined;
  });
  return keys;
}
