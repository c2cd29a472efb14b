// What every clock promises (src/platform/clock.ts), on the machine's and on the simulated one; then what only the simulated one
// can do.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SimulatedClock } from "../../sim/platform/simulated-clock.ts";
import { VirtualTime } from "../../sim/platform/virtual-time.ts";
import { type Clock, sleep } from "../../src/platform/clock.ts";
import { nodeClock } from "../../src/platform/node/clock.ts";

interface ClockUnderTest {
  readonly clock: Clock;
  /** Lets time pass until the promise settles. */
  until<T>(promise: Promise<T>): Promise<T>;
}

const CLOCKS: Record<string, () => ClockUnderTest> = {
  "the machine's clock": () => ({
    clock: nodeClock(),
    async until(promise) {
      const awake = setInterval(() => {}, 1000); // its timers don't keep the process alive
      try {
        return await promise;
      } finally {
        clearInterval(awake);
      }
    },
  }),
  "a simulated clock": () => simulated({}),
  "a simulated clock that is slow": () => simulated({ rate: 0.7, skewMs: -5000 }),
  "a simulated clock that is fast": () => simulated({ rate: 1.0003, skewMs: 86_400_000 }),
};

function simulated(faults: { rate?: number; skewMs?: number }): ClockUnderTest {
  const time = new VirtualTime();
  return { clock: new SimulatedClock(time, faults), until: (promise) => time.runUntil(promise, { maxEvents: 10_000 }) };
}

for (const [name, make] of Object.entries(CLOCKS)) {
  suite(name, () => {
    test("timers fire once, never early, in the order of their delays", async () => {
      const { clock, until } = make();
      const startMs = clock.monotonicMs();
      const fired: number[] = [];
      await until(
        new Promise<void>((resolve) => {
          for (const delayMs of [23, 3, 11.5, 0, 7, 40])
            clock.timer(delayMs, () => {
              const lateMs = clock.monotonicMs() - startMs - delayMs;
              assert.ok(lateMs >= 0, `${-lateMs} ms early`);
              fired.push(delayMs);
              if (delayMs === 40) resolve();
            });
        }),
      );
      assert.deepEqual(fired, [0, 3, 7, 11.5, 23, 40]);
    });

    test("a cancelled timer never fires; cancelling again is harmless", async () => {
      const { clock, until } = make();
      let fired = 0;
      const first = clock.timer(1, () => (fired += 1));
      const second = clock.timer(5, () => (fired += 10));
      first.cancel();
      first.cancel();
      await until(
        new Promise<void>((resolve) => {
          clock.timer(3, () => second.cancel());
          clock.timer(20, resolve);
        }),
      );
      second.cancel();
      assert.equal(fired, 0);
    });

    test("a delay beyond what setTimeout knows does not fire at once", async () => {
      const { clock, until } = make();
      let fired = false;
      const timer = clock.timer(2 ** 31 + 5000, () => {
        fired = true;
      });
      await until(sleep(clock, 20));
      assert.equal(fired, false);
      timer.cancel();
    });

    test("the monotonic clock does not go back, the wall clock is whole milliseconds", async () => {
      const { clock, until } = make();
      let lastMs = clock.monotonicMs();
      const wallMs = clock.wallMs();
      assert.ok(Number.isInteger(wallMs) && wallMs > Date.UTC(2020, 0, 1));
      for (let turn = 0; turn < 20; turn++) {
        await until(sleep(clock, turn / 10));
        const nowMs = clock.monotonicMs();
        assert.ok(nowMs >= lastMs);
        lastMs = nowMs;
      }
      assert.ok(clock.wallMs() > wallMs);
    });

    test("sleep ends early, with false, when its signal aborts", async () => {
      const { clock, until } = make();
      assert.equal(await until(sleep(clock, 2)), true);
      const abort = new AbortController();
      clock.timer(2, () => abort.abort());
      assert.equal(await until(sleep(clock, 1e9, { signal: abort.signal })), false);
      assert.equal(await until(sleep(clock, 1e9, { signal: abort.signal })), false);
    });
  });
}

