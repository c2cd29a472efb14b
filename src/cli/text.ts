import { CommandError } from "./fail.ts";

/**
 * Rows as space-aligned columns; the last column is not padded. Names come from outside: what would move the cursor is shown as a
 * dot.
 */
export function table(cells: readonly (readonly string[])[], indent = ""): string {
  const rows = cells.map((row) => row.map(harmless));
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, width(cell));
  return rows
    .map(
      (row) =>
        indent +
        row
          .map((cell, at) => (at === row.length - 1 ? cell : cell + " ".repeat((widths[at] as number) - width(cell))))
          .join("  ")
          .trimEnd(),
    )
    .join("\n");
}

function harmless(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "·");
}

function width(text: string): number {
  return [...text].length;
}

/** Ids are shown by their first 16 digits. */
export function shortId(id: string): string {
  return id.slice(0, 16);
}

const SI = ["B", "kB", "MB", "GB", "TB", "PB"];
const IEC = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** "1.5 GB" */
export function siSize(bytes: number): string {
  return scaled(bytes, 1000, SI);
}

/** "1.4 GiB (1.5 GB)" */
export function bothSizes(bytes: number): string {
  return `${scaled(bytes, 1024, IEC)} (${scaled(bytes, 1000, SI)})`;
}

function scaled(bytes: number, base: number, units: readonly string[]): string {
  let value = bytes;
  let unit = 0;
  // 1023.96 KiB would be rounded to 1024.0 KiB.
  while ((unit === 0 ? value >= base : Math.round(value * 10) >= base * 10) && unit < units.length - 1) {
    value /= base;
    unit++;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit]}`;
}

/** "2026-11-22 14:03:07 +01:00" in the local time zone; "never" for null. */
export function localTime(iso: string | null | undefined): string {
  if (iso === null || iso === undefined) return "never";
  const date = new Date(iso);
  const two = (n: number): string => String(Math.abs(n)).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.trunc(offset / 60))}:${two(offset % 60)}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

/** "RWO" with blanks for what is missing. */
export function rwo(permissions: { readonly read: boolean; readonly write: boolean; readonly owner: boolean }): string {
  return (permissions.read ? "R" : " ") + (permissions.write ? "W" : " ") + (permissions.owner ? "O" : " ");
}

/** A whole number that was given as `what`. @throws CommandError */
export function whole(what: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new CommandError(`${what} ${text}: expects a whole number`);
  return Number(text);
}

/** Text that was given as `what`; an empty one would count as left out where it is sent. @throws CommandError */
export function nonEmpty(what: string, text: string): string {
  if (text === "") throw new CommandError(`${what} is empty`);
  return text;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
