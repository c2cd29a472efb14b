import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventQueue } from "./event-queue.ts";
import { Dice, seededRandom } from "./random.ts";
import { Trace } from "./trace.ts";
import { VirtualClock } from "./virtual-clock.ts";

test("events run by time, those of one time in the order they were scheduled", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }), (delays) => {
      const queue = new EventQueue();
      const ran: number[] = [];
      delays.forEach((delay, i) => {
        queue.after(delay, () => {
          assert.equal(queue.now, delay);
          ran.push(i);
        });
      });
      while (queue.step(100));
      const expected = delays.map((delay, i) => ({ delay, i })).sort((a, b) => a.delay - b.delay || a.i - b.i);
      assert.deepEqual(
        ran,
        expected.map(({ i }) => i),
      );
    }),
  );
});

test("an event may schedule others; nothing runs beyond the end", () => {
  const queue = new EventQueue();
  const ran: number[] = [];
  const again = (): void => {
    ran.push(queue.now);
    queue.after(10, again);
  };
  queue.after(5, again);
  while (queue.step(30));
  assert.deepEqual(ran, [5, 15, 25]);
  assert.equal(queue.size, 1);
});

test("equal seeds give equal numbers, others don't; numbers are spread evenly", () => {
  const draw = (seed: number): number[] => Array.from({ length: 1000 }, seededRandom(seed));
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
  for (const seed of [0, 1, 2, 123_456_789_012]) {
    const numbers = draw(seed);
    assert.ok(numbers.every((x) => x >= 0 && x < 1));
    const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
    assert.ok(Math.abs(mean - 0.5) < 0.04, `seed ${seed}: mean ${mean}`);
  }
});

test("dice: some() draws different members, all of them if there are no more", () => {
  const dice = new Dice(3);
  for (let i = 0; i < 50; i++) assert.equal(new Set(dice.some([1, 2, 3, 4, 5], 3)).size, 3);
  assert.deepEqual(dice.some([1, 2], 5).sort(), [1, 2]);
});

test("a sleeping machine's monotonic clock stands still, the others go on; rates and settings show", () => {
  const clock = new VirtualClock({ mono: 1.05, boot: 1, wall: 1 }, { mono: 100, boot: 0, wall: 5000 });
  assert.equal(clock.mono(200), 310);
  assert.equal(Math.round(clock.untilMono(310 + 105, 200)), 100);
  clock.slept(100);
  assert.equal(clock.mono(300), 310);
  assert.equal(clock.boot(300), 300);
  clock.setWall(9000);
  assert.equal(clock.wall(300), 9300);
  clock.restarted(400);
  assert.deepEqual([clock.mono(400), clock.boot(400), clock.wall(400)], [0, 0, 9400]);
  assert.equal(clock.mono(500), 105);
});

test("a trace's hash tells apart what differs, and does not depend on recording", () => {
  const hash = (recording: boolean, numbers: number[]): string => {
    const trace = new Trace(recording);
    for (const x of numbers) {
      trace.mix(x, 1);
      trace.note(x, -1, () => "line");
    }
    return trace.hash;
  };
  assert.equal(hash(true, [1, 2.5, 3]), hash(false, [1, 2.5, 3]));
  const different = [[1, 2.5, 3], [1, 3, 2.5], [1, 2.5], [1, 2.5, 3.0001], []].map((numbers) => hash(false, numbers));
  assert.equal(new Set(different).size, different.length);
});