suite("what a simulated clock can suffer", () => {
  test("nodes have their own rates and skews; the world has one time", async () => {
    const time = new VirtualTime();
    const [right, slow] = [new SimulatedClock(time), new SimulatedClock(time, { rate: 0.5, skewMs: 1000 })];
    const order: string[] = [];
    right.timer(100, () => order.push(`right ${time.nowMs}`));
    slow.timer(60, () => order.push(`slow ${time.nowMs}`));
    slow.timer(40, () => order.push(`slow ${time.nowMs}`));
    await time.run({ untilMs: 200 });
    assert.deepEqual(order, ["slow 80", "right 100", "slow 120"]);
    assert.equal(time.nowMs, 200);
    assert.equal(right.wallMs() - slow.wallMs(), 100 - 1000);
  });

  test("a wall clock that is set leaves timers alone", async () => {
    const time = new VirtualTime();
    const clock = new SimulatedClock(time);
    const before = clock.wallMs();
    let firedMs = 0;
    clock.timer(50, () => (firedMs = time.nowMs));
    clock.jumpWall(-3_600_000);
    await time.run();
    assert.equal(firedMs, 50);
    assert.equal(clock.wallMs(), before - 3_600_000 + 50);
  });

  test("a paused process fires its timers late and in order; its clocks go on", async () => {
    const time = new VirtualTime();
    const clock = new SimulatedClock(time);
    const fired: string[] = [];
    for (const delayMs of [20, 10, 30]) clock.timer(delayMs, () => fired.push(`${delayMs} at ${clock.monotonicMs()}`));
    const cancelled = clock.timer(15, () => fired.push("cancelled"));
    clock.pause();
    await time.run({ untilMs: 25 });
    assert.deepEqual(fired, []);
    assert.equal(clock.monotonicMs(), 25);
    cancelled.cancel();
    clock.resume();
    await time.run({ untilMs: 100 });
    assert.deepEqual(fired, ["10 at 25", "20 at 25", "30 at 30"]);
  });

  test("a sleeping machine's monotonic clock stands still, the wall clock goes on", async () => {
    const time = new VirtualTime();
    const clock = new SimulatedClock(time, { rate: 2 });
    const wallMs = clock.wallMs();
    let firedMs = 0;
    clock.timer(40, () => (firedMs = time.nowMs));
    await time.run({ untilMs: 10 });
    clock.sleep();
    await time.run({ untilMs: 1010 });
    assert.equal(clock.monotonicMs(), 20);
    assert.equal(clock.wallMs(), wallMs + 20 + 1000);
    clock.wake();
    assert.equal(clock.wallMs(), wallMs + 20 + 1000);
    await time.run({ untilMs: 2000 });
    assert.equal(firedMs, 1020);
  });

  test("a clock that changes its rate, and one that is stopped", async () => {
    const time = new VirtualTime();
    const clock = new SimulatedClock(time);
    const fired: number[] = [];
    clock.timer(100, () => fired.push(time.nowMs));
    await time.run({ untilMs: 50 });
    clock.setRate(0.5);
    await time.run({ untilMs: 300 });
    assert.deepEqual(fired, [150]);
    clock.timer(10, () => fired.push(time.nowMs));
    clock.stop();
    clock.timer(10, () => fired.push(time.nowMs));
    await time.run({ untilMs: 1000 });
    assert.deepEqual(fired, [150]);
  });

  test("a run without end is noticed, and one that waits for nothing", async () => {
    const time = new VirtualTime();
    const again = (): void => void time.schedule(1, again);
    again();
    await assert.rejects(time.run({ maxEvents: 100 }), /limit of events/);
    await assert.rejects(new VirtualTime().runUntil(new Promise(() => {})), /before the promise settled/);
  });
});
