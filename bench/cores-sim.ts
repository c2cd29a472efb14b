// What the simulation of raft groups and the linearizability checker cost: CPU, not wall time, so that a busy machine matters
// less.
import process from "node:process";
import { seededRandom } from "../sim/engine/random.ts";
import { checkKey } from "../sim/linearizability/check.ts";
import { randomHistory } from "../sim/linearizability/random-history.ts";
import { runSeed } from "../sim/raft/run.ts";

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/**
 * Seeds a CPU-minute (all checks on, story off), and CPU time to decide 2,000 operations on one key by 16 clients with 5 %
 * unknown.
 */
export async function benchSim(): Promise<Figure[]> {
  for (let seed = 1; seed <= 50; seed++) runSeed(seed); // warm up
  const seeds = 400;
  const seedSeconds = cpuSeconds(() => {
    for (let seed = 1001; seed <= 1000 + seeds; seed++) {
      const { failure } = runSeed(seed);
      if (failure !== null) throw new Error(`seed ${seed}: ${failure}`);
    }
  });
  const figures: Figure[] = [
    { name: "sim:raft seeds", value: Math.round((seeds / seedSeconds) * 60), unit: "seeds per CPU-minute" },
  ];
  for (const [name, values] of [
    ["every value once", undefined],
    ["four values", 4],
    ["twelve values", 12],
  ] as const) {
    const histories = [1, 2, 3, 4, 5].map((seed) => {
      const random = seededRandom(seed);
      return randomHistory({ operations: 2000, clients: 16, unknown: 0.05, ...(values === undefined ? {} : { values }), random });
    });
    const times = histories.map((history) =>
      cpuSeconds(() => {
        if (checkKey(history) !== "linearizable") throw new Error("a register's own history is linearizable");
      }),
    );
    figures.push({
      name: `linearizability, 2,000 operations, ${name}`,
      value: Math.round(Math.max(...times) * 1e4) / 10,
      unit: "ms CPU (worst of 5)",
    });
  }
  return figures;
}

function cpuSeconds(run: () => void): number {
  const began = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1e6;
}

if (import.meta.main) for (const { name, value, unit } of await benchSim()) console.log(`${name}: ${value} ${unit}`);
