import assert from "node:assert/strict";
import { test } from "node:test";
import { expiry } from "./expiry.ts";
import { CommandError } from "./fail.ts";
import { bothSizes, localTime, rwo, shortId, siSize, table } from "./text.ts";

test("tables: columns as wide as their widest cell, nothing behind the last one", () => {
  assert.equal(
    table([["ID", "Name", "What"], ["1", "größer", "x"], [], ["22", "", ""], ["only"]]),
    ["ID    Name    What", "1     größer  x", "", "22", "only"].join("\n"),
  );
  assert.equal(table([["a", "b"]], "  "), "  a  b");
  assert.equal(table([]), "");
});

test("names from outside can't move the cursor or break the table", () => {
  assert.equal(table([["a\u001b[2Jb\nc\u009bd", "e"]]), "a·[2Jb·c·d  e");
});

test("sizes in SI and IEC", () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [1_550_000, "1.6 MB"],
    [999_949, "999.9 kB"],
    [999_950, "1.0 MB"],
    [2e12, "2.0 TB"],
    [5e18, "5000.0 PB"],
  ];
  for (const [bytes, text] of cases) assert.equal(siSize(bytes), text);
  assert.equal(bothSizes(2 ** 20), "1.0 MiB (1.0 MB)");
  assert.equal(bothSizes(2 ** 20 - 1), "1.0 MiB (1.0 MB)");
  assert.equal(bothSizes(1000), "1000 B (1.0 kB)");
});

test("times are local with their offset; none is never", () => {
  assert.match(localTime("2026-11-22T14:03:07.123Z"), /^2026-11-2[123] \d\d:\d\d:07 [+-]\d\d:\d\d$/);
  const [, date, time, zone] = /^(\S+) (\S+) (\S+)$/.exec(localTime("2026-06-01T00:00:00Z")) ?? [];
  assert.equal(Date.parse(`${date}T${time}${zone}`), Date.parse("2026-06-01T00:00:00Z"));
  assert.equal(localTime(null), "never");
  assert.equal(localTime(undefined), "never");
});

test("rights and ids", () => {
  assert.equal(rwo({ read: true, write: false, owner: true }), "R O");
  assert.equal(rwo({ read: false, write: false, owner: false }), "   ");
  assert.equal(shortId("0123456789abcdef0123"), "0123456789abcdef");
});

test("--expires-in", () => {
  assert.deepEqual(expiry({}), {});
  const { expiration } = expiry({ expiresIn: "1d" });
  assert.ok(Math.abs(Date.parse(expiration ?? "") - Date.now() - 86_400_000) < 10_000);
  for (const expiresIn of ["soon", "", "-1d", "9999y", `${"9".repeat(30)}y`])
    assert.throws(() => expiry({ expiresIn }), CommandError, expiresIn);
});
