import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { createLog, type LogLevel, type LogOptions } from "./log.ts";

function collect(options: Partial<LogOptions> = {}): { lines: string[]; log: ReturnType<typeof createLog> } {
  const lines: string[] = [];
  return { lines, log: createLog({ level: "info", ...options, destination: { write: (line) => void lines.push(line) } }) };
}

test("json: one object a line, with level, time, fields and the cause of an error", () => {
  const { lines, log } = collect();
  log.info({ bucket: "b", count: 3 }, "hello");
  log.child({ peer: "p1" }).error({ err: new Error("outer", { cause: new TypeError("inner") }) }, "failed");
  assert.equal(lines.length, 2);
  assert.ok(lines.every((line) => line.endsWith("\n")));
  const [first, second] = lines.map((line) => JSON.parse(line));
  assert.deepEqual([first.level, first.bucket, first.count, first.msg], ["info", "b", 3, "hello"]);
  assert.ok(Math.abs(Date.parse(first.time) - Date.now()) < 60_000);
  assert.deepEqual([second.peer, second.err.message, second.err.cause.message], ["p1", "outer", "inner"]);
});

test("text: one line for people; the stack only below an error", () => {
  const { lines, log } = collect({ format: "text" });
  log.info({ bucket: "b", name: "two words", list: [1, 2] }, "hello");
  log.warn({ err: new Error("outer", { cause: new Error("inner") }) }, "careful");
  log.error({ err: new Error("bad") }, "failed");
  assert.match(lines[0]!, /^\d{4}-\d\d-\d\dT[\d:.]+Z INFO {2}hello bucket=b name="two words" list=\[1,2\]\n$/);
  assert.match(lines[1]!, /WARN {2}careful err="outer: inner"\n$/);
  assert.match(lines[2]!, /ERROR failed err=bad\n {4}Error: bad\n {8}at /);
});

test("levels: what lies below is dropped, and debugEnabled says so", () => {
  const counts: Partial<Record<LogLevel, number>> = { trace: 4, debug: 4, info: 3, warn: 2, error: 1, silent: 0 };
  for (const [level, count] of Object.entries(counts)) {
    const { lines, log } = collect({ level: level as LogLevel });
    log.debug({}, "1");
    log.info({}, "2");
    log.warn({}, "3");
    log.error({}, "4");
    assert.equal(lines.length, count, level);
    assert.equal(log.debugEnabled, count === 4);
    assert.equal(log.child({}).debugEnabled, count === 4);
  }
});

test("fatal: the reason is on standard error, the process dies at once, exit handlers don't run", () => {
  const here = (name: string): string => JSON.stringify(join(import.meta.dirname, name));
  const program = `
    const { createLog } = await import(${here("log.ts")});
    const { nodeFatal } = await import(${here("fatal.ts")});
    process.on("exit", () => console.log("exit handler"));
    nodeFatal(createLog({ level: "info", format: "text" }))(new Error("rows disagree"));
    console.log("went on");`;
  const { signal, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  assert.equal(signal, "SIGABRT");
  assert.equal(stdout, "");
  assert.match(stderr, /ERROR an invariant is broken.* err="rows disagree"/);
});

test("importing the log does not load pino; the first log does", () => {
  const program = `
    import { Module } from "node:module";
    const { createLog } = await import(${JSON.stringify(join(import.meta.dirname, "log.ts"))});
    const loaded = () => Object.keys(Module._cache).some((file) => file.includes("/pino/"));
    const before = loaded();
    createLog({ level: "info", destination: { write() {} } });
    console.log(before, loaded());`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  assert.equal(stdout, "false true\n");
});
