export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * What `HANGAR_LOG` (or `GARAGE_LOG`), else `RUST_LOG`, asks for: a level, or RUST_LOG's list of `module=level`, of which the
 * entries without a module or for `hangar` and `garage` count. RUST_LOG is often set for other programs, so what can't be read
 * there is passed over.
 *
 * @returns the level, info by default; and what to warn of.
 */
export function readLogLevel(own: string | undefined, rust: string | undefined): { level: LogLevel; warning?: string } {
  const found = levelIn(own ?? rust ?? "");
  if (found !== undefined) return { level: found };
  if (own === undefined) return { level: "info" };
  return { level: "info", warning: `HANGAR_LOG = "${own}" can't be read (debug, info, warn or error); info is logged` };
}

function levelIn(text: string): LogLevel | undefined {
  const word = /(?:^|,)\s*(?:(?:hangar|garage)=)?(trace|debug|info|warn|error)\s*(?:,|$)/i.exec(text)?.[1]?.toLowerCase();
  return word === "trace" ? "debug" : (word as LogLevel | undefined);
}
