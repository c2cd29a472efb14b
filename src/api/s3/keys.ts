import { s3Error } from "./errors.ts";
import { MAX_KEY_BYTES } from "./limits.ts";

/** @throws ApiError KeyTooLongError */
export function checkKey(key: string): void {
  // A UTF-16 unit is at most three bytes of UTF-8: most keys need no count.
  if (key.length * 3 <= MAX_KEY_BYTES) return;
  const bytes = Buffer.byteLength(key, "utf8");
  if (bytes > MAX_KEY_BYTES)
    throw s3Error("KeyTooLongError", `Your key is too long: it may have ${MAX_KEY_BYTES} bytes of UTF-8.`, [
      ["Size", String(bytes)],
      ["MaxSizeAllowed", String(MAX_KEY_BYTES)],
    ]);
}
