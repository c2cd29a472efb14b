/** A number of bytes for people, in SI and IEC units: `1.5 TB (1.4 TiB)`; below 1,000 just `999 B`. */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const decimal = scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB", "EB"]);
  const binary = scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]);
  return `${decimal} (${binary})`;
}

function scaled(bytes: number, base: number, units: readonly string[]): string {
  let value = bytes;
  let unit = 0;
  // 999.95 would be printed as "1000.0": take the next unit then.
  while (unit < units.length - 1 && value >= base - 0.05) {
    value /= base;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
