/**
 * The dates of the protocol. Milliseconds since 1970 everywhere; formatting is cached because a list formats thousands and most
 * answers of a second carry the same one.
 */

const CACHED_SECONDS = 1024;

/** Formatters with a bounded memory. One per API server. */
export class DateFormats {
  readonly #iso = new Map<number, string>();
  readonly #http = new Map<number, string>();

  /**
   * "2009-10-12T17:50:30.000Z": dates in XML. Whole seconds, as AWS has them, so that they equal Last-Modified: clients compare
   * the two.
   */
  iso(ms: number): string {
    const second = Math.floor(ms / 1000);
    let text = this.#iso.get(second);
    if (text === undefined) {
      text = new Date(second * 1000).toISOString();
      remember(this.#iso, second, text);
    }
    return text;
  }

  /** "Mon, 12 Oct 2009 17:50:30 GMT": Last-Modified and other headers; the second is rounded down. */
  http(ms: number): string {
    const second = Math.floor(ms / 1000);
    let text = this.#http.get(second);
    if (text === undefined) {
      text = new Date(second * 1000).toUTCString();
      remember(this.#http, second, text);
    }
    return text;
  }
}

function remember(cache: Map<number, string>, second: number, text: string): void {
  if (cache.size >= CACHED_SECONDS) cache.clear();
  cache.set(second, text);
}

const AMZ_DATE = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/;

/** "20130524T000000Z"; undefined when it is no such date. */
export function parseAmzDate(text: string): number | undefined {
  const match = AMZ_DATE.exec(text);
  if (match === null) return undefined;
  return utc(match.slice(1).map(Number));
}

/** "20130524T000000Z" of a time. */
export function formatAmzDate(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

const ISO_DATE = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})$/;

/** "2007-12-01T12:00:00.000Z" (policies, lifecycle rules, retention); undefined when it is none. */
export function parseIsoDate(text: string): number | undefined {
  const match = ISO_DATE.exec(text);
  if (match === null) return undefined;
  const ms = utc(match.slice(1, 7).map(Number));
  if (ms === undefined) return undefined;
  const zone = match[8] ?? "Z";
  const fraction = match[7] === undefined ? 0 : Math.floor(Number(`0.${match[7]}`) * 1000);
  if (zone === "Z") return ms + fraction;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2));
  return ms + fraction - (zone.startsWith("-") ? -minutes : minutes) * 60_000;
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const IMF = /^[a-z]{3},? (\d{1,2})[ -]([a-z]{3})[ -](\d{4}) (\d{2}):(\d{2}):(\d{2}) (?:GMT|UTC|[+-]0000)$/i;
const RFC850 = /^[a-z]{6,9}, (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/i;
const ASCTIME = /^[a-z]{3} ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/i;

/**
 * The three forms of RFC 9110 §5.6.7 (If-Modified-Since and the like), and ISO 8601, which some clients send. Undefined: no date,
 * to be ignored.
 */
export function parseHttpDate(text: string): number | undefined {
  let match = IMF.exec(text);
  if (match !== null) return utc([Number(match[3]), month(match[2]), Number(match[1]), ...match.slice(4).map(Number)]);
  match = RFC850.exec(text);
  if (match !== null) {
    const short = Number(match[3]);
    return utc([short + (short < 70 ? 2000 : 1900), month(match[2]), Number(match[1]), ...match.slice(4).map(Number)]);
  }
  match = ASCTIME.exec(text);
  if (match !== null) return utc([Number(match[6]), month(match[1]), Number(match[2]), ...match.slice(3, 6).map(Number)]);
  return parseIsoDate(text);
}

function month(name: string | undefined): number {
  return MONTHS.indexOf((name ?? "").toLowerCase()) + 1;
}

/** Year, month 1–12, day, hour, minute, second; undefined when there is no such moment (31 February, 25:00). */
function utc([year = 0, monthNumber = 0, day = 0, hour = 0, minute = 0, second = 0]: number[]): number | undefined {
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, monthNumber - 1, day);
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== monthNumber - 1 || date.getUTCDate() !== day) return undefined;
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
}
