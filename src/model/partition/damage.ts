import { KvError, type KvRead, type Tree } from "../../platform/kv.ts";

/** Whether a read met a row whose checksum is wrong. Such a row is never served; what else says the same may be (P6). */
export function isDamage(error: unknown): boolean {
  return error instanceof KvError && error.code === "kv.damaged";
}

/** What `read` returns; undefined when it meets a damaged row. Only where going on without that row loses nothing that anyone can still have. */
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
