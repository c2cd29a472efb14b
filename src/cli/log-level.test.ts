import assert from "node:assert/strict";
import { test } from "node:test";
import { readLogLevel } from "./log-level.ts";

test("log levels: ours first, then RUST_LOG with its modules; what can't be read is said", () => {
  const cases: readonly (readonly [string | undefined, string | undefined, string])[] = [
    [undefined, undefined, "info"],
    ["debug", undefined, "debug"],
    ["WARN", "debug", "warn"],
    ["trace", undefined, "debug"],
    [undefined, "error", "error"],
    [undefined, "netapp=info,garage=debug", "debug"],
    [undefined, "netapp=debug", "info"],
    [undefined, "netapp=debug, warn", "warn"],
    [undefined, "some_program::part=trace", "info"],
  ];
  for (const [own, rust, level] of cases) assert.deepEqual(readLogLevel(own, rust), { level }, `${own} ${rust}`);
  const { level, warning } = readLogLevel("verbose", "debug");
  assert.equal(level, "info");
  assert.match(warning ?? "", /HANGAR_LOG = "verbose" can't be read/);
});
