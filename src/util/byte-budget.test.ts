import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ByteBudget } from "./byte-budget.ts";

const forever = new Promise<never>(() => {});

describe("a byte budget", () => {
  it("serves in order, and a big wish is not overtaken", async () => {
    const budget = new ByteBudget(10);
    assert.ok(budget.tryTake(8));
    const order: string[] = [];
    const big = budget.take(9, forever).then(() => order.push("big"));
    const small = budget.take(1, forever).then(() => order.push("small"));
    assert.equal(budget.tryTake(1), false);
    budget.give(8);
    await Promise.all([big, small]);
    assert.deepEqual(order, ["big", "small"]);
    assert.equal(budget.heldBytes, 10);
  });

  it("gives up when patience ends, and then serves those behind", async () => {
    const budget = new ByteBudget(10);
    budget.tryTake(5);
    const patience = Promise.withResolvers<void>();
    const big = budget.take(8, patience.promise);
    const small = budget.take(4, forever);
    patience.resolve();
    assert.deepEqual(await Promise.all([big, small]), [false, true]);
    assert.equal(budget.heldBytes, 9);
  });

  it("grants a wish above the limit alone", async () => {
    const budget = new ByteBudget(10);
    assert.ok(budget.tryTake(50));
    const next = budget.take(1, forever);
    budget.give(50);
    assert.ok(await next);
  });

  it("never holds more than the limit, and ends empty", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 10 }), { maxLength: 50 }), async (wishes) => {
        const budget = new ByteBudget(10);
        await Promise.all(
          wishes.map(async (bytes) => {
            assert.ok(await budget.take(bytes, forever));
            assert.ok(budget.heldBytes <= 10);
            await Promise.resolve();
            budget.give(bytes);
          }),
        );
        assert.deepEqual([budget.heldBytes, budget.waiting], [0, 0]);
      }),
    );
  });
});
