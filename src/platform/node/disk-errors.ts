import { type DiskErrorCode, DiskError } from "../disk.ts";

/** A failed system call as the seam's closed union; `path` is what the caller asked for. */
export function diskError(error: unknown, path: string): DiskError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new DiskError(CODES[code ?? ""] ?? "disk.io", path, message, { cause: error });
}

/** Our own, beside the system's codes: a file is on another device than it must be. */
export const WRONG_DEVICE = "EWRONGDEVICE";

const CODES: Readonly<Record<string, DiskErrorCode>> = {
  ENOSPC: "disk.full",
  EDQUOT: "disk.full",
  EACCES: "disk.denied",
  EPERM: "disk.denied",
  EROFS: "disk.denied",
  [WRONG_DEVICE]: "disk.away",
};
