// One simulated node: a store that survives crashes; a process with leases, a roster of groups, and one pipeline of writes, that
// does not.
import type { Write } from "../../src/raft/effects.ts";
import { Leases, type LeaseMessage } from "../../src/raft/lease.ts";
import type { Configuration, MemberId, Message, Moment } from "../../src/raft/messages.ts";
import { raftOptions, type RaftOptions } from "../../src/raft/options.ts";
import { emptyGroup, bootstrapGroup } from "../../src/raft/raft.ts";
import { Roster } from "../../src/raft/roster.ts";
import type { VirtualClock } from "../engine/virtual-clock.ts";
import { type Batch, Disk, LogImage, type Stored } from "./disk.ts";
import { GroupHost } from "./group-host.ts";
import { type Command, emptyState, type MachineState } from "./machine.ts";
import type { NodePart, PendingCall } from "./parts.ts";
import { HEAL_MS, memberId, nodeOf, type World } from "./world.ts";

export class SimNode implements NodePart {
  readonly world: World;
  readonly index: number;
  readonly clock: VirtualClock;
  disk = new Disk();
  /** Copies of the store at earlier times, to be restored by a mistaken operator. */
  readonly images: { readonly at: number; readonly disk: Disk }[] = [];
  up = false;
  paused = false;
  /** Registered with the control service; before, it neither hears nor says anything. */
  active = false;
  hosts = new Map<number, GroupHost>();
  /** Calls of clients that wait at this node. */
  readonly calls = new Map<string, PendingCall>();
  leases!: Leases;
  roster!: Roster<Command>;
  #options!: RaftOptions;
  #hostOf = new Map<GroupHost["raft"], GroupHost>();
  #process = 0;
  #asleep = false;
  #backlog: (() => void)[] = [];
  #armedAt = Number.POSITIVE_INFINITY;
  #batch: Batch | null = null;
  #pending: Batch["writes"] = [];

  constructor(world: World, index: number, clock: VirtualClock) {
    this.world = world;
    this.index = index;
    this.clock = clock;
  }

