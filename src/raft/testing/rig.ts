// A handful of members of one group with everything around them in the open: disks, wires, clocks. Nothing moves by itself:
// scripts and property tests say what happens next. State machine: the list of applied commands.
import { assert } from "../../util/assert.ts";
import type { Defect } from "../defects.ts";
import type { Effects, ReadAnswer, Write } from "../effects.ts";
import { type LeaseEvent, type LeaseMessage, Leases } from "../lease.ts";
import type { Anchor, Configuration, Entry, MemberId, Message, Moment, Scope } from "../messages.ts";
import { type RaftOptions, raftOptions } from "../options.ts";
import { emptyGroup, bootstrapGroup, Raft, type Restored } from "../raft.ts";

/** A command: what it does, and the key it does it to. */
export type Cmd = string;

export interface Packet {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: Message<Cmd>;
  /** What travels beside a snapshot message. */
  readonly rows?: readonly string[];
}

interface Disk {
  term: number;
  vote: MemberId | null;
  anchor: Anchor;
  entries: Entry<Cmd>[];
  rows: string[];
  applied: number;
}

/** One node: disk, leases, one group. */
export class Member {
  readonly id: MemberId;
  raft!: Raft<Cmd>;
  leases!: Leases;
  boot = 0;
  up = false;
  /** Writes under way, oldest first. */
  writes: Write<Cmd>[] = [];
  /** Messages that wait for a write. */
  waiting: { readonly afterSeq: number; readonly packet: Packet }[] = [];
  /** rows as applied, in memory; index → what it did. */
  rows: string[] = [];
  /** Entries handed out and not applied yet, when applying is held up. */
  toApply: Entry<Cmd>[] = [];
  /** Rows as they were applied after a write was handed out: durable with it. */
  appliedAfter: { readonly afterSeq: number; readonly rows: string[] }[] = [];
  lastSeq = 0;
  staged: readonly string[] = [];
  answers: ReadAnswer[] = [];
  wantSnapshot: MemberId[] = [];
  /** Heartbeats not carried over yet, the newest for each peer. */
  beats = new Map<MemberId, LeaseMessage>();
  manualDisk = false;
  manualApply = false;
  /** Offsets and rates of its clocks: mono stands still while `stopped` grows. */
  stoppedMs = 0;
  rate = 1;
  wallOffsetMs = 0;
  jitter = 0;
  disk: Disk;
  /** Of a group it forgot; on disk. */
  silentBelow = 0;

  constructor(id: MemberId, restored: Restored<Cmd>) {
    this.id = id;
    this.disk = { ...restored, entries: [...restored.entries], rows: [] };
    this.disk.rows = restored.entries.slice(0, restored.applied - restored.anchor.index).map(describe);
  }
}

export interface RigOptions {
  readonly leaseMs?: number;
  readonly defects?: ReadonlySet<Defect>;
  readonly tune?: Partial<RaftOptions>;
  /** Wall clock at time 0. */
  readonly wallMs?: number;
}

export type Listener = (member: Member, effects: Effects<Cmd>) => void;

export class Rig {
  nowMs = 0;
  readonly members = new Map<MemberId, Member>();
  wire: Packet[] = [];
  /** Pairs "from→to" that let nothing through. */
  readonly cut = new Set<string>();
  onEffects: Listener = () => {};
  onLease: (member: Member, events: readonly LeaseEvent[]) => void = () => {};
  #options: RigOptions;

  constructor(options: RigOptions = {}) {
    this.#options = options;
  }

  add(id: MemberId, restored: Restored<Cmd>): Member {
    const member = new Member(id, restored);
    this.members.set(id, member);
    this.start(member, true);
    return member;
  }
  /** n members that are born together. */
  static born(ids: readonly MemberId[], options: RigOptions = {}): Rig {
    const rig = new Rig(options);
    const configuration: Configuration = { voters: ids, old: null, learners: [] };
    for (const id of ids) rig.add(id, bootstrapGroup(configuration));
    return rig;
  }

  /** For members added from now on. */
  tune(tune: Partial<RaftOptions>): void {
    this.#options = { ...this.#options, tune };
  }

