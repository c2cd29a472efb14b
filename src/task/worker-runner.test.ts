import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryLog } from "../../sim/platform/memory-log.ts";
import { SimulatedClock } from "../../sim/platform/simulated-clock.ts";
import { VirtualTime } from "../../sim/platform/virtual-time.ts";
import { Tranquilizer } from "./tranquilizer.ts";
import { parseWhole } from "./variables.ts";
import type { Worker, WorkStep } from "./worker.ts";
import { WorkerRunner } from "./worker-runner.ts";

function world(steps: (WorkStep | Error)[]) {
  const time = new VirtualTime();
  const clock = new SimulatedClock(time);
  const runner = new WorkerRunner({ clock, log: new MemoryLog(() => time.nowMs) });
  const units: number[] = [];
  const worker: Worker = {
    name: "test",
    async work() {
      units.push(time.nowMs);
      const step = steps.shift() ?? { state: "idle" as const };
      if (step instanceof Error) throw step;
      return step;
    },
    status: () => ({ queueLength: steps.length }),
  };
  return { time, runner, units, worker };
}

describe("the worker runner", () => {
  it("goes on at once when busy, waits as told when throttled or idle, ends when done", async () => {
    const { time, runner, units, worker } = world([
      { state: "busy" },
      { state: "throttled", delayMs: 100 },
      { state: "idle", delayMs: 5000 },
      { state: "done" },
    ]);
    const wake = runner.add(worker);
    await time.run({ untilMs: 60_000 });
    assert.deepEqual(units, [0, 0, 100, 5100]);
    assert.equal(runner.list()[0]?.state, "done");
    wake();
    await time.run({ untilMs: 70_000 });
    assert.equal(units.length, 4);
  });

  it("wakes an idle worker, and remembers a call that comes during a unit", async () => {
    const { time, runner, units, worker } = world([]);
    const wake = runner.add(worker);
    wake(); // The first unit is under way.
    await time.run({ untilMs: 1000 });
    assert.deepEqual(units, [0, 0]);
    wake();
    await time.run({ untilMs: 2000 });
    assert.deepEqual(units, [0, 0, 1000]);
  });

  it("backs off after errors, longer each time, and recovers", async () => {
    const { time, runner, units, worker } = world([new Error("one"), new Error("two"), { state: "idle", delayMs: 1e9 }]);
    const wake = runner.add(worker);
    await time.run({ untilMs: 500 });
    wake();
    await time.run({ untilMs: 2000 });
    const [info] = runner.list();
    assert.deepEqual(
      { ...info, status: undefined },
      {
        id: 1,
        name: "test",
        state: "throttled",
        errors: 2,
        consecutiveErrors: 2,
        lastError: { message: "two", secondsAgo: 1 },
        queueLength: 1,
        status: undefined,
      },
    );
    await time.run({ untilMs: 10_000 });
    assert.deepEqual(units, [0, 1000, 3000]);
    assert.equal(runner.list()[0]?.consecutiveErrors, 0);
  });

  it("stops: the unit under way is waited for, none begins", async () => {
    const { time, runner, units, worker } = world(
      Array.from({ length: 5 }, () => ({ state: "throttled", delayMs: 10 }) as const),
    );
    runner.add(worker);
    await time.run({ untilMs: 15 });
    await runner.stop();
    await time.run({ untilMs: 1000 });
    assert.equal(units.length, 2);
  });
});

describe("pace", () => {
  it("rests in proportion to what units cost lately", () => {
    const pace = new Tranquilizer();
    assert.equal(pace.restMs(10, 4), 40);
    assert.equal(pace.restMs(30, 4), 80);
    assert.equal(pace.restMs(10, 0), 0);
    for (let i = 0; i < 30; i++) pace.restMs(2, 1);
    assert.equal(pace.restMs(2, 1), 2);
  });

  it("takes whole numbers in a range", () => {
    assert.equal(parseWhole("x", "8", { low: 1, high: 8 }), 8);
    for (const bad of ["", "9", "0", "-1", "1.5", "1e1", " 1"])
      assert.throws(() => parseWhole("x", bad, { low: 1, high: 8 }), RangeError);
  });
});