  get incarnation(): number {
    return this.disk.incarnation;
  }
  get self(): MemberId {
    return memberId(this.index, this.disk.incarnation);
  }
  /** Would it answer if it were asked now? */
  get running(): boolean {
    return this.up && this.active && !this.paused;
  }
  get options(): RaftOptions {
    return this.#options;
  }
  moment(): Moment {
    const { now, dice } = this.world;
    return { monoMs: this.clock.mono(now), bootMs: this.clock.boot(now), wallMs: this.clock.wall(now), jitter: dice.random() };
  }
  /** Runs in this process after a while, or after the pause if there is one then; never if the process ends before. */
  local(delayMs: number, run: () => void): void {
    const process = this.#process;
    const start = (): void => {
      if (this.#process !== process || !this.up) return;
      if (this.paused) this.#backlog.push(start);
      else run();
    };
    this.world.after(delayMs, start);
  }
  /** A message has come. */
  deliver(run: (node: NodePart) => void): void {
    if (!this.up) return;
    if (this.paused) this.#backlog.push(() => this.active && run(this));
    else if (this.active) run(this);
  }

  // ---- life

  boot(): void {
    const { world, disk } = this;
    this.up = true;
    this.#process++;
    this.paused = false;
    this.active = false;
    this.#backlog = [];
    this.#batch = null;
    this.#pending = [];
    this.#armedAt = Number.POSITIVE_INFINITY;
    this.hosts = new Map();
    this.#hostOf = new Map();
    if (disk.boots > 0 && world.dice.chance(0.3)) this.clock.restarted(world.now); // not the process alone, the machine
    disk.tick++; // rule 25: durable before it is registered
    world.trace.mix(world.now, this.index + 100);
    const slow = (): number => 1 + world.dice.below(world.dice.chance(0.5) ? 3 : 25);
    this.local(slow(), () => {
      const registered = world.control[this.index]!;
      if (world.planted("no-register") || (disk.incarnation === registered.incarnation && disk.tick > registered.tick)) {
        registered.tick = Math.max(registered.tick, disk.tick);
        return this.local(slow(), () => this.#start());
      }
      // rule 26: not the store it was; a new, empty member.
      registered.incarnation++;
      registered.tick = 0;
      const incarnation = registered.incarnation;
      this.local(slow(), () => {
        world.note(
          -1,
          () => `node ${this.index}: the control service refuses its store; new member ${memberId(this.index, incarnation)}`,
        );
        this.disk = new Disk();
        this.disk.incarnation = incarnation;
        this.images.length = 0;
        this.#start();
      });
    });
  }

  #start(): void {
    const { world, disk } = this;
    const { profile } = world;
    disk.boots++;
    this.active = true;
    const now = this.moment();
    const defects = world.coreDefects;
    this.leases = new Leases(
      {
        self: this.self,
        leaseMs: profile.leaseMs,
        driftFactor: profile.driftFactor,
        heartbeatMs: profile.heartbeatMs,
        maxHeartbeatMs: profile.leaseMs,
        boot: disk.boots,
        firstBoot: disk.boots === 1,
        defects,
      },
      now,
    );
    this.roster = new Roster<Command>(this.leases);
    this.#options = raftOptions(this.self, this.leases, {
      electionMinMs: profile.electionMinMs,
      electionSpreadMs: profile.electionSpreadMs,
      readTimeoutMs: profile.readTimeoutMs,
      ...(profile.appendEntries > 0 ? { maxAppendEntries: profile.appendEntries, maxFlightEntries: profile.flightEntries } : {}),
      defects,
    });
    world.note(-1, () => `node ${this.index} starts as ${this.self}, boot ${disk.boots}`);
    if (disk.boots === 1 && disk.incarnation === 0)
      for (const [group, bootstrap] of world.bootstraps.entries()) this.#bootstrap(group, bootstrap);
    for (const group of disk.groups.keys()) this.#open(group);
    const registerLater = (): void => {
      // rule 25: the tick goes on while the process runs, so that an older image of the store shows.
      if (!world.planted("boots-only")) this.disk.tick++;
      const { incarnation, tick } = this.disk;
      world.after(world.delay(), () => {
        const registered = world.control[this.index]!;
        if (registered.incarnation === incarnation) registered.tick = Math.max(registered.tick, tick);
      });
      this.local(120, registerLater);
    };
    this.local(100 + world.dice.below(80), registerLater);
    this.#lookAfterGroups();
    this.arm();
  }

  /** A group's first voters find it in their store when they first start. */
  #bootstrap(group: number, bootstrap: Configuration): void {
    if (!bootstrap.voters.includes(this.self) || this.disk.groups.has(group)) return;
    this.disk.groups.set(group, this.#stored(bootstrap));
  }
  #stored(bootstrap: Configuration | null): Stored {
    const { anchor, term, vote } = bootstrap === null ? emptyGroup<Command>() : bootstrapGroup<Command>(bootstrap);
    return { log: new LogImage({ term, vote, base: anchor, entries: [] }), rows: emptyState(), silentBelow: 0 };
  }

  #open(group: number): GroupHost {
    const host = new GroupHost(this.world, this, group, this.disk.groups.get(group) ?? this.#stored(null));
    this.hosts.set(group, host);
    this.#hostOf.set(host.raft, host);
    host.drain();
    return host;
  }

  /**
   * Forgets a group that this node was dismissed from, but for what the core says must remain. False while writes of the group
   * are under way.
   */
  forget(group: number): boolean {
    const underWay = [...this.#pending, ...(this.#batch?.writes ?? []), ...(this.#batch?.rows ?? [])];
    const busy = underWay.some((write) => write.group === group);
    const host = this.hosts.get(group);
    if (busy || host === undefined || host.raft.role === "leader") return false;
    host.close();
    this.roster.remove(host.raft, this.moment());
    this.hosts.delete(group);
    this.#hostOf.delete(host.raft);
    const empty = this.#stored(null);
    const { term, vote, silentBelow } = host.raft.remains;
    if (!this.world.planted("forget-vote")) {
      empty.log.term = term;
      empty.log.vote = vote;
    }
    this.disk.groups.set(group, { ...empty, silentBelow });
    this.world.forgetful.add(group * 8 + this.index);
    this.world.count("groups forgotten");
    this.world.note(group, () => `${host.name} forgets the group`);
    return true;
  }

  /** Now and then rows become durable and logs are trimmed. */
  #lookAfterGroups(): void {
    const { dice, profile } = this.world;
    if (profile.trim === 0) return;
    const look = (): void => {
      for (const host of this.hosts.values()) if (dice.chance(profile.trim)) host.trim();
      this.local(20, look);
    };
    this.local(dice.below(20), look);
  }

  crash(downMs: number): void {
    if (!this.up) return;
    const { world } = this;
    this.up = false;
    this.active = false;
    this.#process++;
    this.paused = false;
    world.count("crashes");
    world.note(-1, () => `node ${this.index} crashes for ${downMs.toFixed(0)} ms`);
    for (const call of this.calls.values()) call.end("unknown"); // the client sees the connection break
    this.calls.clear();
    const batch = this.#batch;
    if (batch !== null && world.dice.chance(0.6)) {
      // The fsync under way may have done all its work, or a part.
      const count = world.dice.chance(0.5) ? batch.writes.length : world.dice.below(batch.writes.length + 1);
      world.note(-1, () => `  ${count} of the ${batch.writes.length} writes under way are on its disk`);
      this.disk.commit(batch, () => this.#stored(null), count);
    }
    if (world.profile.damage && !world.damaged && world.now < HEAL_MS - 200) this.#damage();
    world.after(downMs, () => this.boot());
  }
  #damage(): void {
    const { world } = this;
    if (!world.dice.chance(0.5)) return;
    world.damaged = true;
    world.count("stores damaged");
    const old = this.images.filter((image) => image.at < world.now - 300);
    if (old.length === 0 || world.dice.chance(0.4)) {
      world.note(-1, () => `  and its store is wiped`);
      this.disk = new Disk();
      return;
    }
    const image = world.dice.pick(old);
    world.note(-1, () => `  and its store is set back to what it was at ${image.at.toFixed(1)}`);
    this.disk = image.disk.copy();
  }

  /** @param asleep  the machine sleeps: the monotonic clock stands still. Else only the process does nothing. */
  pause(forMs: number, asleep: boolean): void {
    if (!this.up || this.paused) return;
    const { world } = this;
    this.paused = true;
    this.#asleep = asleep;
    world.count("pauses");
    world.note(
      -1,
      () => `node ${this.index} ${asleep ? "sleeps (monotonic clock stands still)" : "hangs"} for ${forMs.toFixed(0)} ms`,
    );
    const process = this.#process;
    const began = world.now;
    world.after(forMs, () => {
      if (this.#process === process && this.paused) this.#resume(world.now - began);
    });
    this.#pausedSince = began;
  }
  #pausedSince = 0;
  wake(): void {
    if (this.paused) this.#resume(this.world.now - this.#pausedSince);
  }
  #resume(pausedMs: number): void {
    this.paused = false;
    if (this.#asleep) this.clock.slept(pausedMs);
    this.world.note(-1, () => `node ${this.index} goes on`);
    if (this.active) this.world.checks.leasesOf(this);
    const process = this.#process;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const run of backlog) if (this.up && this.#process === process) run();
  }

  // ---- messages

  sendRaft(group: number, to: MemberId, message: Message<Command>): void {
    this.world.send(this.index, nodeOf(to), (node) => node.receive(group, to, message));
  }
  receive(group: number, to: MemberId, message: Message<Command>, rows: MachineState | null = null): void {
    if (to !== this.self) return; // meant for a store that is no more (rule 26)
    this.world.trace.mix(this.world.now, group * 64 + message.term);
    const host = this.hosts.get(group) ?? this.#open(group);
    host.step(message, rows);
  }
  receiveLease(to: MemberId, message: LeaseMessage): void {
    if (to !== this.self) return;
    const now = this.moment();
    this.leases.step(message, now);
    this.wakeGroups();
  }

  // ---- time

  /** Ticks what is due; sends what the leases want sent. */
  wakeGroups(): void {
    const now = this.moment();
    this.leases.tick(now);
    const leased = this.leases.drain();
    for (const { to, message } of leased?.messages ?? [])
      this.world.send(this.index, nodeOf(to), (node) => node.receiveLease(to, message));
    for (const raft of this.roster.due(leased?.events ?? [], now)) {
      this.#hostOf.get(raft)?.tick(now);
    }
    this.arm();
  }
  /** Makes sure the process wakes when the roster next needs it. */
  arm(): void {
    const { world } = this;
    const wakeMs = this.roster.nextWakeMs();
    if (wakeMs === Number.POSITIVE_INFINITY) return;
    const delay =
      Math.max(0.05, this.clock.untilMono(wakeMs, world.now)) +
      world.dice.random() * (world.healing ? 2 * world.profile.haste : world.profile.timerLagMs);
    const at = world.now + delay;
    if (this.#armedAt <= at && this.#armedAt >= world.now) return;
    this.#armedAt = at;
    this.local(delay, () => {
      if (this.#armedAt !== at) return;
      this.#armedAt = Number.POSITIVE_INFINITY;
      this.wakeGroups();
    });
  }

  // ---- storage

  write(group: number, write: Write<Command>, installed: MachineState | null): void {
    this.#pending.push({ group, write, installed });
    this.flush();
  }
  /** One flush at a time: what comes meanwhile makes the next batch, of all groups together. */
  flush(): void {
    if (this.#batch !== null || (this.#pending.length === 0 && ![...this.hosts.values()].some((host) => host.wantsRows))) return;
    const { world } = this;
    const { dice, profile } = world;
    const batch: Batch = { writes: this.#pending, rows: [] };
    this.#pending = [];
    for (const host of this.hosts.values()) {
      const rows = host.rowsToStore();
      if (rows !== null) batch.rows.push(rows);
    }
    this.#batch = batch;
    const stalled = profile.stalls && !world.healing && dice.chance(0.15);
    const slow = profile.slowDisk && !world.healing && dice.chance(0.2);
    const haste = world.healing ? profile.leaseMs / 100 : profile.haste;
    const fsyncMs = stalled ? dice.between(80, 380) : slow ? dice.between(20, 100) : dice.between(1, 6) * haste;
    this.local(fsyncMs, () => {
      this.disk.commit(batch, () => this.#stored(null));
      if (profile.damage && dice.chance(0.1)) this.images.push({ at: world.now, disk: this.disk.copy() });
      this.#batch = null;
      const seqs = new Map<number, number>();
      for (const { group, write } of batch.writes) seqs.set(group, write.seq);
      for (const { group, state } of batch.rows) this.hosts.get(group)?.rowsStored(state);
      for (const [group, seq] of seqs) this.hosts.get(group)?.stored(seq);
      this.flush();
    });
  }
}
