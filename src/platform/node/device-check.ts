import { fstatSync } from "node:fs";
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

export function wrongDevice(path: string): Error {
  const message = "it is on another file system than the data folder that was opened: its disk is not mounted there any more";
  return Object.assign(new Error(message), { code: WRONG_DEVICE, path });
}
