import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMIN_TOKEN, AdminNode } from "../api/admin/testing/admin-node.ts";
import { nodeClock } from "../platform/node/clock.ts";
import { ClockWatch } from "./clock-watch.ts";

const YEAR_MS = 365 * 86_400_000;

test("a wall clock that was a year ahead for one write: told in status, metrics and log, and only the groups that saw it lead", async () => {
  const offset = { ms: 0 };
  const real = nodeClock();
  const clock = {
    ...real,
    wallMs: () => real.wallMs() + offset.ms,
    monotonicMs: () => real.monotonicMs(),
    timer: real.timer.bind(real),
  };
  const node = await AdminNode.start({ clock });
  try {
    const problems = async (): Promise<string[]> => (await node.get("GetClusterStatus")).json.nodes[0].problems;
    const lead = async (): Promise<number> => {
      const { text } = await node.call("/metrics", { token: ADMIN_TOKEN });
      return Number(/^group_log_time_lead_seconds (\S+)$/m.exec(text)?.[1]);
    };
    const { id } = (await node.post("CreateBucket", { globalAlias: "photos" })).json;
    assert.deepEqual(await problems(), []);
    assert.ok((await lead()) < 60);
    offset.ms = YEAR_MS;
    await node.put(id, "written-by-a-wrong-clock", Buffer.from("x"));
    assert.deepEqual(await problems(), [], "a lone voter knows no better while it lasts");
    offset.ms = 0;
    const [told = "", ...more] = await problems();
    assert.match(told, /written to 1 group gets a Last-Modified that is up to 36[45] days ahead/);
    assert.deepEqual(more, []);
    assert.ok((await lead()) > (YEAR_MS / 1000) * 0.99);
  } finally {
    await node.stop();
  }
});

test("the log hears of a lead when it comes, every hour while it lasts, and when it has gone", () => {
  const state = { nowMs: 0, mostMs: 0 };
  const lines: string[] = [];
  const watch = new ClockWatch({
    groups: { logTimeLead: (beyondMs) => ({ mostMs: state.mostMs, groups: state.mostMs > beyondMs ? 7 : 0 }) },
    clock: { monotonicMs: () => state.nowMs, wallMs: () => 1_700_000_000_000 },
    log: { warn: (_, message) => lines.push(`warn ${message}`), info: (_, message) => lines.push(`info ${message}`) },
  });
  const after = (passedMs: number, mostMs: number): number => {
    state.nowMs += passedMs;
    state.mostMs = mostMs;
    watch.look();
    return lines.length;
  };
  assert.equal(after(0, 59_000), 0, "a small lead is daily life");
  assert.equal(after(10_000, 3 * 3_600_000), 1);
  assert.match(lines[0] ?? "", /^warn .*7 groups .* 3 hours ahead .* until 2023-11-15T04:13Z/);
  for (let n = 0; n < 300; n++) assert.equal(after(10_000, 3 * 3_600_000), 1);
  assert.equal(after(3_600_000, 100_000), 2);
  assert.equal(after(10_000, 0), 3);
  assert.match(lines[2] ?? "", /^info .*caught up/);
  assert.equal(after(10_000, 0), 3);
});
