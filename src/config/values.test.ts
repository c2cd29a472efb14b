import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { address, parseDuration, parseSize, size } from "./values.ts";

test("sizes: bytes, SI and IEC, any case, fractions", () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ["0", 0],
    ["1048576", 1048576],
    ["1k", 1000],
    ["1K", 1000],
    ["1KiB", 1024],
    ["1kib", 1024],
    ["1.5 GB", 1.5e9],
    ["256MiB", 2 ** 28],
    ["2Ti", 2 ** 41],
    ["1PB", 1e15],
    [" 7 b ", 7],
    ["9PiB", undefined],
    ["-1", undefined],
    ["1e3", undefined],
    ["1X", undefined],
    ["", undefined],
    ["M", undefined],
    ["1..5M", undefined],
  ];
  for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, text);
  for (const raw of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, true, null, {}, 2 ** 60]) assert.equal(size(raw).ok, false);
});

test("durations: words, sums, bare seconds; whole milliseconds", () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ["10", 10_000],
    ["100ms", 100],
    ["1.5ms", 2],
    ["10min", 600_000],
    ["2h 30m", 9_000_000],
    ["2h30m", 9_000_000],
    ["1d, 1h", 90_000_000],
    ["30 days", 2_592_000_000],
    ["2 Weeks", 1_209_600_000],
    ["1month", 2_592_000_000],
    ["1y", 31_536_000_000],
    ["0s", 0],
    ["", undefined],
    ["soon", undefined],
    ["-1d", undefined],
    ["1d foo", undefined],
    ["1 fortnight", undefined],
    ["1d;", undefined],
    [`${"9".repeat(40)}y`, undefined],
    [`${"1".repeat(50_000)}-`, undefined],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
});

test("nonsense is refused in no time", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("1", " ", ",", "d", "m", ".", "x", "-"), maxLength: 5000 }), (text) => {
      const ms = parseDuration(text);
      assert.ok(ms === undefined || (Number.isSafeInteger(ms) && ms >= 0));
      const bytes = parseSize(text);
      assert.ok(bytes === undefined || (Number.isSafeInteger(bytes) && bytes >= 0));
    }),
    { numRuns: 300 },
  );
});

test("addresses", () => {
  const good = ["127.0.0.1:3900", "[::]:3900", "[::1]:0", "[fe80::1:2]:65535", "[::ffff:10.0.0.1]:1", "localhost:80", "a-b.c:1"];
  const bad = [
    "",
    ":80",
    "1.2.3.4",
    "1.2.3.4:",
    "[::]",
    "::1:80",
    "1.2.3.4.5:1",
    "300.1.1.1:1",
    "a b:1",
    "a:123456",
    "[1]:1",
    80,
  ];
  for (const raw of good) assert.equal(address({ socket: false })(raw).ok, true, raw);
  for (const raw of bad) assert.equal(address({ socket: true })(raw).ok, false, String(raw));
  assert.equal(address({ socket: true })("/run/x").ok, true);
});
