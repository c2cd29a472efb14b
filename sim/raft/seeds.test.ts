import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { FOCUSES } from "./profile.ts";
import { runSeed } from "./run.ts";
import { tellStory } from "./story.ts";

const SEEDS = Number(process.env["RAFT_SEEDS"] ?? 300);

test(`${SEEDS} seeds hold, and everything that the rules are about occurs`, (context) => {
  const total: Record<string, number> = {};
  const began = process.cpuUsage();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = runSeed(seed);
    if (result.failure !== null) assert.fail(tellStory(runSeed(seed, { story: true })));
    total[`focus ${result.profile.focus}`] = 1;
    for (const [what, count] of Object.entries(result.stats)) total[what] = (total[what] ?? 0) + count;
  }
  const { user, system } = process.cpuUsage(began);
  context.diagnostic(`${Math.round((60e6 * SEEDS) / (user + system))} seeds a CPU-minute`);
  const occurs = [
    "answered by a follower",
    "reads by lease, at once",
    "reads at the leader",
    "reads by index",
    "reads timed out",
    "ways made slow",
    "elections",
    "crashes",
    "pauses",
    "stores damaged",
    "transfers",
    "changes",
    "joint configurations",
    "configurations",
    "snapshots installed",
    "fetches",
    "put done",
    "put refused",
    "put unknown",
    "delete done",
    "get ok",
    "list ok",
    "clear done",
  ];
  for (const what of occurs) assert.ok((total[what] ?? 0) >= SEEDS / 10, `${what}: only ${total[what] ?? 0}`);
  for (const what of ["groups forgotten", "joint halves cut apart"]) assert.ok((total[what] ?? 0) > 0, `${what}: never`);
  for (const focus of FOCUSES) assert.ok(total[`focus ${focus}`], `no seed with focus ${focus}`);
});

test("the same seed gives the same trace, with and without its story; another seed another", () => {
  const hashes = new Set<string>();
  for (const focus of FOCUSES) {
    const first = runSeed(11, { focus });
    const again = runSeed(11, { focus, story: true });
    assert.equal(first.hash, again.hash, focus);
    assert.deepEqual(first.stats, again.stats, focus);
    assert.ok(again.lines.length > 0 && first.lines.length === 0);
    hashes.add(first.hash);
  }
  hashes.add(runSeed(12).hash);
  assert.equal(hashes.size, FOCUSES.length + 1);
});
