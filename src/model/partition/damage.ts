import { KvError } from "../../platform/kv.ts";
import { treeOf } from "./row-keys.ts";

/** Whether a read met a row whose checksum is wrong. Such a row is never served; what else says the same may be (P6). */
export function isDamage(error: unknown): error is KvError {
  return error instanceof KvError && error.code === "kv.damaged";
}

/** For a row that is not there although another one says that it is: only damage can have taken it. */
export function missingRow(key: Buffer): KvError {
  return new KvError("kv.damaged", `row ${key.toString("hex")} of ${treeOf(key)} is missing: another row names it`, { key });
}

/** For counters that can't be: they were wrong before the command that would make them so. */
export function wrongCounters(key: Buffer): KvError {
  return new KvError("kv.damaged", `row ${key.toString("hex")} of ${treeOf(key)} is wrong: it counts what is not there`, { key });
}
