import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { Log, LogFields } from "../../platform/log.ts";
import { SELDOM, SeldomLog } from "./seldom-log.ts";
import { clockAt } from "./testing/fake-request.ts";

test("of each kind a window has so many lines; the next line tells how many were left out", () => {
  const lines: { readonly level: string; readonly fields: LogFields; readonly message: string }[] = [];
  const at = (level: string) => (fields: LogFields, message: string) => void lines.push({ level, fields, message });
  const log: Log = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    debugEnabled: false,
    child: () => log,
  };
  let nowMs = 5;
  const seldom = new SeldomLog({ log, clock: { ...clockAt(0), monotonicMs: () => nowMs } });
  const many = (count: number, kind: string): void => {
    for (let n = 0; n < count; n++) seldom.write(kind === "disk" ? "warn" : "error", kind, { n }, `trouble with ${kind}`);
  };

  many(SELDOM.lines + 7, "disk");
  equal(lines.length, SELDOM.lines);
  many(1, "bug");
  deepEqual(lines.at(-1), { level: "error", fields: { n: 0 }, message: "trouble with bug" });
  nowMs += SELDOM.windowMs - 1;
  many(5, "disk");
  equal(lines.length, SELDOM.lines + 1);
  nowMs += 1;
  many(2, "disk");
  deepEqual(lines.slice(-2), [
    { level: "warn", fields: { n: 0, notLogged: 12 }, message: "trouble with disk" },
    { level: "warn", fields: { n: 1 }, message: "trouble with disk" },
  ]);
});
