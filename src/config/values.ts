/** Readers of single configuration values: each returns the value or a sentence that says what is wrong. */
export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: string };
export type Reader<T> = (raw: unknown) => Read<T>;

const ok = <T>(value: T): Read<T> => ({ ok: true, value });
const bad = (fault: string): Read<never> => ({ ok: false, fault });

export const text: Reader<string> = (raw) =>
  typeof raw === "string" && raw !== "" ? ok(raw) : bad("expects a non-empty string");
/** A bearer token: what HTTP can carry in one word. */
export const token: Reader<string> = (raw) =>
  typeof raw === "string" && /^[\x21-\x7e]+$/.test(raw) ? ok(raw) : bad("expects visible ASCII characters without blanks");
export const flag: Reader<boolean> = (raw) => (typeof raw === "boolean" ? ok(raw) : bad("expects true or false"));

export function integer(min: number, max: number): Reader<number> {
  return (raw) => {
    const value = typeof raw === "bigint" ? Number(raw) : raw;
    if (typeof value !== "number" || !Number.isInteger(value)) return bad("expects a whole number");
    return value >= min && value <= max ? ok(value) : bad(`expects ${min} to ${max}, got ${value}`);
  };
}

export function oneOf<T extends string>(words: Readonly<Record<string, T>>): Reader<T> {
  return (raw) => {
    const value = typeof raw === "string" && Object.hasOwn(words, raw) ? words[raw] : undefined;
    return value === undefined ? bad(`expects one of ${Object.keys(words).join(", ")}`) : ok(value);
  };
}

export function listOf<T>(item: Reader<T>): Reader<readonly T[]> {
  return (raw) => {
    if (!Array.isArray(raw)) return bad("expects a list");
    const values: T[] = [];
    for (const [at, entry] of raw.entries()) {
      const read = item(entry);
      if (!read.ok) return bad(`entry ${at + 1}: ${read.fault}`);
      values.push(read.value);
    }
    return ok(values);
  };
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  p: 1e15,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
  pi: 2 ** 50,
};

/** Bytes: a number, or text such as "1M", "256MiB", "1.5 GB" (SI and IEC, any case). */
export const size: Reader<number> = (raw) => {
  if (typeof raw === "number" || typeof raw === "bigint")
    return Number(raw) >= 0 && Number.isSafeInteger(Number(raw)) ? ok(Number(raw)) : bad("expects a size of 0 bytes or more");
  const bytes = typeof raw === "string" ? parseSize(raw) : undefined;
  return bytes === undefined ? bad('expects a size such as 1048576, "1M" or "256MiB"') : ok(bytes);
};

export function parseSize(raw: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]i?)?b?\s*$/i.exec(raw);
  if (!match) return undefined;
  const bytes = Math.floor(Number(match[1]) * (UNITS[(match[2] ?? "").toLowerCase()] as number));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

const SPANS: readonly (readonly [RegExp, number])[] = [
  [/^(ms|msecs?|milliseconds?)$/, 1],
  [/^(s|secs?|seconds?)?$/, 1000],
  [/^(m|mins?|minutes?)$/, 60_000],
  [/^(h|hrs?|hours?)$/, 3_600_000],
  [/^(d|days?)$/, 86_400_000],
  [/^(w|weeks?)$/, 604_800_000],
  [/^(months?)$/, 2_592_000_000],
  [/^(y|years?)$/, 31_536_000_000],
];

/**
 * Milliseconds of "10min", "1d", "2h 30m", "30 days"; a bare number means seconds. Whole; undefined when it can't be read or is
 * no safe integer.
 */
export function parseDuration(raw: string): number | undefined {
  const text = raw.trim().toLowerCase();
  if (text === "" || text.replace(/\d+(?:\.\d+)?\s*[a-z]*[\s,]*/g, "") !== "") return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]*)/g)) {
    const span = SPANS.find(([words]) => words.test(unit ?? ""));
    if (!span) return undefined;
    total += Number(count) * span[1];
  }
  const ms = Math.round(total);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

export function duration(minMs: number, maxMs: number): Reader<number> {
  return (raw) => {
    const ms =
      typeof raw === "number" || typeof raw === "bigint"
        ? Math.round(Number(raw) * 1000)
        : typeof raw === "string"
          ? parseDuration(raw)
          : undefined;
    if (ms === undefined) return bad('expects a duration such as "10min", "2h" or a number of seconds');
    return ms >= minMs && ms <= maxMs ? ok(ms) : bad(`expects between ${minMs / 1000} s and ${maxMs / 1000} s`);
  };
}

/** "127.0.0.1:3900", "[::]:3900", "host.example:3900"; with `socket` also an absolute path. */
export function address(options: { readonly socket: boolean }): Reader<string> {
  return (raw) => {
    if (options.socket && typeof raw === "string" && raw.startsWith("/")) return ok(raw);
    const match = typeof raw === "string" ? /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(raw) : undefined;
    if (match && isHost(match[1], match[2]) && Number(match[3]) <= 65_535) return ok(raw as string);
    return bad(
      `expects "ip:port" such as "[::]:3900" or "0.0.0.0:3900"${options.socket ? ", or the path of a unix socket" : ""}`,
    );
  };
}

/** What looks like an IPv4 address has to be one; the rest of IPv6 is left to the system. */
function isHost(ipv6: string | undefined, name: string | undefined): boolean {
  if (ipv6 !== undefined) return /^[^:]*:.*:/.test(ipv6) && !/:::/.test(ipv6);
  return !/^[\d.]+$/.test(name as string) || /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(name as string);
}

export const hex32: Reader<string> = (raw) =>
  typeof raw === "string" && /^[0-9a-fA-F]{64}$/.test(raw.trim())
    ? ok(raw.trim().toLowerCase())
    : bad("expects 64 hexadecimal digits (`openssl rand -hex 32` makes some)");
