// A member's log as far as it lies in memory: an anchor (what is known at the position before), then consecutive entries.
// Storage may hold more of the past (from `oldestStored` on); it never holds less of what is durable.
import { assert } from "../util/assert.ts";
import { mayFollow } from "./configuration.ts";
import type { Anchor, Configuration, Entry } from "./messages.ts";

interface Dated {
  readonly index: number;
  readonly configuration: Configuration;
}

export class Log<C> {
  #anchor: Anchor;
  #entries: Entry<C>[];
  /** Bytes from some fixed point up to and with each entry: the bytes of any stretch are one subtraction. */
  #sums: number[] = [];
  #anchorSum = 0;
  /** Where the configuration changes, ascending; the first is the anchor's. */
  #configurations: Dated[];
  /** Oldest index still in storage. */
  oldestStored: number;
  /** Up to here this member's storage holds the log, come what may (rule 1). */
  durable: number;

  constructor(anchor: Anchor, oldestStored: number, entries: readonly Entry<C>[]) {
    this.#anchor = anchor;
    this.#entries = [];
    this.#configurations = [{ index: anchor.index, configuration: anchor.configuration }];
    this.oldestStored = oldestStored;
    for (const entry of entries) this.append(entry);
    this.durable = this.last;
  }

  get anchor(): Anchor {
    return this.#anchor;
  }
  get last(): number {
    return this.#anchor.index + this.#entries.length;
  }
  get lastTerm(): number {
    return this.#entries.length === 0 ? this.#anchor.term : this.#entries[this.#entries.length - 1]!.term;
  }
  get lastStampMs(): number {
    return this.#entries.length === 0 ? this.#anchor.stampMs : this.#entries[this.#entries.length - 1]!.stampMs;
  }
  /** Term at an index; −1 where nothing is known (before the anchor, after the end). */
  termAt(index: number): number {
    const at = index - this.#anchor.index;
    if (at === 0) return this.#anchor.term;
    return this.#entries[at - 1]?.term ?? -1;
  }
  entry(index: number): Entry<C> | null {
    return this.#entries[index - this.#anchor.index - 1] ?? null;
  }
  /** An entry that must be in memory. */
  get(index: number): Entry<C> {
    const entry = this.#entries[index - this.#anchor.index - 1];
    assert(entry !== undefined, "entries above the anchor and up to the end are in memory");
    return entry;
  }
  /** Entries from `from` on, at most `maxEntries` and `maxBytes`, but at least one. A fresh array. */
  slice(from: number, maxEntries: number, maxBytes: number): Entry<C>[] {
    const start = from - this.#anchor.index - 1;
    assert(start >= 0, "entries that left memory are fetched, not sliced");
    const before = start === 0 ? this.#anchorSum : this.#sums[start - 1]!;
    const most = Math.min(this.#entries.length, start + maxEntries);
    let end = Math.min(start + 1, most);
    while (end < most && this.#sums[end]! - before <= maxBytes) end++;
    return this.#entries.slice(start, end);
  }
  /** Bytes of the entries in (after, upTo]; those no longer in memory count nothing. */
  bytesBetween(after: number, upTo: number): number {
    return this.#sum(upTo) - this.#sum(after);
  }
  #sum(index: number): number {
    const at = Math.min(index, this.last) - this.#anchor.index;
    return at <= 0 ? this.#anchorSum : this.#sums[at - 1]!;
  }

  append(entry: Entry<C>): void {
    assert(entry.index === this.last + 1, "a log has no gaps");
    assert(entry.term >= this.lastTerm, "terms never fall along a log");
    assert(entry.stampMs >= this.lastStampMs, "log time never goes back (rule 28)");
    this.#sums.push((this.#sums.length === 0 ? this.#anchorSum : this.#sums[this.#sums.length - 1]!) + entry.sizeBytes);
    this.#entries.push(entry);
    if (entry.configuration !== null) this.#configurations.push({ index: entry.index, configuration: entry.configuration });
  }
  /** Removes the entries at and above `from`. @param undo  false: planted, a configuration among them goes on counting. */
  truncate(from: number, undo = true): void {
    const keep = from - this.#anchor.index - 1;
    assert(keep >= 0, "what lies at or before the anchor is applied and stays");
    this.#entries.length = keep;
    this.#sums.length = keep;
    while (undo && this.#configurations[this.#configurations.length - 1]!.index >= from) this.#configurations.pop(); // rule 23
    this.durable = Math.min(this.durable, from - 1);
  }
  /** Moves the anchor up to `index`: entries at and below it leave memory. */
  release(index: number): void {
    const drop = index - this.#anchor.index;
    if (drop <= 0) return;
    assert(drop <= this.#entries.length, "only entries that are there can be let go");
    const at = this.#entries[drop - 1]!;
    this.#anchor = { index, term: at.term, stampMs: at.stampMs, configuration: this.configurationAt(index) };
    this.#anchorSum = this.#sums[drop - 1]!;
    // Fresh arrays when all goes (the idle case): splice would keep the old backing store.
    this.#entries = drop === this.#entries.length ? [] : this.#entries.slice(drop);
    this.#sums = drop === this.#sums.length ? [] : this.#sums.slice(drop);
    const later = this.#configurations.filter((dated) => dated.index > index);
    this.#configurations = [{ index: this.#configurationsIndexAt(index), configuration: this.#anchor.configuration }, ...later];
  }
  /** The log becomes the anchor; what follows it stays iff the log has the very entry the anchor names (Raft, figure 13). */
  install(anchor: Anchor): void {
    if (this.termAt(anchor.index) === anchor.term) {
      this.release(anchor.index);
      this.#anchor = anchor;
    } else {
      this.#entries = [];
      this.#sums = [];
      this.#anchor = anchor;
      this.durable = anchor.index;
    }
    const later = this.#configurations.filter((dated) => dated.index > anchor.index && dated.index <= this.last);
    this.#configurations = [{ index: anchor.index, configuration: anchor.configuration }, ...later];
    this.oldestStored = anchor.index + 1;
    this.durable = Math.max(this.durable, anchor.index);
  }

  /** rule 23: a configuration counts from the moment it is in the log. */
  get configuration(): Configuration {
    return this.#configurations[this.#configurations.length - 1]!.configuration;
  }
  /** Index of the newest configuration entry (or, if it left memory, one at or below the anchor). */
  get configurationIndex(): number {
    return this.#configurations[this.#configurations.length - 1]!.index;
  }
  /** The configuration as of an index at or above the anchor (rules 6, 8). */
  configurationAt(index: number): Configuration {
    for (let k = this.#configurations.length - 1; k > 0; k--) {
      const dated = this.#configurations[k]!;
      if (dated.index <= index) return dated.configuration;
    }
    return this.#configurations[0]!.configuration;
  }
  /** Does any configuration hold that counts at `index` (or the anchor, if later) or comes after it? */
  someConfigurationFrom(index: number, holds: (configuration: Configuration) => boolean): boolean {
    for (let k = this.#configurations.length - 1; k >= 0; k--) {
      const dated = this.#configurations[k]!;
      if (holds(dated.configuration)) return true;
      if (dated.index <= index) return false;
    }
    return false;
  }
  #configurationsIndexAt(index: number): number {
    let found = this.#configurations[0]!.index;
    for (const dated of this.#configurations) if (dated.index <= index) found = dated.index;
    return found;
  }
  /** May this configuration be appended after what is there? (rule 21) */
  admits(configuration: Configuration): boolean {
    return mayFollow(this.configuration, configuration);
  }
}
