// How one node drives thousands of groups: which of them to tick, and when. No timer per group, no round over all groups: idle
// groups are found by the lease events that concern them, busy ones by a heap of wake times.
//
// The host's loop, once for all groups of a node:
//   on a group's message, proposal, stored, applied …:  group.step(…); later in the same turn: effects = group.drain(now); carry them out; roster.touched(group, now)
//   on a lease message:                                 leases.step(message, now); then as below
//   when roster.nextWakeMs() has come:                  leases.tick(now); leased = leases.drain(); send leased.messages;
//                                                       for each group of roster.due(leased?.events ?? [], now): group.tick(now); drain; carry out; touched
import type { LeaseEvent, Leases } from "./lease.ts";
import type { MemberId, Moment } from "./messages.ts";
import type { Raft } from "./raft.ts";

interface Slot<C> {
  readonly group: Raft<C>;
  /** Whom it follows, as noted in `#followers`. */
  leader: MemberId | null;
  /** Whose support it needs, as noted in `#led`. */
  supporters: readonly MemberId[];
  /** When it wants to be ticked. */
  wakeMs: number;
  /** The earliest entry of the heap that stands for it; Infinity if none. */
  queuedMs: number;
}
interface Queued<C> {
  readonly wakeMs: number;
  readonly slot: Slot<C>;
}

const NOBODY: readonly MemberId[] = Object.freeze([]);

export class Roster<C> {
  readonly #leases: Leases;
  readonly #slots = new Map<Raft<C>, Slot<C>>();
  readonly #followers = new Map<MemberId, Set<Slot<C>>>();
  readonly #led = new Map<MemberId, Set<Slot<C>>>();
  readonly #heap: Queued<C>[] = [];

  constructor(leases: Leases) {
    this.#leases = leases;
  }

  add(group: Raft<C>, now: Moment): void {
    this.#slots.set(group, { group, leader: null, supporters: NOBODY, wakeMs: Infinity, queuedMs: Infinity });
    this.touched(group, now);
  }

  remove(group: Raft<C>, now: Moment): void {
    const slot = this.#slots.get(group);
    if (slot === undefined) return;
    this.#slots.delete(group);
    if (slot.leader !== null) this.#leave(this.#followers, slot.leader, slot);
    for (const peer of slot.supporters) this.#leave(this.#led, peer, slot);
    slot.wakeMs = Infinity; // what stands in the heap for it finds nothing to do
    this.#wantSupport(now);
  }

  get size(): number {
    return this.#slots.size;
  }

  /** Call after every drain of a group (cheap): notes its next wake, whom it follows, and whose support it needs. */
  touched(group: Raft<C>, now: Moment): void {
    const slot = this.#slots.get(group);
    if (slot === undefined) return;
    const leads = group.role === "leader";
    const leader = leads ? null : group.leader;
    if (leader !== slot.leader) {
      if (slot.leader !== null) this.#leave(this.#followers, slot.leader, slot);
      if (leader !== null) this.#join(this.#followers, leader, slot);
      slot.leader = leader;
    }
    if (leads || slot.supporters.length > 0) this.#noteSupporters(slot, now);
    slot.wakeMs = group.nextWakeMs();
    if (slot.wakeMs < slot.queuedMs) this.#enqueue(slot);
  }

  #noteSupporters(slot: Slot<C>, now: Moment): void {
    const { supporters } = slot.group;
    const before = slot.supporters;
    if (supporters.length === before.length && supporters.every((peer, k) => peer === before[k])) return;
    for (const peer of before) this.#leave(this.#led, peer, slot);
    for (const peer of supporters) this.#join(this.#led, peer, slot);
    slot.supporters = supporters.length === 0 ? NOBODY : [...supporters];
    this.#wantSupport(now);
  }
  #wantSupport(now: Moment): void {
    this.#leases.setPeers(this.#led.keys(), now);
  }

  /** The groups to tick now: those whose time has come, and those that these lease events concern. Each once. */
  due(events: readonly LeaseEvent[], now: Moment): Raft<C>[] {
    const due = new Set<Raft<C>>();
    for (const { kind, peer } of events) {
      const concerned = kind === "promise-lapsed" || kind === "generation-grew" ? this.#followers.get(peer) : this.#led.get(peer);
      if (concerned !== undefined) for (const slot of concerned) due.add(slot.group);
    }
    while (this.#heap.length > 0 && this.#heap[0]!.wakeMs <= now.monoMs) {
      const { slot, wakeMs } = this.#pop();
      if (wakeMs === slot.queuedMs) slot.queuedMs = Infinity;
      if (slot.wakeMs <= now.monoMs) due.add(slot.group);
      // Put off meanwhile, as election timers are with every append: queued again only now.
      else if (slot.wakeMs < slot.queuedMs) this.#enqueue(slot);
    }
    return [...due];
  }

  /** When to look again, on the clock of `Moment.monoMs`: the earliest of all groups and the leases. */
  nextWakeMs(): number {
    return Math.min(this.#heap[0]?.wakeMs ?? Infinity, this.#leases.nextWakeMs());
  }

  #join(index: Map<MemberId, Set<Slot<C>>>, peer: MemberId, slot: Slot<C>): void {
    const slots = index.get(peer);
    if (slots === undefined) index.set(peer, new Set([slot]));
    else slots.add(slot);
  }
  #leave(index: Map<MemberId, Set<Slot<C>>>, peer: MemberId, slot: Slot<C>): void {
    const slots = index.get(peer);
    slots?.delete(slot);
    if (slots?.size === 0) index.delete(peer);
  }

  #enqueue(slot: Slot<C>): void {
    slot.queuedMs = slot.wakeMs;
    const heap = this.#heap;
    const item: Queued<C> = { wakeMs: slot.wakeMs, slot };
    let at = heap.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.wakeMs <= item.wakeMs) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = item;
  }
  #pop(): Queued<C> {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.wakeMs < heap[child]!.wakeMs) child++;
      if (heap[child]!.wakeMs >= last.wakeMs) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}
