// One group on one simulated node: carries out the core's effects, as src/group does it in production.
import assert from "node:assert/strict";
import { isMember } from "../../src/raft/configuration.ts";
import type { Effects, Send, Write } from "../../src/raft/effects.ts";
import { type Entry, type MemberId, type Message, type Moment, SCOPE_ALL } from "../../src/raft/messages.ts";
import { Raft } from "../../src/raft/raft.ts";
import { LogImage, type Stored } from "./disk.ts";
import { ALL_KEYS, type Command, Machine, type MachineState, type Result } from "./machine.ts";
import type { HostPart, Keys, NodePart } from "./parts.ts";
import { describeConfiguration, describeEntry, nodeOf, type World } from "./world.ts";

interface PendingRead {
  readonly key: Keys;
  readonly floor: number;
  readonly done: (values: (number | null)[]) => void;
}

export class GroupHost implements HostPart {
  readonly world: World;
  readonly node: NodePart;
  readonly group: number;
  readonly raft: Raft<Command>;
  readonly machine: Machine;
  /** The log as written, durable or not: what slow members are served from. */
  readonly #log: LogImage;
  readonly #held: Send<Command>[] = [];
  readonly #reads = new Map<number, PendingRead>();
  #storedSeq = 0;
  #readSeq = 0;
  #staged: { readonly term: number; readonly rows: MachineState } | null = null;
  #toApply: Entry<Command>[] = [];
  #applyScheduled = false;
  #drainScheduled = false;
  #draining = false;
  #closed = false;
  #leaving = false;
  /** Rows on disk reach up to here. */
  #rowsDurable: number;
  #trimTo = 0;
  #role = "follower";

  constructor(world: World, node: NodePart, group: number, stored: Stored) {
    this.world = world;
    this.node = node;
    this.group = group;
    this.machine = new Machine(world.coreDefects, world.planted("ids-row-only"));
    this.machine.import(stored.rows);
    this.#log = new LogImage(stored.log);
    this.#rowsDurable = stored.rows.index;
    const anchor = this.#log.anchorAt(world.dice.chance(0.5) ? stored.rows.index : this.#log.base.index);
    this.raft = new Raft<Command>(
      node.options,
      {
        term: stored.log.term,
        vote: stored.log.vote,
        anchor,
        oldestStored: this.#log.base.index + 1,
        entries: this.#log.entries.slice(anchor.index - this.#log.base.index),
        applied: stored.rows.index,
        silentBelow: world.planted("forget-log") ? 0 : stored.silentBelow,
      },
      node.moment(),
    );
    node.roster.add(this.raft, node.moment());
  }

  get name(): string {
    return `${this.node.self}/g${this.group}`;
  }

  /** Nothing that is still to come for it has an effect any more. */
  close(): void {
    this.#closed = true;
  }

  tick(now: Moment): void {
    this.raft.tick(now);
    this.drain();
  }

  // ---- events