  now(member: Member): Moment {
    return {
      monoMs: (this.nowMs - member.stoppedMs) * member.rate,
      bootMs: this.nowMs * member.rate,
      wallMs: (this.#options.wallMs ?? 1_000_000) + this.nowMs + member.wallOffsetMs,
      jitter: member.jitter,
    };
  }
  get(id: MemberId): Member {
    const member = this.members.get(id);
    assert(member !== undefined, `there is a member ${id}`);
    return member;
  }

  start(member: Member, first = false): void {
    const leaseMs = this.#options.leaseMs ?? 100;
    const { defects } = this.#options;
    const now = this.now(member);
    member.boot++;
    member.up = true;
    member.leases = new Leases(
      {
        self: member.id,
        leaseMs,
        driftFactor: 1.05,
        heartbeatMs: leaseMs * 0.28,
        maxHeartbeatMs: leaseMs,
        boot: member.boot,
        firstBoot: first,
        ...(defects === undefined ? {} : { defects }),
      },
      now,
    );
    member.raft = this.#group(member);
    member.rows = [...member.disk.rows];
  }
  #group(member: Member): Raft<Cmd> {
    const { defects, tune } = this.#options;
    const { term, vote, anchor, entries, applied } = member.disk;
    const options = raftOptions(member.id, member.leases, { ...tune, ...(defects === undefined ? {} : { defects }) });
    const oldestStored = anchor.index + 1;
    const { silentBelow } = member;
    return new Raft(options, { term, vote, anchor, oldestStored, entries, applied, silentBelow }, this.now(member));
  }
  /** Loses what was not durable. */
  crash(member: Member): void {
    member.up = false;
    member.writes = [];
    member.waiting = [];
    member.toApply = [];
    member.appliedAfter = [];
    member.lastSeq = 0;
    member.answers = [];
    member.wantSnapshot = [];
    member.beats.clear();
  }

  /** A member that was dismissed drops log and rows, and keeps what outlives them. False if it may not. */
  forget(member: Member): boolean {
    if (!member.raft.dismissed) return false;
    const { remains } = member.raft;
    this.crash(member);
    member.disk = { ...emptyGroup<Cmd>(remains), entries: [], rows: [] };
    member.silentBelow = remains.silentBelow;
    member.rows = [];
    member.up = true;
    member.raft = this.#group(member);
    this.drain(member);
    return true;
  }

  // ---- events

