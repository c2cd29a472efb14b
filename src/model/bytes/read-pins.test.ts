import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadPins } from "./read-pins.ts";

test("a body is pinned until the last of its readers lets go", () => {
  const pins = new ReadPins();
  for (let readers = 0; readers < 3; readers++) pins.pin("one");
  pins.pin("other");
  for (let left = 3; left > 0; left--) {
    assert.ok(pins.isPinned("one"), `${left} readers`);
    pins.unpin("one");
  }
  assert.deepEqual([pins.isPinned("one"), pins.isPinned("other"), pins.count], [false, true, 1]);
});
