// How one node drives thousands of groups: which of them to tick, and when. No timer per group. SKELETON: signatures are final, bodies follow.
import type { Leases } from "./lease.ts";
import type { Moment } from "./messages.ts";
import type { Raft } from "./raft.ts";

export class Roster<C> {
  constructor(leases: Leases) {
    void leases;
  }
  add(group: Raft<C>): void {
    void group;
  }
  remove(group: Raft<C>): void {
    void group;
  }
  /** Call after every drain of a group (cheap): notes its next wake, its leader, and which peers' support it needs. */
  touched(group: Raft<C>, now: Moment): void {
    void group, void now;
  }
  /** Groups to tick now: those whose time has come and those that a lease event concerns. Drain the leases first and hand their events in. */
  due(now: Moment): Raft<C>[] {
    void now;
    return [];
  }
  /** When `due` is next needed: the earliest of all groups and the leases. */
  nextWakeMs(): number {
    return Number.POSITIVE_INFINITY;
  }
}
