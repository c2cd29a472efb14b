import assert from "node:assert/strict";
import { test } from "node:test";
import type { Write } from "../../src/raft/effects.ts";
import type { Anchor, Configuration, Entry } from "../../src/raft/messages.ts";
import { type Batch, Disk, LogImage, type Stored } from "./disk.ts";
import { type Command, emptyState, type MachineState } from "./machine.ts";

const none: Configuration = { voters: [], old: null, learners: [] };
const bootstrap: Anchor = { index: 0, term: 0, stampMs: 0, configuration: none };
const create = (): Stored => ({
  log: new LogImage({ term: 0, vote: null, base: bootstrap, entries: [] }),
  rows: emptyState(),
  silentBelow: 0,
});
const entry = (index: number, term: number, configuration: Configuration | null = null): Entry<Command> => ({
  index,
  term,
  stampMs: 0,
  scope: 0,
  sizeBytes: 1,
  configuration,
  data: null,
});
const write = (seq: number, change: Partial<Write<Command>>): Write<Command> => ({
  seq,
  term: 1,
  vote: null,
  install: null,
  truncateFrom: 0,
  entries: [],
  ...change,
});
const rowsAt = (index: number): MachineState => ({ ...emptyState(), index });

test("a torn batch leaves a prefix of its writes, and no rows", () => {
  const batch: Batch = {
    writes: [
      { group: 0, write: write(1, { entries: [entry(1, 1)] }), installed: null },
      { group: 1, write: write(1, { entries: [entry(1, 1)] }), installed: null },
      { group: 0, write: write(2, { entries: [entry(2, 1)] }), installed: null },
    ],
    rows: [{ group: 0, state: rowsAt(2), trimTo: 1 }],
  };
  const torn = new Disk();
  torn.commit(batch, create, 2);
  assert.equal(torn.groups.get(0)?.log.last, 1);
  assert.equal(torn.groups.get(1)?.log.last, 1);
  assert.equal(torn.groups.get(0)?.rows.index, 0);
  const whole = new Disk();
  whole.commit(batch, create);
  assert.equal(whole.groups.get(0)?.log.last, 2);
  assert.equal(whole.groups.get(0)?.rows.index, 2);
  assert.equal(whole.groups.get(0)?.log.base.index, 1);
});

test("writes truncate, install and continue the log; anchors carry the configuration at their place", () => {
  const log = create().log;
  const three: Configuration = { voters: ["n0.0", "n1.0", "n2.0"], old: null, learners: [] };
  log.write(write(1, { entries: [entry(1, 1), entry(2, 1, three), entry(3, 1)] }));
  log.write(write(2, { term: 2, truncateFrom: 3, entries: [entry(3, 2)] }));
  assert.deepEqual(
    log.entries.map((e) => e.term),
    [1, 1, 2],
  );
  assert.equal(log.anchorAt(1).configuration, none);
  log.trim(2);
  assert.equal(log.base.configuration, three);
  assert.equal(log.entries.length, 1);
  const anchor: Anchor = { index: 9, term: 4, stampMs: 0, configuration: none };
  log.write(write(3, { term: 4, install: anchor, truncateFrom: 10 }));
  assert.equal(log.last, 9);
  assert.throws(() => log.write(write(4, { entries: [entry(12, 4)] })), /continues the log/);
});

test("a copy of a store does not change with it", () => {
  const disk = new Disk();
  const append = (index: number): Batch => ({
    writes: [{ group: 0, write: write(index, { entries: [entry(index, 1)] }), installed: null }],
    rows: [],
  });
  disk.commit(append(1), create);
  const copy = disk.copy();
  disk.commit(append(2), create);
  disk.tick++;
  assert.equal(copy.groups.get(0)?.log.last, 1);
  assert.equal(copy.tick, 0);
});
