// What every source of randomness promises (src/platform/random.ts).
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { simulatedRandom } from "../../sim/platform/simulated-random.ts";
import { nodeRandom } from "../../src/platform/node/random.ts";

for (const [name, make] of Object.entries({
  "the system's randomness": nodeRandom,
  "seeded randomness": () => simulatedRandom(7),
})) {
  suite(name, () => {
    test("bytes are fresh, of any count, and the caller's", () => {
      const random = make();
      for (const count of [0, 1, 16, 32, 1000, 1024, 1025, 5000, 100_000]) assert.equal(random.bytes(count).length, count);
      const drawn = Array.from({ length: 2000 }, () => random.bytes(16));
      const texts = drawn.map((bytes) => Buffer.from(bytes).toString("hex"));
      assert.equal(new Set(texts).size, drawn.length);
      drawn[0]!.fill(0);
      assert.equal(Buffer.from(drawn[1]!).toString("hex"), texts[1]);
      const counts = new Array<number>(256).fill(0);
      for (const byte of random.bytes(256 * 400)) counts[byte]! += 1;
      for (const count of counts) assert.ok(count > 200 && count < 600, `a byte value occurred ${count} times of 400`);
    });

    test("below: every value, none outside, up to 2^32", () => {
      const random = make();
      assert.equal(random.below(1), 0);
      for (const below of [2, 3, 7, 10]) {
        const seen = new Set<number>();
        for (let draw = 0; draw < 1000; draw++) seen.add(random.below(below));
        assert.deepEqual(
          [...seen].sort((a, b) => a - b),
          Array.from({ length: below }, (_, value) => value),
        );
      }
      let highest = 0;
      for (let draw = 0; draw < 200; draw++) {
        const value = random.below(2 ** 32);
        assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** 32);
        highest = Math.max(highest, value);
      }
      assert.ok(highest > 2 ** 31);
    });
  });
}

test("equal seeds give equal draws, other seeds others", () => {
  const draw = (seed: number): string => {
    const random = simulatedRandom(seed);
    return [...random.bytes(20), random.below(1000), random.below(2 ** 32)].join(" ");
  };
  assert.equal(draw(42), draw(42));
  assert.notEqual(draw(42), draw(43));
});
