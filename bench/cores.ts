// `npm run bench:cores`: the pure cores: consensus, lease and simulation, linearizability checker, layout. One line per figure.
//   npm run bench:cores -- layout      only the modules whose name contains the word
import process from "node:process";
import { benchLayout } from "./cores-layout.ts";
import { benchRaft } from "./cores-raft.ts";
import { benchSim } from "./cores-sim.ts";

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const MODULES: readonly (readonly [string, () => Promise<readonly Figure[]>])[] = [
  ["raft", benchRaft],
  ["sim", benchSim],
  ["layout", benchLayout],
];
const words = process.argv.slice(2);
for (const [name, bench] of MODULES) {
  if (words.length > 0 && !words.some((word) => name.includes(word))) continue;
  for (const figure of await bench())
    console.log(`${name.padEnd(8)} ${figure.name.padEnd(60)} ${figure.value.toFixed(2).padStart(12)} ${figure.unit}`);
}