  step(message: Message<Command>, rows: MachineState | null): void {
    if (message.kind === "snapshot") {
      assert(rows !== null, "a snapshot comes with rows");
      this.#staged = { term: message.anchor.term, rows };
    }
    this.raft.step(message, this.node.moment());
    if (message.kind === "snapshot") {
      const { from } = message;
      const { group, node } = this;
      this.#drain(); // the install, if any, takes the staged rows
      const self = node.self;
      this.world.send(node.index, nodeOf(from), (leader) => leader.hosts.get(group)?.snapshotEnded(self, true));
      return;
    }
    this.drain();
  }
  stored(seq: number): void {
    this.#storedSeq = seq;
    this.raft.stored(seq, this.node.moment());
    const ready = this.#held.filter((send) => send.afterSeq <= seq);
    if (ready.length > 0) {
      const later = this.#held.filter((send) => send.afterSeq > seq);
      this.#held.splice(0, this.#held.length, ...later);
      for (const send of ready) this.node.sendRaft(this.group, send.to, send.message);
    }
    this.drain();
  }
  propose(command: Command): void {
    const scope = command.kind === "clear" && !this.world.planted("clear-one-key") ? SCOPE_ALL : command.key;
    this.raft.propose({ data: command, scope, sizeBytes: 64 }, this.node.moment());
    this.drain();
  }
  /** `done` gets the value of the key, or those of all keys; it is not called if the read fails: the client asks again. */
  read(key: Keys, done: PendingRead["done"]): void {
    const { world } = this;
    const floor = world.checks.floor(this.group, key);
    const scope = key !== ALL_KEYS ? key : world.planted("list-one-key") ? 0 : SCOPE_ALL;
    if (world.dice.chance(0.5) && this.raft.mayRead(scope, this.node.moment())) {
      world.count("reads by lease, at once");
      this.#answer({ key, floor, done }, "lease");
      return;
    }
    const id = ++this.#readSeq;
    this.#reads.set(id, { key, floor, done });
    this.raft.read(id, scope, this.node.moment());
    this.drain();
  }
  snapshotEnded(member: MemberId, ok: boolean): void {
    if (this.#closed) return;
    this.raft.snapshotDone(member, ok, this.node.moment());
    this.drain();
  }

  // ---- effects

  /** Carries out what is to be done, now or, where the profile says so, together with what comes in the next moments. */
  drain(): void {
    const drainLagMs = this.world.healing ? 0 : this.world.profile.drainLagMs;
    if (drainLagMs === 0) {
      this.#drain();
      return;
    }
    if (this.#drainScheduled) return;
    this.#drainScheduled = true;
    this.node.local(this.world.dice.random() * drainLagMs, () => {
      this.#drainScheduled = false;
      this.#drain();
    });
  }
  #drain(): void {
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    for (let round = 0; ; round++) {
      assert(round < 1000, "effects end");
      const effects = this.raft.drain(this.node.moment());
      if (effects === null) break;
      this.#carryOut(effects);
    }
    this.#draining = false;
    this.node.roster.touched(this.raft, this.node.moment());
    this.node.arm();
  }

  #carryOut(effects: Effects<Command>): void {
    const { world, node, group } = this;
    const { write } = effects;
    if (write !== null) {
      let installed: MachineState | null = null;
      if (write.install !== null) {
        const staged = this.#staged;
        assert(
          staged !== null && staged.rows.index === write.install.index && staged.term === write.install.term,
          "what is installed lies staged",
        );
        installed = staged.rows;
        this.#staged = null;
        this.machine.import(
          world.planted("snap-no-ids") ? { ...installed, once: { ...installed.once, results: [] } } : installed,
        );
        this.#toApply = this.#toApply.filter((entry) => entry.index > installed!.index);
        this.raft.applied(installed.index, node.moment());
        world.count("snapshots installed");
        world.note(group, () => `${this.name} installs the snapshot at ${installed!.index}`);
      }
      if (world.trace.recording) this.#noteWrite(write);
      this.#log.write(write);
      world.checks.written(this, this.#log.configurationAt(this.#log.last));
      node.write(group, write, installed);
    }
    for (const send of effects.messages) {
      if (send.afterSeq <= this.#storedSeq) node.sendRaft(group, send.to, send.message);
      else this.#held.push(send);
    }
    if (effects.changed) this.#changed();
    if (effects.apply.length > 0) this.#apply(effects.apply);
    for (const answer of effects.reads) {
      const read = this.#reads.get(answer.id);
      assert(read !== undefined, "an answered read was asked");
      this.#reads.delete(answer.id);
      if (!answer.ok) {
        if (answer.why === "timeout") world.count("reads timed out");
        continue;
      }
      world.count(this.raft.role === "leader" ? "reads at the leader" : "reads by index");
      this.#answer(read, this.raft.role);
    }
    for (const member of effects.snapshots) this.#ship(member);
    for (const fetch of effects.fetches) {
      const log = this.#log;
      const known = fetch.from > log.base.index && fetch.from <= log.last;
      const entries = known ? log.entries.slice(fetch.from - log.base.index - 1).slice(0, Math.min(fetch.maxEntries, 6)) : [];
      const prevTerm = known ? log.anchorAt(fetch.from - 1).term : 0;
      // Storage may be slow: leaders come and go while it reads.
      const slow = !world.healing && world.dice.chance(0.2);
      node.local(world.dice.random() * (slow ? 2 * world.profile.leaseMs : 3), () => {
        if (this.#closed) return;
        this.raft.fetched(fetch.to, prevTerm, entries, node.moment());
        world.count("fetches");
        this.drain();
      });
    }
  }
  #noteWrite({ entries, truncateFrom }: Write<Command>): void {
    const { world, group, raft } = this;
    if (truncateFrom > 0 && truncateFrom <= this.#log.last)
      world.note(group, () => `${this.name} removes what follows ${truncateFrom - 1} from its log`, {
        entries: [truncateFrom, this.#log.last],
        fine: true,
      });
    for (const entry of entries)
      world.note(
        group,
        () =>
          `${this.name} ${raft.role === "leader" && entry.term === raft.term ? "appends" : "is sent"} ${entry.index} (term ${entry.term}): ${describeEntry(entry)}`,
        { entries: [entry.index, entry.index], fine: true },
      );
  }
  #changed(): void {
    const { raft, world } = this;
    const role = `${raft.role} ${raft.term}`;
    if (role !== this.#role) {
      if (raft.role !== "leader")
        world.note(
          this.group,
          () => `${this.name} is ${raft.role} in term ${raft.term}${raft.leader === null ? "" : ` of ${raft.leader}`}`,
        );
      this.#role = role;
    }
    if (raft.dismissed && !world.planted("forget-early")) this.#leave();
    world.checks.changed(this);
  }
  #answer(read: PendingRead, how: string): void {
    this.world.checks.readAnswered(this, read.key, read.floor, how);
    read.done(this.values(read.key));
  }

  /** What the rows say now, of a key or of all. */
  values(key: Keys): (number | null)[] {
    if (key !== ALL_KEYS) return [this.machine.value(key)];
    return Array.from({ length: this.world.profile.keys }, (_, each) => this.machine.value(each));
  }

  // ---- applying

  #apply(entries: readonly Entry<Command>[]): void {
    const { world } = this;
    if (world.planted("early-unapplied") && this.raft.role === "follower") this.#answerUnapplied(entries);
    for (const entry of entries) this.#toApply.push(entry);
    if (world.profile.applyLagMs === 0) {
      this.#applyNow();
      return;
    }
    if (this.#applyScheduled) return;
    this.#applyScheduled = true;
    this.node.local(world.dice.random() * world.profile.applyLagMs, () => {
      this.#applyScheduled = false;
      if (this.#closed) return;
      this.#applyNow();
      this.drain();
    });
  }
  #applyNow(): void {
    const entries = this.#toApply;
    if (entries.length === 0) return;
    this.#toApply = [];
    for (const entry of entries) {
      assert.equal(entry.index, this.machine.index + 1, "entries are applied in order");
      const result = this.machine.apply(entry);
      this.world.checks.applied(this, entry, this.machine.digest);
      if (entry.configuration !== null) {
        this.world.count(entry.configuration.old === null ? "configurations" : "joint configurations");
        if (this.world.planted("forget-early") && !isMember(entry.configuration, this.node.self)) this.#leave();
        this.world.note(
          this.group,
          () => `${this.name} applies configuration ${entry.index} ${describeConfiguration(entry.configuration!)}`,
        );
      }
      if (entry.data !== null) this.#settle(entry, entry.data, result!);
    }
    this.raft.applied(this.machine.index, this.node.moment());
  }
  /**
   * It may be that this node is no member any more: after a while it forgets the group's rows and log, as it would to win back
   * the space.
   */
  #leave(): void {
    const { world, node, group } = this;
    if (!world.profile.forget || this.#leaving) return;
    this.#leaving = true;
    const early = world.planted("forget-early");
    const forget = (): void => {
      this.#leaving = false;
      const gone = early ? !isMember(this.raft.configuration, node.self) : this.raft.dismissed;
      if (this.#closed || !gone) return;
      if (!node.forget(group)) this.#leave(); // not while a write of the group is under way
    };
    node.local(1 + world.dice.random() * world.dice.random() * 60, forget);
  }
  #settle(entry: Entry<Command>, command: Command, result: Result): void {
    const { node, world, raft } = this;
    const call = node.calls.get(command.id);
    if (call !== undefined && command.coordinator === node.index) {
      if (raft.role !== "leader" && raft.leader !== null) world.count("answered by a follower");
      world.note(
        this.group,
        () =>
          `${this.name} applies ${entry.index} (term ${entry.term}): ${command.id} ${command.kind} k${command.key} → ${result}, answers its client`,
        { entries: [entry.index, entry.index] },
      );
      call.settle(result);
    } else if (raft.role === "leader" && command.coordinator !== node.index) {
      world.send(node.index, command.coordinator, (other) => other.calls.get(command.id)?.settle(result));
    }
  }
  /** Planted: answers from the entry alone, as if nothing before it mattered. */
  #answerUnapplied(entries: readonly Entry<Command>[]): void {
    const state = this.machine.export();
    for (const entry of entries) {
      if (entry.data === null || entry.data.coordinator !== this.node.index) continue;
      const aside = new Machine(this.world.coreDefects, false);
      aside.import(state);
      this.node.calls.get(entry.data.id)?.settle(aside.apply(entry) ?? "done");
    }
  }

  // ---- rows on disk, trimming, snapshots

  #rowsWanted = false;
  get wantsRows(): boolean {
    return this.#rowsWanted && this.machine.index > this.#rowsDurable;
  }
  rowsToStore(): { group: number; state: MachineState; trimTo: number } | null {
    if (this.machine.index <= this.#rowsDurable || !(this.#rowsWanted || this.world.dice.chance(0.2))) return null;
    this.#rowsWanted = false;
    return { group: this.group, state: this.machine.export(), trimTo: this.#trimTo };
  }
  rowsStored(state: MachineState): void {
    this.#rowsDurable = Math.max(this.#rowsDurable, state.index);
  }
  /** Stores rows, and lets go of a part of the log that they cover. */
  trim(): void {
    this.#rowsWanted = true;
    this.node.flush();
    const { dice } = this.world;
    const storage = Math.min(this.#rowsDurable, this.machine.index);
    const memory = Math.max(storage, this.machine.index - dice.below(4));
    if (memory <= this.#log.base.index) return;
    const trimTo = dice.chance(0.6) ? storage : Math.min(storage, this.#trimTo);
    this.raft.trim(memory, trimTo);
    this.#trimTo = Math.max(this.#trimTo, trimTo);
    this.#log.trim(this.#trimTo);
    this.drain();
  }
  #ship(to: MemberId): void {
    const { world, node, group } = this;
    const rows = this.machine.export();
    const message = this.raft.snapshotMessage(rows.index, to);
    if (message === null) return;
    world.count("snapshots sent");
    world.note(group, () => `${this.name} sends a snapshot at ${rows.index} to ${to}`);
    world.send(node.index, nodeOf(to), (other) => other.receive(group, to, message, rows), world.dice.random() * 20);
    // The hand-over ends by an acknowledgement or by giving up.
    node.local(120, () => this.snapshotEnded(to, false));
  }
}
