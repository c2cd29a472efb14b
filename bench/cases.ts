// What is measured: one line per case, `NAME-CLIENTS`.

export interface Case {
  readonly name: string;
  readonly method: "PUT" | "GET" | "HEAD" | "DELETE" | "LIST";
  readonly sizeBytes: number;
  readonly clients: number;
}

export const KI = 1024;
export const MI = KI * KI;
const SIZES: readonly [string, number][] = [
  ["1k", KI],
  ["4k", 4 * KI],
  ["64k", 64 * KI],
  ["1m", MI],
  ["64m", 64 * MI],
];

export const CASES: readonly Case[] = [
  ...SIZES.flatMap(([label, sizeBytes]) =>
    (sizeBytes >= 64 * MI ? [1, 2] : sizeBytes >= MI ? [1, 8, 16, 64] : [1, 16, 64]).flatMap((clients) => [
      { name: `put-${label}-${clients}`, method: "PUT" as const, sizeBytes, clients },
      { name: `get-${label}-${clients}`, method: "GET" as const, sizeBytes, clients },
    ]),
  ),
  ...[1, 16, 64].flatMap((clients) => [
    { name: `head-${clients}`, method: "HEAD" as const, sizeBytes: 4 * KI, clients },
    { name: `delete-${clients}`, method: "DELETE" as const, sizeBytes: KI, clients },
  ]),
  ...[1, 16, 64].map((clients) => ({ name: `list-${clients}`, method: "LIST" as const, sizeBytes: 0, clients })),
  { name: "list-prefixes-1", method: "LIST", sizeBytes: 0, clients: 1 },
];

/** The listing: this many keys in so many folders, read in pages. */
export const LISTED_KEYS = 100_000;
export const PREFIXES = 1000;
export const PAGE = 1000;
