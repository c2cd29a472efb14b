import { KvError, type KvRange, type KvRead, type RowView, type ScanStep, type Tree } from "../../platform/kv.ts";

/** Whether a read met a row whose checksum is wrong. Such a row is never served; what else says the same may be (P6). */
export function isDamage(error: unknown): boolean {
  return error instanceof KvError && error.code === "kv.damaged";
}

/**
 * What `read` returns; undefined when it meets a damaged row. Only where going on without that row loses nothing that anyone can
 * still have.
 */
export function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

export function isDamagedRow(rows: KvRead, tree: Tree, key: Uint8Array): boolean {
  try {
    rows.view(tree, key);
    return false;
  } catch (error) {
    if (isDamage(error)) return true;
    throw error;
  }
}

/**
 * Scans forward as `KvRead.scan` does, over damaged rows too: their keys go to `onDamaged`, which may read. Such a key may be
 * what has rotted, so it is a hint (`ofHint`), never a fact.
 */
export function scanOver(
  rows: KvRead,
  tree: Tree,
  { start, end }: Omit<KvRange, "reverse">,
  {
    visit,
    onDamaged = () => undefined,
  }: { readonly visit: (row: RowView) => ScanStep; readonly onDamaged?: (key: Buffer) => void },
): void {
  rows.scan(tree, { start, end, onDamaged }, visit);
}

/** For a row of `bodies` that is not there although another one names it: only damage can have taken it. */
export function missingRow(key: Buffer): KvError {
  return new KvError("kv.damaged", `row ${key.toString("hex")} of bodies is missing: another row names it`, { key });
}

/** What `read` makes of the key of a damaged row; undefined when there is no sense in it. */
export function ofHint<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