  tick(member: Member): void {
    member.raft.tick(this.now(member));
    this.drain(member);
  }
  propose(member: Member, data: Cmd, scope: Scope): number | string {
    const result = member.raft.propose({ data, scope, sizeBytes: data.length }, this.now(member));
    this.drain(member);
    return result;
  }
  read(member: Member, id: number, scope: Scope): void {
    member.raft.read(id, scope, this.now(member));
    this.drain(member);
  }
  /** Delivers one packet of the wire, by its place in it. */
  deliver(at: number): void {
    const [packet] = this.wire.splice(at, 1);
    assert(packet !== undefined, "there is such a packet");
    const member = this.get(packet.to);
    if (!member.up || this.cut.has(`${packet.from}→${packet.to}`)) return;
    if (packet.rows !== undefined) member.staged = packet.rows;
    member.raft.step(packet.message, this.now(member));
    this.drain(member);
  }
  /** One heartbeat from `holder` to `giver` and back, at once (unless cut). */
  beat(holder: Member, giver: Member): void {
    holder.leases.setPeers(new Set([...holder.raft.supporters, giver.id]), this.now(holder));
    holder.leases.tick(this.now(holder));
    this.#leased(holder);
    const beat = holder.beats.get(giver.id);
    holder.beats.delete(giver.id);
    if (beat === undefined || !giver.up || this.cut.has(`${holder.id}→${giver.id}`)) return;
    giver.leases.step(beat, this.now(giver));
    const replies = this.#leased(giver).filter((reply) => reply.to === holder.id);
    if (replies.length === 0 || this.cut.has(`${giver.id}→${holder.id}`)) return;
    holder.leases.step(replies[0]!.message, this.now(holder));
    this.#leased(holder);
  }
  /** Looks at the deadlines of the leases; returns what happened. */
  lapse(member: Member): void {
    member.leases.tick(this.now(member));
    this.#leased(member);
  }
  #leased(member: Member): readonly { to: MemberId; message: LeaseMessage }[] {
    const effects = member.leases.drain();
    if (effects === null) return [];
    if (effects.events.length > 0) this.onLease(member, effects.events);
    for (const { to, message } of effects.messages) if (message.kind === "heartbeat") member.beats.set(to, message);
    return effects.messages;
  }

  // ---- effects

  drain(member: Member): void {
    const effects = member.raft.drain(this.now(member));
    if (effects === null) return;
    this.onEffects(member, effects);
    if (effects.write !== null) {
      member.writes.push(effects.write);
      member.lastSeq = effects.write.seq;
    }
    for (const { to, message, afterSeq } of effects.messages) {
      const packet = { from: member.id, to, message };
      if (afterSeq === 0) this.wire.push(packet);
      else member.waiting.push({ afterSeq, packet });
    }
    if (effects.write?.install != null) {
      member.rows = [...member.staged];
      member.toApply = [];
      this.#pipe(member);
      member.raft.applied(effects.write.install.index, this.now(member));
    }
    member.toApply.push(...effects.apply);
    member.answers.push(...effects.reads);
    member.wantSnapshot.push(...effects.snapshots);
    for (const fetch of effects.fetches) {
      const { anchor, entries } = member.disk;
      const wanted = entries.filter((entry) => entry.index >= fetch.from).slice(0, fetch.maxEntries);
      const before = entries.find((entry) => entry.index === fetch.from - 1)?.term ?? anchor.term;
      member.raft.fetched(fetch.to, before, wanted, this.now(member));
    }
    if (effects.fetches.length > 0) this.drain(member);
    if (!member.manualApply) this.apply(member);
    if (!member.manualDisk) this.store(member);
    else if (!member.manualApply && effects.apply.length > 0) this.drain(member);
  }
  apply(member: Member): void {
    const entries = member.toApply.splice(0);
    if (entries.length === 0) return;
    for (const entry of entries) {
      assert(entry.index === member.rows.length + 1, "entries are applied in order, each once");
      member.rows.push(describe(entry));
    }
    this.#pipe(member);
    member.raft.applied(entries[entries.length - 1]!.index, this.now(member));
    this.drain(member);
  }
  #pipe(member: Member): void {
    member.appliedAfter.push({ afterSeq: member.lastSeq, rows: [...member.rows] });
  }
  /** All writes under way, or the oldest `count`, become durable. */
  store(member: Member, count = member.writes.length): void {
    if (count === 0) return;
    const writes = member.writes.splice(0, count);
    for (const write of writes) persist(member, write);
    const seq = writes[writes.length - 1]!.seq;
    // Rows go through the same ordered pipeline: those applied before a later write are durable with this one.
    const durable = member.appliedAfter.filter((item) => item.afterSeq <= seq);
    member.appliedAfter = member.appliedAfter.filter((item) => item.afterSeq > seq);
    for (const { rows } of durable) member.disk.rows = rows;
    member.disk.applied = member.disk.rows.length;
    member.raft.stored(seq, this.now(member));
    const ready = member.waiting.filter((item) => item.afterSeq <= seq);
    member.waiting = member.waiting.filter((item) => item.afterSeq > seq);
    for (const { packet } of ready) this.wire.push(packet);
    this.drain(member);
  }
  /** Ships the rows to a member that wants a snapshot. */
  shipSnapshot(member: Member, to: MemberId, ok = true): void {
    member.wantSnapshot = member.wantSnapshot.filter((other) => other !== to);
    const message = member.raft.snapshotMessage(member.raft.appliedIndex, to);
    if (ok && message !== null) this.wire.push({ from: member.id, to, message, rows: [...member.rows] });
    member.raft.snapshotDone(to, ok, this.now(member));
    this.drain(member);
  }
  trim(member: Member, memoryIndex: number, storageIndex: number): void {
    member.raft.trim(memoryIndex, storageIndex);
    const { disk } = member;
    const at = disk.entries.find((entry) => entry.index === storageIndex);
    if (at === undefined) return;
    disk.anchor = { index: storageIndex, term: at.term, stampMs: at.stampMs, configuration: configurationOn(disk, storageIndex) };
    disk.entries = disk.entries.filter((entry) => entry.index > storageIndex);
  }
}

function persist(member: Member, write: Write<Cmd>): void {
  const { disk } = member;
  disk.term = write.term;
  disk.vote = write.vote;
  if (write.install !== null) {
    const { install } = write;
    disk.anchor = install;
    disk.entries = disk.entries.filter((entry) => entry.index > install.index);
  }
  if (write.truncateFrom > 0) disk.entries = disk.entries.filter((entry) => entry.index < write.truncateFrom);
  disk.entries.push(...write.entries);
  disk.entries.forEach((entry, k) => {
    assert(entry.index === disk.anchor.index + 1 + k, "the log on disk has no gaps");
  });
}

function configurationOn(disk: Disk, index: number): Configuration {
  let found = disk.anchor.configuration;
  for (const entry of disk.entries) if (entry.index <= index && entry.configuration !== null) found = entry.configuration;
  return found;
}

/** What an entry says, in a word. */
export function describe(entry: Entry<Cmd>): string {
  if (entry.configuration !== null) return describeConfiguration(entry.configuration);
  return entry.data ?? "no-op";
}
export function describeConfiguration({ voters, old, learners }: Configuration): string {
  const half = (members: readonly MemberId[]): string => members.join("");
  return `{${old === null ? "" : `${half(old)}/`}${half(voters)}${learners.length === 0 ? "" : ` learner ${half(learners)}`}}`;
}
