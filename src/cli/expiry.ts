import { parseDuration } from "../config/values.ts";
import { CommandError } from "./fail.ts";

/** Last moment that RFC 3339 can name. */
const END_OF_TIME_MS = Date.UTC(9999, 11, 31);

/** `--expires-in 90d` as the field that the Admin API takes; nothing when the option was not given. */
export function expiry(options: { readonly expiresIn?: string }): { expiration?: string } {
  if (options.expiresIn === undefined) return {};
  const ms = parseDuration(options.expiresIn);
  if (ms === undefined) throw new CommandError(`--expires-in ${options.expiresIn}: expects a duration such as 90d or "2h 30m"`);
  const endMs = Date.now() + ms;
  if (endMs > END_OF_TIME_MS) throw new CommandError(`--expires-in ${options.expiresIn}: that far ahead use --never-expires`);
  return { expiration: new Date(endMs).toISOString() };
}
