import assert from "node:assert/strict";
import { test } from "node:test";
import { Holds } from "./holds.ts";

test("a body is held until the last of its readers lets go", () => {
  const holds = new Holds();
  for (let readers = 0; readers < 3; readers++) holds.hold("one");
  holds.hold("other");
  for (let left = 3; left > 0; left--) {
    assert.ok(holds.isHeld("one"), `${left} readers`);
    holds.release("one");
  }
  assert.deepEqual([holds.isHeld("one"), holds.isHeld("other"), holds.count], [false, true, 1]);
});
