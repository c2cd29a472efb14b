// Reads V8 CPU profiles: `tools/run node bench/read-profile.ts FILE… [--lines 40] [--by function|file]`
// Prints where the time itself was spent (not what was called from there), without idle time, in % of what was sampled.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const { values: flags, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { lines: { type: "string", default: "40" }, by: { type: "string", default: "function" } },
});

for (const file of files) {
  const profile = JSON.parse(readFileSync(file, "utf8")) as Profile;
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const micros = new Map<string, number>();
  profile.samples.forEach((node, at) => {
    const name = names.get(node) ?? "?";
    micros.set(name, (micros.get(name) ?? 0) + (profile.timeDeltas[at] ?? 0));
  });
  for (const name of ["(idle)", "(root)"]) micros.delete(name);
  const total = [...micros.values()].reduce((sum, value) => sum + value, 0);
  console.log(`${basename(file)}: ${(total / 1e6).toFixed(2)} s busy`);
  const sorted = [...micros].sort(([, a], [, b]) => b - a).slice(0, Number(flags.lines));
  for (const [name, value] of sorted) console.log(`${((100 * value) / total).toFixed(1).padStart(6)} %  ${name}`);
}

function nameOf({ functionName, url, lineNumber }: Profile["nodes"][number]["callFrame"]): string {
  const place = url.replace(/^.*\/node_modules\//, "").replace(/^.*\/src\//, "src/");
  if (flags.by === "file") return place === "" ? functionName : place;
  return place === "" ? functionName : `${functionName || "(anonymous)"} ${place}:${lineNumber + 1}`;
}
