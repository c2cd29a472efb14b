// One node's store: what survives a crash. One log image per group, one batch of writes of all groups per fsync.
import assert from "node:assert/strict";
import type { Write } from "../../src/raft/effects.ts";
import type { Anchor, Configuration, Entry, MemberId } from "../../src/raft/messages.ts";
import type { Command, MachineState } from "./machine.ts";

/** A group's log and hard state, as writes leave it. */
export class LogImage {
  term: number;
  vote: MemberId | null;
  /** The position before the first entry stored. */
  base: Anchor;
  entries: Entry<Command>[];

  constructor(from: { term: number; vote: MemberId | null; base: Anchor; entries: readonly Entry<Command>[] }) {
    this.term = from.term;
    this.vote = from.vote;
    this.base = from.base;
    this.entries = [...from.entries];
  }
  get last(): number {
    return this.base.index + this.entries.length;
  }

  write(write: Write<Command>): void {
    this.term = write.term;
    this.vote = write.vote;
    if (write.install !== null) {
      const kept = write.install.index < this.last ? this.entries.slice(Math.max(0, write.install.index - this.base.index)) : [];
      this.base = write.install;
      this.entries = kept;
    }
    if (write.truncateFrom > 0)
      this.entries.length = Math.min(this.entries.length, Math.max(0, write.truncateFrom - this.base.index - 1));
    const first = write.entries[0];
    if (first !== undefined) assert.equal(first.index, this.last + 1, "a write continues the log");
    for (const entry of write.entries) this.entries.push(entry);
  }
  /** Everything at or below `index` goes. */
  trim(index: number): void {
    if (index <= this.base.index) return;
    this.base = this.anchorAt(index);
    this.entries = this.entries.filter((entry) => entry.index > index);
  }
  anchorAt(index: number): Anchor {
    if (index === this.base.index) return this.base;
    const entry = this.entry(index);
    assert(entry !== undefined, "an anchor lies within the log");
    return { index, term: entry.term, stampMs: entry.stampMs, configuration: this.configurationAt(index) };
  }
  entry(index: number): Entry<Command> | undefined {
    return this.entries[index - this.base.index - 1];
  }
  configurationAt(index: number): Configuration {
    for (let i = index; i > this.base.index; i--) {
      const configuration = this.entry(i)?.configuration;
      if (configuration) return configuration;
    }
    return this.base.configuration;
  }
}

/** A group in the store: the log, and rows applied up to some position within it. */
export interface Stored {
  readonly log: LogImage;
  rows: MachineState;
  /** Not 0: this node left the group and forgot it; below this commit index it is silent (`Restored.silentBelow`). */
  readonly silentBelow: number;
}

/** What one flush makes durable, in this order: log writes as they came, then rows. */
export interface Batch {
  /** `installed`: the staged rows, with a write that installs them. */
  readonly writes: { readonly group: number; readonly write: Write<Command>; readonly installed: MachineState | null }[];
  readonly rows: { readonly group: number; readonly state: MachineState; readonly trimTo: number }[];
}

export class Disk {
  incarnation = 0;
  tick = 0;
  boots = 0;
  groups = new Map<number, Stored>();

  /** Applies the first `count` log writes of a batch, and its rows if all of them made it. */
  commit(batch: Batch, create: (group: number) => Stored, count = batch.writes.length): void {
    for (const { group, write, installed } of batch.writes.slice(0, count)) {
      let stored = this.groups.get(group);
      if (stored === undefined) this.groups.set(group, (stored = create(group)));
      stored.log.write(write);
      if (installed !== null) stored.rows = installed;
    }
    if (count < batch.writes.length) return;
    for (const { group, state, trimTo } of batch.rows) {
      const stored = this.groups.get(group);
      if (stored === undefined || state.index < stored.rows.index) continue;
      stored.rows = state;
      stored.log.trim(Math.min(trimTo, state.index));
    }
  }

  copy(): Disk {
    const copy = new Disk();
    copy.incarnation = this.incarnation;
    copy.tick = this.tick;
    copy.boots = this.boots;
    for (const [group, stored] of this.groups) copy.groups.set(group, { ...stored, log: new LogImage(stored.log) });
    return copy;
  }
}
