import { fstatSync, statSync } from "node:fs";
import type { FileIdentity } from "../disk.ts";
import { WRONG_DEVICE } from "./disk-errors.ts";

/**
 * Asks an open file which file system it is on. A disk may vanish at any moment, and the same path then leads to the empty mount
 * point, or to another disk: a write may only be acknowledged for the one that was opened. Costs 2 µs.
 *
 * @param device  undefined: any will do.
 * @throws an error that `diskError` turns into disk.away
 */
export function checkDevice(fd: number, device: number | undefined, path: string): void {
  if (device !== undefined && fstatSync(fd).dev !== device) throw wrongDevice(path);
}

/**
 * Asks whether a path still leads to the directory that was opened. A bind mount that is gone, a folder that was moved away or a
 * link that was changed may lead to another one on the same file system, which no device tells. Costs 2 µs.
 *
 * @throws an error that `diskError` turns into disk.away
 */
export function checkDirectory(path: string, { device, inode }: FileIdentity): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.dev === device && found.ino === inode) return;
  const message = "it is not the data folder that was opened any more: its disk is not mounted there, or it was moved away";
  throw Object.assign(new Error(message), { code: WRONG_DEVICE, path });
}

export function wrongDevice(path: string): Error {
  const message = "it is on another file system than the data folder that was opened: its disk is not mounted there any more";
  return Object.assign(new Error(message), { code: WRONG_DEVICE, path });
}
